"""GELU (Hendrycks & Gimpel 2016, arXiv:1606.08415): x times the chance Φ(x).

`gelu_*` is GPT-2's form with tanh, `gelu_exact_*` the form with the error function.
"""

from __future__ import annotations

import math

import numpy as np

SQRT_2_OVER_PI = math.sqrt(2 / math.pi)
CUBIC = 0.044715


def gelu_forward(out: np.ndarray, inp: np.ndarray) -> None:
    """`out = x/2 · (1 + tanh(√(2/π)·(x + 0.044715·x³)))`, elementwise.

    Backward needs inp. Differs from the exact form by less than 5e-4.

    >>> out = np.empty(3)
    >>> gelu_forward(out, np.array([-1.0, 0.0, 1.0]))
    >>> out.round(4)
    array([-0.1588,  0.    ,  0.8412])
    """
    tanh = np.tanh(SQRT_2_OVER_PI * (inp + CUBIC * inp**3))
    out[...] = 0.5 * inp * (1 + tanh)


def gelu_backward(dinp: np.ndarray, dout: np.ndarray, inp: np.ndarray) -> None:
    """Overwrites dinp; dinp and dout may be the same array."""
    tanh = np.tanh(SQRT_2_OVER_PI * (inp + CUBIC * inp**3))
    inner = SQRT_2_OVER_PI * (1 + 3 * CUBIC * inp**2)  # d(argument of tanh)/dx
    slope = (
        0.5 * (1 + tanh)  # through the factor x
        + 0.5 * inp * (1 - tanh**2) * inner  # through tanh
    )
    dinp[...] = dout * slope


def _normal_cdf(x: np.ndarray) -> np.ndarray:
    erf = np.vectorize(math.erf, otypes=[x.dtype])
    return 0.5 * (1 + erf(x / math.sqrt(2)))


def gelu_exact_forward(out: np.ndarray, inp: np.ndarray) -> None:
    """`out = x · Φ(x)`, Φ the normal distribution. Backward needs inp."""
    out[...] = inp * _normal_cdf(inp)


def gelu_exact_backward(dinp: np.ndarray, dout: np.ndarray, inp: np.ndarray) -> None:
    """Overwrites dinp; dinp and dout may be the same array."""
    density = np.exp(-0.5 * inp**2) / math.sqrt(2 * math.pi)
    slope = (
        _normal_cdf(inp)  # through the factor x
        + inp * density  # through Φ
    )
    dinp[...] = dout * slope
