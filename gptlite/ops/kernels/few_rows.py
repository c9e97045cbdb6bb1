"""Products with a few rows, as when one token after another is generated.

Each number of the matrix is used once to three times: what counts is to read it in
order, where it lies. BLAS would wake its threads for each, some dozens a token.
"""

from __future__ import annotations

import numpy as np
from numba import types

from gptlite.ops.kernels.halves import as_float
from gptlite.ops.kernels.jit import kernel
from gptlite.ops.kernels.vectors import side_by_side

_OUT = types.Array(types.float32, 2, "A")
_READ = types.Array(types.float32, 2, "C", readonly=True)


def _adders(kind):
    """The two kernels for matrices of this type."""
    matrix = types.Array(kind, 2, "C", readonly=True)

    @kernel(types.void(_OUT, _READ, matrix))
    def add_rows(out, a, b):
        """out (M, N) += a (M, K) @ b (K, N): b's rows weighted, four at a time."""
        (M, K), whole = a.shape, a.shape[1] // 4 * 4
        for m in range(M):
            x, row = a[m], side_by_side(out[m])
            for k in range(0, whole, 4):
                x0, x1, x2, x3 = x[k], x[k + 1], x[k + 2], x[k + 3]
                b0, b1, b2, b3 = b[k], b[k + 1], b[k + 2], b[k + 3]
                for j in range(row.size):
                    row[j] += (
                        x0 * as_float(b0[j]) + x1 * as_float(b1[j])
                        + x2 * as_float(b2[j]) + x3 * as_float(b3[j])
                    )  # fmt: skip
            for k in range(whole, K):
                x0, b0 = x[k], b[k]
                for j in range(row.size):
                    row[j] += x0 * as_float(b0[j])

    @kernel(types.void(_OUT, _READ, matrix))
    def add_dots(out, a, columns):
        """out (M, N) += a (M, K) @ b (K, N), whose columns are rows of `columns`."""
        for m in range(len(a)):
            x, row = a[m], side_by_side(out[m])
            for n in range(row.size):
                column, total = columns[n], np.float32(0)
                for k in range(x.size):
                    total += x[k] * as_float(column[k])
                row[n] += total

    return add_rows, add_dots


_add_rows, _add_dots = _adders(types.float32)
_add_half_rows, _add_half_dots = _adders(types.uint16)


def add_product(out: np.ndarray, a: np.ndarray, b: np.ndarray) -> None:
    """`out += a @ b`; out: (M, N) with contiguous rows, a: (M, K), b: (K, N).

    b: float32, or the bits of float16.
    """
    half = b.dtype == np.uint16
    if b.flags.c_contiguous:
        add, whole = _add_half_rows if half else _add_rows, b
    elif b.T.flags.c_contiguous:
        add, whole = _add_half_dots if half else _add_dots, b.T
    else:  # gaps: a part of a matrix
        out += a @ b
        return
    add(out, np.ascontiguousarray(a), whole)
