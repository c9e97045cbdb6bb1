"""PPO and GRPO as a whole: rewards rise, distances are kept, workers do not matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from gptlite.alignment.experience import sample_answers
from gptlite.alignment.grpo import GROUP, GRPO
from gptlite.alignment.ppo import PPO, adapted, token_rewards
from gptlite.alignment.settings import PPOConfig
from gptlite.models.gpt import GPT
from gptlite.models.head import with_head
from gptlite.models.lora import LoRA
from gptlite.parallel.pool import WorkerPool
from gptlite.text.chat import Conversation, conversation
from tests.alignment.test_policy import CONFIG, PROMPTS, TOKENIZER

FEW = PPOConfig(answers=32, longest=6, learning_rate=1e-2, kl_stop=0.0, unfinished=0.0,
                kl_weight=0.0, kl_target=0.0, epochs=4, minibatch=16)  # fmt: skip


def short_ids(talks: Sequence[Conversation]) -> np.ndarray:
    """The share of letters before `m`: a taste that is easily learned."""
    texts = [c[-1].content for c in talks]
    return np.array([np.mean([x < "m" for x in t]) if t else 0.0 for t in texts])


def trainer(
    kind: type[PPO], config: PPOConfig, pool: WorkerPool, adapter: bool = False
) -> PPO:
    base = GPT(CONFIG)
    if adapter:  # frozen random output weights, so small that nothing could be said
        base.params.token_embedding *= 10
    policy = with_head(LoRA(base, 4) if adapter else base)
    return kind(policy, base, TOKENIZER, short_ids, config, pool,
                rng=np.random.default_rng(0))  # fmt: skip


@pytest.mark.parametrize("adapter", [False, True])
@pytest.mark.parametrize("kind", [PPO, GRPO])
def test_the_reward_rises(kind: type[PPO], adapter: bool) -> None:
    prompts = PROMPTS * (8 if kind is PPO else 8 // GROUP)
    config = replace(FEW, learning_rate=2e-2 if adapter else 1e-2)
    with WorkerPool(1) as pool:
        ppo = trainer(kind, config, pool, adapter)
        rows = [ppo.update(prompts) for _ in range(20)]
    first, last = (np.mean([r["reward"] for r in part])
                   for part in (rows[:3], rows[-3:]))  # fmt: skip
    assert last > first + (0.05 if adapter else 0.15)  # an adapter is slower
    assert rows[0]["kl"] == pytest.approx(0, abs=1e-3) and rows[-1]["kl"] > 0.1
    assert 0 < rows[-1]["distinct_2"] <= 1


def test_what_is_handed_over_is_a_mean_of_the_weights_after_each_round() -> None:
    with WorkerPool(1) as pool:
        ppo = trainer(PPO, replace(FEW, average=0.5), pool)
        mean, weights = ppo.mean.copy(), ppo.policy.params.flat
        for kept in (0.25, 0.4, 0.5, 0.5):  # 1/4, 2/5, then no more than `average`
            ppo.update(PROMPTS)
            mean = kept * mean + (1 - kept) * weights
        np.testing.assert_allclose(ppo.mean, mean, atol=1e-6)
        last = weights.copy()
        with ppo.averaged() as given:
            np.testing.assert_array_equal(weights, ppo.mean)
            np.testing.assert_array_equal(given, last)
        np.testing.assert_array_equal(weights, last)


def test_an_opinion_so_far_is_a_baseline_and_no_reward() -> None:
    """At λ = 1 an answer is worth the same, whatever was thought on the way."""
    rewards = np.arange(4.0)
    with WorkerPool(1) as pool:
        ppo = trainer(PPO, replace(FEW, lam=1.0, whiten=False), pool)
        ppo.kl_weight = 0.0
        rng = np.random.default_rng(1)
        answers = sample_answers(ppo.policy, TOKENIZER, PROMPTS, 6, rng=rng)
        mask = answers.mask
        thought = rng.normal(size=mask.shape) * mask
        for so_far in (0.0, thought):
            x, _, known = ppo.experience(answers, rewards, so_far)
            worth = x.advantages + x.values + so_far
            wanted = np.where(mask, rewards[:, None], 0.0)
            np.testing.assert_allclose(worth * mask, wanted, atol=1e-12)
            np.testing.assert_allclose(
                x.returns, wanted - so_far * mask, atol=1e-12
            )  # the head learns what is missing
            assert known <= 1


def test_a_rater_that_can_read_is_asked_once() -> None:
    """His rewards and opinions are taken, and `rate` is not asked, unless so_far is
    switched off."""
    with WorkerPool(1) as pool:
        for on in (True, False):
            ppo = trainer(PPO, replace(FEW, so_far=on), pool)
            rng = np.random.default_rng(1)
            answers = sample_answers(ppo.policy, TOKENIZER, PROMPTS, 6, rng=rng)
            ppo.rate = lambda talks: np.zeros(len(talks))
            ppo.read = lambda a: (np.ones(len(a.ids)), np.full(a.mask.shape, 2.0))
            rewards, so_far = ppo.judged(answers)
            assert rewards.mean() == on and np.mean(so_far) == 2 * on


def test_the_weight_of_the_distance_holds_the_policy_back() -> None:
    ends = []
    for weight in (0.0, 2.0):
        with WorkerPool(1) as pool:
            ppo = trainer(PPO, replace(FEW, kl_weight=weight), pool)
            ends.append([ppo.update(PROMPTS * 8) for _ in range(10)][-1]["kl"])
    assert abs(ends[1]) < ends[0] / 2


def test_epochs_end_when_the_policy_has_moved_enough() -> None:
    with WorkerPool(1) as pool:
        config = replace(FEW, kl_stop=1e-6, epochs=5, minibatch=16)
        steps = trainer(PPO, config, pool).update(PROMPTS * 8)["steps"]
        free = trainer(PPO, replace(config, kl_stop=0.0), pool).update(PROMPTS * 8)
    assert steps < free["steps"] == 10


def test_one_and_two_workers_see_the_same_first_round() -> None:
    rows = []
    for workers in (1, 2):
        with WorkerPool(workers) as pool:
            rows.append(trainer(PPO, FEW, pool).update(PROMPTS * 8))
    assert rows[0]["reward"] == rows[1]["reward"]
    for name, value in rows[0].items():
        assert rows[1][name] == pytest.approx(value, rel=0.05, abs=0.02), name


def test_the_weight_follows_its_target_within_bounds() -> None:
    weights = [adapted(1.0, kl, 6.0) for kl in (0.0, 5.0, 6.0, 7.0, 1e9)]
    assert weights == sorted(weights) and weights[2] == 1.0
    assert weights[0] > 0.85 and weights[-1] < 1.15


def test_a_reward_is_given_at_the_end_and_a_cost_on_the_way() -> None:
    mask = np.array([[False, True, True, False], [True, False, False, False]])
    found = token_rewards(np.array([5.0, 7.0]), np.ones((2, 4)), mask, 0.5)
    assert found.tolist() == [[0, -0.5, 4.5, 0], [6.5, 0, 0, 0]]


def test_prompts_may_be_of_any_length() -> None:
    long = conversation(("user", "owl fox cat dog " * 2))
    with WorkerPool(1) as pool:
        row = trainer(PPO, FEW, pool).update([*PROMPTS, long])
    assert np.isfinite(list(row.values())).all()
