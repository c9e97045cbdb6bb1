"""Functions that LLVM can turn into vector code, where libm's are scalar calls.

`exp` of Numba calls the C library once an element; a polynomial runs on 8 or 16
elements at once. Method and coefficients of exp and log: S. Moshier's Cephes library
(expf, logf). Error bounds are those of tests/ops/test_vectormath.py.
"""

from __future__ import annotations

import numba
import numpy as np

from gptlite.ops.kernels.jit import OPTIONS
from gptlite.ops.kernels.vectors import bits_from_float, float_from_bits

# Without "reassoc": x − n·a − n·b must not become x − n·(a + b), which is less exact.
# Inlined by LLVM, where each instruction keeps its own rules (Numba's `inline` would
# take the caller's).
EXACT_ORDER = {
    **OPTIONS,
    "fastmath": {"contract", "nsz", "arcp", "afn"},
    "forceinline": True,
}


EXP_UNDERFLOW = np.float32(-87.3)  # below: 0
EXP_OVERFLOW = np.float32(88.37)  # above: infinity (2^128 has no exponent bits)


@numba.njit(**EXACT_ORDER)
def exp(x):
    """e^x in float32, relative error below 2e-7.

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


@numba.njit(**EXACT_ORDER)
def erf(x):
    """The error function in float32, relative error below 4e-7.

    Up to 1: x times a polynomial in x² (least squares at Chebyshev points). Beyond:
    1 − (a polynomial in t) · e^−x², t = 1 / (1 + px); Abramowitz and Stegun 7.1.26.
    """
    s = x * x
    near = np.float32(7.88252947e-5)
    near = near * s + np.float32(-8.01889459e-4)
    near = near * s + np.float32(5.18932054e-3)
    near = near * s + np.float32(-2.68543363e-2)
    near = near * s + np.float32(1.12835981e-1)
    near = near * s + np.float32(-3.76126260e-1)
    near = near * s + np.float32(1.12837911)
    size = np.abs(x)
    t = np.float32(1) / (np.float32(1) + np.float32(0.3275911) * size)
    far = np.float32(1.061405429)
    far = far * t + np.float32(-1.453152027)
    far = far * t + np.float32(1.421413741)
    far = far * t + np.float32(-0.284496736)
    far = far * t + np.float32(0.254829592)
    far = np.float32(1) - far * t * exp(-s)
    far = -far if x < np.float32(0) else far
    return x * near if size < np.float32(1) else far


SMALLEST_NORMAL = np.float32(2.0**-126)
TWO_23 = np.float32(2.0**23)  # makes a number below the smallest normal one normal


@numba.njit(**EXACT_ORDER)
def log(x):
    """The natural logarithm in float32, relative error below 2e-7.

    x = m·2^n with m in [√½, √2): log x = n·ln 2 + log m, and log m is a polynomial in
    m − 1. Of 0: −infinity; below 0: NaN; infinity and NaN stay.
    """
    tiny = x < SMALLEST_NORMAL
    bits = bits_from_float(x * TWO_23 if tiny else x)
    exponent = (bits >> np.int32(23)) - np.int32(126)
    m = float_from_bits((bits & np.int32(0x007FFFFF)) | np.int32(0x3F000000))  # [½, 1)
    low = m < np.float32(0.70710678)
    n = np.float32(exponent - low) - (np.float32(23) if tiny else np.float32(0))
    r = (m + m if low else m) - np.float32(1)
    p = np.float32(7.0376836292e-2)
    p = p * r + np.float32(-1.1514610310e-1)
    p = p * r + np.float32(1.1676998740e-1)
    p = p * r + np.float32(-1.2420140846e-1)
    p = p * r + np.float32(1.4249322787e-1)
    p = p * r + np.float32(-1.6668057665e-1)
    p = p * r + np.float32(2.0000714765e-1)
    p = p * r + np.float32(-2.4999993993e-1)
    p = p * r + np.float32(3.3333331174e-1)
    s = r * r
    # ln 2 in two parts, the smaller terms first
    y = p * r * s + n * np.float32(-2.12194440e-4) - np.float32(0.5) * s
    y = r + y + n * np.float32(0.693359375)
    y = x if x == np.float32(np.inf) else y
    y = np.float32(-np.inf) if x == np.float32(0) else y
    return y if x >= np.float32(0) else np.float32(np.nan)
