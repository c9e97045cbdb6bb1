"""Looking into a model: where it attends, and what else it might have said."""

from __future__ import annotations

import math

import numpy as np

from gptlite.models.gpt import GPT
from gptlite.models.layout import heads, thirds
from gptlite.models.sampling import log_softmax


def attention_weights(model: GPT, ids: np.ndarray) -> np.ndarray:
    """(L, H, T, T): how much each token (row) takes of each earlier one, by head.

    >>> from gptlite.config import GPTConfig
    >>> model = GPT(GPTConfig(n_layer=1, n_head=2, n_embd=8, vocab_size=5))
    >>> attention_weights(model, np.array([0, 1, 2]))[0, 0].round(1).tolist()
    [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.3, 0.3, 0.3]]
    """
    T, n_head = len(ids), model.config.n_head
    a = model.activations(1, T)  # one for each layer
    model.hidden(a, np.asarray(ids, np.int64)[None])
    out = np.empty((model.config.n_layer, n_head, T, T))
    for l, act in enumerate(a.layers):
        q, k, _ = (heads(part, n_head)[0] for part in thirds(act.qkv))  # (T, H, D)
        scores = np.einsum("qhd,khd->hqk", q, k) / math.sqrt(q.shape[-1])
        past = np.tri(T, dtype=bool)
        # forward kept the logarithm of the sum of exponentials of each row
        out[l] = np.where(past, np.exp(scores - act.lse[0][..., None]), 0)
    return out


def alternatives(
    model: GPT, ids: np.ndarray, n: int = 5
) -> list[list[tuple[int, float]]]:
    """For each token but the first: the n likeliest ones there, with probability."""
    found = np.exp(log_softmax(model.logits(np.asarray(ids)[None])[0, :-1]))  # (T-1, V)
    best = np.argsort(-found, axis=1, kind="stable")[:, :n]
    return [
        [(int(i), float(row[i])) for i in some]
        for row, some in zip(found, best, strict=True)
    ]
