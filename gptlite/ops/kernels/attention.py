"""Attention by stripes: a few queries against all the keys that they may see.

Each head's keys and values are packed once; a stripe's scores are computed, turned into
probabilities and used up while they are in the cache. Keys that no query of the stripe
may see are never multiplied, and no (Tq, Tk) array exists: memory is linear in T.
Backward computes the scores again.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, types

from gptlite.ops.kernels.jit import OPTIONS, kernel
from gptlite.ops.kernels.matmul import ZEROS, multiply_panels, require_float32
from gptlite.ops.kernels.packing import pack, padded, scratch_floats
from gptlite.ops.kernels.processor import ROWS
from gptlite.ops.kernels.vectormath import exp

STRIPE = 32  # queries in a stripe
NO_SEGMENTS = np.zeros((0, 0), np.int64)

_HEADS = types.Array(types.float32, 4, "A")
_READ_HEADS = types.Array(types.float32, 4, "A", readonly=True)
_ROWS = types.Array(types.float32, 3, "A")
_INTS = types.Array(types.int64, 1, "A", readonly=True)
_INTS_2D = types.Array(types.int64, 2, "A", readonly=True)
_MASK = (_INTS, _INTS, _INTS_2D, _INTS_2D)  # offsets, prefix, q_segments, k_segments
_SCRATCH = types.Array(types.float32, 1, "C")


@njit(inline="always", **OPTIONS)
def _seen(position, prefix, Tk):
    """How many keys a query at this position may see."""
    return min(max(position + 1, prefix), Tk)


@njit(inline="always", **OPTIONS)
def _times(a, panels, packed_depth, depth, out, add):
    """out = (+=) a[:, :depth] @ panels[:depth]; a any strides, out contiguous rows."""
    row, a_row = out.strides[0] // 4, a.strides[0] // 4
    multiply_panels(
        a.ctypes.data, ROWS * a_row, a_row, a.strides[1] // 4,
        panels.ctypes.data, packed_depth, depth,
        out.ctypes.data if add else ZEROS.ctypes.data, row if add else 0, add,
        out.ctypes.data, row, out.shape[0], out.shape[1], False,
    )  # fmt: skip


@njit(inline="always", **OPTIONS)
def _softmax_row(row, seen, scale, mine, segments):
    """Scores become probabilities; returns the log of the sum of exponentials."""
    if segments.size:
        for i in range(seen):
            row[i] = row[i] if segments[i] == mine else np.float32(-np.inf)
    top = np.float32(-np.inf)
    for i in range(seen):
        top = max(top, row[i])
    if top == np.float32(-np.inf):  # a query that sees nothing
        top = np.float32(0)
    total = np.float32(0)
    for i in range(seen):
        e = exp((row[i] - top) * scale)
        row[i] = e
        total += e
    inverse = np.float32(1) / total if total != 0 else np.float32(0)
    for i in range(seen):
        row[i] *= inverse
    for i in range(seen, row.size):
        row[i] = np.float32(0)
    return top * scale + np.log(total)


@njit(inline="always", **OPTIONS)
def _softmax_row_backward(row, drow, seen, scale, log_sum, pull, mine, segments):
    """Scores become probabilities again, drow (d probability) becomes d score."""
    if log_sum == np.float32(-np.inf):
        seen = 0
    for i in range(seen):
        p = exp(row[i] * scale - log_sum)
        row[i] = p
        drow[i] = p * (drow[i] - pull) * scale
    if segments.size:
        for i in range(seen):
            if segments[i] != mine:
                row[i] = np.float32(0)
                drow[i] = np.float32(0)
    for i in range(seen, row.size):
        row[i] = np.float32(0)
        drow[i] = np.float32(0)


@kernel(types.void(_HEADS, _ROWS, *[_READ_HEADS] * 3, *_MASK, _SCRATCH))
def _forward(out, lse, q, k, v, offsets, prefix, q_segments, k_segments, scratch):
    B, Tq, H, D = q.shape
    Tk, Hkv = k.shape[1:3]
    scale = np.float32(1 / math.sqrt(D))
    keys_t, space = scratch[: D * padded(Tk)], scratch[D * padded(Tk) :]
    values, space = space[: Tk * padded(D)], space[Tk * padded(D) :]
    for b in range(B):
        for h in range(H):
            kv = h // (H // Hkv)
            pack(keys_t, k[b, :, kv].T)  # (D, Tk)
            pack(values, v[b, :, kv])  # (Tk, D)
            for start in range(0, Tq, STRIPE):
                end = min(start + STRIPE, Tq)
                keys = _seen(offsets[b] + end - 1, prefix[b], Tk)
                scores = space[: (end - start) * keys].reshape(end - start, keys)
                _times(q[b, start:end, h], keys_t, D, D, scores, 0)
                for t in range(end - start):
                    seen = _seen(offsets[b] + start + t, prefix[b], Tk)
                    mine, theirs = 0, offsets[:0]
                    if q_segments.size:
                        mine, theirs = q_segments[b, start + t], k_segments[b]
                    lse[b, h, start + t] = _softmax_row(
                        scores[t], seen, scale, mine, theirs
                    )
                _times(scores, values, Tk, keys, out[b, start:end, h], 0)


@kernel(types.void(*[_HEADS] * 3, *[_READ_HEADS] * 2, _ROWS, *[_READ_HEADS] * 3,
                   *_MASK, _SCRATCH))  # fmt: skip
def _backward(
    dq, dk, dv, dout, out, lse, q, k, v,
    offsets, prefix, q_segments, k_segments, scratch,
):  # fmt: skip
    B, Tq, H, D = q.shape
    Tk, Hkv = k.shape[1:3]
    scale = np.float32(1 / math.sqrt(D))
    keys_t, space = scratch[: D * padded(Tk)], scratch[D * padded(Tk) :]
    values_t, space = space[: D * padded(Tk)], space[D * padded(Tk) :]
    keys_p, space = space[: Tk * padded(D)], space[Tk * padded(D) :]
    q_p, space = space[: STRIPE * padded(D)], space[STRIPE * padded(D) :]
    dout_p, space = space[: STRIPE * padded(D)], space[STRIPE * padded(D) :]
    for b in range(B):
        dk[b] = np.float32(0)
        dv[b] = np.float32(0)
        for h in range(H):
            kv = h // (H // Hkv)
            pack(keys_t, k[b, :, kv].T)  # (D, Tk)
            pack(values_t, v[b, :, kv].T)  # (D, Tk)
            pack(keys_p, k[b, :, kv])  # (Tk, D)
            for start in range(0, Tq, STRIPE):
                end = min(start + STRIPE, Tq)
                n = end - start
                keys = _seen(offsets[b] + end - 1, prefix[b], Tk)
                scores = space[: n * keys].reshape(n, keys)
                dscores = space[n * keys : 2 * n * keys].reshape(n, keys)
                q_rows, dout_rows = q[b, start:end, h], dout[b, start:end, h]
                _times(q_rows, keys_t, D, D, scores, 0)
                _times(dout_rows, values_t, D, D, dscores, 0)
                for t in range(n):
                    pull = np.float32(0)
                    for i in range(D):
                        pull += dout_rows[t, i] * out[b, start + t, h, i]
                    seen = _seen(offsets[b] + start + t, prefix[b], Tk)
                    mine, theirs = 0, offsets[:0]
                    if q_segments.size:
                        mine, theirs = q_segments[b, start + t], k_segments[b]
                    _softmax_row_backward(
                        scores[t], dscores[t], seen, scale,
                        lse[b, h, start + t], pull, mine, theirs,
                    )  # fmt: skip
                _times(dscores, keys_p, Tk, keys, dq[b, start:end, h], 0)
                # a key's gradient is a sum over queries: into what is there
                pack(q_p, q_rows)
                pack(dout_p, dout_rows)
                _times(dscores.T, q_p, n, n, dk[b, :keys, kv], 1)
                _times(scores.T, dout_p, n, n, dv[b, :keys, kv], 1)


def _mask(
    B: int,
    offsets: np.ndarray | None,
    q_segments: np.ndarray | None,
    k_segments: np.ndarray | None,
    prefix: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What may be seen, as arrays (absent segments are empty)."""
    zeros = np.zeros(B, np.int64)
    if q_segments is None or k_segments is None:
        q_segments = k_segments = NO_SEGMENTS
    return (
        zeros if offsets is None else np.asarray(offsets, np.int64),
        zeros if prefix is None else np.asarray(prefix, np.int64),
        np.asarray(q_segments, np.int64),
        np.asarray(k_segments, np.int64),
    )


