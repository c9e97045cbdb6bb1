"""The matrix product: packed panels and a register tile, in Numba.

One of B's panels at a time is copied so that the inner loop reads it front to back;
A is read where it lies. Products of stacks of matrices go to BLAS through NumPy.
"""

from __future__ import annotations

import numpy as np
from numba import types

from gptlite.ops.kernels.jit import kernel
from gptlite.ops.kernels.microkernel import COLS, ROWS, multiply_tile

DEPTH = 384  # rows of B packed at a time: a panel of COLS columns is about an L1 cache
WIDTH = 512  # columns of B packed at a time: with DEPTH, about an L2 cache

_MATRIX = types.Array(types.float32, 2, "A")
_READ = types.Array(types.float32, 2, "A", readonly=True)
_VECTOR = types.Array(types.float32, 1, "C")


@kernel(types.void(_VECTOR, _READ))
def _pack(panels, b):
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


@kernel(types.void(_MATRIX, _READ, _READ, types.boolean, _VECTOR))
def _multiply(out, a, b, accumulate, scratch):
    """out (M, N) with contiguous rows; a (M, K) and b (K, N) with any strides."""
    M, N = out.shape
    K = a.shape[1]
    a_row, a_col = a.strides[0] // 4, a.strides[1] // 4
    out_row = out.strides[0] // 4
    at = scratch.ctypes.data
    skip = (64 - at % 64) % 64 // 4  # begin at a cache line
    panels = scratch[skip:]
    for j in range(0, N, WIDTH):
        width = min(WIDTH, N - j)
        for k in range(0, K, DEPTH):
            depth = min(DEPTH, K - k)
            _pack(panels, b[k : k + depth, j : j + width])
            add = 1 if accumulate or k > 0 else 0
            for i in range(0, M, ROWS):
                a_at = a.ctypes.data + 4 * (i * a_row + k * a_col)
                out_at = out.ctypes.data + 4 * (i * out_row + j)
                for jj in range(0, width, COLS):
                    multiply_tile(
                        a_at, a_row, a_col, at + 4 * (skip + jj * depth), depth,
                        out_at + 4 * jj, out_row,
                        min(ROWS, M - i), min(COLS, width - jj), add,
                    )  # fmt: skip


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
    if out.strides[1] != 4:  # a transposed view: outᵀ = bᵀ @ aᵀ
        out, a, b = out.T, b.T, a.T
    K, N = b.shape
    if K == 0 and not accumulate:
        out[...] = 0
    width = min(WIDTH, -(-N // COLS) * COLS)
    scratch = np.empty(min(K, DEPTH) * width + 16, np.float32)
    _multiply(out, a, b, accumulate, scratch)
