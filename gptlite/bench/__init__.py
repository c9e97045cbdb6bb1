"""`gptlite bench`: what is fast, by how much, against what, on this machine."""

WHOLE = ("torch", "torch-compile")
# with --dtype bfloat16 the peer uses autocast, unless its float32 is asked for
TRAIN = (*WHOLE, "torch-float32", "torch-compile-float32")

SCALED = ("threads", "processes", "mpi")  # what `bench scaling` can measure

# every benchmark, and the peers that it can be run against
PEERS: dict[str, tuple[str, ...]] = {
    "train": TRAIN, "first-step": WHOLE, "memory": WHOLE,
    "matmul": ("torch",), "attention": ("torch",), "layernorm": ("torch",),
    "bpe": ("peers",), "vectors": ("peers",),
    "kernels": (), "generate": (), "scaling": (), "import": (),
    "finetune": (), "chat": (), "ppo": WHOLE,
}  # fmt: skip
