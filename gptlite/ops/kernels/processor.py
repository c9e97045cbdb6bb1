"""What this processor can do: its vectors, and the block of sums that fits in them."""

from __future__ import annotations

from typing import NamedTuple

import llvmlite.binding
import numba

from gptlite.errors import ConfigError


class Tile(NamedTuple):
    """The block of sums that fits into a processor's vector registers."""

    rows: int
    vectors: int  # vectors a row
    lanes: int  # float32 numbers a vector


def tile_for(features: str) -> Tile:
    """AVX-512 and NEON have 32 vector registers, AVX2 has 16.

    Needed: rows·vectors sums, `vectors` of B, and one for a number of A.
    """
    if "+avx512f" in features:
        return Tile(rows=8, vectors=2, lanes=16)
    if "+avx2" in features or "+avx" in features:
        return Tile(rows=6, vectors=2, lanes=8)
    return Tile(rows=6, vectors=4, lanes=4)


def cpu_features() -> str:
    """What Numba compiles for: its own setting, or what this processor can do."""
    has = llvmlite.binding.get_host_cpu_features()
    chosen = numba.config.CPU_FEATURES or has.flatten()
    for feature in chosen.split(","):
        if feature.startswith("+") and not has.get(feature[1:]):
            raise ConfigError(
                f"wanted features of this processor, got {feature} in "
                "NUMBA_CPU_FEATURES; leave that out, or unset the variable"
            )
    return chosen


TILE = tile_for(cpu_features())
ROWS, LANES, COLS = TILE.rows, TILE.lanes, TILE.vectors * TILE.lanes
# one instruction: 32 products, added into 16 sums
BFLOAT16_DOT = LANES == 16 and "+avx512bf16" in cpu_features()
# one instruction: a vector of float16 becomes float32
HALVES = any(f"+{name}" in cpu_features() for name in ("f16c", "neon", "fullfp16"))


def instructions() -> str:
    """The vector instructions in use, by their common names."""
    name = {16: "AVX-512", 8: "AVX2 or AVX"}.get(LANES, "128-bit vectors (NEON, SSE)")
    return f"{name} with bfloat16 products" if BFLOAT16_DOT else name
