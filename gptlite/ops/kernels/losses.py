"""Cross-entropy, and in the same pass its gradient."""

from __future__ import annotations

import numpy as np

from gptlite.ops.kernels.jit import kernel
from gptlite.ops.kernels.vectormath import exp, log
from gptlite.ops.kernels.vectors import largest
from gptlite.ops.kernels.views import require_shape, rows


@kernel
def _cross_entropy_forward(losses, logits, targets, mask):
    N, V = logits.shape
    for n in range(N):
        losses[n] = np.float32(0)
        if mask[n]:
            row = logits[n]
            top = largest(row.ctypes.data, V)  # a NaN shows up in the sum
            total = np.float32(0)
            for i in range(V):
                total += exp(row[i] - top)
            losses[n] = log(total) - (row[targets[n]] - top)


@kernel
def _cross_entropy_in_place(losses, logits, targets, mask):
    """The logits become their own gradient, row by row."""
    N, V = logits.shape
    for n in range(N):
        row = logits[n]
        if not mask[n]:
            losses[n] = np.float32(0)
            for i in range(V):
                row[i] = np.float32(0)
            continue
        top = largest(row.ctypes.data, V)  # a NaN shows up in the sum
        target_logit = row[targets[n]] - top
        total = np.float32(0)
        for i in range(V):
            e = exp(row[i] - top)
            total += e
            row[i] = e
        losses[n] = log(total) - target_logit
        scale = np.float32(1) / total
        for i in range(V):
            row[i] *= scale
        row[targets[n]] -= np.float32(1)


def cross_entropy_forward(
    losses: np.ndarray, logits: np.ndarray, targets: np.ndarray, mask: np.ndarray
) -> None:
    """Nats for each unmasked token; see the reference for the shapes."""
    require_shape(logits.shape[:1], losses, targets, mask)
    _cross_entropy_forward(losses, rows(logits), targets, mask)


def cross_entropy_forward_backward(
    losses: np.ndarray,
    dlogits: np.ndarray,
    logits: np.ndarray,
    targets: np.ndarray,
    mask: np.ndarray,
) -> None:
    """Losses and `dlogits = softmax − onehot`; dlogits may be logits itself."""
    require_shape(logits.shape[:1], losses, targets, mask)
    require_shape(logits.shape, dlogits)
    if dlogits is not logits:
        dlogits[...] = logits
    _cross_entropy_in_place(losses, rows(dlogits), targets, mask)
