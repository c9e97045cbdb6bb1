"""The matrix product, where almost all the work of a transformer is."""

from __future__ import annotations

import numpy as np

from gptlite.ops.reference.weights import Packed, Weight


def matmul(out: np.ndarray, a: np.ndarray, b: Weight, accumulate: bool = False) -> None:
    """`out = a @ b`, or `out += a @ b` with `accumulate`.

    out: (..., M, N), a: (..., M, K), b: (..., K, N). A transposed operand is a
    transposed view (`a.T`), never a copy. b may be a `Packed` weight (K, N).

    >>> out = np.ones((1, 1))
    >>> matmul(out, np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]), accumulate=True)
    >>> out
    array([[12.]])
    """
    if isinstance(b, Packed):
        a, b = b.rounded(a), b.values
    if accumulate:
        out += a @ b
    else:
        np.matmul(a, b, out=out)
