"""Packed weights: the same products; bfloat16 equals products of rounded numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from gptlite.errors import ConfigError
from gptlite.ops import kernels
from gptlite.ops.kernels.matmul import product
from gptlite.ops.kernels.packing import PAIRED, narrow, to_bfloat16, words
from gptlite.ops.kernels.weights import Packed
from tests.helpers import assert_near, normal

SIZES = st.sampled_from([1, 2, 5, 7, 16, 17, 33, 65, 97])
SEEDS = st.integers(0, 2**32 - 1)


def rounded(x: np.ndarray) -> np.ndarray:
    """Round to nearest even at 8 bits of mantissa, by float64 arithmetic."""
    mantissa, exponent = np.frexp(x.astype(np.float64))
    return np.ldexp(np.rint(mantissa * 256), exponent - 8)


@given(SIZES, SIZES, SIZES, SEEDS)
def test_a_packed_weight_gives_the_same_product(
    M: int, K: int, N: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x, y, weight = normal(rng, M, K), normal(rng, M, N), normal(rng, K, N)
    packed, wide = Packed(weight).pack(), weight.astype(np.float64)
    out, back = normal(rng, M, N), normal(rng, M, K)
    kernels.matmul(out, x, packed)
    kernels.matmul(back, y, packed.T)
    assert_near(out, x @ wide, 1e-5, "forward", 1.0)
    assert_near(back, y @ wide.T, 1e-5, "transposed", 1.0)


@pytest.mark.parametrize("shape", [(3, 385, 1030), (200, 800, 70), (7, 1100, 1025)])
def test_a_packed_weight_of_several_blocks(shape: tuple) -> None:
    rng = np.random.default_rng(0)
    M, K, N = shape
    x, weight = normal(rng, M, K), normal(rng, K, N)
    for dtype, round_to in (("float32", np.float64), ("bfloat16", rounded)):
        out, start = normal(rng, M, N), normal(rng, M, N)
        product(out, x, Packed(weight, dtype).pack(), start=start)
        assert_near(out, start + round_to(x) @ round_to(weight), 1e-5)


@given(SIZES, SIZES, SIZES, SEEDS)
def test_bfloat16_products_are_products_of_rounded_numbers(
    M: int, K: int, N: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    out, x, w = normal(rng, M, N), normal(rng, M, K), normal(rng, K, N)
    wanted = rounded(x) @ rounded(w)
    for a in (x, np.asfortranarray(x)):
        for b in (w, np.asfortranarray(w), Packed(w, "bfloat16").pack()):
            product(out, a, b, bfloat16=True)
            assert_near(out, wanted, 1e-5, "product", 1.0)


def test_rounding_to_bfloat16_keeps_what_is_special() -> None:
    largest = np.float32(np.finfo(np.float32).max)
    x = np.array([np.inf, -np.inf, np.nan, largest, -0.0, 1.00390625], np.float32)
    words = np.array([_compiled(v) for v in x], np.int32).view(np.float32)
    assert np.isposinf(words[0]) and np.isneginf(words[1]) and np.isnan(words[2])
    assert np.isposinf(words[3])  # nearer to 2^128 than to the last bfloat16
    assert words[4] == 0 and np.signbit(words[4])
    assert words[5] == 1.0  # a tie goes to the even neighbour


def test_the_instruction_rounds_as_the_emulation_does() -> None:
    """Every upper half of a float, with lower halves at, below and above a tie."""
    high = np.arange(2**16, dtype=np.uint32)[:, None] << 16
    bits = high | np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF], np.uint32)
    x = np.ascontiguousarray(bits.reshape(-1, 64)).view(np.float32)
    wanted = np.array([[_compiled(v) for v in row] for row in x], np.int32)
    for read in (x, np.asfortranarray(x)):  # along the words, and across them
        size = words(64)
        out = np.empty(size * len(x), np.float32)
        narrow(out, read)
        turned = out.reshape(len(x), size) if read is x else out.reshape(size, -1).T
        raw = np.ascontiguousarray(turned).view(np.uint32)
        if PAIRED == 2:  # two in a word, the first one below
            raw = np.stack([raw << 16, raw & 0xFFFF0000], axis=-1).reshape(x.shape)
        got = raw.astype(np.uint32).view(np.int32)
        np.testing.assert_array_equal(got, wanted)


@njit
def _compiled(x):  # type: ignore[no-untyped-def]
    return to_bfloat16(x)


def test_an_unknown_dtype_is_named() -> None:
    with pytest.raises(ConfigError, match="float16"):
        Packed(np.ones((2, 2), np.float32), "float16")
