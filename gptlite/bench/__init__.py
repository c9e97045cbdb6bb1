"""`gptlite bench`: what is fast, by how much, against what, on this machine."""

WHOLE = ("torch", "torch-compile")

# every benchmark, and the peers that it can be run against
PEERS: dict[str, tuple[str, ...]] = {
    "train": WHOLE, "first-step": WHOLE, "memory": WHOLE,
    "matmul": ("torch",), "attention": ("torch",), "layernorm": ("torch",),
    "generate": (), "scaling": (), "import": (),
}  # fmt: skip
