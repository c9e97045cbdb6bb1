"""Weights in half the bytes, where nothing is lost by it.

One token's products read every weight once: their time is the memory's. A model that
was stored as float16 has numbers that float16 holds exactly, and so can be read as
that, with the same results.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from gptlite.ops.kernels.jit import kernel
from gptlite.ops.kernels.processor import HALVES
from gptlite.ops.kernels.vectors import FLOAT

_HALF, _BITS = ir.HalfType(), ir.IntType(16)


@intrinsic
def as_float(typing_context, number):
    """A float32 as it is; of 16 bits the number whose float16 has them (if HALVES)."""

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
            return ir.Constant(_BITS, 0)
        return build.bitcast(build.fptrunc(arguments[0], _HALF), _BITS)

    return types.uint16(types.float32), generate


@kernel(types.boolean(
    types.uint16[:, ::1], types.Array(types.float32, 2, "C", readonly=True)
))  # fmt: skip
def _narrow(bits, x):
    """x (K, N) as float16; False as soon as a row has a number that changed."""
    for k in range(len(x)):
        row, narrow, changed = x[k], bits[k], 0
        for j in range(row.size):
            narrow[j] = half_from_float(row[j])
            changed += as_float(narrow[j]) != row[j]
        if changed:
            return False
    return True


class Halves:
    """A weight matrix (K, N), and the same numbers as float16 for a few rows' products.

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
    if not (HALVES and array.dtype == np.float32 and array.flags.c_contiguous):
        return None
    bits = np.empty(array.shape, np.uint16)
    return Halves(array, bits) if _narrow(bits, array) else None
