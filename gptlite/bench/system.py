"""Whole processes and generation: first step, memory, import time, tokens a second."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np

from gptlite.bench.timing import alternate, device, median
from gptlite.config import preset
from gptlite.errors import GptliteError
from gptlite.models.generate import decoder_of
from gptlite.models.gpt import GPT
from gptlite.parallel.pool import WorkerPool
from gptlite.text.tokenizer import CharTokenizer

# Each child builds one training step of a preset, runs it a few times, and prints the
# high-water mark of its own memory in kilobytes.
CHILD = """
import sys
from pathlib import Path
preset_name, peer, steps = sys.argv[1], sys.argv[2], int(sys.argv[3])
if peer == "gptlite":
    from gptlite.bench.train import own_step
    step = own_step(preset_name)
else:
    from gptlite.bench.train import peer_step
    from gptlite.config import preset
    step = peer_step(peer, *preset(preset_name))
for _ in range(steps):
    step()
status = Path("/proc/self/status").read_text() if sys.platform == "linux" else ""
lines = [line for line in status.splitlines() if line.startswith("VmHWM")]
print(lines[0].split()[1] if lines else 0, flush=True)
"""


def _child(
    name: str, side: str, steps: int, cache: str | None = None
) -> tuple[float, float]:
    """(seconds from start to end, peak memory in MB) of a process of its own."""
    environment = dict(os.environ)
    if cache:
        environment["GPTLITE_CACHE"] = cache
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", CHILD, name, side, str(steps)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    seconds = time.perf_counter() - start
    if done.returncode:
        raise GptliteError(f"the benchmark's child failed: {done.stderr[-500:]}")
    return seconds, float(done.stdout) / 1024


def bench_first_step(
    name: str, against: str | None = None, rounds: int = 3
) -> dict[str, Any]:
    """Seconds from process start to the end of the first step, cold and warm."""
    cold, warm, peer = [], [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as cache:
            cold.append(_child(name, "gptlite", 1, cache)[0])
            warm.append(_child(name, "gptlite", 1, cache)[0])
        if against:
            peer.append(_child(name, against, 1)[0])
    result = {
        "benchmark": "first-step",
        "preset": name,
        "device": device(),
        "cold_seconds": round(median(cold), 2),
        "warm_seconds": round(median(warm), 2),
    }
    if against:
        result |= {"against": against, "peer_seconds": round(median(peer), 2)}
        result["ratio"] = round(median(peer) / median(warm), 3)
    return result


def bench_memory(
    name: str, against: str | None = None, rounds: int = 3
) -> dict[str, Any]:
    """Peak memory of a training process (3 steps), libraries included."""
    sides = ["gptlite", *([against] if against else [])]
    peaks: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side in sides:
            peaks[side].append(_child(name, side, 3)[1])
    ours = median(peaks["gptlite"])
    result: dict[str, Any] = {"benchmark": "memory", "preset": name, "device": device()}
    result["megabytes"] = round(ours)
    if against:
        theirs = median(peaks[against])
        result |= {"against": against, "peer_megabytes": round(theirs)}
        result["ratio"] = round(theirs / ours, 3)
    return result


def bench_import(rounds: int = 11) -> dict[str, Any]:
    """What `import gptlite` costs beyond `import numpy`, in seconds."""

    def run(statement: str) -> None:
        subprocess.run([sys.executable, "-c", statement], check=True)

    both, numpy_alone = alternate(
        [lambda: run("import numpy, gptlite"), lambda: run("import numpy")],
        rounds,
        burst=0.01,
    )
    extra = median([a - b for a, b in zip(both, numpy_alone, strict=True)])
    return {
        "benchmark": "import",
        "device": device(),
        "seconds_beyond_numpy": round(extra, 3),
        "numpy_seconds": round(median(numpy_alone), 3),
    }


def bench_generate(name: str, rounds: int = 7) -> dict[str, Any]:
    """Tokens a second of one row, with the KV cache and without."""
    config = preset(name)[0]
    model = GPT(config)
    tokenizer = CharTokenizer("".join(map(chr, range(256, 256 + config.vocab_size))))
    new_tokens = config.context_length - 1
    prompt = chr(256)

    def cached() -> None:
        decoder = decoder_of(model, tokenizer, [prompt])
        for _ in range(new_tokens):
            decoder.append(np.zeros(1, np.int64))

    def uncached() -> None:
        for length in range(1, new_tokens + 1):
            model.logits(np.zeros((1, length), np.int64))

    with WorkerPool(1):
        times = alternate([cached, uncached], rounds)
    return {
        "benchmark": "generate",
        "preset": name,
        "device": device(),
        "tokens_per_s": round(new_tokens / median(times[0])),
        "against": "no cache",
        "peer_tokens_per_s": round(new_tokens / median(times[1])),
        "ratio": round(median(times[1]) / median(times[0]), 3),
    }
