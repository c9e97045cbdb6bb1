"""`gptlite bench`: what is fast, by how much, against what, on this machine."""
