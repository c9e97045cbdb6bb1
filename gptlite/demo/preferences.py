"""The last stages: ratings, a reward model, and a policy that is rewarded."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from gptlite.alignment.align import align
from gptlite.alignment.examples import Ratings, as_pairs, rated_by_people
from gptlite.alignment.learn import (
    judges_of,
    learn_reward,
    prompts_for,
    rated_by_program,
)
from gptlite.alignment.rate import rate
from gptlite.alignment.rounds import read_rounds
from gptlite.alignment.settings import Alignment, PPOConfig, RewardConfig
from gptlite.alignment.train_reward import RewardModel
from gptlite.errors import DataError
from gptlite.training.run import open_run

Stage = Callable[[str, float, str], None]  # name, when it began, what it came to

# by a program, unless a person does it
RATED = RewardConfig("sentiment", pairs=600, held_out=150, reward_steps=60,
                     reward_learning_rate=1e-3)  # fmt: skip
POLICY = PPOConfig(longest=24, minibatch=32, kl_weight=0.2, kl_target=0.0, warmup=0,
                   learning_rate=3e-4, average=0.0)  # fmt: skip
SHOWN = 2  # pairs of answers
FEWEST, MOST = 10, 20  # ratings by a person


def learn_preferences(
    base: str, out: str, seconds: float, asks: bool, stage: Stage
) -> None:
    """From the run `base` to OUT/policy; `seconds` say how long the whole demo has."""
    start = time.perf_counter()
    print(f"\n6. Ratings: two answers each, and which is better? By a program "
          f"that looks for {RATED.rater} …", flush=True)  # fmt: skip
    rater, ratings = RATED.rater, by_person(base, out) if asks else None
    if ratings is None:
        ratings = rated_by_program(base, RATED)
    else:
        rater = ""
    for better, worse in as_pairs(ratings.learned)[:SHOWN]:
        print(f"   {better[0].content}\n      better: {better[1].content}\n"
              f"      worse:  {worse[1].content}")  # fmt: skip
    stage("ratings", start, f"{len(ratings.learned):,} pairs, {len(ratings.held_out)} "
          "held out")  # fmt: skip

    start = time.perf_counter()
    print("\n7. Reward model: it learns from the pairs what is preferred …", flush=True)
    config = replace(RATED, rater=rater)
    reward, health = learn_reward(base, f"{out}/reward", ratings, config, rater=rater)
    said = f"right: a coin 50 % → {health['accuracy']:.0%}"
    stage("reward model", start, said)

    start = time.perf_counter()
    print(f"\n8. PPO: what is rewarded is said more often, for {seconds / 2:.0f} s …",
          flush=True)  # fmt: skip
    stage("PPO", start, reinforce(base, out, reward, rater, seconds / 2))


def by_person(base: str, out: str) -> Ratings | None:
    """Ratings by who sits there; None if he had rather not, or gave too few."""
    said = ""
    with contextlib.suppress(EOFError):
        said = input("   Will you rate them instead? [y/N] ")
    if said.strip().lower()[:1] != "y":
        return None
    file = Path(out) / "ratings.jsonl"
    found = prompts_for(*open_run(base).load()).learned
    prompts = [talk[-1].content for talk in found]
    counts = rate(base, prompts, file, n=MOST)
    if counts.rated + counts.before < FEWEST:
        print(f"   That were fewer than {FEWEST}: the program goes on.")
        return None
    try:
        return rated_by_people([file])[0]
    except DataError as error:
        print(f"   {error}\n   So the program goes on.")
        return None


def reinforce(
    base: str, out: str, reward: RewardModel, rater: str, seconds: float
) -> str:
    """Train the policy, show how answers changed; the rewards as text."""
    prompts, policy = prompts_for(reward.model, reward.tokenizer), f"{out}/policy"
    found = align(
        base, policy, prompts.learned, prompts.asked, judges_of(reward, rater), POLICY,
        Alignment(rounds=1000, seconds=seconds, rank=0),
    )  # fmt: skip
    shown = [row["samples"] for row in read_rounds(policy) if "samples" in row]
    for first, last in list(zip(shown[0], shown[-1], strict=True))[:3]:
        print(f"   {first['prompt']}\n      before: {first['answer']}\n"
              f"      after:  {last['answer']}")  # fmt: skip
    return (
        f"{rater or 'learned reward'} {found['reward_start_mean']:.2f} → "
        f"{found['reward_end_mean']:.2f}, KL {found['kl_nats']:.1f} nats"
    )
