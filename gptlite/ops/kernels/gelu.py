"""GELU, tanh form and exact form, in one pass over memory each."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from gptlite.ops.kernels.jit import OPTIONS, kernel
from gptlite.ops.kernels.vectormath import erf, exp, tanh
from gptlite.ops.kernels.views import flat, require_shape

SQRT_2_OVER_PI = np.float32(math.sqrt(2 / math.pi))
CUBIC = np.float32(0.044715)
THREE_CUBIC = np.float32(3 * 0.044715)
SQRT_HALF = np.float32(math.sqrt(0.5))
DENSITY_AT_0 = np.float32(1 / math.sqrt(2 * math.pi))
HALF, ONE = np.float32(0.5), np.float32(1)


@njit(inline="always", **OPTIONS)
def gelu(x):
    return HALF * x * (ONE + tanh(SQRT_2_OVER_PI * (x + CUBIC * x * x * x)))


@njit(inline="always", **OPTIONS)
def gelu_slope(x):
    t = tanh(SQRT_2_OVER_PI * (x + CUBIC * x * x * x))
    inner = SQRT_2_OVER_PI * (ONE + THREE_CUBIC * x * x)
    return HALF * (ONE + t) + HALF * x * (ONE - t * t) * inner


@kernel
def _gelu_forward(out, inp):
    for i in range(inp.size):
        out[i] = gelu(inp[i])


# Backward works in place: two names for the same memory would make LLVM's check for
# overlap fail at run time, and the loop fall back from vectors to single numbers.
@kernel
def _gelu_backward(grad, inp):
    for i in range(inp.size):
        grad[i] *= gelu_slope(inp[i])


@kernel
def _gelu_exact_forward(out, inp):
    for i in range(inp.size):
        x = inp[i]
        out[i] = HALF * x * (ONE + erf(x * SQRT_HALF))


@kernel
def _gelu_exact_backward(grad, inp):
    for i in range(inp.size):
        x = inp[i]
        cdf = HALF * (ONE + erf(x * SQRT_HALF))
        grad[i] *= cdf + x * DENSITY_AT_0 * exp(-HALF * x * x)


def gelu_forward(out: np.ndarray, inp: np.ndarray) -> None:
    """GPT-2's GELU; see the reference for the formula."""
    require_shape(inp.shape, out)
    _gelu_forward(flat(out), flat(inp))


def gelu_backward(dinp: np.ndarray, dout: np.ndarray, inp: np.ndarray) -> None:
    """Overwrites dinp; dinp and dout may be the same array."""
    require_shape(inp.shape, dinp, dout)
    if dinp is not dout:
        dinp[...] = dout
    _gelu_backward(flat(dinp), flat(inp))


def gelu_exact_forward(out: np.ndarray, inp: np.ndarray) -> None:
    """`out = x · Φ(x)`."""
    require_shape(inp.shape, out)
    _gelu_exact_forward(flat(out), flat(inp))


def gelu_exact_backward(dinp: np.ndarray, dout: np.ndarray, inp: np.ndarray) -> None:
    """Overwrites dinp; dinp and dout may be the same array."""
    require_shape(inp.shape, dinp, dout)
    if dinp is not dout:
        dinp[...] = dout
    _gelu_exact_backward(flat(dinp), flat(inp))
