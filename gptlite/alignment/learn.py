"""From ratings, by people or by a program, to a reward model and its health.

RUN/config.json tokenizer.json checkpoint/last.safetensors, and what it was learned from
and measured on: ratings.jsonl held_out.jsonl, which `gptlite dpo` can learn from too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gptlite.alignment import ratings as store
from gptlite.alignment.collect import LONGEST, chat_prompts, collect
from gptlite.alignment.examples import Ratings, as_examples, as_pairs, read_ratings
from gptlite.alignment.health import Truth, health
from gptlite.alignment.measure import Judges
from gptlite.alignment.raters import TRUTHS, ProgrammedRater
from gptlite.alignment.settings import RewardConfig
from gptlite.alignment.study import learning_curve
from gptlite.alignment.train_reward import RewardModel, train_reward
from gptlite.alignment.words import learned_words
from gptlite.config import TrainConfig
from gptlite.errors import ConfigError, DataError
from gptlite.models.gpt import GPT
from gptlite.text.chat import Conversation
from gptlite.text.tokenizer import Tokenizer
from gptlite.training.run import open_run

LEARNED, ASKED = 400, 100  # prompts: to learn from, and others to be measured on


def truth_of(rater: str) -> Callable[[str], float]:
    """What the programmed rater of this name wants."""
    if rater not in TRUTHS:
        got = f"got {rater!r:.40}" if rater else "got none"
        raise ConfigError(
            f"wanted a programmed rater among {', '.join(TRUTHS)}, {got}; see --rater, "
            "or give people's --ratings"
        )
    return TRUTHS[rater]


class Prompts(NamedTuple):
    """What people said in chats: to learn from, and others to be measured on."""

    learned: list[Conversation]
    asked: list[Conversation]


def prompts_for(model: GPT, tokenizer: Tokenizer, seed: int = 0) -> Prompts:
    """Prompts that leave room for an answer in the model's context."""
    prompt, answer = LONGEST
    room = min(prompt, model.config.context_length - answer)
    found = chat_prompts(LEARNED + ASKED, tokenizer, seed, room)
    return Prompts(found[:LEARNED], found[LEARNED:])


def rated_by_program(base: str, config: RewardConfig, seed: int = 0) -> Ratings:
    """Answers of the run `base`, compared by a programmed rater."""
    truth_of(config.rater)  # an unknown one: an error before any work
    model, tokenizer = open_run(base).load()
    wanted = (config.pairs, config.noise), (config.held_out, 0.0)
    return _rated(model, tokenizer, config.rater, wanted, base, seed)


def _rated(
    model: GPT, tokenizer: Tokenizer, rater: str,
    wanted: tuple[tuple[int, float], tuple[int, float]], name: str, seed: int,
) -> Ratings:  # fmt: skip
    """wanted: (pairs, noise), of prompts to learn from and of others."""
    parts, prompts = [], prompts_for(model, tokenizer, seed)
    for part, (some, (n, noise)) in enumerate(zip(prompts, wanted, strict=True)):
        judge = ProgrammedRater(rater, noise, np.random.default_rng(seed))
        drawn = 2 * seed + part
        parts.append(collect(model, tokenizer, some, n, judge, name=name, seed=drawn))
    return Ratings(*parts)


