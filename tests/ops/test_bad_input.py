"""What kernels cannot use is refused with a reason, or computed rightly: no crash."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from gptlite.ops import kernels, reference
from tests.helpers import assert_near, normal, run_python


def misaligned(*shape: int) -> np.ndarray:
    raw = np.zeros(4 * int(np.prod(shape)) + 1, np.uint8)[1:]
    return raw.view(np.float32).reshape(shape)


def calls(make: Callable[..., np.ndarray]) -> dict[str, Callable[[], None]]:
    """One call of each kind of operation, with arrays from `make`."""
    x = make(4, 6)
    row, losses = make(6), make(4)
    heads = make(2, 4, 1, 6)
    targets, mask = np.zeros(4, int), np.ones(4, bool)
    return {
        "matmul": lambda: kernels.matmul(make(4, 4), x, x.T),
        "linear": lambda: kernels.linear_forward(make(4, 4), x, make(6, 4), make(4)),
        "lora": lambda: kernels.lora_forward(
            make(4, 4), make(4, 2), x, make(6, 2), make(2, 4), 0.5
        ),
        "layernorm": lambda: kernels.layernorm_forward(
            make(4, 6), losses, make(4), x, row, row
        ),
        "gelu": lambda: kernels.gelu_forward(make(4, 6), x),
        "cross entropy": lambda: kernels.cross_entropy_forward(
            losses, x, targets, mask
        ),
        "adamw": lambda: kernels.adamw(
            row, make(6), make(6), make(6), 0.1, 0.9, 0.99, 1e-8, 0.1, 1, 1.0
        ),
        "embedding": lambda: kernels.embedding_forward(
            make(4, 6), targets, targets, x, make(4, 6)
        ),
        "attention": lambda: kernels.attention_forward(
            heads, make(2, 1, 4), heads, heads, heads
        ),
    }  # fmt: skip


NAMES = list(calls(lambda *shape: np.zeros(shape, np.float32)))


@pytest.mark.parametrize("name", NAMES)
def test_a_misaligned_array_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="misaligned"):
        calls(misaligned)[name]()


@pytest.mark.parametrize("M", [1, 3, 4, 9])
def test_a_bias_with_gaps_is_refused(M: int) -> None:
    x, weight, out = (np.ones(s, np.float32) for s in ((M, 6), (6, 4), (M, 4)))
    for bias in (np.ones(8, np.float32)[::2], np.broadcast_to(x[0, 0], (4,))):
        with pytest.raises(ValueError, match="without gaps"):
            kernels.linear_forward(out, x, weight, bias)


@pytest.mark.parametrize("name", NAMES)
def test_another_type_is_refused(name: str) -> None:
    with pytest.raises(TypeError, match="wanted float32"):
        calls(lambda *shape: np.zeros(shape))[name]()


@pytest.mark.parametrize("name", NAMES)
def test_plain_arrays_are_taken(name: str) -> None:
    calls(lambda *shape: np.ones(shape, np.float32))[name]()


def test_outputs_that_are_backward_or_have_gaps_are_written_or_refused() -> None:
    """Never a copy that is written and thrown away."""
    rng = np.random.default_rng(0)
    x = normal(rng, 6, 8)
    want = np.empty_like(x)
    kernels.gelu_forward(want, x)
    for cut in (np.s_[::-1], np.s_[:, ::-1], np.s_[::2], np.s_[:, ::2]):
        out = np.zeros_like(x)
        with pytest.raises(ValueError, match="without gaps"):
            kernels.gelu_forward(out[cut], np.ascontiguousarray(x[cut]))
        with pytest.raises(ValueError, match="without gaps"):
            kernels.gelu_forward(np.ascontiguousarray(out[cut]), x[cut])
        wide = np.zeros((6, 8), np.float32)[cut]
        a, b = (
            normal(np.random.default_rng(1), wide.shape[0], 5),
            x[:5, : wide.shape[1]],
        )
        kernels.matmul(wide, a, b)
        assert_near(wide, a.astype(np.float64) @ b)
    heads = np.zeros((1, 3, 2, 8), np.float32)
    gaps = heads[..., ::2]
    with pytest.raises(ValueError, match="side by side"):
        kernels.attention_forward(
            gaps, np.zeros((1, 2, 3), np.float32), *[gaps.copy()] * 3
        )


def test_sizes_that_do_not_fit_are_refused() -> None:
    x, row, four = (np.zeros(s, np.float32) for s in ((4, 6), (6,), (4,)))
    short, square, ids = row[:5], np.zeros((6, 6), np.float32), np.zeros(4, int)
    y = x.copy()
    for call in (
        lambda: kernels.layernorm_forward(y, four, four.copy(), x, short, None),
        lambda: kernels.layernorm_forward(y, four[:3], four, x, row, None),
        lambda: kernels.gelu_forward(y[:3], x),
        lambda: kernels.gelu_backward(y[:3], x, x),
        lambda: kernels.linear_forward(y, x, square, short),
        lambda: kernels.linear_forward(y, x, square, None, x[:3]),
        lambda: kernels.adamw(row, short, row, row, 0.1, 0.9, 0.9, 1e-8, 0.1, 1, 1.0),
        lambda: kernels.cross_entropy_forward(four[:3], x, ids, np.ones(4, bool)),
        lambda: kernels.embedding_forward(x[:, :5].copy(), ids, ids, x, x),
    ):
        with pytest.raises(ValueError, match="wanted"):
            call()


def test_nothing_at_all_is_computed_without_a_crash() -> None:
    def none(*shape: int) -> np.ndarray:
        return np.zeros(shape, np.float32)

    for N, C in ((0, 6), (0, 1)):
        x, rows = none(N, C), none(N)
        kernels.linear_forward(none(N, 3), x, none(C, 3), None)
        kernels.linear_backward(x.copy(), none(C, 3), None, none(N, 3), x, none(C, 3))
        kernels.layernorm_forward(x.copy(), rows, rows.copy(), x, none(C), None)
        kernels.gelu_forward(x.copy(), x)
        kernels.cross_entropy_forward(rows, x, none(N).astype(int), none(N) > 0)
    q, keys = none(2, 3, 1, 4) + 1, none(2, 0, 1, 4)
    out, lse = q.copy(), none(2, 1, 3)
    kernels.attention_forward(out, lse, q, keys, keys)
    assert (out == 0).all() and np.isneginf(lse).all()
    dq = q.copy()
    kernels.attention_backward(dq, keys, keys, q, out, lse, q, keys, keys)
    assert (dq == 0).all()
    no_queries = none(2, 0, 1, 4)
    dk = q.copy()
    kernels.attention_backward(
        no_queries, dk, q.copy(), no_queries, no_queries, none(2, 1, 0),
        no_queries, q, q,
    )  # fmt: skip
    assert (dk == 0).all()
    kernels.Packed(none(0, 5)).pack()
    kernels.Packed(none(5, 0), "bfloat16").pack()


@pytest.mark.parametrize("ops", [kernels, reference])
def test_what_is_too_large_for_bfloat16_becomes_infinity_and_no_less(
    ops: object,
) -> None:
    largest = np.finfo(np.float32).max  # rounds up to 2^128
    weight = np.array([[largest, 1.0], [1.0, 2.0]], np.float32)
    out = np.zeros((1, 2), np.float32)
    packed = ops.Packed(weight, "bfloat16").pack()
    ops.matmul(out, np.array([[1.0, 1.0]], np.float32), packed)
    assert np.isposinf(out[0, 0]) and out[0, 1] == 3.0
    weight[0, 0] = 1.0
    packed.pack()
    nan = np.array([[np.nan, 1.0]], np.float32)
    ops.matmul(out, nan, packed)
    assert np.isnan(out).all()


def test_features_that_the_processor_lacks_are_an_error_not_a_crash() -> None:
    for feature in ("+nonsense", "+amx-fp8"):
        done = run_python(
            "-c", "import gptlite as gl; gl.kernels", NUMBA_CPU_FEATURES=feature
        )
        assert done.returncode == 1
        assert f"got {feature} in NUMBA_CPU_FEATURES" in done.stderr
