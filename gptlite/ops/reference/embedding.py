"""Token and position embedding: two rows of two tables, added."""

from __future__ import annotations

import numpy as np


def embedding_forward(
    out: np.ndarray,
    ids: np.ndarray,
    positions: np.ndarray,
    token_weight: np.ndarray,
    position_weight: np.ndarray,
) -> None:
    """`out[b, t] = token_weight[ids[b, t]] + position_weight[positions[b, t]]`.

    out: (B, T, C), ids and positions: (B, T) integers, token_weight: (V, C),
    position_weight: (T_max, C). Backward needs only the integers.

    >>> out, one = np.empty((1, 1, 2)), np.ones((3, 2))
    >>> embedding_forward(out, np.array([[2]]), np.array([[0]]), one, 10 * one)
    >>> out
    array([[[11., 11.]]])
    """
    out[...] = token_weight[ids] + position_weight[positions]


def embedding_backward(
    dtoken_weight: np.ndarray | None,
    dposition_weight: np.ndarray | None,
    dout: np.ndarray,
    ids: np.ndarray,
    positions: np.ndarray,
) -> None:
    """Adds into both tables; a row that was read n times receives n gradients."""
    if dtoken_weight is not None:
        np.add.at(dtoken_weight, ids, dout)
    if dposition_weight is not None:
        np.add.at(dposition_weight, positions, dout)
