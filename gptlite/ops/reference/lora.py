"""LoRA: a frozen linear layer learns through two thin matrices (Hu et al. 2021,
arXiv:2106.09685). Derivation: docs/ops/lora.md.
"""

from __future__ import annotations

import numpy as np

from gptlite.ops.reference.matmul import matmul


def lora_forward(
    out: np.ndarray,
    low: np.ndarray,
    inp: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    scale: float,
) -> None:
    """Adds `low @ b` into out, where `low = scale · inp @ a` is overwritten.

    out: (..., C_out), what the frozen layer made of inp; low: (..., r), inp:
    (..., C_in), a: (C_in, r), b: (r, C_out). Backward needs inp (for da), low (for db),
    and a and b (for dinp).

    >>> out, low = np.array([[10.0]]), np.empty((1, 1))
    >>> a, b = np.array([[1.0], [1.0]]), np.array([[3.0]])
    >>> lora_forward(out, low, np.array([[1.0, 2.0]]), a, b, 0.5)
    >>> out, low
    (array([[14.5]]), array([[1.5]]))
    """
    matmul(low, inp, a)  # [..., C_in] @ [C_in, r]
    low *= scale
    matmul(out, low, b, accumulate=True)  # [..., r] @ [r, C_out]


def lora_backward(
    dinp: np.ndarray,
    da: np.ndarray,
    db: np.ndarray,
    dlow: np.ndarray,
    dout: np.ndarray,
    low: np.ndarray,
    inp: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    scale: float,
) -> None:
    """Adds into dinp (where the frozen layer's part is), da and db.

    dlow: (..., r) is overwritten by scale times the gradient of low: that of inp @ a.
    It may be the same array as low.
    """
    r, C_in, C_out = low.shape[-1], inp.shape[-1], dout.shape[-1]
    matmul(db, low.reshape(-1, r).T, dout.reshape(-1, C_out), accumulate=True)
    matmul(dlow, dout, b.T)  # [..., C_out] @ [C_out, r]
    dlow *= scale
    matmul(da, inp.reshape(-1, C_in).T, dlow.reshape(-1, r), accumulate=True)
    matmul(dinp, dlow, a.T, accumulate=True)  # [..., r] @ [r, C_in]
