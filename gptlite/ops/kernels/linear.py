"""A linear layer: one product over all rows, whose sums start at the bias."""

from __future__ import annotations

import numpy as np

from gptlite.ops.kernels.jit import kernel
from gptlite.ops.kernels.matmul import (
    check_product,
    matmul,
    product,
    require_float32,
)


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
    rows_in = inp.reshape(-1, inp.shape[-1])  # (N, C_in)
    if bias is None:
        matmul(rows_out, rows_in, weight)
        return
    check_product(rows_out, rows_in, weight)
    require_float32(bias)
    product(rows_out, rows_in, weight, start=np.broadcast_to(bias, rows_out.shape))


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
