"""A token drawn from each row of probabilities."""

from __future__ import annotations

import numpy as np
from numba import types

from gptlite.ops.kernels.jit import kernel
from gptlite.ops.kernels.views import require_shape

_IDS = types.Array(types.int64, 1, "C")
_ROWS = types.Array(types.float32, 2, "C", readonly=True)
_SHARES = types.Array(types.float64, 1, "C", readonly=True)


@kernel(types.void(_IDS, _ROWS, _SHARES))
def _first_past(ids, p, dice):
    for b in range(len(p)):
        row, total = p[b], 0.0
        for i in range(row.size):
            total += row[i]
        running, goal, last = 0.0, dice[b] * total, 0
        for i in range(row.size):
            running += row[i]
            if row[i] > 0:
                last = i
                if running > goal:
                    break
        ids[b] = last


def first_past(p: np.ndarray, dice: np.ndarray) -> np.ndarray:
    """(B,): for each row of p (B, V) the first token at which the running sum passes
    the share dice (B,) of it all; should rounding let none, the last one possible.
    Numbers of p are read as float32, and summed in float64.

    >>> first_past(np.array([[0.0, 0.5, 0.5, 0.0]] * 3), np.array([0.0, 0.6, 1.0]))
    array([1, 2, 2])
    """
    ids = np.empty(len(p), np.int64)
    require_shape(p.shape[:1], dice)
    shares = np.ascontiguousarray(dice, np.float64)
    _first_past(ids, np.ascontiguousarray(p, np.float32), shares)
    return ids
