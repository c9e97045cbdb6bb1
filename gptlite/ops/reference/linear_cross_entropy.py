"""The output layer and the loss as one operation, so that logits need not be kept."""

from __future__ import annotations

import numpy as np

from gptlite.ops.reference.linear import linear_backward
from gptlite.ops.reference.losses import (
    cross_entropy_forward,
    cross_entropy_forward_backward,
)
from gptlite.ops.reference.matmul import matmul
from gptlite.ops.reference.weights import Weight


def linear_cross_entropy_forward(
    losses: np.ndarray,
    room: np.ndarray,
    inp: np.ndarray,
    weight: Weight,
    targets: np.ndarray,
    mask: np.ndarray,
) -> None:
    """The cross-entropy of the logits `inp @ weight`.

    losses, targets, mask: (N,), as in `cross_entropy_forward`; inp: (N, C), weight:
    (C, V). room: (R, V), R ≥ 1, is where kernels put the logits of R rows at a time;
    what it holds afterwards means nothing. The reference computes all N at once.

    >>> losses, mask = np.empty(2), np.array([True, True])
    >>> inp, targets = np.eye(2), np.array([0, 1])
    >>> linear_cross_entropy_forward(losses, np.empty((1, 2)), inp, inp, targets, mask)
    >>> losses.round(4)
    array([0.3133, 0.3133])
    """
    logits = np.empty((len(inp), weight.shape[1]), inp.dtype)
    matmul(logits, inp, weight)
    cross_entropy_forward(losses, logits, targets, mask)


def linear_cross_entropy_forward_backward(
    losses: np.ndarray,
    dinp: np.ndarray,
    dweight: np.ndarray | None,
    room: np.ndarray,
    inp: np.ndarray,
    weight: Weight,
    targets: np.ndarray,
    mask: np.ndarray,
) -> None:
    """The losses, and the gradients of their sum: overwrites dinp, adds into dweight.

    The logits of a token depend on its own row alone: its loss and the gradient of
    its logits are known before the next row is looked at. So (N, V) numbers need
    never exist at one time.
    """
    logits = np.empty((len(inp), weight.shape[1]), inp.dtype)
    matmul(logits, inp, weight)
    cross_entropy_forward_backward(losses, logits, logits, targets, mask)
    linear_backward(dinp, dweight, None, logits, inp, weight)
