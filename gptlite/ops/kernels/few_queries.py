"""Attention for a few queries, as when one token after another is generated.

Keys and values are met once by each query: copying them into panels, as flash.py does
for many queries, would take longer than the products. What takes time is to have them
come from memory.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, types

from gptlite.ops.kernels.flash import (
    HEADS,
    MASK,
    READ_HEADS,
    ROWS_3D,
    hide,
    seen_by,
    softmax_row,
)
from gptlite.ops.kernels.jit import OPTIONS, kernel
from gptlite.ops.kernels.packing import VECTOR
from gptlite.ops.kernels.vectormath import log
from gptlite.ops.kernels.vectors import CACHE_LINE, fetch, side_by_side


@njit(inline="always", **OPTIONS)
def _dots(out, query, keys):
    """out (n,) = keys (n, D) · query (D,), four keys at a time."""
    n = out.size
    whole = n // 4 * 4
    for j in range(0, whole, 4):
        k0, k1 = side_by_side(keys[j]), side_by_side(keys[j + 1])
        k2, k3 = side_by_side(keys[j + 2]), side_by_side(keys[j + 3])
        s0 = s1 = s2 = s3 = np.float32(0)
        for i in range(query.size):
            s0 += query[i] * k0[i]
            s1 += query[i] * k1[i]
            s2 += query[i] * k2[i]
            s3 += query[i] * k3[i]
        out[j], out[j + 1], out[j + 2], out[j + 3] = s0, s1, s2, s3
    for j in range(whole, n):
        key, total = side_by_side(keys[j]), np.float32(0)
        for i in range(query.size):
            total += query[i] * key[i]
        out[j] = total


@njit(inline="always", **OPTIONS)
def _weighted_sum(out, weights, values):
    """out (D,) = weights (n,) @ values (n, D), four rows at a time."""
    n = weights.size
    whole = n // 4 * 4
    for i in range(out.size):
        out[i] = np.float32(0)
    for j in range(0, whole, 4):
        p0, p1, p2, p3 = weights[j], weights[j + 1], weights[j + 2], weights[j + 3]
        v0, v1 = side_by_side(values[j]), side_by_side(values[j + 1])
        v2, v3 = side_by_side(values[j + 2]), side_by_side(values[j + 3])
        for i in range(out.size):
            out[i] += p0 * v0[i] + p1 * v1[i] + p2 * v2[i] + p3 * v3[i]
    for j in range(whole, n):
        p, value = weights[j], side_by_side(values[j])
        for i in range(out.size):
            out[i] += p * value[i]


@njit(inline="always", **OPTIONS)
def _fetch_rows(x, n):
    """Have the first n rows of x (Tk, D) come nearer."""
    for j in range(n):
        row = x.ctypes.data + j * x.strides[0]
        for offset in range(0, 4 * x.shape[1], CACHE_LINE):
            fetch(row + offset)


@kernel(types.void(HEADS, ROWS_3D, *[READ_HEADS] * 3, *MASK, VECTOR))
def forward(out, lse, q, k, v, offsets, prefix, q_segments, k_segments, scores):
    """As `flash.forward`; scores: room for Tk numbers."""
    B, Tq, H, D = q.shape
    Tk, Hkv = k.shape[1:3]
    scale, lowest = np.float32(1 / math.sqrt(D)), np.float32(-np.inf)
    for b in range(B):
        for h in range(H):
            kv = h // (H // Hkv)
            # while these keys and values are used, the next ones come from memory
            b1, kv1 = (b, kv + 1) if kv + 1 < Hkv else (b + 1, 0)
            if b1 < B and h % (H // Hkv) == 0:
                n = max(seen_by(offsets[b1] + Tq - 1, prefix[b1], Tk), 0)
                _fetch_rows(k[b1, :, kv1], n)
                _fetch_rows(v[b1, :, kv1], n)
            for t in range(Tq):
                seen = max(seen_by(offsets[b] + t, prefix[b], Tk), 0)
                row, result = scores[:seen], side_by_side(out[b, t, h])
                _dots(row, side_by_side(q[b, t, h]), k[b, :seen, kv])
                if q_segments.size:
                    hide(row, seen, q_segments[b, t], k_segments[b])
                top, total = softmax_row(
                    row, result, seen, scale, lowest, np.float32(0), True
                )
                _weighted_sum(result, row, v[b, :seen, kv])
                lse[b, h, t] = log(total)
                if top != lowest:
                    lse[b, h, t] += top * scale
                inverse = np.float32(1) / total if total != 0 else np.float32(0)
                for i in range(D):
                    result[i] *= inverse
