"""Attention, checked here and computed by tiles: see flash.py for the loops."""

from __future__ import annotations

import numpy as np

from gptlite.ops.kernels import few_queries, flash
from gptlite.ops.kernels.flash import KEYS, QUERIES
from gptlite.ops.kernels.matmul import FEW_ROWS
from gptlite.ops.kernels.packing import padded, scratch_floats
from gptlite.ops.kernels.views import require_float32

NO_SEGMENTS = np.zeros((0, 0), np.int64)


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
    for x in (*like_q, *like_k):
        if x.size and x.shape[-1] > 1 and x.strides[-1] != x.itemsize:
            raise ValueError(
                f"wanted heads whose {x.shape[-1]} numbers lie side by side, got "
                f"strides {x.strides}; pass np.ascontiguousarray(x)"
            )
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
    if Tk == 0:  # nothing to see
        out[...], lse[...] = 0, -np.inf
        return
    if q.shape[1] < FEW_ROWS:
        few_queries.forward(out, lse, q, k, v, *mask, scratch_floats(Tk))
        return
    tile = QUERIES * (KEYS + 2)  # scores, and two numbers a query
    room = scratch_floats(D * padded(Tk) + Tk * padded(D) + tile)
    flash.forward(out, lse, q, k, v, *mask, room)


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
    if Tk == 0:
        dq[...] = 0
        return
    tile = QUERIES * (2 * KEYS + 2 * padded(D) + 1)
    room = scratch_floats(2 * D * padded(Tk) + Tk * padded(D) + tile)
    flash.backward(dq, dk, dv, dout, out, lse, q, k, v, *mask, room)