def _check(
    mask: tuple[np.ndarray, ...],
    lse: np.ndarray,
    like_q: list[np.ndarray],
    like_k: list[np.ndarray],
) -> None:
    """Compiled loops trust shapes: what does not fit would read foreign memory."""
    require_float32(*like_q, *like_k, lse)
    q, k = like_q[0], like_k[0]
    offsets, prefix, q_segments, k_segments = mask
    segments = q_segments.size or k_segments.size
    fits = (
        all(x.shape == q.shape for x in like_q)
        and all(x.shape == k.shape for x in like_k)
        and (q.shape[0], q.shape[3]) == (k.shape[0], k.shape[3])
        and q.shape[2] % k.shape[2] == 0
        and lse.shape == (q.shape[0], q.shape[2], q.shape[1])
        and offsets.shape == prefix.shape == q.shape[:1]
        and (not segments or q_segments.shape == q.shape[:2])
        and (not segments or k_segments.shape == k.shape[:2])
    )
    if not fits:
        raise ValueError(
            "wanted q (B, Tq, H, D), k and v (B, Tk, Hkv, D), H a multiple of Hkv, "
            "outputs alike, lse (B, H, Tq), offsets and prefix (B,), segments (B, Tq) "
            "and (B, Tk); got "
            f"{[x.shape for x in (*like_q, *like_k, lse, *mask)]}"
        )


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
    D, Tk = q.shape[3], k.shape[1]
    mask = _mask(len(q), offsets, q_segments, k_segments, prefix)
    _check(mask, lse, [q, out], [k, v])
    room = scratch_floats(D * padded(Tk) + Tk * padded(D) + STRIPE * Tk)
    _forward(out, lse, q, k, v, *mask, room)


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
    D, Tk = q.shape[3], k.shape[1]
    mask = _mask(len(q), offsets, q_segments, k_segments, prefix)
    _check(mask, lse, [q, out, dout, dq], [k, v, dk, dv])
    room = scratch_floats(
        2 * D * padded(Tk) + (Tk + 2 * STRIPE) * padded(D) + 2 * STRIPE * Tk
    )
    _backward(dq, dk, dv, dout, out, lse, q, k, v, *mask, room)
