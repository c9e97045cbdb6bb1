"""The matrix product: packed panels and a register tile, in Numba.

Blocks of B are copied into panels that the inner loop reads front to back; A is read
where it lies, or packed by strips. Sums start at zeros, at a bias, or at the output.
Stacks of matrices go to BLAS through NumPy. Explained in docs/kernels/matmul.md.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from gptlite.ops.kernels.few_rows import add_product
from gptlite.ops.kernels.halves import Halves
from gptlite.ops.kernels.jit import OPTIONS, kernel
from gptlite.ops.kernels.microkernel import multiply_tile, multiply_words_tile
from gptlite.ops.kernels.packing import (
    DEPTH,
    READ_MATRIX,
    VECTOR,
    WIDTH,
    block_depth,
    narrow,
    pack_block,
    pack_rows,
    padded,
    scratch_floats,
    words,
)
from gptlite.ops.kernels.processor import BFLOAT16_DOT, COLS, LANES, ROWS
from gptlite.ops.kernels.views import require_float32
from gptlite.ops.kernels.weights import Packed, Weight, matrix_of

# Columns of the result below which packing A does not pay; with AVX-512 it never does.
IN_PLACE = 2**62 if LANES == 16 else 256
HEIGHT = 16 * ROWS  # rows of A packed at a time
FEW_ROWS = 4  # below, b is read about once: copying it would take longer
NOTHING = np.zeros((0, 0), np.float32)
ZEROS = np.zeros(COLS, np.float32)
NO_FLOATS = np.zeros(0, np.float32)
SCRATCH = (2 * WIDTH + 2 * HEIGHT) * DEPTH  # panels and strips, and their words

MATRIX = types.Array(types.float32, 2, "A")
_INT = types.int64


@kernel(types.void(*[_INT] * 14, types.boolean))
def multiply_panels(
    a, a_strip, a_row, a_col, panels, panel_depth, depth,
    start, start_row, start_col, out, out_row, M, N, bfloat16,
):  # fmt: skip
    """out (M, N) = start + A (M, depth) @ the first `depth` rows of the panels.

    a, panels, start, out: addresses. Strides are in floats; a_strip leads to the next
    ROWS rows; start_col is 1, or 0 where COLS numbers serve for all columns.
    panel_depth: the rows packed. One panel stays in the nearest caches for all M.
    """
    for j in range(0, N, COLS):
        cols, panel = min(COLS, N - j), panels + 4 * j * panel_depth
        for i in range(0, M, ROWS):
            at, rows = a + 4 * (i // ROWS) * a_strip, min(ROWS, M - i)
            begin = start + 4 * (i * start_row + j * start_col)
            to = out + 4 * (i * out_row + j)
            if BFLOAT16_DOT and bfloat16:
                multiply_words_tile(
                    at, a_row, a_col, panel, depth,
                    begin, start_row, to, out_row, rows, cols,
                )  # fmt: skip
            else:
                multiply_tile(
                    at, a_row, a_col, panel, depth,
                    begin, start_row, to, out_row, rows, cols,
                )  # fmt: skip


@njit(inline="always", **OPTIONS)
def _readable_rows(a, width, bfloat16, strips, a_words):
    """Address and strides (strip, row, column) of the block a (n, depth) to read.

    Contiguous rows are read in place; others, and rounded ones, from scratch memory.
    """
    n, depth = a.shape
    size = depth
    if bfloat16:
        size = words(depth)
        narrow(a_words, a)
        if a.strides[0] != 4:
            return a_words.ctypes.data, ROWS * size, size, 1
        pack_rows(strips, a_words[: size * n].reshape(size, n))
    elif a.strides[1] == 4 and width < IN_PLACE:
        row = a.strides[0] // 4
        return a.ctypes.data, ROWS * row, row, 1
    else:
        pack_rows(strips, a.T)
    return strips.ctypes.data, ROWS * size, 1, ROWS


@kernel(types.void(MATRIX, READ_MATRIX, VECTOR, *[_INT] * 3, types.boolean, VECTOR,
                   VECTOR))  # fmt: skip
def _multiply_block(
    out, a, panels, start, start_row, start_col, bfloat16, strips, a_words
):
    """out (n, width) = start + a (n, depth) @ one block of panels."""
    n, width = out.shape
    size = words(a.shape[1]) if bfloat16 else a.shape[1]
    at, strip, row, col = _readable_rows(a, width, bfloat16, strips, a_words)
    multiply_panels(
        at, strip, row, col, panels.ctypes.data, size, size,
        start, start_row, start_col, out.ctypes.data, out.strides[0] // 4,
        n, width, bfloat16,
    )  # fmt: skip


@kernel(types.void(MATRIX, READ_MATRIX, READ_MATRIX, VECTOR, READ_MATRIX,
                   types.boolean, VECTOR))  # fmt: skip
def _multiply(out, a, b, packed, start, bfloat16, scratch):
    """out (M, N) with contiguous rows; a (M, K) and b (K, N) with any strides."""
    (M, N), K = out.shape, a.shape[1]
    step, out_row = block_depth(K), out.strides[0] // 4
    panels, rest = scratch[: WIDTH * DEPTH], scratch[WIDTH * DEPTH :]
    b_words, rest = rest[: WIDTH * DEPTH], rest[WIDTH * DEPTH :]
    strips, a_words = rest[: HEIGHT * DEPTH], rest[HEIGHT * DEPTH :]
    at = 0
    for j in range(0, N, WIDTH):
        width = min(WIDTH, N - j)
        for k in range(0, K, step):
            end = min(k + step, K)
            if packed.size:
                panels = packed[at:]
                at += (words(end - k) if bfloat16 else end - k) * padded(width)
            else:
                pack_block(panels, b[k:end, j : j + width], bfloat16, b_words)
            begin, begin_row, begin_col = ZEROS.ctypes.data, 0, 0
            if k > 0:  # add to the sums over the rows before
                begin, begin_row, begin_col = out[:, j:].ctypes.data, out_row, 1
            elif start.size:
                begin, begin_col = start[:, j:].ctypes.data, 1
                begin_row = start.strides[0] // 4 if len(start) > 1 else 0
            for i in range(0, M, HEIGHT):
                last = min(i + HEIGHT, M)
                _multiply_block(
                    out[i:last, j : j + width], a[i:last, k:end], panels,
                    begin + 4 * i * begin_row, begin_row, begin_col,
                    bfloat16, strips, a_words,
                )  # fmt: skip


def check_product(out: np.ndarray, a: np.ndarray, b: Weight) -> None:
    """Compiled loops trust shapes and types: what does not fit is an error here."""
    require_float32(out, a, matrix_of(b))
    if (a.shape[1], *out.shape) != (b.shape[0], a.shape[0], b.shape[1]):
        raise ValueError(f"wanted fitting shapes, got {a.shape} @ {b.shape} -> "
                         f"{out.shape}")  # fmt: skip


def product(
    out: np.ndarray,
    a: np.ndarray,
    b: Weight,
    *,
    start: np.ndarray | None = None,
    bfloat16: bool = False,
) -> None:
    """`out = start + a @ b`.

    out, start: (M, N) with contiguous rows (start may be out itself, or left out, or
    one row (1, N) for all), a: (M, K), b: (K, N), any strides. bfloat16: round a and
    b; with a packed b, its own dtype decides.
    """
    packed, matrix = NO_FLOATS, matrix_of(b)
    if isinstance(b, Packed):
        packed, bfloat16 = b.panels, b.bfloat16
    few = len(a) < FEW_ROWS and not isinstance(b, Packed) and not bfloat16
    if few or matrix.shape[0] == 0:  # the latter: a sum over nothing
        out[...] = 0 if start is None else start
        add_product(out, a, b.bits if isinstance(b, Halves) else matrix)
        return
    _multiply(
        out, a, matrix, packed,
        NOTHING if start is None else start,
        bfloat16, scratch_floats(SCRATCH),
    )  # fmt: skip


def multiply(
    out: np.ndarray,
    a: np.ndarray,
    b: Weight,
    accumulate: bool = False,
    bfloat16: bool = False,
) -> None:
    """`product` into an output of any strides, or into what is there."""
    check_product(out, a, b)
    if out.strides[1] != 4 and out.shape[1] > 1:
        if out.strides[0] != 4 and out.shape[0] > 1:
            whole = np.ascontiguousarray(out)  # gaps within rows and columns
            multiply(whole, a, b, accumulate, bfloat16)
            out[...] = whole
            return
        bfloat16 = b.bfloat16 if isinstance(b, Packed) else bfloat16
        out, a, b = out.T, matrix_of(b).T, a.T  # a transposed view: outᵀ = bᵀ @ aᵀ
    product(out, a, b, start=out if accumulate else None, bfloat16=bfloat16)


def matmul(out: np.ndarray, a: np.ndarray, b: Weight, accumulate: bool = False) -> None:
    """`out = a @ b`, or `out += a @ b` with `accumulate`; see the reference."""
    if out.ndim == 2 or not isinstance(b, np.ndarray):
        multiply(out, a, b, accumulate)
    elif accumulate:
        out += np.matmul(a, b)
    else:
        np.matmul(a, b, out=out)
