"""Muon: the products by our own kernel, the elementwise parts in place."""

from __future__ import annotations

import numpy as np

from gptlite.ops.kernels.jit import kernel
from gptlite.ops.kernels.matmul import matmul

QUINTIC = (3.4445, -4.7750, 2.0315)


@kernel
def _momentum_step(momentum_buffer, grad, momentum, scale):
    """Updates the buffer; leaves in grad the point that Nesterov looks ahead to."""
    m, n = grad.shape
    rest = np.float32(1) - momentum
    for i in range(m):
        for j in range(n):
            g = grad[i, j] * scale
            average = momentum * momentum_buffer[i, j] + rest * g
            momentum_buffer[i, j] = average
            grad[i, j] = momentum * average + rest * g


def orthogonalize(matrix: np.ndarray, rounds: int = 5) -> np.ndarray:
    """Singular values moved to about 1; see the reference."""
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonalize(matrix.T, rounds).T
    a, b, c = (np.float32(x) for x in QUINTIC)
    X = matrix / (np.linalg.norm(matrix) + np.float32(1e-7))
    A, AA = np.empty((2, X.shape[0], X.shape[0]), X.dtype)
    next_X = np.empty_like(X)
    for _ in range(rounds):
        matmul(A, X, X.T)  # [m, n] @ [n, m]
        matmul(AA, A, A)
        AA *= c
        A *= b
        AA += A
        matmul(next_X, AA, X)  # [m, m] @ [m, n]
        X *= a
        X += next_X
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
    """One update in place; grad is used as scratch. See the reference."""
    _momentum_step(momentum_buffer, grad, np.float32(momentum), np.float32(grad_scale))
    update = orthogonalize(grad)
    m, n = weight.shape
    weight *= np.float32(1 - lr * weight_decay)
    update *= np.float32(lr * max(1, n / m) ** 0.5)
    weight -= update
