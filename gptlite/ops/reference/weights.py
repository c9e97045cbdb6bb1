"""Weights as products read them: as they are, or rounded to bfloat16."""

from __future__ import annotations

import numpy as np

from gptlite.config import DTYPES
from gptlite.errors import ConfigError


def to_bfloat16(x: np.ndarray) -> np.ndarray:
    """Each number rounded to bfloat16, as float32: half of its 32 bits are zero.

    bfloat16 is float32 without the lower 16 bits of the mantissa. Adding just under
    half of the last kept bit carries into it where it should; ties go to the even
    neighbour. Below 2^-126 all is 0, as processors have it; NaN stays NaN.

    >>> to_bfloat16(np.array([1.00390625, 1.0078125, 3.4e38])).tolist()
    [1.0, 1.0078125, inf]
    """
    bits = np.ascontiguousarray(x, np.float32).view(np.int32)
    rounded = bits + np.int32(0x7FFF) + ((bits >> 16) & 1)
    rounded = np.where(bits & 0x7F800000 == 0, bits & np.int32(-(2**31)), rounded)
    rounded = np.where(np.isnan(x), bits | 0x00400000, rounded) & np.int32(-65536)
    return rounded.astype(np.int32).view(np.float32).reshape(np.shape(x))


class Packed:
    """A weight matrix (K, N), and the numbers with which its products are computed.

    `dtype="bfloat16"`: both factors of the products of this weight are rounded; sums
    are not, nor the matrix itself (the "master weights": Micikevicius et al. 2018,
    arXiv:1710.03740). `pack()` must follow every change of the matrix.

    >>> from gptlite.ops import reference
    >>> weight, out = np.eye(2) * 1.001, np.empty((1, 2))
    >>> packed = Packed(weight, "bfloat16").pack()
    >>> reference.matmul(out, np.array([[1, 2.001]]), packed)
    >>> out
    array([[1., 2.]])
    """

    def __init__(self, array: np.ndarray, dtype: str = "float32") -> None:
        if dtype not in DTYPES:
            raise ConfigError(f"wanted a dtype among {DTYPES}, got {dtype!r}")
        self.array, self.dtype = array, dtype
        self.values = np.empty_like(array)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def T(self) -> Packed:
        """The same weight for products with its transpose; nothing is copied."""
        turned: Packed = object.__new__(Packed)
        turned.array, turned.dtype = self.array.T, self.dtype
        turned.values = self.values.T
        return turned

    def pack(self) -> Packed:
        """Take the numbers of the matrix as they are now; returns itself."""
        self.values[...] = self.rounded(self.array)
        return self

    def rounded(self, x: np.ndarray) -> np.ndarray:
        """x as a factor in the products of this weight."""
        return to_bfloat16(x) if self.dtype == "bfloat16" else x


Weight = np.ndarray | Packed


def factor(x: np.ndarray, weight: Weight) -> np.ndarray:
    """x, rounded if `weight` is one whose products are."""
    return weight.rounded(x) if isinstance(weight, Packed) else x
