"""Weights in half the bytes, where nothing is lost by it.

One token's products read every weight once: their time is the memory's. A model that
was stored as float16 has numbers that float16 holds exactly, and so can be read as
that, with the same results but for the order of sums.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from gptlite.ops.kernels.jit import OPTIONS, kernel
from gptlite.ops.kernels.packing import VECTOR, scratch_floats
from gptlite.ops.kernels.processor import HALVES, LANES
from gptlite.ops.kernels.vectors import FLOAT, transpose_tile

_HALF, _WORD = ir.HalfType(), ir.IntType(16)


@intrinsic
def as_float(typing_context, number):
    """A float32 as it is; 16 bits, read as float16 (if HALVES), become float32."""

    def generate(context, build, signature, arguments):
        [value] = arguments
        if signature.args[0] == types.float32:
            return value
        if not HALVES:
            return ir.Constant(FLOAT, 0.0)
        return build.fpext(build.bitcast(value, _HALF), FLOAT)

    kind = types.uint16 if isinstance(number, types.Integer) else types.float32
    return types.float32(kind), generate


@intrinsic
def half_from_float(typing_context, number):
    """The 16 bits of the float16 nearest to a number. Only where HALVES."""

    def generate(context, build, signature, arguments):
        if not HALVES:
            return ir.Constant(_WORD, 0)
        return build.bitcast(build.fptrunc(arguments[0], _HALF), _WORD)

    return types.uint16(types.float32), generate


_READ = types.Array(types.float32, 2, "C", readonly=True)
_BITS = types.Array(types.uint16, 2, "C")


@njit(inline="always", **OPTIONS)
def _narrow_row(bits, row):
    """bits (K,) = row (K,) as float16; whether all numbers are still the same."""
    changed = 0
    for k in range(row.size):
        bits[k] = half_from_float(row[k])
        changed += as_float(bits[k]) != row[k]
    return changed == 0


@kernel(types.boolean(_BITS, _READ))
def _narrow(bits, x):
    """bits (N, K) = x (N, K) as float16; False as soon as a row has changed."""
    n = 0
    while n < len(x) and _narrow_row(bits[n], x[n]):
        n += 1
    return n == len(x)


@kernel(types.boolean(_BITS, _READ, VECTOR))
def _narrow_turned(bits, x, scratch):
    """bits (N, K) = xᵀ, x (K, N), as float16; False as soon as a column has changed.

    scratch: room for LANES · K floats, where so many columns become rows.
    """
    K, N = x.shape
    to, source, whole = scratch.ctypes.data, x.ctypes.data, K // LANES * LANES
    for start in range(0, N, LANES):
        width, first = min(LANES, N - start), 0
        if width == LANES:
            first = whole
            for k in range(0, whole, LANES):
                transpose_tile(to + 4 * k, K, source + 4 * (k * N + start), N)
        for k in range(first, K):
            for n in range(width):
                scratch[n * K + k] = x[k, start + n]
        for n in range(width):
            if not _narrow_row(bits[start + n], scratch[n * K : n * K + K]):
                return False
    return True


class Halves:
    """A weight matrix (K, N), and the same numbers as float16 for a few rows' products.

    bits: (K, N), column after column (of `.T`: row after row): products read them in
    one stream, which a processor fetches ahead better than the four of a product by
    rows. They are the numbers of now: a change of `array` needs new Halves.

    >>> halves_of(np.full((2, 3), 0.1, np.float32)) is None  # 0.1 is rounded
    True
    """

    def __init__(self, array: np.ndarray, bits: np.ndarray) -> None:
        self.array, self.bits = array, bits

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def T(self) -> Halves:
        return Halves(self.array.T, self.bits.T)


def halves_of(array: np.ndarray) -> Halves | None:
    """`None` if a number of this matrix (or the processor) has no exact float16."""
    if not HALVES or array.dtype != np.float32:
        return None
    columns = np.empty(array.shape[::-1], np.uint16)
    if array.flags.c_contiguous:
        exact = _narrow_turned(columns, array, scratch_floats(LANES * len(array)))
    else:
        exact = array.T.flags.c_contiguous and _narrow(columns, array.T)
    return Halves(array, columns.T) if exact else None
