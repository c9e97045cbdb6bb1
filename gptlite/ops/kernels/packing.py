"""Packing: a matrix copied into the order in which the inner loop reads it.

A panel holds a few columns, row after row. In a matrix of 1,536 columns two rows are
6 kB apart; in a panel they follow one another.
"""

from __future__ import annotations

import threading

import numpy as np
from numba import njit, types
from numba.extending import register_jitable

from gptlite.ops.kernels.jit import OPTIONS, kernel
from gptlite.ops.kernels.processor import BFLOAT16_DOT, COLS, LANES, ROWS
from gptlite.ops.kernels.rounding import round_neighbours, round_pairs
from gptlite.ops.kernels.vectors import (
    CACHE_LINE,
    bits_from_float,
    copy_vector,
    float_from_bits,
    transpose_tile,
)

FEW = 8  # rows copied before the next panel: few enough to stay in the first cache
PAIRED = 2 if BFLOAT16_DOT else 1  # numbers along k in one packed bfloat16 word

READ_MATRIX = types.Array(types.float32, 2, "A", readonly=True)
VECTOR = types.Array(types.float32, 1, "C")

_room = threading.local()


@register_jitable
def padded(width: int) -> int:
    """`width` rounded up to whole panels."""
    return -(-width // COLS) * COLS


def scratch_floats(count: int) -> np.ndarray:
    """At least `count` floats from a cache line on; each thread has its own, kept."""
    if len(getattr(_room, "floats", ())) < max(count, 1):
        raw = np.empty(count + CACHE_LINE // 4, np.float32)
        skip = -raw.ctypes.data % CACHE_LINE // 4
        _room.floats = raw[skip : skip + count]
    return _room.floats


@njit(inline="always", **OPTIONS)
def _pack_plainly(panels, b, width, j, first, end):
    """Rows first … end of the panel that begins at column j, number by number."""
    depth, n = b.shape
    for k in range(first, end):
        line = panels[j * depth + k * width :]
        for i in range(width):
            line[i] = b[k, j + i] if j + i < n else np.float32(0)


def _packer(width: int):
    """The kernel that copies b (depth, n) into panels of `width` columns.

    Where whole vectors can be copied or transposed they are. A vector may spill into
    the next row of its panel, or the next panel, before these are written.
    """
    vectors = -(-width // LANES)
    spills = width % LANES != 0

    @kernel(types.void(VECTOR, READ_MATRIX))
    def pack(panels, b):
        depth, n = b.shape
        row, col = b.strides[0] // 4, b.strides[1] // 4
        to, source = panels.ctypes.data, b.ctypes.data
        wide = vectors * LANES
        if col == 1:  # a few rows of every panel: reads are near one another
            for k0 in range(0, depth, FEW):
                k1 = min(k0 + FEW, depth)
                for j in range(0, n, width):
                    end = k0
                    if j + wide <= n:
                        end = k1 - 1 if spills and k1 == depth else k1
                        for k in range(k0, end):
                            for v in range(0, width, LANES):
                                copy_vector(to + 4 * (j * depth + k * width + v),
                                            source + 4 * (k * row + j + v))  # fmt: skip
                    _pack_plainly(panels, b, width, j, end, k1)
            return
        for j in range(0, n, width):
            end = 0
            if row == 1 and j + wide <= n:
                end = depth // LANES * LANES
                for k in range(0, end, LANES):
                    for v in range(0, width, LANES):
                        transpose_tile(
                            to + 4 * (j * depth + k * width + v), width,
                            source + 4 * (k + (j + v) * col), col,
                        )  # fmt: skip
            _pack_plainly(panels, b, width, j, end, depth)

    return pack


pack = _packer(COLS)
pack_rows = _packer(ROWS)  # of a transposed `a`: panels of ROWS columns


@njit(inline="always", **OPTIONS)
def to_bfloat16(x):
    """The bits of the float32 nearest to x that is a bfloat16: ties to even.

    Adding just under half of the last kept bit carries into it where it should; the
    carry may run into the exponent, up to infinity. NaN keeps its upper half, quiet.
    Numbers below 2^-126 become 0, as the instruction has it.
    """
    bits = bits_from_float(x)
    rounded = bits + np.int32(0x7FFF) + ((bits >> np.int32(16)) & np.int32(1))
    if bits & np.int32(0x7F800000) == 0:
        rounded = bits & np.int32(-(2**31))
    if x != x:
        rounded = bits | np.int32(0x00400000)
    return rounded & np.int32(-65536)


@njit(inline="always", **OPTIONS)
def _word(low, high):
    """Two bfloat16 numbers in one float's place; without the instruction, the first."""
    if PAIRED == 1:
        return float_from_bits(to_bfloat16(low))
    upper = (to_bfloat16(low) >> np.int32(16)) & np.int32(0xFFFF)
    return float_from_bits(to_bfloat16(high) | upper)


@register_jitable
def words(depth: int) -> int:
    """How many packed words hold `depth` bfloat16 numbers."""
    return -(-depth // PAIRED)


@kernel(types.void(VECTOR, READ_MATRIX))
def narrow(out, x):
    """Round x (n, depth) to bfloat16, neighbours in depth packed into one word.

    out: (n, words), or (words, n) where x is contiguous along n (x.strides[0] is 4).
    """
    n, depth = x.shape
    size, whole = words(depth), depth // PAIRED
    to, source = out.ctypes.data, x.ctypes.data
    row, col = x.strides
    if row == 4:
        for w in range(size):
            line, start = out[w * n : w * n + n], 0
            low, high = x[:, w * PAIRED], x[:, min(w * PAIRED + 1, depth - 1)]
            if BFLOAT16_DOT and w < whole:
                start = n // LANES * LANES
                at = source + 2 * w * col
                for i in range(0, start, LANES):
                    round_pairs(to + 4 * (w * n + i), at + 4 * i, at + 4 * i + col)
            for i in range(start, n):
                line[i] = _word(low[i], high[i] if w < whole else np.float32(0))
        return
    for i in range(n):
        line, numbers, start = out[i * size : i * size + size], x[i], 0
        if BFLOAT16_DOT and col == 4:
            start = whole // LANES * LANES
            for w in range(0, start, LANES):
                round_neighbours(to + 4 * (i * size + w), source + i * row + 8 * w)
        for w in range(start, whole):
            line[w] = _word(numbers[w * PAIRED], numbers[w * PAIRED + PAIRED - 1])
        if whole < size:
            line[whole] = _word(numbers[depth - 1], np.float32(0))


# A block of B: most rows and columns packed at a time. Measured: docs/lab_log.md.
DEPTH = 512 if LANES == 16 else 384
WIDTH = 2048  # with DEPTH 3 to 4 MB, for the last cache


@register_jitable
def block_depth(K: int) -> int:
    """K in equal parts of at most DEPTH, whole vectors each: the length of a part."""
    parts = max(1, -(-K // DEPTH))
    return max(1, -(-K // (parts * LANES))) * LANES


@kernel(types.void(VECTOR, READ_MATRIX, types.boolean, VECTOR))
def pack_block(panels, b, bfloat16, scratch):
    """Panels of the block b (depth, width), as float32 or as words of bfloat16."""
    if not bfloat16:
        pack(panels, b)
        return
    depth, width = b.shape
    size = words(depth)
    narrow(scratch, b.T)
    if b.strides[1] == 4:
        pack(panels, scratch[: size * width].reshape(size, width))
    else:
        pack(panels, scratch[: size * width].reshape(width, size).T)


@kernel(types.void(VECTOR, READ_MATRIX, types.boolean, VECTOR))
def pack_matrix(panels, b, bfloat16, scratch):
    """All blocks of b (K, N), one after another: columns outside, rows inside."""
    K, N = b.shape
    step = block_depth(K)
    at = 0
    for j in range(0, N, WIDTH):
        width = min(WIDTH, N - j)
        for k in range(0, K, step):
            depth = min(step, K - k)
            pack_block(panels[at:], b[k : k + depth, j : j + width], bfloat16, scratch)
            at += (words(depth) if bfloat16 else depth) * padded(width)
