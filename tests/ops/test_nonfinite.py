"""NaN and infinity go through the kernels as through the reference: never hidden."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gptlite.ops import kernels, reference
from tests.helpers import normal

BAD = pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf], ids=str)


def pattern(x: np.ndarray) -> np.ndarray:
    """0 for numbers, else 1, 2 or 3: NaN, infinity, minus infinity."""
    return np.isnan(x) + 2 * np.isposinf(x) + 3 * np.isneginf(x)


def same_pattern(name: str, outputs: list, others: list) -> list[np.ndarray]:
    results = []
    for module in (kernels, reference):
        mine = [x.copy() for x in outputs]
        with np.errstate(all="ignore"):
            getattr(module, name)(*mine, *others)
        results.append(mine)
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_array_equal(pattern(ours), pattern(theirs), err_msg=name)
    return results[0]


@BAD
@pytest.mark.parametrize("form", ["gelu", "gelu_exact"])
def test_gelu_keeps_it(form: str, bad: float, rng: np.random.Generator) -> None:
    inp, dout = normal(rng, 2, 67)
    inp[[3, 40, 66]] = bad
    out = same_pattern(f"{form}_forward", [np.zeros_like(inp)], [inp])[0]
    assert pattern(out)[[3, 40, 66]].all() and pattern(out).astype(bool).sum() == 3
    same_pattern(f"{form}_backward", [np.zeros_like(inp)], [dout, inp])
    dout[5], inp[[3, 40, 66]] = bad, 0.3
    grad = same_pattern(f"{form}_backward", [np.zeros_like(inp)], [dout, inp])[0]
    assert pattern(grad)[5] == pattern(np.array(bad))


@BAD
@pytest.mark.parametrize("at", [0, 20, 36])
def test_layernorm_keeps_it_in_its_row(
    at: int, bad: float, rng: np.random.Generator
) -> None:
    inp, (weight, bias) = normal(rng, 5, 37), normal(rng, 2, 37)
    inp[2, at] = bad
    outputs = [np.zeros((5, 37), np.float32), *np.zeros((2, 5), np.float32)]
    out, mean, rstd = same_pattern("layernorm_forward", outputs, [inp, weight, bias])
    assert np.isnan(out[2]).all() and np.isfinite(np.delete(out, 2, axis=0)).all()
    d = [np.zeros((5, 37), np.float32), *np.zeros((2, 37), np.float32)]
    others = [normal(rng, 5, 37), inp, weight, mean, rstd]
    dinp = same_pattern("layernorm_backward", d, others)[0]
    assert np.isnan(dinp[2]).all() and np.isfinite(np.delete(dinp, 2, axis=0)).all()


@BAD
@pytest.mark.parametrize("at", [0, 20, 36])
def test_cross_entropy_keeps_it_in_its_row(
    at: int, bad: float, rng: np.random.Generator
) -> None:
    logits, targets = normal(rng, 4, 37), np.array([1, 20, 3, 4])
    mask = np.ones(4, bool)
    logits[1, at] = bad
    losses = np.zeros(4, np.float32)
    same_pattern("cross_entropy_forward", [losses], [logits, targets, mask])
    losses, d = same_pattern(
        "cross_entropy_forward_backward",
        [losses, np.zeros_like(logits)],
        [logits, targets, mask],
    )
    assert np.isfinite(np.delete(losses, 1)).all()
    assert np.isfinite(np.delete(d, 1, axis=0)).all()
    if bad == -np.inf:  # an impossible token: fine, unless it is the one that came
        assert np.isposinf(losses[1]) if at == 20 else np.isfinite(losses[1])
    else:
        assert np.isnan(losses[1])


def test_a_masked_token_hides_a_damaged_row(rng: np.random.Generator) -> None:
    """What does not count gives zero, whatever its logits."""
    for module in (kernels, reference):
        logits = normal(rng, 2, 5)
        logits[0] = np.nan
        losses, d = np.ones(2, np.float32), np.ones((2, 5), np.float32)
        module.cross_entropy_forward_backward(
            losses, d, logits, np.array([0, 1]), np.array([False, True])
        )
        assert losses[0] == 0 and (d[0] == 0).all() and np.isfinite(losses[1])


@BAD
@pytest.mark.parametrize("which", ["q", "k"])
def test_attention_keeps_it_where_it_is_seen(
    which: str, bad: float, rng: np.random.Generator
) -> None:
    q, k, v, dout = normal(rng, 4, 1, 90, 1, 4)
    {"q": q, "k": k}[which][0, 50, 0, 1] = bad
    outputs = [np.zeros_like(q), np.zeros((1, 1, 90), np.float32)]
    out, lse = same_pattern("attention_forward", outputs, [q, k, v])
    assert np.isfinite(out[0, :50]).all()
    if np.isnan(bad):
        assert np.isnan(out[0, 50]).all() and np.isnan(lse[0, 0, 50])
    results = []
    for module in (kernels, reference):
        d = [np.zeros_like(q) for _ in range(3)]
        with np.errstate(all="ignore"):
            module.attention_backward(*d, dout, out, lse, q, k, v)
        results.append(d)
    (dq, dk, dv), (dq_wanted, dk_wanted, dv_wanted) = results
    # a damaged query damages the keys that it sees; through the mask, where the
    # reference computes 0·NaN, a kernel may be cleaner
    damaged = np.isnan(lse[0, 0])
    last = np.flatnonzero(damaged).max(initial=-1)
    assert np.isnan(dq[0, damaged]).any(axis=-1).all()
    assert not (np.isnan(dq) & ~np.isnan(dq_wanted)).any()
    for ours, theirs in ((dk, dk_wanted), (dv, dv_wanted)):
        assert np.isnan(ours[0, : last + 1]).all()
        assert not (np.isnan(ours) & ~np.isnan(theirs)).any()


def test_attention_keeps_a_nan_among_the_values(rng: np.random.Generator) -> None:
    q, k, v = normal(rng, 3, 1, 90, 1, 4)
    v[0, 50, 0, 2] = np.nan
    for module in (kernels, reference):
        out, lse = np.zeros_like(q), np.zeros((1, 1, 90), np.float32)
        module.attention_forward(out, lse, q, k, v)
        assert np.isnan(out[0, 50:, 0, 2]).all()
        assert np.isfinite(out[0, :, 0, [0, 1, 3]]).all()


@BAD
def test_products_and_tables_keep_it(bad: float, rng: np.random.Generator) -> None:
    a, b = normal(rng, 7, 19), normal(rng, 19, 33)
    a[3, 4] = bad
    with np.errstate(all="ignore"):
        out = same_pattern("matmul", [np.zeros((7, 33), np.float32)], [a, b])[0]
    assert pattern(out[3]).all() and np.isfinite(np.delete(out, 3, axis=0)).all()
    same_pattern("linear_forward", [np.zeros((7, 33), np.float32)],
                 [a, b, normal(rng, 33)])  # fmt: skip
    table = normal(rng, 4, 5)
    table[2, 1] = bad
    ids: Any = np.array([[0, 2, 2]])
    out = same_pattern("embedding_forward", [np.zeros((1, 3, 5), np.float32)],
                       [ids, ids, table, table])[0]  # fmt: skip
    assert pattern(out[0, 1:, 1]).all() and np.isfinite(out[0, 0]).all()


def test_zero_times_infinity_in_a_product_is_nan() -> None:
    """A kernel may not skip zeros."""
    a, b = np.zeros((5, 3), np.float32), np.ones((3, 20), np.float32)
    b[1, 7] = np.inf
    out = np.zeros((5, 20), np.float32)
    with np.errstate(invalid="ignore"):
        kernels.matmul(out, a, b)
    assert np.isnan(out[:, 7]).all() and np.isfinite(np.delete(out, 7, axis=1)).all()


def test_adamw_keeps_nan(rng: np.random.Generator) -> None:
    params, grads, m, v = normal(rng, 4, 40)
    v[...] = v**2
    grads[17] = np.nan
    kernels.adamw(params, grads, m, v, 0.1, 0.9, 0.99, 1e-8, 0.1, 1, 1.0)
    for x in (params, m, v):
        assert np.isnan(x[17]) and np.isfinite(np.delete(x, 17)).all()
