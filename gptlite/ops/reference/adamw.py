"""AdamW: Adam (arXiv:1412.6980) with decoupled weight decay (arXiv:1711.05101)."""

from __future__ import annotations

import numpy as np


def adamw(
    params: np.ndarray,
    grads: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    step: int,
    grad_scale: float,
) -> None:
    """One update of params, m and v, in place; all four arrays are (n,).

    `grad_scale` multiplies the gradient on the way in: the clip factor and the
    division by the number of tokens cost no pass of their own. `step` counts
    from 1 and corrects the start of the two averages, which begin at 0.

    >>> p, m, v = np.ones(1), np.zeros(1), np.zeros(1)
    >>> adamw(p, np.ones(1), m, v, 0.1, 0.9, 0.99, 1e-8, 0.0, 1, 1.0)
    >>> p.round(6)  # the first step is lr·sign(gradient)
    array([0.9])
    """
    g = grads * grad_scale
    m[...] = beta1 * m + (1 - beta1) * g  # where the gradient points
    v[...] = beta2 * v + (1 - beta2) * g**2  # how large it usually is
    m_hat = m / (1 - beta1**step)
    v_hat = v / (1 - beta2**step)
    # decay pulls on the parameter itself, not through the averages: "decoupled"
    params -= lr * (m_hat / (np.sqrt(v_hat) + eps) + weight_decay * params)
