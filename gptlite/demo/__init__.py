"""`gptlite demo`: the whole road, in a few minutes on a laptop."""
