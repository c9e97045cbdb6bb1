"""The output layer, and how probable the model finds tokens: what reinforcement needs.

Cross-entropy asks for one gradient, that of the sum of −log p. A policy's loss is any
function of the log-probabilities, and of the entropy of each distribution; whoever
knows it gives its slopes, and gets those of hidden states and weights.
"""

from __future__ import annotations

import numpy as np

from gptlite.ops.reference.linear import linear_backward
from gptlite.ops.reference.matmul import matmul
from gptlite.ops.reference.weights import Weight


def _log_softmax(inp: np.ndarray, weight: Weight) -> np.ndarray:
    logits = np.empty((len(inp), weight.shape[1]), inp.dtype)
    matmul(logits, inp, weight)
    logits -= logits.max(axis=-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def linear_log_probability_forward(
    logp: np.ndarray,
    entropy: np.ndarray,
    room: np.ndarray,
    inp: np.ndarray,
    weight: Weight,
    targets: np.ndarray,
) -> None:
    """`logp[n] = log p(targets[n])` and `entropy[n] = −Σ p log p`, p of `inp @ weight`.

    logp, entropy: (N,), in nats; inp: (N, C), weight: (C, V), targets: (N,) integers.
    room: (R, V), R ≥ 1, as in `linear_cross_entropy_forward`.

    >>> logp, entropy, zero = np.empty(1), np.empty(1), np.zeros((1, 2))
    >>> targets = np.array([0])
    >>> linear_log_probability_forward(
    ...     logp, entropy, np.empty((1, 2)), zero, np.eye(2), targets
    ... )
    >>> logp.round(4), entropy.round(4)  # one of two, and log 2
    (array([-0.6931]), array([0.6931]))
    """
    log_p = _log_softmax(inp, weight)
    logp[...] = log_p[np.arange(len(inp)), targets]
    entropy[...] = -(np.exp(log_p) * log_p).sum(axis=-1)


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
    """Overwrites dinp, adds into dweight.

    room: as the forward left it, for the same inp and weight. If all logits have room
    there (N ≤ R) they need not be computed again, and are overwritten.

    dlogp, dentropy: (N,), the slopes of the loss. With p = softmax(logits):

        ∂logp/∂logits = onehot(targets) − p
        ∂entropy/∂logits = −p · (log p + entropy)
    """
    log_p = _log_softmax(inp, weight)
    p = np.exp(log_p)
    entropy = -(p * log_p).sum(axis=-1, keepdims=True)
    dlogits = -dlogp[:, None] * p - dentropy[:, None] * p * (log_p + entropy)
    dlogits[np.arange(len(inp)), targets] += dlogp
    linear_backward(dinp, dweight, None, dlogits, inp, weight)
