"""The output layer and log-probabilities, by blocks of rows; see the reference."""

from __future__ import annotations

import numpy as np

from gptlite.ops.kernels.jit import kernel
from gptlite.ops.kernels.linear import linear_backward
from gptlite.ops.kernels.linear_cross_entropy import blocks
from gptlite.ops.kernels.matmul import matmul
from gptlite.ops.kernels.vectormath import exp, log
from gptlite.ops.kernels.vectors import largest
from gptlite.ops.kernels.views import require_shape, rows
from gptlite.ops.kernels.weights import Weight


@kernel
def _log_probability(logp, entropy, logits, targets):
    """entropy = log Σ exp(x) − Σ p·x, where x is the distance to the largest logit."""
    N, V = logits.shape
    for n in range(N):
        row = logits[n]
        top = largest(row.ctypes.data, V)  # a NaN shows up in the sum
        total = weighted = np.float32(0)
        for i in range(V):
            e = exp(row[i] - top)
            total += e
            # an exponential of 0 has no part in it, also where the logit is −infinity
            weighted += e * max(row[i] - top, np.float32(-1000))
        log_total = log(total)
        logp[n] = row[targets[n]] - top - log_total
        entropy[n] = log_total - weighted / total


@kernel
def _gradient_in_place(logits, dlogp, dentropy, targets):
    """The logits become the loss's gradient, row by row."""
    N, V = logits.shape
    for n in range(N):
        row = logits[n]
        top = largest(row.ctypes.data, V)
        total = weighted = np.float32(0)
        for i in range(V):
            x = max(row[i] - top, np.float32(-1000))
            e = exp(x)
            total += e
            weighted += e * x
        # dlogits = −p · (dlogp + dentropy · (x − mean of x)), + dlogp at the target
        scale, mean = np.float32(1) / total, weighted / total
        for i in range(V):
            x = max(row[i] - top, np.float32(-1000))
            row[i] = -exp(x) * scale * (dlogp[n] + dentropy[n] * (x - mean))
        row[targets[n]] += dlogp[n]


def linear_log_probability_forward(
    logp: np.ndarray,
    entropy: np.ndarray,
    room: np.ndarray,
    inp: np.ndarray,
    weight: Weight,
    targets: np.ndarray,
) -> None:
    """`log p(targets)` and the entropy, in nats; see the reference."""
    require_shape(inp.shape[:1], logp, entropy, targets)
    for some in blocks(len(inp), room):
        logits = room[: some.stop - some.start]
        matmul(logits, inp[some], weight)
        _log_probability(logp[some], entropy[some], rows(logits), targets[some])


def linear_log_probability_backward(
    dinp: np.ndarray,
    dweight: np.ndarray | None,
    room: np.ndarray,
    dlogp: np.ndarray,
    dentropy: np.ndarray,
    inp: np.ndarray,
    weight: Weight,
    targets: np.ndarray,
) -> None:
    """Overwrites dinp, adds into dweight; see the reference."""
    require_shape(inp.shape[:1], dlogp, dentropy, targets)
    for some in blocks(len(inp), room):
        logits = room[: some.stop - some.start]
        if len(inp) > len(room):  # else they are still there
            matmul(logits, inp[some], weight)
        _gradient_in_place(rows(logits), dlogp[some], dentropy[some], targets[some])
        linear_backward(dinp[some], dweight, None, logits, inp[some], weight)
