"""Products with a few rows, as when one token after another is generated.

Each number of the matrix is used once or twice: what counts is to read it in order,
where it lies. BLAS would wake its threads for each of these, some dozens a token.
"""

from __future__ import annotations

import numpy as np
from numba import types

from gptlite.ops.kernels.jit import kernel

_READ = types.Array(types.float32, 1, "C", readonly=True)
_READ_WHOLE = types.Array(types.float32, 2, "C", readonly=True)


@kernel(types.void(types.float32[::1], _READ, _READ_WHOLE))
def _add_rows(out, x, b):
    """out (N,) += x (K,) @ b (K, N): b's rows, four at a time, weighted and added."""
    N, whole = out.size, x.size // 4 * 4
    for k in range(0, whole, 4):
        x0, x1, x2, x3 = x[k], x[k + 1], x[k + 2], x[k + 3]
        b0, b1, b2, b3 = b[k], b[k + 1], b[k + 2], b[k + 3]
        for j in range(N):
            out[j] += x0 * b0[j] + x1 * b1[j] + x2 * b2[j] + x3 * b3[j]
    for k in range(whole, x.size):
        x0, b0 = x[k], b[k]
        for j in range(N):
            out[j] += x0 * b0[j]


@kernel(types.void(types.float32[::1], _READ, _READ_WHOLE))
def _add_dots(out, x, columns):
    """out (N,) += x (K,) @ b (K, N), whose columns lie in rows: `columns` (N, K)."""
    for n in range(out.size):
        column, total = columns[n], np.float32(0)
        for k in range(x.size):
            total += x[k] * column[k]
        out[n] += total


def add_product(out: np.ndarray, a: np.ndarray, b: np.ndarray) -> None:
    """`out += a @ b`; out: (M, N) with contiguous rows, a: (M, K), b: (K, N)."""
    if b.flags.c_contiguous:
        add, whole = _add_rows, b
    elif b.T.flags.c_contiguous:
        add, whole = _add_dots, b.T
    else:  # gaps: a part of a matrix
        out += a @ b
        return
    for row, x in zip(out, np.ascontiguousarray(a), strict=True):
        add(row, x, whole)
