"""The output layer and the loss by blocks of rows: all the logits never exist."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gptlite.ops.kernels.linear import linear_backward
from gptlite.ops.kernels.losses import (
    cross_entropy_forward,
    cross_entropy_forward_backward,
)
from gptlite.ops.kernels.matmul import matmul
from gptlite.ops.kernels.weights import Weight


def blocks(N: int, room: np.ndarray) -> Iterator[slice]:
    """The rows 0 … N − 1, as many at a time as there is room for logits."""
    for start in range(0, N, len(room)):
        yield slice(start, min(start + len(room), N))


def linear_cross_entropy_forward(
    losses: np.ndarray,
    room: np.ndarray,
    inp: np.ndarray,
    weight: Weight,
    targets: np.ndarray,
    mask: np.ndarray,
) -> None:
    """The cross-entropy of the logits `inp @ weight`; see the reference."""
    for some in blocks(len(inp), room):
        logits = room[: some.stop - some.start]
        matmul(logits, inp[some], weight)
        cross_entropy_forward(losses[some], logits, targets[some], mask[some])


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
    """The losses; overwrites dinp, adds into dweight; see the reference."""
    for some in blocks(len(inp), room):
        logits = room[: some.stop - some.start]
        matmul(logits, inp[some], weight)
        cross_entropy_forward_backward(
            losses[some], logits, logits, targets[some], mask[some]
        )
        linear_backward(dinp[some], dweight, None, logits, inp[some], weight)
