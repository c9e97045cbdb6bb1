"""Cross-entropy: how surprised the model is by the token that really came, in nats.

Losses and gradients are those of the *sum* over tokens. Whoever holds the number
of unmasked tokens of the whole batch divides, once, at the end: that keeps one
worker, many workers and gradient accumulation equal.
"""

from __future__ import annotations

import numpy as np


def _softmax(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (N, V) and log of the normaliser (N, 1)."""
    top = logits.max(axis=-1, keepdims=True)
    exps = np.exp(logits - top)
    total = exps.sum(axis=-1, keepdims=True)
    return exps / total, top + np.log(total)


def cross_entropy_forward(
    losses: np.ndarray, logits: np.ndarray, targets: np.ndarray, mask: np.ndarray
) -> None:
    """`losses[n] = log Σ exp(logits[n]) − logits[n, targets[n]]`, 0 where masked out.

    losses: (N,), logits: (N, V), targets: (N,) integers, mask: (N,) bool, true
    where the token counts. A masked-out target may be any integer.

    >>> losses = np.empty(2)
    >>> mask = np.array([True, False])
    >>> cross_entropy_forward(losses, np.zeros((2, 8)), np.array([3, -1]), mask)
    >>> losses.round(4)
    array([2.0794, 0.    ])
    """
    losses[...] = 0
    rows = np.flatnonzero(mask)
    _, log_total = _softmax(logits[rows])
    losses[rows] = log_total[:, 0] - logits[rows, targets[rows]]


def cross_entropy_forward_backward(
    losses: np.ndarray,
    dlogits: np.ndarray,
    logits: np.ndarray,
    targets: np.ndarray,
    mask: np.ndarray,
) -> None:
    """The losses, and in the same pass `dlogits = softmax(logits) − onehot(targets)`.

    Shapes as in `cross_entropy_forward`; dlogits: (N, V) is overwritten, may be
    logits itself, and is zero in masked-out rows.
    """
    rows = np.flatnonzero(mask)
    probabilities, log_total = _softmax(logits[rows])
    losses[...] = 0
    losses[rows] = log_total[:, 0] - logits[rows, targets[rows]]
    probabilities[np.arange(rows.size), targets[rows]] -= 1
    dlogits[...] = 0
    dlogits[rows] = probabilities
