"""Layer normalisation, row by row."""

from __future__ import annotations

import numpy as np
from numba import njit

from gptlite.ops.kernels.jit import OPTIONS, kernel
from gptlite.ops.kernels.views import flat, require_shape, rows

EPSILON = np.float32(1e-5)
ABSENT = np.zeros(0, np.float32)  # a bias, or a frozen weight's gradient


@njit(inline="always", **OPTIONS)
def _normalise(out, x, weight, bias):
    """One row: returns its mean and reciprocal standard deviation."""
    C = x.size
    total = np.float32(0)
    for i in range(C):
        total += x[i]
    mean = total / np.float32(C)
    square = np.float32(0)
    for i in range(C):
        square += (x[i] - mean) * (x[i] - mean)
    rstd = np.float32(1) / np.sqrt(square / np.float32(C) + EPSILON)
    for i in range(C):
        out[i] = (x[i] - mean) * rstd * weight[i]
    for i in range(bias.size):
        out[i] += bias[i]
    return mean, rstd


@kernel
def _layernorm_forward(out, mean, rstd, inp, weight, bias):
    for n in range(inp.shape[0]):
        mean[n], rstd[n] = _normalise(out[n], inp[n], weight, bias)


@kernel
def _layernorm_backward(dinp, dweight, dbias, dout, inp, weight, mean, rstd):
    N, C = inp.shape
    for n in range(N):
        x, dy, dx, m, r = inp[n], dout[n], dinp[n], mean[n], rstd[n]
        sum_d, sum_dn = np.float32(0), np.float32(0)
        for i in range(C):
            d = dy[i] * weight[i]
            sum_d += d
            sum_dn += d * (x[i] - m) * r
        mean_d, mean_dn = sum_d / np.float32(C), sum_dn / np.float32(C)
        for i in range(C):
            normed = (x[i] - m) * r
            # straight through, through the mean, through the variance
            dx[i] += r * (dy[i] * weight[i] - mean_d - normed * mean_dn)
        for i in range(dweight.size):
            dweight[i] += dy[i] * (x[i] - m) * r
        for i in range(dbias.size):
            dbias[i] += dy[i]


def layernorm_forward(
    out: np.ndarray,
    mean: np.ndarray,
    rstd: np.ndarray,
    inp: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
) -> None:
    """Normalise each row; see the reference for the formula and shapes."""
    require_shape(inp.shape, out)
    require_shape(inp.shape[:-1], mean, rstd)
    require_shape(inp.shape[-1:], weight, bias)
    _layernorm_forward(
        rows(out), flat(mean), flat(rstd), rows(inp), weight,
        ABSENT if bias is None else bias,
    )  # fmt: skip


def layernorm_backward(
    dinp: np.ndarray,
    dweight: np.ndarray | None,
    dbias: np.ndarray | None,
    dout: np.ndarray,
    inp: np.ndarray,
    weight: np.ndarray,
    mean: np.ndarray,
    rstd: np.ndarray,
) -> None:
    """Adds into dinp, dweight and dbias (`None`: frozen, skipped)."""
    require_shape(inp.shape, dinp, dout)
    require_shape(inp.shape[:-1], mean, rstd)
    require_shape(inp.shape[-1:], weight, dweight, dbias)
    _layernorm_backward(
        rows(dinp),
        ABSENT if dweight is None else dweight,
        ABSENT if dbias is None else dbias,
        rows(dout), rows(inp), weight, flat(mean), flat(rstd),
    )  # fmt: skip
