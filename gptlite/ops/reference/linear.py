"""A linear layer: every row of the input times a weight, plus a bias."""

from __future__ import annotations

import numpy as np

from gptlite.ops.reference.matmul import matmul


def linear_forward(
    out: np.ndarray, inp: np.ndarray, weight: np.ndarray, bias: np.ndarray | None
) -> None:
    """`out = inp @ weight + bias`.

    out: (..., C_out), inp: (..., C_in), weight: (C_in, C_out), bias: (C_out,).
    Backward needs inp (for dweight) and weight (for dinp).

    >>> out = np.empty((1, 1))
    >>> linear_forward(out, np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]), None)
    >>> out
    array([[11.]])
    """
    matmul(out, inp, weight)
    if bias is not None:
        out += bias


def linear_backward(
    dinp: np.ndarray,
    dweight: np.ndarray | None,
    dbias: np.ndarray | None,
    dout: np.ndarray,
    inp: np.ndarray,
    weight: np.ndarray,
) -> None:
    """Overwrites dinp; adds into dweight and dbias (`None`: frozen, skipped)."""
    rows_in = inp.reshape(-1, inp.shape[-1])  # (N, C_in)
    rows_dout = dout.reshape(-1, dout.shape[-1])  # (N, C_out)
    if dweight is not None:
        # every row used the same weight: [C_in, N] @ [N, C_out]
        matmul(dweight, rows_in.T, rows_dout, accumulate=True)
    if dbias is not None:
        dbias += rows_dout.sum(axis=0)
    matmul(dinp, dout, weight.T)  # [..., C_out] @ [C_out, C_in]
