"""Memory grows with T, not with T²: measured in processes of their own."""

from __future__ import annotations

import sys

import pytest

from gptlite.config import GPTConfig
from gptlite.models.layout import activation_blocks
from tests.helpers import run_python

# Forward and backward of one head; prints how far the peak rose above the inputs (MB).
CHILD = """
import sys
import numpy as np
from pathlib import Path
from gptlite.ops import kernels, reference
ops = {"kernels": kernels, "reference": reference}[sys.argv[1]]
T, D = int(sys.argv[2]), 64

def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024

def run(T):
    q, k, v, dout, out, dq, dk, dv = np.ones((8, 1, T, 1, D), np.float32)
    lse, before = np.ones((1, 1, T), np.float32), peak()
    ops.attention_forward(out, lse, q, k, v)
    ops.attention_backward(dq, dk, dv, dout, out, lse, q, k, v)
    return peak() - before

run(64)  # compiled and loaded
print(run(T))
"""
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def extra_megabytes(ops: str, T: int) -> float:
    done = run_python("-c", CHILD, ops, str(T))
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


@LINUX
def test_tiles_take_at_most_an_eighth_of_the_memory_of_whole_scores() -> None:
    whole, tiles = (extra_megabytes(ops, 4096) for ops in ("reference", "kernels"))
    assert whole > 100  # two arrays of 64 MB at least
    assert tiles <= whole / 8


@LINUX
def test_the_memory_of_attention_is_linear_in_the_length() -> None:
    """Packed keys, values and the tile: no more than the inputs themselves."""
    for T in (1024, 8192):
        inputs = 8 * T * 64 * 4 / 2**20  # MB
        assert extra_megabytes("kernels", T) <= inputs / 2 + 2


def test_the_activations_of_a_model_are_linear_in_the_length() -> None:
    def floats(T: int) -> int:
        config = GPTConfig(context_length=T)
        return sum(block.size for block in activation_blocks(config, 1, T, True))

    rooms = {T: floats(T) / T for T in (64, 512, 4096, 8192)}
    assert max(rooms.values()) < 1.05 * min(rooms.values())
