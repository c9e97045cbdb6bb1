"""Weights packed once and used by many products: forward, backward, every worker."""

from __future__ import annotations

import numpy as np

from gptlite.config import DTYPES
from gptlite.errors import ConfigError
from gptlite.ops.kernels.halves import Halves
from gptlite.ops.kernels.packing import (
    DEPTH,
    WIDTH,
    block_depth,
    pack_matrix,
    padded,
    scratch_floats,
    words,
)


def _panel_floats(K: int, N: int, bfloat16: bool) -> int:
    step, columns = block_depth(K), padded(N)
    if not bfloat16:
        return K * columns
    return sum(words(min(step, K - k)) for k in range(0, K, step)) * columns


class Packed:
    """A weight matrix (K, N) and its panels for `x @ weight` and `y @ weight.T`.

    `dtype="bfloat16"`: the panels are rounded, and so are the other factors of their
    products; sums stay float32, and the matrix itself as well ("master weights").
    `pack()` must follow every change of the matrix.

    >>> from gptlite.ops import kernels
    >>> weight, out = np.eye(2, dtype=np.float32), np.empty((1, 2), np.float32)
    >>> kernels.matmul(out, np.array([[1, 2]], np.float32), Packed(weight).pack())
    >>> out
    array([[1., 2.]], dtype=float32)
    """

    def __init__(self, array: np.ndarray, dtype: str = "float32") -> None:
        if dtype not in DTYPES:
            raise ConfigError(f"wanted a dtype among {DTYPES}, got {dtype!r}")
        self.array, self.dtype = array, dtype
        K, N = array.shape
        self._sizes = [_panel_floats(*s, self.bfloat16) for s in ((K, N), (N, K))]
        both = np.empty(sum(self._sizes), np.float32)
        self.panels, self._panels_t = both[: self._sizes[0]], both[self._sizes[0] :]

    @property
    def bfloat16(self) -> bool:
        return self.dtype == "bfloat16"

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def T(self) -> Packed:
        """The same weight for products with its transpose; nothing is copied."""
        turned = object.__new__(Packed)
        turned.array, turned.dtype = self.array.T, self.dtype
        turned.panels, turned._panels_t = self._panels_t, self.panels
        return turned

    def pack(self) -> Packed:
        """Fill both forms from the matrix as it is now; returns itself."""
        scratch = scratch_floats(DEPTH * WIDTH)
        pack_matrix(self.panels, self.array, self.bfloat16, scratch)
        pack_matrix(self._panels_t, self.array.T, self.bfloat16, scratch)
        return self


Weight = np.ndarray | Packed | Halves


def matrix_of(weight: Weight) -> np.ndarray:
    """The float32 numbers (K, N) of a weight in whatever form."""
    return weight if isinstance(weight, np.ndarray) else weight.array


def rounds(weight: Weight) -> bool:
    """Whether the factors of this weight's products are rounded to bfloat16."""
    return isinstance(weight, Packed) and weight.bfloat16
