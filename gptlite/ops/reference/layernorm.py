"""Layer normalisation (Ba et al. 2016, arXiv:1607.06450).

Derivation: docs/ops/layernorm.md.
"""

from __future__ import annotations

import numpy as np

EPSILON = 1e-5  # GPT-2's


def layernorm_forward(
    out: np.ndarray,
    mean: np.ndarray,
    rstd: np.ndarray,
    inp: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
) -> None:
    """`out = (inp − mean) · rstd · weight + bias`, over the last axis.

    out, inp: (..., C); mean, rstd: (...); weight, bias: (C,).
    rstd = 1 / sqrt(variance + 1e-5). Backward needs inp, mean and rstd: with them
    the normalised values are one multiplication away and need not be stored.

    >>> out, mean, rstd = np.empty((1, 2)), np.empty(1), np.empty(1)
    >>> layernorm_forward(out, mean, rstd, np.array([[1.0, 3.0]]), np.ones(2), None)
    >>> out.round(3), mean
    (array([[-1.,  1.]]), array([2.]))
    """
    mean[...] = inp.mean(axis=-1)
    rstd[...] = 1 / np.sqrt(inp.var(axis=-1) + EPSILON)
    out[...] = (inp - mean[..., None]) * rstd[..., None] * weight
    if bias is not None:
        out += bias


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
    """Adds into dinp (the residual stream), dweight and dbias."""
    normed = (inp - mean[..., None]) * rstd[..., None]  # (..., C)
    C = inp.shape[-1]
    if dweight is not None:
        dweight += (dout * normed).reshape(-1, C).sum(axis=0)
    if dbias is not None:
        dbias += dout.reshape(-1, C).sum(axis=0)
    dnormed = dout * weight
    dinp += rstd[..., None] * (
        dnormed  # straight through
        - dnormed.mean(axis=-1, keepdims=True)  # through the mean
        - normed * (dnormed * normed).mean(axis=-1, keepdims=True)  # the variance
    )
