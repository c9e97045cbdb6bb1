"""A linear layer: one product over all rows, whose sums start at the bias."""

from __future__ import annotations

import numpy as np

from gptlite.ops.kernels.jit import kernel
from gptlite.ops.kernels.matmul import (
    check_product,
    matmul,
    multiply,
    product,
)
from gptlite.ops.kernels.views import flat, require_shape, rows
from gptlite.ops.kernels.weights import Weight, rounds


@kernel
def _add_column_sums(dbias, dout):
    N, C = dout.shape
    for n in range(N):
        for i in range(C):
            dbias[i] += dout[n, i]


def linear_forward(
    out: np.ndarray,
    inp: np.ndarray,
    weight: Weight,
    bias: np.ndarray | None,
    residual: np.ndarray | None = None,
) -> None:
    """`out = inp @ weight + bias + residual`; see the reference for the shapes.

    The sums start at the residual stream, or at the bias.
    """
    rows_out, rows_in = rows(out), rows(inp)  # (N, C_out), (N, C_in)
    check_product(rows_out, rows_in, weight)
    require_shape(rows_out.shape[1:], bias)
    require_shape(out.shape, residual)
    if residual is not None:
        start: np.ndarray | None = rows(residual)
    elif bias is not None:
        start = flat(bias)[None]
    else:
        start = None
    product(rows_out, rows_in, weight, start=start)
    if bias is not None and residual is not None:
        rows_out += bias


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
    rows_in, rows_dout = rows(inp), rows(dout)  # (N, C_in), (N, C_out)
    if dweight is not None:
        multiply(dweight, rows_in.T, rows_dout, accumulate, bfloat16=rounds(weight))
    if dbias is not None:
        require_shape(rows_dout.shape[1:], dbias)
        _add_column_sums(dbias, rows_dout)
    matmul(rows(dinp), rows_dout, weight.T)
