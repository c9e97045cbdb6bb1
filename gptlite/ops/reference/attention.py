"""Multi-head attention (Vaswani et al. 2017, arXiv:1706.03762) for its whole life.

The same two functions serve training, the KV cache (query offsets), packed
conversations (segment ids), pictures in front of a text (prefix) and grouped
heads (Hkv < H, Ainslie et al. 2023, arXiv:2305.13245).
Derivation: docs/ops/attention.md.
"""

from __future__ import annotations

import math

import numpy as np


def visible_keys(
    shape: tuple[int, int, int],
    offsets: np.ndarray | None = None,
    q_segments: np.ndarray | None = None,
    k_segments: np.ndarray | None = None,
    prefix: np.ndarray | None = None,
) -> np.ndarray:
    """Which key each query may see: (B, Tq, Tk) bool, for shape = (B, Tq, Tk).

    >>> visible_keys((1, 3, 3))[0].astype(int)
    array([[1, 0, 0],
           [1, 1, 0],
           [1, 1, 1]])
    """
    B, Tq, Tk = shape
    start = np.zeros(B, int) if offsets is None else offsets
    query = (start[:, None] + np.arange(Tq))[:, :, None]  # (B, Tq, 1) positions
    key = np.arange(Tk)  # (Tk,) positions
    visible = key <= query  # the past and oneself
    if prefix is not None:
        visible = visible | (key < prefix[:, None, None])  # and the whole prefix
    if q_segments is not None and k_segments is not None:
        visible = visible & (q_segments[:, :, None] == k_segments[:, None, :])
    return visible


def _scores(q: np.ndarray, k: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """(B, H, Tq, Tk): q·k/√D, minus infinity where the key is hidden."""
    scores = np.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(q.shape[-1])
    return np.where(visible[:, None], scores, -np.inf)


def _probabilities(scores: np.ndarray, lse: np.ndarray) -> np.ndarray:
    """(B, H, Tq, Tk): exp(score − lse), 0 where hidden, also if all of a row is."""
    finite = np.where(lse == -np.inf, 0, lse)
    return np.exp(scores - finite[..., None])


def _one_key_head_per_query_head(kv: np.ndarray, H: int) -> np.ndarray:
    return np.repeat(kv, H // kv.shape[2], axis=2)  # (B, Tk, H, D)


def attention_forward(
    out: np.ndarray,
    lse: np.ndarray,
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    offsets: np.ndarray | None = None,
    q_segments: np.ndarray | None = None,
    k_segments: np.ndarray | None = None,
    prefix: np.ndarray | None = None,
) -> None:
    """`out = softmax(q kᵀ / √D + mask) v`, head by head.

    out, q: (B, Tq, H, D); k, v: (B, Tk, Hkv, D), H a multiple of Hkv;
    lse: (B, H, Tq), the log of each row's sum of exponentials.

    - offsets: (B,), the position of the first query; query i of row b sees the
      keys 0 … offsets[b] + i (`None`: 0).
    - q_segments (B, Tq), k_segments (B, Tk): a query sees only its own segment.
    - prefix: (B,), the first prefix[b] keys are seen by every query.

    A query that sees nothing gets zeros. Backward needs q, k, v, out and lse:
    with lse any probability is one exp away, so no (Tq, Tk) array is kept
    (Dao et al. 2022, arXiv:2205.14135, and 2023, arXiv:2307.08691).

    >>> x = np.ones((1, 2, 1, 4))
    >>> out, lse = np.empty_like(x), np.empty((1, 1, 2))
    >>> attention_forward(out, lse, x, x, x)
    >>> out[0, :, 0, 0], lse.round(3)
    (array([1., 1.]), array([[[2.   , 2.693]]]))
    """
    B, Tq, H, _ = q.shape
    k, v = (_one_key_head_per_query_head(x, H) for x in (k, v))
    shape = (B, Tq, k.shape[1])
    visible = visible_keys(shape, offsets, q_segments, k_segments, prefix)
    scores = _scores(q, k, visible)
    top = scores.max(axis=-1, initial=-np.inf)
    top = np.where(top == -np.inf, 0, top)  # a row that sees nothing
    with np.errstate(divide="ignore"):
        lse[...] = top + np.log(np.exp(scores - top[..., None]).sum(axis=-1))
    att = _probabilities(scores, lse)
    out[...] = np.einsum("bhqk,bkhd->bqhd", att, v)


def attention_backward(
    dq: np.ndarray,
    dk: np.ndarray,
    dv: np.ndarray,
    dout: np.ndarray,
    out: np.ndarray,
    lse: np.ndarray,
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    offsets: np.ndarray | None = None,
    q_segments: np.ndarray | None = None,
    k_segments: np.ndarray | None = None,
    prefix: np.ndarray | None = None,
) -> None:
    """Overwrites dq: (B, Tq, H, D), dk and dv: (B, Tk, Hkv, D)."""
    B, Tq, H, D = q.shape
    Tk, Hkv = k.shape[1:3]
    k, v = (_one_key_head_per_query_head(x, H) for x in (k, v))
    visible = visible_keys((B, Tq, Tk), offsets, q_segments, k_segments, prefix)
    scores = _scores(q, k, visible)
    att = _probabilities(scores, lse)

    datt = np.einsum("bqhd,bkhd->bhqk", dout, v)  # through the weighted sum
    # Through softmax: each probability competes with all others of its row; their
    # pull, Σ att·datt, is dout·out, known without the (Tq, Tk) array.
    pull = np.einsum("bqhd,bqhd->bhq", dout, out)
    dscores = att * (datt - pull[..., None]) / math.sqrt(D)
    dq[...] = np.einsum("bhqk,bkhd->bqhd", dscores, k)
    # A key head sums over the queries that read it and over its group of heads.
    dk_heads = np.einsum("bhqk,bqhd->bkhd", dscores, q)
    dv_heads = np.einsum("bhqk,bqhd->bkhd", att, dout)
    dk[...] = dk_heads.reshape(B, Tk, Hkv, H // Hkv, D).sum(axis=3)
    dv[...] = dv_heads.reshape(B, Tk, Hkv, H // Hkv, D).sum(axis=3)
