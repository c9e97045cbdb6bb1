"""Every kernel equals its reference: float32, 1e-5 of the largest magnitude.

The reference runs in float64 on the same numbers, so that the whole error is the
kernel's. Sizes are odd on purpose: loops in strides of 8, 16 or 64 have remainders.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptlite.ops import kernels, reference
from tests.helpers import assert_near, assert_same_bits, normal

SIZES = st.integers(1, 70)
SEEDS = st.integers(0, 2**32 - 1)
SENTINEL = np.float32(12345.0)


def both(
    name: str, outputs: list, inputs: list, *constants: Any, **options: Any
) -> None:
    """Run `name` on both sides; the outputs (in place) must be equal."""
    ours = [None if x is None else x.copy() for x in outputs]
    theirs = [None if x is None else x.astype(np.float64) for x in outputs]
    wide = [
        x.astype(np.float64)
        if isinstance(x, np.ndarray) and x.dtype == np.float32
        else x
        for x in inputs
    ]
    getattr(kernels, name)(*ours, *inputs, *constants, **options)
    getattr(reference, name)(*theirs, *wide, *constants, **options)
    for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        if a is not None and b is not None:
            assert a.dtype == np.float32
            # sums of products of numbers of size 1: where they cancel, the error is
            # measured on the scale of a single product
            scale = (
                1.0 if name in ("matmul", "linear_forward", "linear_backward") else 0
            )
            assert_near(a, b, 1e-5, f"{name}, output {i}", scale)


def strided(rng: np.random.Generator, rows: int, cols: int, way: str) -> np.ndarray:
    """A (rows, cols) view: whole, transposed, or a window of something larger."""
    if way == "transposed":
        return normal(rng, cols, rows).T
    if way == "window":
        return normal(rng, rows + 3, cols + 5)[2 : 2 + rows, 3 : 3 + cols]
    if way == "transposed window":
        return normal(rng, cols + 4, rows + 7)[1 : 1 + cols, 5 : 5 + rows].T
    return normal(rng, rows, cols)


WAYS = st.sampled_from(["whole", "transposed", "window", "transposed window"])


@given(SIZES, SIZES, SIZES, WAYS, WAYS, WAYS, st.booleans(), SEEDS)
def test_matmul_equals_its_reference_on_any_strides(
    M: int, K: int, N: int, a_way: str, b_way: str, out_way: str, add: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    a, b = strided(rng, M, K, a_way), strided(rng, K, N, b_way)
    out = strided(rng, M, N, out_way)
    wanted = a.astype(np.float64) @ b.astype(np.float64) + (out if add else 0)
    kernels.matmul(out, a, b, accumulate=add)
    assert_near(out, wanted)


@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize(
    "shape",
    [
        (1, 1, 1),
        (5, 383, 17),
        (3, 385, 513),
        (130, 800, 7),
        (4, 3, 1100),
        (257, 64, 255),
    ],
)
def test_matmul_equals_its_reference_across_block_borders(
    shape: tuple, add: bool
) -> None:
    rng = np.random.default_rng(1)
    M, K, N = shape
    for a, b in (
        (normal(rng, M, K), normal(rng, K, N)),
        (normal(rng, K, M).T, normal(rng, K, N)),
        (normal(rng, M, K), normal(rng, N, K).T),
        (normal(rng, K, M).T, normal(rng, N, K).T),
    ):
        out = normal(rng, M, N)
        wanted = a.astype(np.float64) @ b.astype(np.float64) + (out if add else 0)
        kernels.matmul(out, a, b, accumulate=add)
        assert_near(out, wanted)


@given(SIZES, SIZES, SIZES, st.booleans(), SEEDS)
def test_matmul_writes_its_window_and_nothing_around_it(
    M: int, K: int, N: int, transposed: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    around = np.full((M + 4, N + 40) if not transposed else (N + 40, M + 4), SENTINEL)
    view = around.T if transposed else around
    out = view[2 : 2 + M, 16 : 16 + N]
    a, b = normal(rng, M, K), normal(rng, K, N)
    kernels.matmul(out, a, b)
    assert_near(out, a.astype(np.float64) @ b)
    out[...] = SENTINEL
    assert (around == SENTINEL).all()


def test_matmul_overwrites_whatever_was_there(rng: np.random.Generator) -> None:
    a, b = normal(rng, 9, 21), normal(rng, 21, 33)
    out = np.full((9, 33), np.nan, np.float32)
    kernels.matmul(out, a, b)
    assert_near(out, a.astype(np.float64) @ b)


@pytest.mark.parametrize("add", [False, True])
def test_a_product_over_nothing_is_zero(add: bool) -> None:
    for module in (kernels, reference):
        out = np.ones((2, 3), np.float32)
        a, b = np.ones((2, 0), np.float32), np.ones((0, 3), np.float32)
        module.matmul(out, a, b, accumulate=add)
        assert (out == (1 if add else 0)).all()


@pytest.mark.parametrize("shape", [(0, 3, 2), (2, 3, 0)])
def test_an_empty_product_changes_nothing(shape: tuple) -> None:
    M, K, N = shape
    for module in (kernels, reference):
        out = np.ones((M, N), np.float32)
        module.matmul(out, np.ones((M, K), np.float32), np.ones((K, N), np.float32))
        assert out.shape == (M, N)


@given(st.integers(1, 4), SIZES, SIZES, SIZES, st.booleans(), SEEDS)
def test_matmul_of_stacks_equals_its_reference(
    S: int, M: int, K: int, N: int, add: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    both("matmul", [normal(rng, S, 2, M, N)],
         [normal(rng, S, 2, M, K), normal(rng, S, 2, N, K).swapaxes(-1, -2)],
         accumulate=add)  # fmt: skip


@given(SIZES, SIZES, SIZES, st.booleans(), st.booleans(), SEEDS)
def test_linear_equals_its_reference(
    N: int, C_in: int, C_out: int, bias: bool, residual: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    inp, dout = normal(rng, 2, N, C_in), normal(rng, 2, N, C_out)
    weight, b = normal(rng, C_in, C_out), normal(rng, C_out) if bias else None
    stream = normal(rng, 2, N, C_out) if residual else None
    both("linear_forward", [normal(rng, 2, N, C_out)], [inp, weight, b, stream])
    d = [normal(rng, 2, N, C_in), normal(rng, C_in, C_out),
         normal(rng, C_out) if bias else None]  # fmt: skip
    both("linear_backward", d, [dout, inp, weight])
    both("linear_backward", d, [dout, inp, weight], accumulate=False)


@given(SIZES, SIZES, SIZES, st.integers(1, 20), SEEDS)
def test_lora_equals_its_reference(
    N: int, C_in: int, C_out: int, r: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    inp, a, b = normal(rng, 2, N, C_in), normal(rng, C_in, r), normal(rng, r, C_out)
    (out, dout), low = normal(rng, 2, 2, N, C_out), normal(rng, 2, N, r)
    both("lora_forward", [out, low], [inp, a, b], 0.5)
    d = [normal(rng, 2, N, C_in), normal(rng, C_in, r), normal(rng, r, C_out),
         normal(rng, 2, N, r)]  # fmt: skip
    both("lora_backward", d, [dout, low, inp, a, b], 0.5)
    apart, same = [x.copy() for x in d], [*(x.copy() for x in d[:3]), low.copy()]
    kernels.lora_backward(*apart, dout, low, inp, a, b, 0.5)
    kernels.lora_backward(*same, dout, same[3], inp, a, b, 0.5)  # dlow is low itself
    for x, y in zip(apart, same, strict=True):
        assert_same_bits(x, y)


@given(st.integers(1, 5), SIZES, SIZES, SIZES, SEEDS)
def test_embedding_equals_its_reference(
    B: int, T: int, C: int, V: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, V, (B, T))
    positions = np.arange(T) + rng.integers(0, 5, (B, 1))
    tables = [normal(rng, V, C), normal(rng, T + 5, C)]
    both("embedding_forward", [normal(rng, B, T, C)], [ids, positions, *tables])
    both("embedding_backward", tables, [normal(rng, B, T, C), ids, positions])


@given(st.integers(1, 5), SIZES, SIZES, st.booleans(), SEEDS)
def test_layernorm_equals_its_reference(
    B: int, T: int, C: int, bias: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    # rows of one channel have variance 0: 1/sqrt(1e-5), and an output of exactly bias
    inp, weight = normal(rng, B, T, C) + normal(rng, B, T, 1), normal(rng, C)
    b = normal(rng, C) if bias else None
    out, mean, rstd = normal(rng, B, T, C), normal(rng, B, T), normal(rng, B, T)
    if C > 1:
        both("layernorm_forward", [out, mean, rstd], [inp, weight, b])
    kernels.layernorm_forward(out, mean, rstd, inp, weight, b)
    d = [normal(rng, B, T, C), normal(rng, C), normal(rng, C) if bias else None]
    both("layernorm_backward", d, [normal(rng, B, T, C), inp, weight, mean, rstd])


def test_layernorm_of_a_constant_row_is_the_bias() -> None:
    for module in (kernels, reference):
        out, mean, rstd = np.ones((3, 4, 8)), np.ones((3, 4)), np.ones((3, 4))
        out, mean, rstd = (x.astype(np.float32) for x in (out, mean, rstd))
        inp, weight = np.full((3, 4, 8), 7, np.float32), np.ones(8, np.float32)
        bias = np.arange(8, dtype=np.float32)
        module.layernorm_forward(out, mean, rstd, inp, weight, bias)
        assert (out == bias).all() and (mean == 7).all()


def test_layernorm_keeps_its_precision_far_from_zero(rng: np.random.Generator) -> None:
    """Squares of large numbers must not cancel: the variance is that of x − mean."""
    inp = normal(rng, 4, 64) + np.float32(1000)
    out, mean, rstd = (
        np.empty_like(inp),
        np.empty(4, np.float32),
        np.empty(4, np.float32),
    )
    kernels.layernorm_forward(out, mean, rstd, inp, np.ones(64, np.float32), None)
    wide = inp.astype(np.float64)
    wanted = (wide - wide.mean(-1, keepdims=True)) / wide.std(-1, keepdims=True)
    assert_near(out, wanted, 1e-3)  # 1000 in float32 has steps of 6e-5


@pytest.mark.parametrize("form", ["gelu", "gelu_exact"])
@given(SIZES, SIZES, st.sampled_from([0.01, 1.0, 5.0]), SEEDS)
def test_gelu_equals_its_reference(
    form: str, N: int, C: int, size: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    inp, dout = normal(rng, N, C) * np.float32(size), normal(rng, N, C)
    both(f"{form}_forward", [normal(rng, N, C)], [inp])
    both(f"{form}_backward", [normal(rng, N, C)], [dout, inp])
    grad = dout.copy()  # in place: dinp and dout may be the same array
    getattr(kernels, f"{form}_backward")(grad, grad, inp)
    apart = np.empty_like(dout)
    getattr(kernels, f"{form}_backward")(apart, dout, inp)
    assert_same_bits(grad, apart)


@given(SIZES, SIZES, st.sampled_from([0.1, 1.0, 30.0]), st.integers(0, 3), SEEDS)
def test_cross_entropy_equals_its_reference(
    N: int, V: int, size: float, masked: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    logits = normal(rng, N, V) * np.float32(size)
    targets, mask = rng.integers(0, V, N), rng.random(N) >= masked / 3
    targets[~mask] = -100  # any integer
    if V > 1 or not mask.any():  # with one token the loss is rounding noise around 0
        both("cross_entropy_forward", [normal(rng, N)], [logits, targets, mask])
        both("cross_entropy_forward_backward", [normal(rng, N), normal(rng, N, V)],
             [logits, targets, mask])  # fmt: skip
    losses, apart, same = normal(rng, N), normal(rng, N, V), logits.copy()
    kernels.cross_entropy_forward_backward(losses, apart, logits, targets, mask)
    kernels.cross_entropy_forward_backward(losses, same, same, targets, mask)
    assert_same_bits(apart, same)
    assert (same[~mask] == 0).all() and (losses[~mask] == 0).all()


@given(SIZES, SIZES, st.integers(2, 70), st.integers(1, 80), st.booleans(), SEEDS)
def test_linear_cross_entropy_equals_its_reference_however_many_rows_at_a_time(
    N: int, C: int, V: int, R: int, turned: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    inp, weight = normal(rng, N, C), normal(rng, C, V)
    targets, mask = rng.integers(0, V, N), rng.random(N) > 0.2
    losses, dinp, dweight = normal(rng, N), normal(rng, N, C), normal(rng, C, V)
    if turned:  # as with the embedding: its transpose is the weight
        weight, dweight = normal(rng, V, C).T, normal(rng, V, C).T
    before = dweight.copy()
    numbers = inp, weight, targets, mask
    wide = inp.astype(np.float64), weight.astype(np.float64), targets, mask
    wanted = [x.astype(np.float64) for x in (losses, dinp, dweight)]
    room = np.full((R, V), np.nan, np.float32)
    kernels.linear_cross_entropy_forward(losses, room, *numbers)
    reference.linear_cross_entropy_forward(wanted[0], room, *wide)
    assert_near(losses, wanted[0], 1e-5, "losses alone", 1.0)
    kernels.linear_cross_entropy_forward_backward(losses, dinp, dweight, room, *numbers)
    reference.linear_cross_entropy_forward_backward(*wanted, room, *wide)
    for name, x, y in zip(("losses", "dinp", "dweight"), (losses, dinp, dweight),
                          wanted, strict=True):  # fmt: skip
        assert_near(x, y, 1e-5, name, 1.0)
    frozen = np.empty_like(dinp)
    kernels.linear_cross_entropy_forward_backward(losses, frozen, None, room, *numbers)
    assert_same_bits(frozen, dinp)
    assert mask.any() == bool((before != dweight).any())


@given(SIZES, SIZES, st.integers(2, 70), st.integers(1, 80), st.booleans(), SEEDS)
def test_log_probabilities_equal_their_reference_however_many_rows_at_a_time(
    N: int, C: int, V: int, R: int, turned: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    inp, weight = normal(rng, N, C), normal(rng, C, V)
    targets, slopes = rng.integers(0, V, N), [normal(rng, N), normal(rng, N)]
    logp, entropy, dinp = normal(rng, N), normal(rng, N), normal(rng, N, C)
    dweight = normal(rng, C, V)
    if turned:
        weight, dweight = normal(rng, V, C).T, normal(rng, V, C).T
    wide = [x.astype(np.float64) for x in (*slopes, inp, weight)]
    found = logp, entropy, dinp, dweight
    wanted = [x.astype(np.float64) for x in found]
    room = np.full((R, V), np.nan, np.float32)
    kernels.linear_log_probability_forward(logp, entropy, room, inp, weight, targets)
    reference.linear_log_probability_forward(*wanted[:2], room, *wide[2:], targets)
    kernels.linear_log_probability_backward(
        dinp, dweight, room, *slopes, inp, weight, targets
    )
    reference.linear_log_probability_backward(*wanted[2:], room, *wide, targets)
    names = "logp", "entropy", "dinp", "dweight"
    for name, x, y in zip(names, found, wanted, strict=True):
        assert_near(x, y, 1e-5, name, 1.0)


@pytest.mark.parametrize("module", [kernels, reference])
def test_a_sure_distribution_has_no_entropy_and_a_flat_one_the_most(
    module: Any,
) -> None:
    inp = np.array([[1e4], [0.0]], np.float32)
    weight = np.array([[1.0, -1.0, 0.0]], np.float32)
    logp, entropy, room = *np.empty((2, 2), np.float32), np.empty((1, 3), np.float32)
    module.linear_log_probability_forward(
        logp, entropy, room, inp, weight, np.array([0, 2])
    )
    np.testing.assert_allclose(logp, [0, -np.log(3)], rtol=1e-6)
    np.testing.assert_allclose(entropy, [0, np.log(3)], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("module", [kernels, reference])
def test_a_vocabulary_of_one_token_has_no_loss(module: Any) -> None:
    losses, dlogits = np.ones(3, np.float32), np.ones((3, 1), np.float32)
    logits = np.array([[3.0], [-50.0], [0.0]], np.float32)
    module.cross_entropy_forward_backward(
        losses, dlogits, logits, np.zeros(3, int), np.ones(3, bool)
    )
    assert (losses == 0).all() and (dlogits == 0).all()


@pytest.mark.parametrize("module", [kernels, reference])
def test_large_logits_do_not_overflow(module: Any) -> None:
    logits = np.array([[1e4, -1e4, 0.0], [-1e38, 0.0, 1e38]], np.float32)
    losses, dlogits = np.empty(2, np.float32), np.empty((2, 3), np.float32)
    targets = np.array([0, 2])
    module.cross_entropy_forward_backward(
        losses, dlogits, logits, targets, np.ones(2, bool)
    )
    assert (losses == 0).all() and (dlogits == 0).all()


@given(st.integers(1, 500), st.integers(1, 3000), st.sampled_from([0.0, 0.1]), SEEDS)
def test_adamw_equals_its_reference(n: int, step: int, decay: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    state = [normal(rng, n), normal(rng, n), normal(rng, n), normal(rng, n) ** 2]
    # params are the first output, grads an input, so the order needs care
    ours = [x.copy() for x in state]
    theirs = [x.astype(np.float64) for x in state]
    numbers = (1e-2, 0.9, 0.99, 1e-8, decay, step, 0.3)
    kernels.adamw(*ours, *numbers)
    reference.adamw(*theirs, *numbers)
    for name, a, b in zip(("params", "grads", "m", "v"), ours, theirs, strict=True):
        assert_near(a, b, 1e-5, name)


# Five rounds multiply small singular values by up to 3.4445⁵ = 485, and float32's
# rounding in them as well: hence 485 times the rounding of a product, not 1e-5.
ORTHOGONAL = 1e-4


@given(SIZES, SIZES, SEEDS)
def test_orthogonalize_equals_its_reference(m: int, n: int, seed: int) -> None:
    matrix = normal(np.random.default_rng(seed), m, n)
    before = matrix.copy()
    ours = kernels.orthogonalize(matrix)
    assert_same_bits(matrix, before)
    assert ours.shape == (m, n) and ours.dtype == np.float32
    assert_near(ours, reference.orthogonalize(matrix.astype(np.float64)), ORTHOGONAL)


@pytest.mark.parametrize("module", [kernels, reference])
def test_orthogonalize_of_zero_is_zero(module: Any) -> None:
    assert (module.orthogonalize(np.zeros((4, 6), np.float32)) == 0).all()


@given(SIZES, SIZES, SEEDS)
def test_muon_equals_its_reference(m: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    ours = [normal(rng, m, n) for _ in range(3)]
    theirs = [x.astype(np.float64) for x in ours]
    numbers = (0.02, 0.95, 5.0, 0.3)  # a decay large enough to be seen
    kernels.muon(*ours, *numbers)
    reference.muon(*theirs, *numbers)
    assert_near(ours[0], theirs[0], ORTHOGONAL, "weight")
    assert_near(ours[2], theirs[2], 1e-5, "momentum")


@pytest.mark.parametrize("shape", [(3, 8), (9, 40), (1, 5), (5, 1)])
def test_matmul_into_every_second_column_is_right_or_refused(shape: tuple) -> None:
    """Never written somewhere else: the kernel works on addresses."""
    M, N = shape
    rng = np.random.default_rng(0)
    a, b = normal(rng, M, 7), normal(rng, 7, N)
    around = np.full((2 * M + 2, 2 * N + 2), SENTINEL)
    out = around[2 : 2 + 2 * M : 2, 2 : 2 + 2 * N : 2]
    try:
        kernels.matmul(out, a, b)
    except ValueError:
        pass
    else:
        assert_near(out, a.astype(np.float64) @ b)
    out[...] = SENTINEL
    assert (around == SENTINEL).all()


@pytest.mark.parametrize("module", [kernels, reference])
@pytest.mark.parametrize(
    "shapes",
    [((3, 4), (3, 5), (6, 4)), ((3, 4), (2, 5), (5, 4)), ((3, 4), (3, 5), (5, 3))],
)
def test_shapes_that_do_not_fit_are_refused_not_read_beyond(
    module: Any, shapes: tuple
) -> None:
    out, a, b = (np.zeros(shape, np.float32) for shape in shapes)
    with pytest.raises(ValueError):
        module.matmul(out, a, b)


@given(SIZES, SIZES, SIZES, SEEDS)
def test_matmul_reads_backwards_and_read_only_operands(
    M: int, K: int, N: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    a, b = normal(rng, M, K)[::-1, ::-1], normal(rng, K, N)[::-1]
    a.flags.writeable = b.flags.writeable = False
    out = np.empty((M, N), np.float32)
    kernels.matmul(out, a, b)
    assert_near(out, a.astype(np.float64) @ b)
