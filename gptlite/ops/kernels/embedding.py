"""Token and position embedding, row by row."""

from __future__ import annotations

import numpy as np

from gptlite.ops.kernels.jit import kernel


@kernel
def _embedding_forward(out, ids, positions, token_weight, position_weight):
    N, C = out.shape
    for n in range(N):
        token, position = token_weight[ids[n]], position_weight[positions[n]]
        for i in range(C):
            out[n, i] = token[i] + position[i]


@kernel
def _add_rows(dtable, dout, index):
    N, C = dout.shape
    for n in range(N):
        row = dtable[index[n]]
        for i in range(C):
            row[i] += dout[n, i]


def embedding_forward(
    out: np.ndarray,
    ids: np.ndarray,
    positions: np.ndarray,
    token_weight: np.ndarray,
    position_weight: np.ndarray,
) -> None:
    """The sum of two table rows; see the reference for the shapes."""
    rows = out.reshape(-1, out.shape[-1])
    _embedding_forward(
        rows, ids.reshape(-1), positions.reshape(-1), token_weight, position_weight
    )


def embedding_backward(
    dtoken_weight: np.ndarray | None,
    dposition_weight: np.ndarray | None,
    dout: np.ndarray,
    ids: np.ndarray,
    positions: np.ndarray,
) -> None:
    """Adds into both tables (`None`: frozen, skipped)."""
    rows = dout.reshape(-1, dout.shape[-1])
    if dtoken_weight is not None:
        _add_rows(dtoken_weight, rows, ids.reshape(-1))
    if dposition_weight is not None:
        _add_rows(dposition_weight, rows, positions.reshape(-1))
