"""Weights that float16 holds exactly are read as that, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gptlite as gl
from gptlite.models.generate import Decoder
from gptlite.models.weights import DecodingWeights
from gptlite.ops import kernels
from gptlite.ops.kernels.halves import Halves, halves_of
from gptlite.ops.kernels.processor import HALVES
from tests.helpers import normal

pytestmark = pytest.mark.skipif(not HALVES, reason="needs float16 instructions")


def through_float16(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float16).astype(np.float32)


def halves(x: np.ndarray) -> Halves:
    found = halves_of(x)
    assert found is not None
    return found


def test_every_float16_is_held_and_nothing_between_two_of_them() -> None:
    every = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float32)
    numbers = every[~np.isnan(every)][None]  # subnormals and infinity among them
    assert (halves(numbers).bits.view(np.float16) == numbers).all()
    finite = np.sort(numbers[np.isfinite(numbers)])
    between = np.nextafter(finite, np.float32(np.inf))
    assert all(halves_of(np.array([[x]])) is None for x in between[::97])
    for special in (np.nan, 65520.0, 1e-8):
        assert halves_of(np.array([[special]], np.float32)) is None


@given(st.integers(1, 6), st.integers(1, 70), st.integers(1, 70), st.booleans(),
       st.integers(0, 2**32 - 1))  # fmt: skip
def test_products_are_those_of_the_matrix(
    M: int, K: int, N: int, turned: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x, columns = normal(rng, M, K), through_float16(normal(rng, N, K))
    weight = columns.T if turned else np.ascontiguousarray(columns.T)
    half, out = halves(weight), np.empty((M, N), np.float32)
    assert (half.bits.view(np.float16) == weight).all()
    wanted = np.empty_like(out)
    kernels.linear_forward(wanted, x, columns.T, None)
    kernels.linear_forward(out, x, half, None)
    assert (out == wanted).all()  # to the bit: the same columns in the same order
    turned_out = np.empty((N, M), np.float32)
    kernels.matmul(turned_out.T, x, half)
    np.testing.assert_allclose(turned_out.T, wanted, rtol=1e-5, atol=1e-5)


def test_a_model_stored_as_float16_decodes_to_the_same_numbers() -> None:
    config = gl.GPTConfig(n_layer=2, n_head=2, n_embd=32, vocab_size=50)
    model = gl.GPT(config)
    model.params.flat[...] = through_float16(model.params.flat)
    decoder = Decoder(model, 50, [[1, 2, 3]])
    plain = Decoder(model, 50, [[1, 2, 3]])
    assert isinstance(decoder.weights.layers[1].fc_weight, Halves)
    plain.weights = model.params  # type: ignore[assignment]
    for token in range(5):
        for d in (decoder, plain):
            d.append(np.array([token]))
        np.testing.assert_allclose(decoder.logits, plain.logits, atol=1e-6)


def test_trained_weights_are_read_as_they_are() -> None:
    model = gl.GPT(gl.GPTConfig(n_layer=1, n_head=2, n_embd=16, vocab_size=50))
    weights = DecodingWeights(model)
    assert weights.token_embedding.base is model.params.flat
    assert weights.layers[0].qkv_weight is model.params.layers[0].qkv_weight


def test_many_rows_share_packed_weights_and_get_the_same_bits() -> None:
    model = gl.GPT(gl.GPTConfig(n_layer=2, n_head=2, n_embd=16, vocab_size=50))
    packed, prompts = DecodingWeights(model, 9), [[i, 2 * i] for i in range(9)]
    assert isinstance(packed.layers[1].fc_weight, kernels.Packed)
    ours, plain = Decoder(model, 50, prompts, packed), Decoder(model, 50, prompts)
    plain.weights = model.params  # type: ignore[assignment]
    for token in range(5):
        for d in (ours, plain):
            d.append(np.full(9, token))
        assert (ours.logits == plain.logits).all()
