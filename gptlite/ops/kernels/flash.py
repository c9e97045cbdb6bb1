"""Attention by tiles (FlashAttention: Dao et al. 2022, arXiv:2205.14135).

A few queries meet a few keys at a time: their scores are computed, turned into
exponentials and used up while they are in the cache. The softmax is *online*: a row's
largest score and sum so far are enough to go on, and what was added up before is scaled
down when a larger score comes. Tiles that no query may see are never computed, and no
(Tq, Tk) array exists: memory is linear in T. Backward computes the scores again.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, types

from gptlite.ops.kernels.jit import OPTIONS, kernel
from gptlite.ops.kernels.matmul import ZEROS, multiply_panels
from gptlite.ops.kernels.packing import VECTOR, pack, padded
from gptlite.ops.kernels.processor import COLS, ROWS
from gptlite.ops.kernels.vectormath import exp, log
from gptlite.ops.kernels.vectors import largest

QUERIES, KEYS = 32, 256  # of a tile; KEYS in whole panels

HEADS = types.Array(types.float32, 4, "A")
READ_HEADS = types.Array(types.float32, 4, "A", readonly=True)
ROWS_3D = types.Array(types.float32, 3, "A")
_INTS = types.Array(types.int64, 1, "A", readonly=True)
_INTS_2D = types.Array(types.int64, 2, "A", readonly=True)
MASK = (_INTS, _INTS, _INTS_2D, _INTS_2D)  # offsets, prefix, q_segments, k_segments


@njit(inline="always", **OPTIONS)
def seen_by(position, prefix, Tk):
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
def hide(row, seen, mine, segments):
    """Keys of other segments get the score −∞ (no segments: nothing to do)."""
    if segments.size:
        for i in range(seen):
            row[i] = row[i] if segments[i] == mine else np.float32(-np.inf)


@njit(inline="always", **OPTIONS)
def softmax_row(row, out, seen, scale, top, total, first):
    """Scores of a tile become exponentials; returns the new largest score and sum.

    top, total, out: the largest score, the sum of exponentials and the weighted sum
    of values over the tiles before; out is scaled to the new largest score.
    """
    before, top = top, max(top, largest(row.ctypes.data, seen))
    # a query that has seen nothing yet: any finite number gives exponentials of 0
    base = np.float32(0) if top == np.float32(-np.inf) else top
    if not first:
        shrink = exp((before - base) * scale)
        total *= shrink
        for i in range(out.size):
            out[i] *= shrink
    for i in range(seen):
        e = exp((row[i] - base) * scale)
        row[i] = e
        total += e
    for i in range(seen, row.size):
        row[i] = np.float32(0)
    return top, total


@njit(inline="always", **OPTIONS)
def _softmax_row_backward(row, drow, seen, scale, log_sum, pull):
    """Scores become probabilities again, drow (d probability) becomes d score."""
    if log_sum == np.float32(-np.inf):
        seen = 0
    for i in range(seen):
        p = exp(row[i] * scale - log_sum)
        row[i] = p
        drow[i] = p * (drow[i] - pull) * scale
    for i in range(seen, row.size):
        row[i] = np.float32(0)
        drow[i] = np.float32(0)


@kernel(types.void(HEADS, ROWS_3D, *[READ_HEADS] * 3, *MASK, VECTOR))
def forward(out, lse, q, k, v, offsets, prefix, q_segments, k_segments, scratch):
    B, Tq, H, D = q.shape
    Tk, Hkv = k.shape[1:3]
    scale = np.float32(1 / math.sqrt(D))
    keys_t, space = scratch[: D * padded(Tk)], scratch[D * padded(Tk) :]
    values, space = space[: Tk * padded(D)], space[Tk * padded(D) :]
    tops, totals, space = (
        space[:QUERIES],
        space[QUERIES : 2 * QUERIES],
        space[2 * QUERIES :],
    )
    for b in range(B):
        for h in range(H):
            kv = h // (H // Hkv)
            if h % (H // Hkv) == 0:
                pack(keys_t, k[b, :, kv].T)  # (D, Tk)
                pack(values, v[b, :, kv])  # (Tk, D)
            for start in range(0, Tq, QUERIES):
                end = min(start + QUERIES, Tq)
                n = end - start
                rows = out[b, start:end, h]  # (n, D)
                tops[:] = np.float32(-np.inf)
                totals[:] = np.float32(0)
                last = seen_by(offsets[b] + end - 1, prefix[b], Tk)
                for k0 in range(0, last, KEYS):
                    keys = min(KEYS, last - k0)
                    scores = space[: n * keys].reshape(n, keys)
                    _times(q[b, start:end, h], keys_t[k0 * D :], D, D, scores, 0)
                    for t in range(n):
                        seen = seen_by(offsets[b] + start + t, prefix[b], Tk) - k0
                        seen = min(max(seen, 0), keys)
                        if q_segments.size:
                            mine = q_segments[b, start + t]
                            hide(scores[t], seen, mine, k_segments[b, k0:])
                        tops[t], totals[t] = softmax_row(
                            scores[t], rows[t], seen, scale, tops[t], totals[t], k0 == 0
                        )
                    _times(scores, values[k0 * COLS :], Tk, keys, rows, int(k0 > 0))
                for t in range(n):
                    total = totals[t]
                    lse[b, h, start + t] = log(total)
                    if tops[t] != np.float32(-np.inf):
                        lse[b, h, start + t] += tops[t] * scale
                    if last <= 0:  # no tile was computed
                        rows[t] = np.float32(0)
                    inverse = np.float32(1) / total if total != 0 else np.float32(0)
                    for i in range(D):
                        rows[t, i] *= inverse


@kernel(types.void(*[HEADS] * 3, *[READ_HEADS] * 2, ROWS_3D, *[READ_HEADS] * 3,
                   *MASK, VECTOR))  # fmt: skip
def backward(
    dq, dk, dv, dout, out, lse, q, k, v,
    offsets, prefix, q_segments, k_segments, scratch,
):  # fmt: skip
    B, Tq, H, D = q.shape
    Tk, Hkv = k.shape[1:3]
    scale = np.float32(1 / math.sqrt(D))
    keys_t, space = scratch[: D * padded(Tk)], scratch[D * padded(Tk) :]
    values_t, space = space[: D * padded(Tk)], space[D * padded(Tk) :]
    keys_p, space = space[: Tk * padded(D)], space[Tk * padded(D) :]
    q_p, space = space[: QUERIES * padded(D)], space[QUERIES * padded(D) :]
    dout_p, space = space[: QUERIES * padded(D)], space[QUERIES * padded(D) :]
    pulls, space = space[:QUERIES], space[QUERIES:]
    for b in range(B):
        dk[b] = np.float32(0)
        dv[b] = np.float32(0)
        for h in range(H):
            kv = h // (H // Hkv)
            if h % (H // Hkv) == 0:
                pack(keys_t, k[b, :, kv].T)  # (D, Tk)
                pack(values_t, v[b, :, kv].T)  # (D, Tk)
                pack(keys_p, k[b, :, kv])  # (Tk, D)
            for start in range(0, Tq, QUERIES):
                end = min(start + QUERIES, Tq)
                n = end - start
                q_rows, dout_rows = q[b, start:end, h], dout[b, start:end, h]  # (n, D)
                pack(q_p, q_rows)
                pack(dout_p, dout_rows)
                for t in range(n):
                    pulls[t] = np.float32(0)
                    for i in range(D):
                        pulls[t] += dout_rows[t, i] * out[b, start + t, h, i]
                last = seen_by(offsets[b] + end - 1, prefix[b], Tk)
                for k0 in range(0, last, KEYS):
                    keys = min(KEYS, last - k0)
                    scores = space[: n * keys].reshape(n, keys)
                    dscores = space[n * keys : 2 * n * keys].reshape(n, keys)
                    _times(q_rows, keys_t[k0 * D :], D, D, scores, 0)
                    _times(dout_rows, values_t[k0 * D :], D, D, dscores, 0)
                    for t in range(n):
                        seen = seen_by(offsets[b] + start + t, prefix[b], Tk) - k0
                        seen = min(max(seen, 0), keys)
                        if q_segments.size:
                            mine = q_segments[b, start + t]
                            hide(scores[t], seen, mine, k_segments[b, k0:])
                        _softmax_row_backward(
                            scores[t], dscores[t], seen, scale,
                            lse[b, h, start + t], pulls[t],
                        )  # fmt: skip
                    _times(dscores, keys_p[k0 * COLS :], Tk, keys,
                           dq[b, start:end, h], int(k0 > 0))  # fmt: skip
                    # a key's gradient is a sum over queries: into what is there
                    _times(dscores.T, q_p, n, n, dk[b, k0 : k0 + keys, kv], 1)
                    _times(scores.T, dout_p, n, n, dv[b, k0 : k0 + keys, kv], 1)
