"""Muon (Jordan et al. 2024): momentum whose update is made orthogonal.

Source: https://kellerjordan.github.io/posts/muon. For the hidden matrices only;
embeddings, norms and biases stay with AdamW.
"""

from __future__ import annotations

import numpy as np

# The quintic whose iteration drives singular values to about 1 (0.7 … 1.2) in five
# rounds, unless they are tiny; its slope at 0 is as steep as possible.
QUINTIC = (3.4445, -4.7750, 2.0315)


def orthogonalize(matrix: np.ndarray, rounds: int = 5) -> np.ndarray:
    """The matrix (m, n) with its singular values moved to about 1, as a new array.

    Values below some 0.0015 of the matrix's norm get only part of the way.

    Newton-Schulz: X ← aX + (bA + cA²)X with A = XXᵀ acts on each singular value s
    as a·s + b·s³ + c·s⁵ and on no singular vector.

    >>> values = np.linalg.svd(orthogonalize(np.diag([1.0, 5.0])))[1]
    >>> bool((values > 0.6).all() and (values < 1.3).all())
    True
    """
    a, b, c = QUINTIC
    X = matrix / (np.linalg.norm(matrix) + 1e-7)
    if X.shape[0] > X.shape[1]:  # A is the smaller of XXᵀ and XᵀX
        return orthogonalize(matrix.T, rounds).T
    for _ in range(rounds):
        A = X @ X.T  # [m, n] @ [n, m] -> [m, m]
        X = a * X + (b * A + c * A @ A) @ X
    return X


def muon(
    weight: np.ndarray,
    grad: np.ndarray,
    momentum_buffer: np.ndarray,
    lr: float,
    momentum: float,
    weight_decay: float,
    grad_scale: float,
) -> None:
    """One update of weight and momentum_buffer, in place; all three are (m, n).

    grad may be used as scratch: its contents are lost.

    Nesterov momentum, then `orthogonalize`, then a step whose size does not depend
    on the gradient's: √max(1, n/m)·lr for every singular direction (weights are
    (C_in, C_out) here, so n/m is the outputs per input).
    """
    g = grad * grad_scale
    momentum_buffer[...] = momentum * momentum_buffer + (1 - momentum) * g
    look_ahead = momentum * momentum_buffer + (1 - momentum) * g
    update = orthogonalize(look_ahead)
    m, n = weight.shape
    weight *= 1 - lr * weight_decay
    weight -= lr * max(1, n / m) ** 0.5 * update
