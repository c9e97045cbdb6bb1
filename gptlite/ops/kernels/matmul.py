"""The matrix product, left to BLAS through NumPy."""

from __future__ import annotations

import numpy as np


def matmul(
    out: np.ndarray, a: np.ndarray, b: np.ndarray, accumulate: bool = False
) -> None:
    """`out = a @ b`, or `out += a @ b` with `accumulate`; see the reference.

    NumPy hands transposed and strided views straight to BLAS. It cannot ask BLAS
    to add into `out`, so a sum goes through a temporary (measured: 1-2 %).
    """
    if accumulate:
        out += np.matmul(a, b)
    else:
        np.matmul(a, b, out=out)
