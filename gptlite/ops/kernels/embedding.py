"""Token and position embedding, row by row."""

from __future__ import annotations

import numpy as np

from gptlite.ops.kernels.jit import kernel
from gptlite.ops.kernels.views import require_shape, rows


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
    require_shape(ids.shape, positions)
    require_shape((*ids.shape, token_weight.shape[1]), out)
    require_shape(token_weight.shape[1:], position_weight[0])
    _embedding_forward(
        rows(out), ids.reshape(-1), positions.reshape(-1),
        token_weight, position_weight,
    )  # fmt: skip


def embedding_backward(
    dtoken_weight: np.ndarray | None,
    dposition_weight: np.ndarray | None,
    dout: np.ndarray,
    ids: np.ndarray,
    positions: np.ndarray,
) -> None:
    """Adds into both tables (`None`: frozen, skipped)."""
    require_shape(dout.shape[:-1], ids, positions)
    if dtoken_weight is not None:
        require_shape(dout.shape[-1:], dtoken_weight[0])
        _add_rows(dtoken_weight, rows(dout), ids.reshape(-1))
    if dposition_weight is not None:
        require_shape(dout.shape[-1:], dposition_weight[0])
        _add_rows(dposition_weight, rows(dout), positions.reshape(-1))
