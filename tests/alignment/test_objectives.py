"""Learning from ratings: the slopes are right, on both sides of every clip."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptlite.alignment import objectives as ob

SEEDS = st.integers(0, 2**32 - 1)


def assert_is_slope(
    losses: Callable[[np.ndarray], np.ndarray], x: np.ndarray, slope: np.ndarray
) -> None:
    """Central differences, number by number: each loss depends on its own number."""
    eps = 1e-6
    numeric = (losses(x + eps) - losses(x - eps)) / (2 * eps)
    error = np.abs(numeric - slope) / np.maximum(np.abs(slope), 1)
    assert error.max() < 1e-6


@given(SEEDS)
def test_pairwise_squared_and_dpo_slopes(seed: int) -> None:
    a, b, c, d = np.random.default_rng(seed).normal(scale=3, size=(4, 9))
    _, up, down = ob.pairwise(a, b)
    assert_is_slope(lambda x: ob.pairwise(x, b)[0], a, up)
    assert_is_slope(lambda x: ob.pairwise(a, x)[0], b, down)
    assert_is_slope(lambda x: ob.squared(x, b)[0], a, ob.squared(a, b)[1])
    _, up, down = ob.dpo(a, b, c, d, 0.7)
    assert_is_slope(lambda x: ob.dpo(x, b, c, d, 0.7)[0], a, up)
    assert_is_slope(lambda x: ob.dpo(a, x, c, d, 0.7)[0], b, down)
    assert_is_slope(lambda x: ob.kl_estimate(x, b)[0], a, ob.kl_estimate(a, b)[1])


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("ratio", [0.5, 0.9, 1.0, 1.1, 1.9])
def test_policy_slopes_inside_and_outside_the_clip(ratio: float, sign: float) -> None:
    old, A = np.zeros(1), np.array([sign * 1.7])
    logp = np.log([ratio])
    losses, slope = ob.clipped_policy(logp, old, A)
    assert_is_slope(lambda x: ob.clipped_policy(x, old, A)[0], logp, slope)
    stopped = (sign > 0 and ratio > 1.2) or (sign < 0 and ratio < 0.8)
    assert (slope == 0).all() == stopped
    assert losses[0] >= -ratio * A[0] - 1e-12  # never better than without the clip


@pytest.mark.parametrize("moved", [-0.9, -0.1, 0.0, 0.1, 0.9])
@pytest.mark.parametrize("target", [-2.0, 2.0])
def test_value_slopes_inside_and_outside_the_clip(moved: float, target: float) -> None:
    old, returns = np.array([0.3]), np.array([0.3 + target])
    values = old + moved
    losses, slope = ob.clipped_value(values, old, returns)
    assert_is_slope(lambda x: ob.clipped_value(x, old, returns)[0], values, slope)
    assert losses[0] >= (values[0] - returns[0]) ** 2 / 2 - 1e-12
    assert (slope == 0).all() == (abs(moved) > 0.2 and moved * target > 0)


def by_definition(
    rewards: np.ndarray, values: np.ndarray, gamma: float, lam: float
) -> np.ndarray:
    """Σ_l (γλ)^l δ_{t+l}, one row, term by term."""
    T = len(rewards)
    ahead = np.append(values, 0)
    delta = [rewards[t] + gamma * ahead[t + 1] - ahead[t] for t in range(T)]
    return np.array([
        sum((gamma * lam) ** (s - t) * delta[s] for s in range(t, T)) for t in range(T)
    ])  # fmt: skip


@given(SEEDS, st.floats(0, 1), st.floats(0, 1))
def test_advantages_equal_their_definition(seed: int, gamma: float, lam: float) -> None:
    rng = np.random.default_rng(seed)
    rewards, values = rng.normal(size=(2, 4, 7))
    lengths = rng.integers(0, 8, 4)
    starts = np.array([rng.integers(0, 8 - n) for n in lengths])
    at = np.arange(7)
    mask = (at >= starts[:, None]) & (at < (starts + lengths)[:, None])
    found = ob.gae(rewards, values, mask, gamma, lam)
    assert (found[~mask] == 0).all()
    for b in range(4):
        here = mask[b]
        wanted = by_definition(rewards[b, here], values[b, here], gamma, lam)
        np.testing.assert_allclose(found[b, here], wanted, rtol=1e-10, atol=1e-10)


def test_with_lambda_one_advantages_are_what_is_earned_minus_the_value() -> None:
    rewards, values = np.random.default_rng(0).normal(size=(2, 1, 6))
    found = ob.gae(rewards, values, np.ones((1, 6), bool), 1.0, 1.0)
    to_go = rewards[:, ::-1].cumsum(axis=1)[:, ::-1]
    np.testing.assert_allclose(found, to_go - values, rtol=1e-12)


def test_whitening_leaves_out_what_does_not_count() -> None:
    x = np.array([[1.0, 2.0, 99.0], [3.0, 4.0, -99.0]])
    mask = np.array([[True, True, False]] * 2)
    white = ob.whitened(x, mask)
    assert (white[~mask] == 0).all()
    np.testing.assert_allclose([white[mask].mean(), white[mask].std()], [0, 1],
                               atol=1e-7)  # fmt: skip
    assert (ob.whitened(x, np.zeros_like(mask)) == 0).all()


@given(SEEDS)
def test_the_estimate_of_kl_is_never_negative(seed: int) -> None:
    a, b = np.random.default_rng(seed).normal(scale=5, size=(2, 20))
    assert (ob.kl_estimate(a, b)[0] >= 0).all()
    assert (ob.kl_estimate(a, a)[0] == 0).all()


def test_the_estimate_of_kl_has_the_right_mean() -> None:
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(5), 2)
    estimates, _ = ob.kl_estimate(np.log(p), np.log(q))
    np.testing.assert_allclose(p @ estimates, p @ np.log(p / q), rtol=1e-12)


def test_without_a_clip_ppo_is_reinforce() -> None:
    """At ratio 1 the slope is that of −A·log p, whatever the advantage."""
    logp, A = np.random.default_rng(0).normal(size=(2, 50))
    _, slope = ob.clipped_policy(logp, logp, A, clip=1e9)
    np.testing.assert_allclose(slope, -A, rtol=1e-12)
