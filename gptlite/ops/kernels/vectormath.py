"""Functions that LLVM can turn into vector code, where libm's are scalar calls.

`exp` of Numba calls the C library once an element; a polynomial runs on 8 or 16
elements at once. Method and coefficients: S. Moshier's Cephes library (expf).
"""

from __future__ import annotations

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from gptlite.ops.kernels.jit import OPTIONS

# Without "reassoc": x − n·a − n·b must not become x − n·(a + b), which is less exact.
# Inlined by LLVM, where each instruction keeps its own rules (Numba's `inline` would
# take the caller's).
EXACT_ORDER = {
    **OPTIONS,
    "fastmath": {"contract", "nsz", "arcp", "afn"},
    "forceinline": True,
}


@intrinsic
def float_from_bits(typing_context, bits):
    """The float32 whose 32 bits are those of the integer `bits`."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


@intrinsic
def bits_from_float(typing_context, number):
    """The 32 bits of a float32, as an integer."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.int32(types.float32), generate


EXP_UNDERFLOW = np.float32(-87.3)  # below: 0
EXP_OVERFLOW = np.float32(88.37)  # above: infinity (2^128 has no exponent bits)


@numba.njit(**EXACT_ORDER)
def exp(x):
    """e^x in float32, relative error below 2e-7 (tests/ops/test_vectormath.py).

    x = n·ln 2 + r with |r| ≤ ln 2 / 2: a polynomial gives e^r, and 2^n is written
    straight into the exponent bits of a float. NaN stays NaN.
    """
    n = np.floor(x * np.float32(1.44269504) + np.float32(0.5))  # x / ln 2, rounded
    # ln 2 in two parts, so that n·ln 2 is exact to more bits than a float has
    r = x - n * np.float32(0.693359375) - n * np.float32(-2.12194440e-4)
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    p = p * r * r + r + np.float32(1)
    y = p * float_from_bits((np.int32(n) + np.int32(127)) << np.int32(23))
    y = np.float32(0) if x < EXP_UNDERFLOW else y
    return np.float32(np.inf) if x > EXP_OVERFLOW else y


@numba.njit(**EXACT_ORDER)
def tanh(x):
    """tanh in float32, absolute error below 3e-7: 1 − 2 / (e^2x + 1)."""
    return np.float32(1) - np.float32(2) / (exp(np.float32(2) * x) + np.float32(1))
