"""A linear layer: every row of the input times a weight, plus a bias."""

from __future__ import annotations

import numpy as np

from gptlite.ops.reference.matmul import matmul
from gptlite.ops.reference.weights import Weight, factor


def linear_forward(
    out: np.ndarray,
    inp: np.ndarray,
    weight: Weight,
    bias: np.ndarray | None,
    residual: np.ndarray | None = None,
) -> None:
    """`out = inp @ weight + bias + residual`.

    out, residual: (..., C_out), inp: (..., C_in), weight: (C_in, C_out), bias:
    (C_out,). Backward needs inp (for dweight) and weight (for dinp); the gradient of
    out is also that of the residual stream, unchanged.

    >>> out = np.empty((1, 1))
    >>> linear_forward(out, np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]), None)
    >>> out
    array([[11.]])
    """
    matmul(out, inp, weight)
    if bias is not None:
        out += bias
    if residual is not None:
        out += residual


def linear_backward(
    dinp: np.ndarray,
    dweight: np.ndarray | None,
    dbias: np.ndarray | None,
    dout: np.ndarray,
    inp: np.ndarray,
    weight: Weight,
    accumulate: bool = True,
) -> None:
    """Overwrites dinp; adds into dweight and dbias (`None`: frozen, skipped).

    accumulate: `False` overwrites dweight instead, and spares whoever sums the
    gradients of one batch only to set it to 0 and to read it.
    """
    rows_in = inp.reshape(-1, inp.shape[-1])  # (N, C_in)
    rows_dout = dout.reshape(-1, dout.shape[-1])  # (N, C_out)
    if dweight is not None:
        # every row used the same weight: [C_in, N] @ [N, C_out]
        rows_in, rows_d = factor(rows_in, weight), factor(rows_dout, weight)
        matmul(dweight, rows_in.T, rows_d, accumulate)
    if dbias is not None:
        dbias += rows_dout.sum(axis=0)
    matmul(dinp, dout, weight.T)  # [..., C_out] @ [C_out, C_in]