def training_of(config: RewardConfig, seed: int) -> TrainConfig:
    """How a reward model is trained."""
    return TrainConfig(
        steps=config.reward_steps, batch_size=config.reward_rows, seed=seed,
        learning_rate=config.learning_rate,
        optimizer="adamw" if config.doubtful else "muon",
        warmup_steps=min(20, config.reward_steps // 5), eval_every=50, sample_every=0,
        checkpoint_every=0,
    )  # fmt: skip


def curve_of(
    base: str, reward: str, config: RewardConfig, seed: int = 0, rater: str = ""
) -> list[dict[str, Any]]:
    """How good the reward model `reward` would be, had it learned from fewer ratings.

    Rows as of `study.learning_curve`: a half, a quarter … of the ratings, and all.
    """
    train, held_out = (as_pairs(some) for some in read_ratings(reward))
    numbers = [n for k in reversed(range(5)) if (n := len(train) >> k)]
    return learning_curve(
        base, Path(reward) / "curve", train, held_out, numbers,
        training_of(config, seed), _of_answer(rater), config.dropout, config.words,
    )  # fmt: skip


def learn_reward(
    base: str, out: str, ratings: Ratings, config: RewardConfig, seed: int = 0,
    rater: str = "",
) -> tuple[RewardModel, dict[str, Any]]:  # fmt: skip
    """A reward model that begins as the run `base`, as the run `out`; and its health.

    rater: the programmed one who meant it, if there was one. The health says too
    whether it was interrupted: then the run is no reward model.
    """
    start, truth = time.perf_counter(), _of_answer(rater)
    model, tokenizer = open_run(base).load()
    x = as_examples(
        ratings, tokenizer, model.config.context_length, config.held_out, seed
    )
    words = None
    if config.words and x.learned.grades is None:
        words = learned_words(as_pairs(ratings.learned))
    learned, summary = train_reward(
        base, out, x.learned, x.held_out, training_of(config, seed), x.talks,
        config.dropout, words,
    )  # fmt: skip
    for name, some in zip(("ratings", "held_out"), ratings, strict=True):
        store.write(Path(out) / f"{name}.jsonl", some)
    report = health(learned.rate, x.pairs, truth, learned.spread)
    return learned, {
        "out": out, "ratings": x.learned.n_tokens, "steps": summary.steps,
        "seconds": time.perf_counter() - start, "interrupted": summary.interrupted,
        **report,
    }  # fmt: skip


def learn_again(
    policy: GPT, reward: str, out: str, config: RewardConfig, n: int, seed: int = 0
) -> RewardModel:
    """The reward model of the run `reward` goes on learning, as the run `out`: from n
    ratings of the policy's answers, and as many of those it had.

    For what a policy says soon is not what its reward model has seen (Bai et al. 2022,
    arXiv:2204.05862, rated a policy anew each week). config.rater: who rates. Ctrl-C
    meanwhile is passed on, since whoever waits for this is to stop as well.
    """
    before, known = read_ratings(reward), RewardModel.load(reward)
    wanted = (n, config.noise), (max(1, n // 4), 0.0)
    new = _rated(policy, known.tokenizer, config.rater, wanted, out, seed)
    ratings = Ratings(new.learned + before.learned[:n], new.held_out + before.held_out)
    # half of the ratings are older ones: as doubtful as they were
    rater = "" if known.words else config.rater
    steps = max(1, config.reward_steps // 3)
    shorter = replace(config, reward_steps=steps, rater=rater)
    learned, found = learn_reward(reward, out, ratings, shorter, seed, config.rater)
    if found["interrupted"]:
        raise KeyboardInterrupt
    return learned


def renewal(
    reward: str, out: str, config: RewardConfig, n: int, seed: int = 0
) -> Callable[[GPT, bool], Judges]:
    """What `align` asks for other judges: `learn_again`, as the run `out`.

    Whether that will be possible is known, and said, now.
    """
    try:
        for some in read_ratings(reward):
            as_pairs(some)
    except DataError as error:
        raise DataError(
            f"{error}. Without pairs, {reward} cannot go on learning: --again 0"
        ) from error

    def renew(policy: GPT, done_before: bool) -> Judges:
        if done_before:
            return judges_of(RewardModel.load(out), config.rater)
        learned = learn_again(policy, reward, out, config, n, seed)
        return judges_of(learned, config.rater)

    return renew


def judged_by(name: str, reward: RewardModel, rater: str) -> dict[str, Any]:
    """What a policy's config.json says of who judged it, the reward model of the run
    `name` and a programmed rater; it goes on only with the same."""
    return {
        "reward_run": str(open_run(name).folder.absolute()),
        "reward_sha256": reward.fingerprint,
        "rater": rater or None,
    }


def _of_answer(rater: str) -> Truth | None:
    """What a programmed rater wants, of a conversation."""
    if not rater:
        return None
    truth = truth_of(rater)
    return lambda talk: truth(talk[-1].content)


def judges_of(model: RewardModel, rater: str) -> Judges:
    """A learned reward, and what the programmed rater meant; without one, the same."""
    truth = _of_answer(rater)
    if truth is None:
        return Judges(model.rate, model.rate, model.read)
    return Judges(
        model.rate, lambda talks: np.array([truth(c) for c in talks]), model.read
    )
