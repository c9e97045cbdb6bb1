"""LoRA: thin products over all rows, whose sums start at what the frozen layer made."""

from __future__ import annotations

import numpy as np

from gptlite.ops.kernels.matmul import matmul
from gptlite.ops.kernels.views import rows


def lora_forward(
    out: np.ndarray,
    low: np.ndarray,
    inp: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    scale: float,
) -> None:
    """Adds `low @ b` into out, `low = scale · inp @ a`; see the reference."""
    rows_low = rows(low)  # (N, r)
    matmul(rows_low, rows(inp), a)
    rows_low *= scale
    matmul(rows(out), rows_low, b, accumulate=True)


def lora_backward(
    dinp: np.ndarray,
    da: np.ndarray,
    db: np.ndarray,
    dlow: np.ndarray,
    dout: np.ndarray,
    low: np.ndarray,
    inp: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    scale: float,
) -> None:
    """Adds into dinp, da and db; overwrites dlow, which may be low."""
    rows_dlow, rows_dout = rows(dlow), rows(dout)  # (N, r), (N, C_out)
    matmul(db, rows(low).T, rows_dout, accumulate=True)
    matmul(rows_dlow, rows_dout, b.T)
    rows_dlow *= scale
    matmul(da, rows(inp).T, rows_dlow, accumulate=True)
    matmul(rows(dinp), rows_dlow, a.T, accumulate=True)
