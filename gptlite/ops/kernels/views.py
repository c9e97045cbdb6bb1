"""What compiled loops may be given: float32, aligned, whole, and of fitting shapes.

They trust shapes and types; what does not fit is an error here, not foreign memory.
"""

from __future__ import annotations

import numpy as np

FLOAT32 = np.dtype(np.float32)


def require_float32(*arrays: np.ndarray) -> None:
    """Kernels are compiled for one type; proofs in float64 are the reference's."""
    for array in arrays:
        if array.dtype != FLOAT32:
            raise TypeError(
                f"wanted float32 for a kernel, got {array.dtype}; convert with "
                ".astype(np.float32), or use gptlite.reference"
            )
        if not array.flags.aligned:
            raise ValueError(
                "wanted floats at multiples of 4 bytes, got a misaligned array; "
                "pass a copy of it (.copy())"
            )


def require_shape(shape: tuple[int, ...], *arrays: np.ndarray | None) -> None:
    """All of `arrays` (but for those that are absent) have this shape."""
    for array in arrays:
        if array is not None and array.shape != shape:
            raise ValueError(f"wanted an array of shape {shape}, got {array.shape}")


def _require_whole(x: np.ndarray) -> None:
    require_float32(x)
    if not x.flags.c_contiguous:
        raise ValueError(
            f"wanted an array without gaps, got shape {x.shape} with strides "
            f"{x.strides}; pass np.ascontiguousarray(x)"
        )


def flat(x: np.ndarray) -> np.ndarray:
    """x as one row of numbers: a view, so that what is written arrives."""
    _require_whole(x)
    return x.reshape(-1)


def rows(x: np.ndarray) -> np.ndarray:
    """(..., C) as (N, C), a view."""
    _require_whole(x)
    return x.reshape(-1, x.shape[-1])
