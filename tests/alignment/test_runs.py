"""Reward models and policies as runs: trained, loaded, watched, and refused."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gptlite.alignment.align import align
from gptlite.alignment.collect import chat_prompts, collect
from gptlite.alignment.experience import Answers
from gptlite.alignment.measure import Judges, truth_at
from gptlite.alignment.raters import ProgrammedRater
from gptlite.alignment.reward import as_rows, pairs_of
from gptlite.alignment.settings import Alignment, PPOConfig
from gptlite.alignment.train_reward import (
    AVERAGED,
    MeanTrainer,
    RewardModel,
    train_reward,
)
from gptlite.alignment.watch import alarms
from gptlite.config import GPTConfig, TrainConfig
from gptlite.errors import CheckpointError, ConfigError, DataError, TrainingError
from gptlite.models.gpt import GPT
from gptlite.models.head import with_head
from gptlite.parallel.pool import WorkerPool
from gptlite.text.chat import (
    END,
    SPECIAL,
    Conversation,
    conversation,
    render_prompt,
    special_ids,
)
from gptlite.text.learn import train_bpe
from gptlite.training.run import Run
from tests.alignment.test_reward import TOKENIZER, examples

CONFIG = GPTConfig(2, 2, 16, context_length=64, vocab_size=TOKENIZER.vocab_size)
TRAINING = TrainConfig(steps=80, batch_size=32, learning_rate=3e-3, warmup_steps=5,
                       eval_every=20, sample_every=0, workers=1)  # fmt: skip
PROMPTS = [conversation(("user", text)) for text in ("owl", "fox cat", "dog", "cat")]


def rewarded(base: str, out: Path, **changes: Any) -> RewardModel:
    train = pairs_of(examples(200), TOKENIZER, 64)
    held_out = pairs_of(examples(60, seed=1), TOKENIZER, 64)
    talks = [c for pair in examples(100, seed=2) for c in pair]
    return train_reward(base, str(out), train, held_out, TRAINING, talks)[0]


def test_a_reward_model_is_a_run_that_can_be_loaded(base: str, tmp_path: Path) -> None:
    model = rewarded(base, tmp_path / "reward")
    loaded = RewardModel.load(str(tmp_path / "reward"))
    new = examples(100, seed=3)
    better, worse = (loaded.rate([p[i] for p in new]) for i in (0, 1))
    assert (better > worse).mean() > 0.9
    np.testing.assert_array_equal(better, model.rate([p[0] for p in new]))
    assert loaded.spread == model.spread > 0
    everything = np.concatenate([better, worse])
    assert abs(everything.mean()) < 0.3 and 0.7 < everything.std() < 1.3


def test_a_reward_model_is_the_mean_of_the_weights_after_its_last_steps() -> None:
    model, pairs = with_head(GPT(CONFIG)), pairs_of(examples(8), TOKENIZER, 64)
    with WorkerPool(1) as pool:
        trainer = MeanTrainer(model, dataclasses.replace(TRAINING, steps=8), pool)
        seen = []
        for _ in range(8):
            trainer.step([pairs])
            seen.append(model.params.flat.copy())
    trainer.take_mean()
    last = np.mean(seen[8 - round(8 * AVERAGED) :], axis=0)
    np.testing.assert_allclose(model.params.flat, last, atol=1e-6)
    assert not np.allclose(model.params.flat, seen[-1], atol=1e-4)


def test_a_run_without_rewards_or_with_other_tokens_is_refused(
    base: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="which is none"):
        RewardModel.load(base)
    other = train_bpe(["quite other words"] * 9, 300, special=SPECIAL)
    with pytest.raises(ConfigError, match="tokenizer"):
        rewarded(base, tmp_path / "reward").check_tokenizer(other)


def test_a_reward_can_be_read_before_the_answer_has_ended(
    base: str, tmp_path: Path
) -> None:
    model = rewarded(base, tmp_path / "reward")
    talks = [talk for pair in examples(3, seed=3) for talk in pair]
    ids, last = as_rows(talks, TOKENIZER, 64)
    at = np.arange(ids.shape[1])
    mask = (at >= 2) & (at < last[:, None])  # where the next token is chosen

    def read(ids: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        ended = np.ones(len(ids), bool)
        none = np.zeros(mask.shape)
        return model.read(Answers(ids, mask, ended, none, none, talks))

    rewards, so_far = read(ids, mask)
    np.testing.assert_allclose(rewards, model.rate(talks), atol=1e-5)
    assert (so_far[~mask] == 0).all() and (so_far[mask] != 0).all()
    for end in (4, 6):  # what comes later is not seen; what does not end is ended
        cut, thought = read(ids[:, :end], mask[:, :end] & (at[:end] < end - 1))
        np.testing.assert_allclose(thought[:, : end - 1], so_far[:, : end - 1],
                                   atol=1e-5)  # fmt: skip
        closed = ids[:, :end].copy()
        closed[:, -1] = special_ids(TOKENIZER)[END]
        same, _ = read(closed, mask[:, :end] & (at[:end] < end - 1))
        np.testing.assert_allclose(cut, same, atol=1e-5)


def early(talks: Sequence[Conversation]) -> np.ndarray:
    """The share of letters before `m`."""
    texts = [c[-1].content for c in talks]
    return np.array([np.mean([x < "m" for x in t]) if t else 0.0 for t in texts])


def test_a_policy_is_measured_before_and_after_and_kept(
    base: str, tmp_path: Path
) -> None:
    config = PPOConfig(answers=32, longest=6, learning_rate=1e-2, kl_weight=0.0,
                       kl_stop=0.0, unfinished=0.0, epochs=4, minibatch=16)  # fmt: skip
    said: list[str] = []
    found = align(
        base, str(tmp_path / "ppo"), PROMPTS, PROMPTS, Judges(early, early), config,
        Alignment(rounds=15, workers=1, best_of=4, rank=0), say=said.append,
    )  # fmt: skip
    assert found["reward_end_mean"] > found["reward_start_mean"] + 0.1
    assert found["rounds"] == 15 and found["kl_nats"] > 0
    assert set(found) >= {"reward_start_p95", "distinct2_ratio", "length_ratio",
                          "seconds"}  # fmt: skip
    assert found["best_of_mean"] > found["reward_start_mean"] + 0.05
    assert found["best_of_kl_nats"] == pytest.approx(np.log(4) - 0.75)
    lines = (tmp_path / "ppo" / "rounds.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["round"] for row in rows] == list(range(15))
    shown = [row["samples"] for row in rows if "samples" in row]
    assert [len(s) for s in shown] == [4, 4, 4, 4]  # rounds 0, 5, 10 and the last
    looks = [row["look"] for row in rows if "look" in row]
    assert looks[0]["kl"] < looks[-1]["kl"]
    assert looks[-1]["mean"] == pytest.approx(found["reward_end_mean"], abs=0.1)
    assert [s["prompt"] for s in shown[0]] == [s["prompt"] for s in shown[-1]]
    assert len(said) >= 15
    model, _ = Run(tmp_path / "ppo").load()
    assert not np.array_equal(model.params.flat, Run(base).load()[0].params.flat)


def test_numbers_that_are_none_end_the_training_with_the_last_good_weights(
    base: str, tmp_path: Path
) -> None:
    calls = []

    def breaks(talks: Sequence[Conversation]) -> np.ndarray:
        calls.append(1)
        return np.full(len(talks), np.nan if len(calls) > 3 else 0.5)

    config = PPOConfig(answers=16, longest=4)
    with pytest.raises(TrainingError, match="reward"):
        align(base, str(tmp_path / "ppo"), PROMPTS, PROMPTS, Judges(breaks, early),
              config, Alignment(rounds=9, workers=1))  # fmt: skip
    model, _ = Run(tmp_path / "ppo").load()
    assert np.isfinite(model.params.flat).all()


def test_a_policy_that_was_stopped_goes_on_to_the_same_bits(
    base: str, tmp_path: Path
) -> None:
    config = PPOConfig(answers=8, longest=4, kl_target=1.0, minibatch=4)
    judges, weights = Judges(early, early), []
    for name, steps in (("whole", [4]), ("parts", [2, 4])):
        for part, rounds in enumerate(steps):
            align(base, str(tmp_path / name), PROMPTS, PROMPTS, judges, config,
                  Alignment(rounds=rounds, workers=1), resume=part > 0)  # fmt: skip
        weights.append(Run(tmp_path / name).load()[0].params.flat)
    np.testing.assert_array_equal(*weights)
    rows = [
        (tmp_path / name / "rounds.jsonl").read_text().splitlines()
        for name in ("whole", "parts")
    ]
    seen = ("samples", "look")  # also of a last round, which is another in the parts
    drop = [[{k: v for k, v in json.loads(x).items() if k not in seen} for x in some]
            for some in rows]  # fmt: skip
    assert drop[0] == drop[1]
    assert (tmp_path / "parts" / "rounds.png").stat().st_size > 10_000


def test_judges_are_renewed_once_when_half_is_done(base: str, tmp_path: Path) -> None:
    config, asked = PPOConfig(answers=8, longest=4, minibatch=4), list[bool]()

    def renew(policy: GPT, done_before: bool) -> Judges:
        asked.append(done_before)
        return Judges(lambda talks: early(talks) + 5, early)

    weights = []
    for name, steps in (("whole", [6]), ("parts", [2, 4, 6])):
        for rounds in steps:  # the first two are as if stopped: half is at 3 of 6
            said: list[str] = []
            with contextlib.suppress(KeyboardInterrupt):
                align(
                    base, str(tmp_path / name), PROMPTS, PROMPTS, Judges(early, early),
                    config, Alignment(rounds=6, workers=1), resume=rounds != steps[0],
                    renew=renew, say=stops_after(rounds, said),
                )  # fmt: skip
        weights.append(Run(tmp_path / name).load()[0].params.flat)
    np.testing.assert_array_equal(*weights)
    assert asked == [False, False, True]
    lines = (tmp_path / "parts" / "rounds.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["reward"] > 3 for row in rows] == [False] * 3 + [True] * 3


def stops_after(rounds: int, said: list[str]) -> Callable[[str], None]:
    """A listener who presses Ctrl-C, hard, when he hears of this round."""

    def say(text: str) -> None:
        said.append(text)
        if rounds < 6 and text.startswith(f"round {rounds - 1}:"):
            raise KeyboardInterrupt

    return say


def test_a_round_that_no_checkpoint_holds_is_done_again(
    base: str, tmp_path: Path
) -> None:
    out, config = tmp_path / "ppo", PPOConfig(answers=8, longest=4, minibatch=4)
    judges = Judges(early, early)
    align(base, str(out), PROMPTS, PROMPTS, judges, config,
          Alignment(rounds=2, workers=1))  # fmt: skip
    path = out / "rounds.jsonl"
    path.write_text(path.read_text() + path.read_text().splitlines()[-1] + "\n")
    found = align(base, str(out), PROMPTS, PROMPTS, judges, config,
                  Alignment(rounds=3, workers=1), resume=True)  # fmt: skip
    assert found["rounds"] == 3 == len(path.read_text().splitlines())


GOOD = {"distinct_2": 0.9, "kl": 1.0, "explained": 0.1, "reward": 0.0,
        "reward_spread": 1.0, "length": 9.0}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("distinct_2", 0.2, "diversity"), ("kl", 40.0, "nats"), ("kl", -5.0, "negative"),
     ("explained", -3.0, "values"), ("reward", 20.0, "spreads"),
     ("length", 1.0, "two tokens")],
)  # fmt: skip
def test_what_goes_wrong_is_named_and_what_to_turn(
    name: str, value: float, said: str
) -> None:
    assert alarms([GOOD] * 20) == []
    found = alarms([GOOD] * 10 + [{**GOOD, name: value}] * 5)
    assert [said in alarm.name for alarm in found] == [True]
    assert found[0].cause and found[0].turn


def test_ratings_are_collected_and_their_noise_is_what_was_asked_for(
    base: str,
) -> None:
    model, tokenizer = Run(base).load()
    model.params.token_embedding *= 5
    found = []
    for noise in (0.0, 0.3):
        rater = ProgrammedRater("vocabulary", noise, np.random.default_rng(1))
        found.append(collect(model, tokenizer, PROMPTS, 300, rater, longest=8))
    assert len(found[0]) == 300 and all(r.choice in (0, 1) for r in found[0])
    prompts = [r.prompt for r in found[0]]  # every two of 8 answers: 28 pairs at most
    assert 1 + sum(a != b for a, b in itertools.pairwise(prompts)) >= 300 / 28
    truth = ProgrammedRater("vocabulary", 0.0, np.random.default_rng(1))
    right = [truth.compare(r.prompt, r.answers).choice == r.choice for r in found[1]]
    assert 0.6 < np.mean(right) < 0.8
    with pytest.raises(DataError, match="tells apart"):
        rater = ProgrammedRater("sentiment", 0.0, np.random.default_rng(0))
        collect(model, tokenizer, PROMPTS, 300, rater, longest=1)


def test_prompts_are_different_and_short() -> None:
    found = chat_prompts(50, TOKENIZER)
    texts = [c[0].content for c in found]
    assert len(set(texts)) == 50
    assert found == chat_prompts(50, TOKENIZER)
    few = chat_prompts(20, TOKENIZER, longest=20)
    assert max(len(render_prompt(c, TOKENIZER)) for c in few) <= 20


def test_a_runs_reward_is_read_off_where_it_was_so_far() -> None:
    looks = [{"kl": k / 10, "mean": 1.0 + k / 5} for k in range(50)]
    assert truth_at(looks, 1.84) == pytest.approx(1 + 2 * 1.84)
    assert np.isnan(truth_at(looks, 9.0)) and np.isnan(truth_at(looks[:3], 0.1))
