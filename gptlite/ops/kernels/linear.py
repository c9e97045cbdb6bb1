"""A linear layer: one product over all rows, and a compiled pass for the bias."""

from __future__ import annotations

import numpy as np

from gptlite.ops.kernels.jit import kernel
from gptlite.ops.kernels.matmul import matmul


@kernel
def _add_bias(out, bias):
    N, C = out.shape
    for n in range(N):
        for i in range(C):
            out[n, i] += bias[i]


@kernel
def _add_column_sums(dbias, dout):
    N, C = dout.shape
    for n in range(N):
        for i in range(C):
            dbias[i] += dout[n, i]


def linear_forward(
    out: np.ndarray, inp: np.ndarray, weight: np.ndarray, bias: np.ndarray | None
) -> None:
    """`out = inp @ weight + bias`; see the reference for the shapes."""
    rows_out = out.reshape(-1, out.shape[-1])  # (N, C_out)
    matmul(rows_out, inp.reshape(-1, inp.shape[-1]), weight)
    if bias is not None:
        _add_bias(rows_out, bias)


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
        matmul(dweight, rows_in.T, rows_dout, accumulate=True)
    if dbias is not None:
        _add_column_sums(dbias, rows_dout)
    matmul(dinp.reshape(rows_in.shape), rows_dout, weight.T)
