"""Attention: kernel and reference agree, and both see what they should see."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gptlite.ops import kernels, reference
from tests.helpers import assert_near, assert_same_bits, normal

BACKENDS = pytest.mark.parametrize("ops", [reference, kernels], ids=["ref", "kernel"])


def forward(ops: ModuleType, q: Any, k: Any, v: Any, **options: Any) -> tuple:
    B, Tq, H, _ = q.shape
    out = np.full(q.shape, np.nan, q.dtype)
    lse = np.full((B, H, Tq), np.nan, q.dtype)
    ops.attention_forward(out, lse, q, k, v, **options)
    return out, lse


def backward(
    ops: ModuleType, dout: Any, q: Any, k: Any, v: Any, **options: Any
) -> list:
    out, lse = forward(ops, q, k, v, **options)
    d = [np.full(x.shape, np.nan, x.dtype) for x in (q, k, v)]
    ops.attention_backward(*d, dout, out, lse, q, k, v, **options)
    return d


def wide(*arrays: np.ndarray) -> list[np.ndarray]:
    return [x.astype(np.float64) for x in arrays]


def check_kernel(B: int, Tq: int, more: int, Hkv: int, G: int, D: int, offsets: bool,
                 segments: bool, prefix: bool, seed: int) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    Tk, H = Tq + more, Hkv * G
    q, dout = normal(rng, 2, B, Tq, H, D)
    k, v = normal(rng, 2, B, Tk, Hkv, D)
    options = {}
    if offsets:
        options["offsets"] = rng.integers(0, more + 1, B)
    if segments:
        options["q_segments"] = np.sort(rng.integers(0, 3, (B, Tq)))
        options["k_segments"] = np.sort(rng.integers(0, 3, (B, Tk)))
    if prefix:
        options["prefix"] = rng.integers(0, Tk + 1, B)
    out, lse = forward(kernels, q, k, v, **options)
    with np.errstate(invalid="ignore"):  # see …sees_nothing… below
        wanted, wanted_lse = forward(reference, *wide(q, k, v), **options)
        theirs = backward(reference, *wide(dout, q, k, v), **options)
    assert_near(out, wanted, 1e-5, "out")
    # a query that sees nothing: minus infinity on both sides
    assert ((lse == -np.inf) == (wanted_lse == -np.inf)).all()
    seen = np.isfinite(wanted_lse)
    assert_near(lse[seen], wanted_lse[seen], 1e-5, "lse")
    ours = backward(kernels, dout, q, k, v, **options)
    scale = max(np.abs(x).max() for x in theirs)
    for name, a, b in zip(("dq", "dk", "dv"), ours, theirs, strict=True):
        # one key per query: dq and dk are 0 but for rounding, hence the common scale
        assert np.isfinite(a).all()
        assert np.abs(a - b).max() <= 1e-5 * scale, name


SHAPES = st.tuples(  # B, Tq, keys more than queries, Hkv, G, D
    st.integers(1, 3), st.integers(1, 70), st.integers(0, 20),
    st.integers(1, 3), st.integers(1, 3), st.integers(1, 40),
)  # fmt: skip
MASKS = st.tuples(st.booleans(), st.booleans(), st.booleans())


@given(SHAPES, MASKS, st.integers(0, 2**32 - 1))
@example((2, 130, 0, 2, 1, 16), (False, False, False), 0)  # three stripes of 64
@example((2, 129, 70, 2, 2, 8), (True, True, True), 1)
@example((3, 64, 64, 1, 4, 32), (True, False, False), 2)
@example((1, 1, 99, 3, 1, 7), (True, False, False), 3)  # decoding
@example((3, 2, 40, 2, 2, 16), (True, True, True), 6)
@example((2, 3, 9, 1, 2, 33), (False, True, False), 7)
@example((70, 64, 0, 8, 1, 4), (False, False, False), 4)  # rows in several blocks
@example((2, 200, 0, 3, 1, 5), (False, True, True), 5)
def test_attention_kernel_equals_its_reference(
    shape: tuple, masks: tuple, seed: int
) -> None:
    check_kernel(*shape, *masks, seed)


@pytest.mark.parametrize("T", [5, 65, 150])
def test_attention_kernel_takes_the_model_s_views(
    T: int, rng: np.random.Generator
) -> None:
    """q, k, v and their gradients are strided views on one array, as in the GPT."""
    B, H, D = 3, 2, 8
    qkv, dout = normal(rng, B, T, 3 * H * D), normal(rng, B, T, H * D)
    dqkv = np.full_like(qkv, np.nan)
    whole = np.full((B, T, H * D), np.nan, np.float32)
    q, k, v = (x.reshape(B, T, H, D) for x in np.split(qkv, 3, axis=-1))
    dq, dk, dv = (x.reshape(B, T, H, D) for x in np.split(dqkv, 3, axis=-1))
    assert all(np.shares_memory(x, dqkv) for x in (dq, dk, dv))
    out, lse = whole.reshape(B, T, H, D), np.empty((B, H, T), np.float32)
    d4 = dout.reshape(B, T, H, D)
    kernels.attention_forward(out, lse, q, k, v)
    kernels.attention_backward(dq, dk, dv, d4, out, lse, q, k, v)
    assert_near(whole.reshape(B, T, H, D), forward(reference, *wide(q, k, v))[0])
    theirs = backward(reference, *wide(d4, q, k, v))
    for part, wanted in zip(np.split(dqkv, 3, axis=-1), theirs, strict=True):
        assert_near(part.reshape(B, T, H, D), wanted)


@BACKENDS
def test_a_query_does_not_see_the_future(
    ops: ModuleType, rng: np.random.Generator
) -> None:
    q, k, v = normal(rng, 3, 2, 100, 2, 4)
    before = forward(ops, q, k, v)[0][:, :70].copy()
    k[:, 70:], v[:, 70:] = normal(rng, 2, 2, 30, 2, 4)
    after = forward(ops, q, k, v)[0][:, :70]
    # the shape of a product may change with the stripe, its order of sums with it
    assert_near(after, before, 1e-6)


@BACKENDS
def test_what_is_hidden_gets_no_gradient(
    ops: ModuleType, rng: np.random.Generator
) -> None:
    q, k, v = normal(rng, 3, 1, 80, 2, 4)
    dout = normal(rng, 1, 80, 2, 4)
    dout[:, 30:] = 0  # only the first 30 queries count
    dq, dk, dv = backward(ops, dout, q, k, v)
    assert (dq[:, 30:] == 0).all()
    assert (dk[:, 30:] == 0).all() and (dv[:, 30:] == 0).all()
    assert dk[:, :30].any() and dv[:, :30].any()


@BACKENDS
def test_offsets_are_the_rows_of_the_whole(
    ops: ModuleType, rng: np.random.Generator
) -> None:
    """The last queries with an offset give what they give in one long call."""
    q, k, v = normal(rng, 3, 2, 90, 2, 4)
    whole, lse = forward(ops, q, k, v)
    part, part_lse = forward(ops, q[:, 60:], k, v, offsets=np.full(2, 60))
    assert_near(part, whole[:, 60:], 1e-6)
    assert_near(part_lse, lse[:, :, 60:], 1e-6)


@BACKENDS
def test_rows_of_a_batch_may_have_different_offsets(
    ops: ModuleType, rng: np.random.Generator
) -> None:
    q, (k, v) = normal(rng, 3, 2, 2, 4), normal(rng, 2, 3, 40, 2, 4)
    offsets = np.array([0, 17, 38])
    together = forward(ops, q, k, v, offsets=offsets)[0]
    for b, offset in enumerate(offsets):
        row = slice(b, b + 1)
        keys = slice(0, offset + 2)  # all that this row may see
        alone = forward(
            ops, q[row], k[row, keys], v[row, keys], offsets=np.array([offset])
        )[0]
        assert_near(together[row], alone, 1e-6)


@BACKENDS
def test_segments_do_not_see_one_another(
    ops: ModuleType, rng: np.random.Generator
) -> None:
    q, k, v = normal(rng, 3, 1, 100, 2, 4)
    cut = 37
    segments = (np.arange(100) >= cut).astype(np.int64)[None]
    packed = forward(ops, q, k, v, q_segments=segments, k_segments=segments)[0]
    for part in (slice(0, cut), slice(cut, 100)):
        alone = forward(ops, q[:, part], k[:, part], v[:, part])[0]
        assert_near(packed[:, part], alone, 1e-6)


@BACKENDS
def test_a_prefix_is_seen_by_every_query(
    ops: ModuleType, rng: np.random.Generator
) -> None:
    q, k, v = normal(rng, 3, 1, 9, 1, 4)
    out = forward(ops, q, k, v, prefix=np.array([5]))[0]
    scores = (q[0, :, 0] @ k[0, :, 0].T / 2).astype(np.float64)
    visible = (np.arange(9) <= np.arange(9)[:, None]) | (np.arange(9) < 5)
    weights = np.exp(scores) * visible
    weights /= weights.sum(axis=1, keepdims=True)
    assert_near(out[0, :, 0], weights @ v[0, :, 0])


@BACKENDS
def test_grouped_heads_equal_repeated_key_heads(
    ops: ModuleType, rng: np.random.Generator
) -> None:
    q, dout = normal(rng, 2, 2, 70, 6, 4)
    k, v = normal(rng, 2, 2, 70, 2, 4)
    all_k, all_v = np.repeat(k, 3, axis=2), np.repeat(v, 3, axis=2)
    assert_near(forward(ops, q, k, v)[0], forward(ops, q, all_k, all_v)[0], 1e-6)
    dq, dk, dv = backward(ops, dout, q, k, v)
    dq_all, dk_all, dv_all = backward(ops, dout, q, all_k, all_v)
    assert_near(dq, dq_all, 1e-5)
    assert_near(dk, dk_all.reshape(2, 70, 2, 3, 4).sum(axis=3), 1e-5)
    assert_near(dv, dv_all.reshape(2, 70, 2, 3, 4).sum(axis=3), 1e-5)


@BACKENDS
def test_a_query_that_sees_nothing_gets_zeros_and_gives_no_gradient(
    ops: ModuleType, rng: np.random.Generator
) -> None:
    q, k, v = normal(rng, 3, 1, 3, 1, 4)
    dout = normal(rng, 1, 3, 1, 4)
    options = {"q_segments": np.array([[0, 9, 0]]), "k_segments": np.array([[0, 0, 0]])}
    out, lse = forward(ops, q, k, v, **options)
    assert (out[0, 1] == 0).all() and lse[0, 0, 1] == -np.inf
    assert np.isfinite(out).all()
    d = backward(ops, dout, q, k, v, **options)
    assert all(np.isfinite(x).all() for x in d)
    assert (d[0][0, 1] == 0).all()


@pytest.mark.parametrize("Tq", [1, 3, 4])
def test_a_negative_prefix_lets_nothing_be_seen(
    Tq: int, rng: np.random.Generator
) -> None:
    q, k, v = normal(rng, 3, 1, Tq, 2, 4)
    before, nothing = np.array([-9]), np.array([-2])
    out, lse = forward(kernels, q, k, v, offsets=before, prefix=nothing)
    assert (out == 0).all() and (lse == -np.inf).all()


@BACKENDS
def test_the_weights_of_a_row_sum_to_one(
    ops: ModuleType, rng: np.random.Generator
) -> None:
    q, k = normal(rng, 2, 2, 75, 2, 8) * np.float32(5)
    out = forward(ops, q, k, np.ones_like(k))[0]
    assert_near(out, np.ones_like(out), 1e-5)


@BACKENDS
def test_scores_of_a_hundred_thousand_do_not_overflow(
    ops: ModuleType, rng: np.random.Generator
) -> None:
    q, k, v = normal(rng, 3, 1, 9, 1, 4)
    out, lse = forward(ops, q * np.float32(300), k * np.float32(300), v)
    assert np.isfinite(out).all() and np.isfinite(lse).all()
    assert np.abs(lse).max() > 1e4


def test_the_kernel_gives_the_same_bits_again(rng: np.random.Generator) -> None:
    q, k, v = normal(rng, 3, 2, 130, 2, 4)
    dout = normal(rng, 2, 130, 2, 4)
    first, second = (backward(kernels, dout, q, k, v) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert_same_bits(a, b)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1, 1), (2, 5, 2, 2, 3), (2, 67, 4, 2, 20)])
def test_the_kernel_writes_its_outputs_and_nothing_around_them(shape: tuple) -> None:
    """Its loops work on addresses: a tile too many would be foreign memory."""
    B, T, H, Hkv, D = shape
    rng, sentinel = np.random.default_rng(0), np.float32(12345)
    q, dout = normal(rng, 2, B, T, H, D)
    k, v = normal(rng, 2, B, T, Hkv, D)

    def window(*shape: int) -> tuple[np.ndarray, np.ndarray]:
        around = np.full([n + 2 for n in shape[:-1]] + [shape[-1] + 40], sentinel)
        inner = around[tuple(slice(1, 1 + n) for n in shape[:-1])]
        return around, inner[..., 20 : 20 + shape[-1]]

    outer, inner = zip(
        *(window(*s) for s in (q.shape, (B, H, T), q.shape, k.shape, v.shape)),
        strict=True,
    )
    out, lse, *d = inner
    kernels.attention_forward(out, lse, q, k, v)
    kernels.attention_backward(*d, dout, out, lse, q, k, v)
    theirs = backward(reference, *wide(dout, q, k, v))
    scale = max(np.abs(x).max() for x in theirs)
    for ours, wanted in zip(d, theirs, strict=True):
        assert_near(ours, wanted, scale=scale)
    for around, x in zip(outer, inner, strict=True):
        assert not (x == sentinel).any()
        x[...] = sentinel
        assert (around == sentinel).all()


@BACKENDS
def test_the_inputs_may_be_read_only(ops: ModuleType, rng: np.random.Generator) -> None:
    q, k, v = normal(rng, 3, 1, 9, 2, 4)
    wanted = forward(ops, q, k, v)[0]
    for x in (q, k, v):
        x.flags.writeable = False
    assert_same_bits(forward(ops, q, k, v)[0], wanted)


BAD_SHAPES = {
    "heads that do not divide": ((1, 4, 4, 8), (1, 4, 3, 8)),
    "another batch": ((2, 4, 2, 8), (1, 4, 2, 8)),
    "another head size": ((1, 4, 2, 6), (1, 4, 2, 8)),
    "fewer heads than key heads": ((1, 4, 2, 8), (1, 4, 4, 8)),
}


@pytest.mark.parametrize("name", BAD_SHAPES)
def test_kernels_refuse_what_would_read_foreign_memory(name: str) -> None:
    q_shape, k_shape = BAD_SHAPES[name]
    q, k = np.ones(q_shape, np.float32), np.ones(k_shape, np.float32)
    B, Tq, H, _ = q_shape
    lse = np.ones((B, H, Tq), np.float32)
    with pytest.raises(ValueError, match="wanted q"):
        kernels.attention_forward(q.copy(), lse, q, k, k)
    with pytest.raises(ValueError, match="wanted q"):
        kernels.attention_backward(q.copy(), k.copy(), k.copy(), q, q, lse, q, k, k)


def test_kernels_say_that_they_want_float32() -> None:
    q = np.ones((1, 4, 2, 8))
    with pytest.raises(TypeError, match="float32"):
        kernels.attention_forward(q.copy(), np.ones((1, 2, 4)), q, q, q)
    with pytest.raises(TypeError, match="float32"):
        kernels.matmul(np.ones((2, 2)), np.ones((2, 2)), np.ones((2, 2)))


def test_offsets_must_be_one_a_row() -> None:
    q = np.ones((3, 4, 2, 8), np.float32)
    lse = np.ones((3, 2, 4), np.float32)
    with pytest.raises(ValueError, match="offsets"):
        kernels.attention_forward(q.copy(), lse, q, q, q, np.zeros(1, np.int64))
