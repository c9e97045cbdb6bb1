"""The matrix product: packed panels and a register tile, in Numba.

B is copied into panels that the inner loop reads front to back; A is read where it
lies. Stacks of matrices go to BLAS through NumPy. Explained in docs/kernels/matmul.md.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numba.extending import register_jitable

from gptlite.ops.kernels.jit import OPTIONS, kernel
from gptlite.ops.kernels.microkernel import COLS, ROWS, multiply_tile

DEPTH = 384  # rows of B packed at a time: a panel of COLS columns is about an L1 cache
WIDTH = 512  # columns of B packed at a time: with DEPTH, about an L2 cache
CACHE_LINE = 64  # bytes

_MATRIX = types.Array(types.float32, 2, "A")
_READ = types.Array(types.float32, 2, "A", readonly=True)
_VECTOR = types.Array(types.float32, 1, "C")
_INT = types.int64


@register_jitable
def padded(width: int) -> int:
    """`width` rounded up to whole panels."""
    return -(-width // COLS) * COLS


def scratch_floats(count: int) -> np.ndarray:
    """Room for `count` floats, and some more so that `aligned` can begin later."""
    return np.empty(count + CACHE_LINE // 4, np.float32)


@njit(inline="always", **OPTIONS)
def aligned(scratch):
    """The part of scratch that begins at a cache line."""
    past = scratch.ctypes.data % CACHE_LINE
    return scratch[(CACHE_LINE - past) % CACHE_LINE // 4 :]


@kernel(types.void(_VECTOR, _READ))
def pack(panels, b):
    """Copy b (depth, width) into panels of COLS columns, the last filled with zeros."""
    depth, width = b.shape
    for j in range(0, width, COLS):
        panel = panels[j * depth :]  # j is a multiple of COLS
        cols = min(COLS, width - j)
        if b.strides[1] == 4 and cols == COLS:
            for k in range(depth):
                line = panel[k * COLS : k * COLS + COLS]
                for i in range(COLS):
                    line[i] = b[k, j + i]
            continue
        for i in range(COLS):
            column = panel[i:]
            if i < cols:
                for k in range(depth):
                    column[k * COLS] = b[k, j + i]
            else:
                for k in range(depth):
                    column[k * COLS] = np.float32(0)


@kernel(types.void(*[_INT] * 11))
def multiply_packed(
    a, a_row, a_col, panels, packed_depth, depth, out, out_row, M, N, add
):
    """out (M, N) = (or +=, if `add`) A (M, depth) @ the first `depth` rows of panels.

    a, panels, out: addresses. Strides are in floats. packed_depth: the rows that
    were packed.
    """
    for i in range(0, M, ROWS):
        for j in range(0, N, COLS):
            multiply_tile(
                a + 4 * i * a_row, a_row, a_col, panels + 4 * j * packed_depth, depth,
                out + 4 * (i * out_row + j), out_row,
                min(ROWS, M - i), min(COLS, N - j), add,
            )  # fmt: skip


@kernel(types.void(_MATRIX, _READ, _READ, types.boolean, _VECTOR))
def _multiply(out, a, b, accumulate, scratch):
    """out (M, N) with contiguous rows; a (M, K) and b (K, N) with any strides."""
    M, N = out.shape
    K = a.shape[1]
    a_row, a_col = a.strides[0] // 4, a.strides[1] // 4
    panels = aligned(scratch)
    for j in range(0, N, WIDTH):
        width = min(WIDTH, N - j)
        for k in range(0, K, DEPTH):
            depth = min(DEPTH, K - k)
            pack(panels, b[k : k + depth, j : j + width])
            multiply_packed(
                a.ctypes.data + 4 * k * a_col, a_row, a_col,
                panels.ctypes.data, depth, depth,
                out.ctypes.data + 4 * j, out.strides[0] // 4,
                M, width, accumulate or k > 0,
            )  # fmt: skip


def require_float32(*arrays: np.ndarray) -> None:
    """Kernels are compiled for one type; proofs in float64 are the reference's."""
    for array in arrays:
        if array.dtype != np.float32:
            raise TypeError(
                f"wanted float32 for a kernel, got {array.dtype}; convert with "
                ".astype(np.float32), or use gptlite.reference"
            )


def matmul(
    out: np.ndarray, a: np.ndarray, b: np.ndarray, accumulate: bool = False
) -> None:
    """`out = a @ b`, or `out += a @ b` with `accumulate`; see the reference."""
    if out.ndim > 2:
        if accumulate:
            out += np.matmul(a, b)
        else:
            np.matmul(a, b, out=out)
        return
    require_float32(out, a, b)
    if (a.shape[1], *out.shape) != (b.shape[0], a.shape[0], b.shape[1]):
        raise ValueError(f"wanted fitting shapes, got {a.shape} @ {b.shape} -> "
                         f"{out.shape}")  # fmt: skip
    if out.strides[1] != 4 and out.shape[1] > 1:
        if out.strides[0] != 4 and out.shape[0] > 1:  # gaps within rows and columns
            out[...] = np.matmul(a, b) + (out if accumulate else 0)
            return
        out, a, b = out.T, b.T, a.T  # a transposed view: outᵀ = bᵀ @ aᵀ
    K, N = b.shape
    if K == 0 and not accumulate:
        out[...] = 0
    width = min(WIDTH, padded(N))
    _multiply(out, a, b, accumulate, scratch_floats(min(K, DEPTH) * width))
