"""What learning from ratings minimises, and the slopes, by hand.

Each function takes numbers that a model has computed (scores, log-probabilities,
values), and returns a loss for each row or token and its derivative with respect to
each of these numbers. Sums over the batch and the model's own backward come after.
"""

from __future__ import annotations

import numpy as np


def log_sigmoid(x: np.ndarray) -> np.ndarray:
    """log σ(x) = −log(1 + e^−x), without overflow.

    >>> log_sigmoid(np.array([-1000.0, 0.0])).round(4).tolist()
    [-1000.0, -0.6931]
    """
    return -np.logaddexp(0, -x)


def pairwise(better: np.ndarray, worse: np.ndarray
             ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """(losses, d better, d worse), each (N,): −log σ(better − worse).

    Bradley and Terry 1952: σ of the difference of two scores is the probability that
    the first is preferred.
    """
    losses = -log_sigmoid(better - worse)
    slope = -np.exp(log_sigmoid(worse - better))  # −(1 − σ(better − worse))
    return losses, slope, -slope


def squared(scores: np.ndarray, grades: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(losses, d scores), each (N,): ½ (score − grade)²."""
    error = scores - grades
    return error * error / 2, error


def gae(
    rewards: np.ndarray, values: np.ndarray, mask: np.ndarray,
    gamma: float = 1.0, lam: float = 0.95,
) -> np.ndarray:  # fmt: skip
    """Generalised advantages (B, T): Schulman et al. 2015, arXiv:1506.02438.

        δ_t = r_t + γ·V_{t+1} − V_t        A_t = δ_t + γλ·A_{t+1}

    rewards, values: (B, T), of the tokens of an answer, where mask is true; an answer
    is without gaps. After its last token comes nothing: value and advantage are 0.
    λ = 1: all that will be earned, minus the value; λ = 0: one step ahead only.
    """
    B, T = rewards.shape
    out = np.zeros((B, T), np.result_type(rewards, values))
    after = value_after = np.zeros(B, out.dtype)
    for t in reversed(range(T)):
        here = mask[:, t]
        delta = rewards[:, t] + gamma * value_after - values[:, t]
        after = np.where(here, delta + gamma * lam * after, 0)
        value_after = np.where(here, values[:, t], 0)
        out[:, t] = after
    return out


def whitened(x: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """x with mean 0 and variance 1 over the tokens that count, 0 elsewhere."""
    some = x[mask]
    if not some.size:
        return np.zeros_like(x)
    return np.where(mask, (x - some.mean()) / (some.std() + 1e-8), 0)


def clipped_policy(
    logp: np.ndarray, old: np.ndarray, advantages: np.ndarray, clip: float = 0.2
) -> tuple[np.ndarray, np.ndarray]:
    """(losses, d logp): PPO's objective, Schulman et al. 2017, arXiv:1707.06347.

        r = exp(logp − old)        loss = −min(r·A, clip(r, 1 − ε, 1 + ε)·A)

    The slope is −r·A, and 0 where the clipped one is smaller: once an action has
    become better by ε in the direction of its advantage, nothing pulls it further.

    >>> clipped_policy(np.log([1.5]), np.zeros(1), np.ones(1))[1].tolist()
    [-0.0]
    """
    ratio = np.exp(logp - old)
    free, held = ratio * advantages, np.clip(ratio, 1 - clip, 1 + clip) * advantages
    return -np.minimum(free, held), -np.where(free <= held, free, 0)


def clipped_value(
    values: np.ndarray, old: np.ndarray, returns: np.ndarray, clip: float = 0.2
) -> tuple[np.ndarray, np.ndarray]:
    """(losses, d values): ½ max((V − R)², (old + clip(V − old, ±ε) − R)²).

    The larger of the two, as in the code that came with PPO: a value that has moved
    by ε towards its target moves no further in this round.
    """
    held = old + np.clip(values - old, -clip, clip)
    free_error, held_error = values - returns, held - returns
    free = np.abs(free_error) >= np.abs(held_error)
    inside = np.abs(values - old) < clip
    slope = np.where(free, free_error, np.where(inside, held_error, 0))
    return np.where(free, free_error, held_error) ** 2 / 2, slope


def kl_estimate(logp: np.ndarray, reference: np.ndarray
                ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """(estimates, d logp) of KL(policy ‖ reference) from a sampled token, ≥ 0.

        k = e^d − 1 − d,  d = reference − logp        ∂k/∂logp = 1 − e^d

    Schulman, "Approximating KL divergence", 2020: no bias and little variance.
    """
    d = reference - logp
    return np.expm1(d) - d, -np.expm1(d)


def dpo(
    better: np.ndarray, worse: np.ndarray,
    reference_better: np.ndarray, reference_worse: np.ndarray, beta: float = 0.1,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """(losses, d better, d worse), each (N,): Rafailov et al. 2023, arXiv:2305.18290.

    better, worse: log-probabilities of whole answers. The pairwise loss, where the
    score of an answer is β times what it has gained over the reference.
    """
    losses, up, down = pairwise(
        beta * (better - reference_better), beta * (worse - reference_worse)
    )
    return losses, beta * up, beta * down


def group_advantages(rewards: np.ndarray) -> np.ndarray:
    """(P, K) rewards of K answers to each prompt, as distances from the prompt's mean
    in units of its spread: GRPO's advantages (Shao et al. 2024, arXiv:2402.03300).

    >>> group_advantages(np.array([[1.0, 3.0], [5.0, 5.0]])).round(3).tolist()
    [[-1.0, 1.0], [0.0, 0.0]]
    """
    mean = rewards.mean(axis=1, keepdims=True)
    return (rewards - mean) / (rewards.std(axis=1, keepdims=True) + 1e-8)
