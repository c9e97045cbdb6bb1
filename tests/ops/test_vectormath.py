"""exp, tanh, erf and log keep the error bounds that their docstrings state."""

from __future__ import annotations

import math

import numba
import numpy as np
import pytest

from gptlite.ops.kernels import vectormath
from gptlite.ops.kernels.jit import OPTIONS

exp, tanh = vectormath.exp, vectormath.tanh
erf, log = vectormath.erf, vectormath.log


@numba.njit(**OPTIONS)
def _exp(out, x):  # type: ignore[no-untyped-def]
    for i in range(x.size):
        out[i] = exp(x[i])


@numba.njit(**OPTIONS)
def _tanh(out, x):  # type: ignore[no-untyped-def]
    for i in range(x.size):
        out[i] = tanh(x[i])


@numba.njit(**OPTIONS)
def _erf(out, x):  # type: ignore[no-untyped-def]
    for i in range(x.size):
        out[i] = erf(x[i])


@numba.njit(**OPTIONS)
def _log(out, x):  # type: ignore[no-untyped-def]
    for i in range(x.size):
        out[i] = log(x[i])


def apply(function: object, x: np.ndarray) -> np.ndarray:
    x = np.asarray(x, np.float32)
    out = np.empty_like(x)
    function(out, x)  # type: ignore[operator]
    return out


def exp_error(x: np.ndarray) -> np.ndarray:
    wanted = np.exp(x.astype(np.float64))
    return np.abs(apply(_exp, x) - wanted) / wanted


def dense(low: float, high: float, n: int = 2_000_000) -> np.ndarray:
    grid = np.linspace(low, high, n).astype(np.float32)
    return grid[(grid >= np.float32(low)) & (grid <= np.float32(high))]


def test_exp_has_a_relative_error_below_2e_7_over_its_whole_range() -> None:
    """From where it becomes 0 to where it becomes infinity, as the file states them."""
    low, high = float(vectormath.EXP_UNDERFLOW), float(vectormath.EXP_OVERFLOW)
    x = dense(low, high)
    error = exp_error(x)
    worst = error.argmax()
    assert error.max() < 2e-7, f"exp({x[worst]!r}) is off by {error[worst]:.1e}"


def test_exp_has_a_relative_error_below_2e_7_where_softmax_needs_it() -> None:
    assert exp_error(dense(-87.0, 0.0)).max() < 2e-7
    assert exp_error(dense(-0.01, 0.01)).max() < 2e-7


def test_exp_has_a_relative_error_below_2e_7_around_every_rounding_point() -> None:
    """x / ln 2 is rounded: the remainder is largest where the rounding flips."""
    flips = (np.arange(-125, 127) + 0.5) * np.log(2)
    x = flips[:, None] * (1 + np.linspace(-1e-6, 1e-6, 41))
    assert exp_error(x.ravel().astype(np.float32)).max() < 2e-7


def test_exp_is_zero_below_and_infinite_above_its_range() -> None:
    assert (apply(_exp, [-87.5, -100.0, -1e30]) == 0).all()
    assert np.isposinf(apply(_exp, [89.0, 1e3, 1e30])).all()


def test_exp_of_zero_is_exactly_one() -> None:
    assert (apply(_exp, [0.0, -0.0]) == 1).all()


def test_exp_never_falls_when_x_rises() -> None:
    """Up to rounding: a step down of at most the stated error."""
    y = apply(_exp, dense(-20.0, 20.0)).astype(np.float64)
    assert (np.diff(y) >= -4e-7 * y[1:]).all()


def test_exp_keeps_nan_and_infinity() -> None:
    # enough numbers that both the vector loop and its remainder see each of them
    x = np.tile(np.array([np.nan, np.inf, -np.inf, 0.0], np.float32), 13)[:-1]
    y = apply(_exp, x)
    assert np.isnan(y[0::4]).all() and np.isposinf(y[1::4]).all()
    assert (y[2::4] == 0).all() and (y[3::4] == 1).all()


@pytest.mark.parametrize("reach", [1e-3, 1.0, 10.0, 100.0])
def test_tanh_has_an_absolute_error_below_3e_7(reach: float) -> None:
    x = dense(-reach, reach)
    error = np.abs(apply(_tanh, x) - np.tanh(x.astype(np.float64)))
    assert error.max() < 3e-7


def test_tanh_keeps_nan_and_infinity() -> None:
    x = np.tile(np.array([np.nan, np.inf, -np.inf, 0.0], np.float32), 13)[:-1]
    y = apply(_tanh, x)
    assert np.isnan(y[0::4]).all() and (y[1::4] == 1).all()
    assert (y[2::4] == -1).all() and (y[3::4] == 0).all()
    assert (apply(_tanh, [1e30, -1e30, 50, -50]) == [1, -1, 1, -1]).all()


def test_tanh_stays_between_minus_one_and_one() -> None:
    assert np.abs(apply(_tanh, dense(-100, 100))).max() <= 1


def relative(got: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    return np.abs(got - wanted) / np.maximum(np.abs(wanted), 1e-30)


def test_erf_has_a_relative_error_below_4e_7() -> None:
    x = np.concatenate([dense(-6, 6, 200_000), dense(-1.001, 1.001, 100_000),
                        np.geomspace(1e-30, 1, 10_000).astype(np.float32)])  # fmt: skip
    wanted = np.array([math.erf(v) for v in x.astype(np.float64).tolist()])
    error = relative(apply(_erf, x), wanted)
    worst = error.argmax()
    assert error.max() < 4e-7, f"erf({x[worst]!r}) is off by {error[worst]:.1e}"
    assert np.array_equal(apply(_erf, -x), -apply(_erf, x))


def test_erf_ends_at_one_and_keeps_nan() -> None:
    got = apply(_erf, [-np.inf, np.inf, 1e30, 0.0, np.nan])
    np.testing.assert_array_equal(got, [-1, 1, 1, 0, np.nan])


def test_log_has_a_relative_error_below_2e_7_over_all_floats() -> None:
    bits = np.arange(
        1, 0x7F800000, 1009, dtype=np.uint32
    )  # every 1009th, denormals too
    near_one = np.linspace(0.5, 2, 1_000_001).astype(np.float32)
    x = np.concatenate([bits.view(np.float32), near_one[near_one != 1]])
    wanted = np.log(x.astype(np.float64))
    error = relative(apply(_log, x), wanted)
    worst = error.argmax()
    assert error.max() < 2e-7, f"log({x[worst]!r}) is off by {error[worst]:.1e}"


def test_log_of_what_has_no_finite_one() -> None:
    got = apply(_log, [0.0, -0.0, -1.0, -np.inf, np.inf, np.nan, 1.0])
    wanted = [-np.inf, -np.inf, np.nan, np.nan, np.inf, np.nan, 0.0]
    np.testing.assert_array_equal(got, wanted)
