"""Cross-entropy, and in the same pass its gradient."""

from __future__ import annotations

import numpy as np
from numba import njit

from gptlite.ops.kernels.jit import OPTIONS, kernel
from gptlite.ops.kernels.vectormath import exp


@njit(inline="always", **OPTIONS)
def _log_normaliser(row):  # type: ignore[no-untyped-def]
    """The row's largest logit and the sum of exp(logit − largest)."""
    top = row[0]
    for i in range(row.size):
        top = row[i] if row[i] > top else top
    total = np.float32(0)
    for i in range(row.size):
        total += exp(row[i] - top)
    return top, total


@kernel
def _cross_entropy_forward(losses, logits, targets, mask):  # type: ignore[no-untyped-def]
    for n in range(logits.shape[0]):
        losses[n] = np.float32(0)
        if mask[n]:
            top, total = _log_normaliser(logits[n])
            losses[n] = np.log(total) - (logits[n, targets[n]] - top)


@kernel
def _cross_entropy_forward_backward(losses, dlogits, logits, targets, mask):  # type: ignore[no-untyped-def]
    N, V = logits.shape
    for n in range(N):
        row, drow = logits[n], dlogits[n]
        if not mask[n]:
            losses[n] = np.float32(0)
            for i in range(V):
                drow[i] = np.float32(0)
            continue
        top = row[0]
        for i in range(V):
            top = row[i] if row[i] > top else top
        target_logit = row[targets[n]] - top
        total = np.float32(0)
        for i in range(V):
            e = exp(row[i] - top)
            total += e
            drow[i] = e
        losses[n] = np.log(total) - target_logit
        scale = np.float32(1) / total
        for i in range(V):
            drow[i] *= scale
        drow[targets[n]] -= np.float32(1)


def cross_entropy_forward(
    losses: np.ndarray, logits: np.ndarray, targets: np.ndarray, mask: np.ndarray
) -> None:
    """Nats for each unmasked token; see the reference for the shapes."""
    _cross_entropy_forward(losses, logits, targets, mask)


def cross_entropy_forward_backward(
    losses: np.ndarray,
    dlogits: np.ndarray,
    logits: np.ndarray,
    targets: np.ndarray,
    mask: np.ndarray,
) -> None:
    """Losses and `dlogits = softmax − onehot`; dlogits may be logits itself."""
    _cross_entropy_forward_backward(losses, dlogits, logits, targets, mask)
