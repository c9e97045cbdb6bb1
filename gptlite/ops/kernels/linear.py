"""A linear layer: one product over all rows, whose sums start at the bias."""

from __future__ import annotations

import numpy as np

from gptlite.ops.kernels.jit import kernel
from gptlite.ops.kernels.matmul import check_alike, check_product, matmul, product
from gptlite.ops.kernels.weights import Weight


@kernel
def _add_column_sums(dbias, dout):
    N, C = dout.shape
    for n in range(N):
        for i in range(C):
            dbias[i] += dout[n, i]


def _rows(x: np.ndarray) -> np.ndarray:
    """(..., C) seen as (N, C)."""
    return x.reshape(-1, x.shape[-1])


def linear_forward(
    out: np.ndarray,
    inp: np.ndarray,
    weight: Weight,
    bias: np.ndarray | None,
    gelu: np.ndarray | None = None,
) -> None:
    """`out = inp @ weight + bias`, `gelu = GELU(out)`; see the reference."""
    rows_out, rows_inp = _rows(out), _rows(inp)  # (N, C_out), (N, C_in)
    start = None if bias is None else np.broadcast_to(bias, rows_out.shape)
    check_product(rows_out, rows_inp, weight)
    act = None if gelu is None else _rows(gelu)
    check_alike(rows_out, start, act)
    product(rows_out, rows_inp, weight, start=start, act=act)


def linear_backward(
    dinp: np.ndarray,
    dweight: np.ndarray | None,
    dbias: np.ndarray | None,
    dout: np.ndarray,
    inp: np.ndarray,
    weight: Weight,
    pre: np.ndarray | None = None,
) -> None:
    """Overwrites dinp; adds into dweight and dbias (`None`: frozen, skipped)."""
    rows_dout, rows_dinp = _rows(dout), _rows(dinp)  # (N, C_out), (N, C_in)
    if dweight is not None:
        matmul(dweight, _rows(inp).T, rows_dout, accumulate=True)
    if dbias is not None:
        _add_column_sums(dbias, rows_dout)
    check_product(rows_dinp, rows_dout, weight.T)
    before = None if pre is None else _rows(pre)
    check_alike(rows_dinp, before)
    product(rows_dinp, rows_dout, weight.T, pre=before)
