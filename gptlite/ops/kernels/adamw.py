"""AdamW, clip factor included, in one pass over the four arrays."""

from __future__ import annotations

import numpy as np

from gptlite.ops.kernels.jit import kernel
from gptlite.ops.kernels.views import require_float32, require_shape


@kernel
def _adamw(
    params, grads, m, v, lr, beta1, rest1, beta2, rest2, eps, decay, fix1, fix2, scale
):
    """rest1 = 1 − beta1 and rest2 = 1 − beta2, rounded only after the subtraction."""
    for i in range(params.size):
        g = grads[i] * scale
        m[i] = beta1 * m[i] + rest1 * g
        v[i] = beta2 * v[i] + rest2 * g * g
        step = m[i] * fix1 / (np.sqrt(v[i] * fix2) + eps)
        params[i] -= lr * (step + decay * params[i])


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
    """One update in place; see the reference for the formula."""
    require_shape(params.shape, grads, m, v)
    require_float32(params, grads, m, v)
    rest1, rest2 = 1 - beta1, 1 - beta2
    fix1, fix2 = 1 / (1 - beta1**step), 1 / (1 - beta2**step)
    numbers = (
        lr, beta1, rest1, beta2, rest2, eps, weight_decay, fix1, fix2, grad_scale
    )  # fmt: skip
    _adamw(params, grads, m, v, *(np.float32(x) for x in numbers))
