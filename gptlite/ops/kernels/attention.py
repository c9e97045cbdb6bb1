"""Attention by stripes: a few queries against all the keys that they may see.

A stripe's scores fit into the processor's cache: BLAS fills them, one compiled pass
turns them into probabilities, BLAS uses them up. Keys that no query of the stripe may
see are never multiplied, and no (Tq, Tk) array exists. Backward computes the scores
again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from gptlite.ops.kernels.jit import kernel
from gptlite.ops.kernels.matmul import matmul
from gptlite.ops.kernels.vectormath import exp

STRIPE = 64  # queries in a stripe
STRIPE_FLOATS = 128 * 1024  # scores held at a time: half a megabyte, half an L2 cache
NO_SEGMENTS = np.zeros((0, 0), np.int64)


class Mask(NamedTuple):
    """What may be seen, as arrays (absent ones empty): what the kernels take."""

    offsets: np.ndarray  # (B,)
    prefix: np.ndarray  # (B,)
    q_segments: np.ndarray  # (B, Tq) or (0, 0)
    k_segments: np.ndarray  # (B, Tk) or (0, 0)


def _mask(
    B: int,
    offsets: np.ndarray | None,
    q_segments: np.ndarray | None,
    k_segments: np.ndarray | None,
    prefix: np.ndarray | None,
) -> Mask:
    zeros = np.zeros(B, np.int64)
    segmented = q_segments is not None and k_segments is not None
    return Mask(
        zeros if offsets is None else offsets,
        zeros if prefix is None else prefix,
        q_segments if segmented else NO_SEGMENTS,  # type: ignore[arg-type]
        k_segments if segmented else NO_SEGMENTS,  # type: ignore[arg-type]
    )


def _stripes(
    mask: Mask, B: int, H: int, Tq: int, Tk: int
) -> Iterator[tuple[slice, slice, int]]:
    """(batch rows, queries, number of keys to look at), last queries first."""
    high = int(mask.offsets.max(initial=0))
    longest_prefix = int(mask.prefix.max(initial=0))
    for start in reversed(range(0, Tq, STRIPE)):
        end = min(start + STRIPE, Tq)
        keys = min(Tk, max(high + end, longest_prefix))
        rows = max(1, STRIPE_FLOATS // (H * (end - start) * max(keys, 1)))
        for first in range(0, B, rows):
            yield slice(first, min(first + rows, B)), slice(start, end), keys


@kernel
def _softmax_forward(
    scores, lse, b0, t0, scale, offsets, prefix, q_segments, k_segments
):
    """Scores (b, H, t, k) become probabilities; lse is the whole (B, H, Tq)."""
    for b in range(scores.shape[0]):
        for h in range(scores.shape[1]):
            for t in range(scores.shape[2]):
                row = scores[b, h, t]
                seen = max(offsets[b0 + b] + t0 + t + 1, prefix[b0 + b])
                seen = min(seen, row.size)
                if q_segments.size:
                    mine, theirs = q_segments[b0 + b, t0 + t], k_segments[b0 + b]
                    for i in range(seen):
                        row[i] = row[i] if theirs[i] == mine else np.float32(-np.inf)
                top = np.float32(-np.inf)
                for i in range(seen):
                    top = top if row[i] <= top else row[i]
                if top == np.float32(-np.inf):  # a query that sees nothing
                    top = np.float32(0)
                total = np.float32(0)
                for i in range(seen):
                    e = exp((row[i] - top) * scale)
                    row[i] = e
                    total += e
                lse[b0 + b, h, t0 + t] = top * scale + np.log(total)
                inverse = np.float32(1) / total if total != 0 else np.float32(0)
                for i in range(seen):
                    row[i] *= inverse
                for i in range(seen, row.size):
                    row[i] = np.float32(0)


@kernel
def _softmax_backward(
    scores, datt, lse, pull, b0, t0, scale, offsets, prefix, q_segments, k_segments
):
    """Scores become probabilities again, datt (same shape) becomes dscores.

    pull: (b, H, t), each query's Σ dout·out.
    """
    for b in range(scores.shape[0]):
        for h in range(scores.shape[1]):
            for t in range(scores.shape[2]):
                row, drow = scores[b, h, t], datt[b, h, t]
                seen = max(offsets[b0 + b] + t0 + t + 1, prefix[b0 + b])
                seen = min(seen, row.size)
                log_sum, row_pull = lse[b0 + b, h, t0 + t], pull[b, h, t]
                if log_sum == np.float32(-np.inf):
                    seen = 0
                for i in range(seen):
                    p = exp(row[i] * scale - log_sum)
                    row[i] = p
                    drow[i] = p * (drow[i] - row_pull) * scale
                if q_segments.size:
                    mine, theirs = q_segments[b0 + b, t0 + t], k_segments[b0 + b]
                    for i in range(seen):
                        if theirs[i] != mine:
                            row[i] = np.float32(0)
                            drow[i] = np.float32(0)
                for i in range(seen, row.size):
                    row[i] = np.float32(0)
                    drow[i] = np.float32(0)


def _grouped(x: np.ndarray, Hkv: int) -> np.ndarray:
    """(B, T, H, D) -> (B, Hkv, G, T, D): the G query heads of each key head."""
    B, T, H, D = x.shape
    return x.reshape(B, T, Hkv, H // Hkv, D).transpose(0, 2, 3, 1, 4)


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
    """`out = softmax(q kᵀ / √D + mask) v`; see the reference for shapes and masks."""
    B, Tq, H, D = q.shape
    Tk, Hkv = k.shape[1:3]
    mask = _mask(B, offsets, q_segments, k_segments, prefix)
    scale = np.float32(1 / math.sqrt(D))
    q5, k5, v5, out5 = (_grouped(x, Hkv) for x in (q, k, v, out))
    for b, t, keys in _stripes(mask, B, H, Tq, Tk):
        stripe = q5[b, :, :, t]  # (b, Hkv, G, t, D)
        scores = np.empty((*stripe.shape[:-1], keys), np.float32)
        matmul(scores, stripe, k5[b, :, :, :keys].swapaxes(-1, -2))
        by_head = scores.reshape(-1, H, *scores.shape[3:])
        _softmax_forward(by_head, lse, b.start, t.start, scale, *mask)
        matmul(out5[b, :, :, t], scores, v5[b, :, :, :keys])


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
    """Overwrites dq, dk and dv; see the reference for shapes and masks."""
    B, Tq, H, D = q.shape
    Tk, Hkv = k.shape[1:3]
    mask = _mask(B, offsets, q_segments, k_segments, prefix)
    scale = np.float32(1 / math.sqrt(D))
    q5, k5, v5, dq5, dout5, out5 = (_grouped(x, Hkv) for x in (q, k, v, dq, dout, out))
    dk4, dv4 = dk.swapaxes(1, 2), dv.swapaxes(1, 2)  # (B, Hkv, Tk, D)
    for b, t, keys in _stripes(mask, B, H, Tq, Tk):
        stripe, dstripe = q5[b, :, :, t], dout5[b, :, :, t]  # (b, Hkv, G, t, D)
        seen_k, seen_v = k5[b, :, :, :keys], v5[b, :, :, :keys]
        scores, datt = np.empty((2, *stripe.shape[:-1], keys), np.float32)
        matmul(scores, stripe, seen_k.swapaxes(-1, -2))
        matmul(datt, dstripe, seen_v.swapaxes(-1, -2))
        by_head = (-1, H, *scores.shape[3:])
        pull = np.einsum("bkgtd,bkgtd->bkgt", dstripe, out5[b, :, :, t])
        _softmax_backward(
            scores.reshape(by_head),
            datt.reshape(by_head),
            lse,
            np.ascontiguousarray(pull).reshape(by_head[:-1]),
            b.start,
            t.start,
            scale,
            *mask,
        )
        matmul(dq5[b, :, :, t], datt, seen_k)
        # A key head's gradient sums over queries and group: both as rows of one
        # product, [D-less: G·t, keys]ᵀ @ [G·t, D]. The first stripe sees all keys.
        rows = (*scores.shape[:2], -1)
        first = t.stop == Tq
        for dkv, weights, vectors in ((dk4, datt, stripe), (dv4, scores, dstripe)):
            if first:
                dkv[b, :, keys:] = 0
            matmul(
                dkv[b, :, :keys],
                weights.reshape(*rows, keys).swapaxes(-1, -2),
                vectors.reshape(*rows, D),
                accumulate=not first,
            )
