"""What single words are worth, alone and beside a reward model."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gptlite.alignment.examples import Ratings, as_pairs
from gptlite.alignment.experience import sample_answers
from gptlite.alignment.learn import learn_again, learn_reward
from gptlite.alignment.ratings import Rating
from gptlite.alignment.reward import scores_of
from gptlite.alignment.settings import RewardConfig
from gptlite.alignment.train_reward import RewardModel
from gptlite.alignment.words import (
    WordScores,
    counted,
    counts,
    fitted,
    learned_words,
    strength_for,
)
from gptlite.errors import CheckpointError
from gptlite.training.run import Run
from tests.alignment.test_learn import QUICK, rated
from tests.alignment.test_runs import PROMPTS
from tests.alignment.test_study import LOVELY, planted, said
from tests.helpers import child_environment


def test_the_weights_are_where_the_loss_is_smallest() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 6)).astype(np.float32) + np.float32(0.3)
    strength = 0.03 * float((x * x).sum(axis=1).mean())
    w = fitted(x, 0.03).astype(np.float64)

    def loss(w: np.ndarray) -> float:
        return float(np.logaddexp(0, -x @ w).mean() + strength / 2 * w @ w)

    for i in range(6):
        for step in (-0.01, 0.01):
            assert loss(w + step * np.eye(6)[i]) > loss(w)


def test_the_strength_is_not_chosen_on_what_was_learned() -> None:
    """Weights that know conversations by heart are worth nothing elsewhere."""
    rng = np.random.default_rng(0)
    talks, by_heart = [said([f"t{i}"]) for i in range(60)], np.eye(60, dtype=np.float32)
    some = rng.choice([(i, j) for i in range(60) for j in range(i)], 120, False)
    x = np.array([by_heart[i] - by_heart[j] for i, j in some])
    pairs = [(talks[i], talks[j]) for i, j in some]
    assert strength_for(x, pairs) == 1.0
    apart = [(said([f"a{i}"]), said([f"b{i}"])) for i in range(120)]
    assert strength_for(x, apart) < 1.0  # pairs that seem to be strangers, and are not
    theirs = [(talks[0], talks[i % 50 + 1]) for i in range(120)]  # all share one
    assert strength_for(x, theirs) == 1.0


def test_words_that_are_not_known_do_not_count() -> None:
    known, talk = {"b": 1, "a": 0}, said(["b", "b", "zebra"])
    assert counted(["a b b zebra"], known, once=False).tolist() == [[1.0, 2.0]]
    assert counted(["a b b zebra"], known, once=True).tolist() == [[1.0, 1.0]]
    assert WordScores({"b": 2.0}).rate([talk]) == [2.0]
    assert WordScores({"b": 2.0}, once=False).rate([talk]) == [4.0]


def test_the_planted_word_is_worth_most_whatever_one_in_five_labels_says() -> None:
    weights = learned_words(planted(400, 0, 0.2)).weights
    assert max(weights, key=lambda word: weights[word]) == LOVELY
    held_out = planted(200, 1)
    found = WordScores(weights).rate([c for pair in held_out for c in pair])
    assert np.mean(found[::2] > found[1::2]) > 0.95


def test_a_reward_is_the_model_s_and_what_its_words_are_worth(
    base: str, tmp_path: Path
) -> None:
    ratings = Ratings(rated(200, 0), rated(60, 1))
    learned, found = learn_reward(base, str(tmp_path / "r"), ratings, QUICK)
    loaded = RewardModel.load(str(tmp_path / "r"))
    talks = [c for pair in as_pairs(ratings.held_out) for c in pair]
    assert loaded.words and loaded.words == learned.words
    alone = scores_of(loaded.model, loaded.tokenizer, talks)
    np.testing.assert_allclose(
        loaded.rate(talks), alone + loaded.words.rate(talks), atol=1e-6
    )
    everything = [c for pair in as_pairs(ratings.learned) for c in pair]
    rewards = loaded.rate([*dict.fromkeys(everything)])
    assert rewards.mean() == pytest.approx(0, abs=1e-4)
    assert rewards.std() == pytest.approx(1, abs=1e-4)
    assert found["accuracy"] > 0.85


def test_answers_that_were_just_sampled_get_the_same_reward(
    base: str, tmp_path: Path
) -> None:
    ratings = Ratings(rated(40, 0), rated(20, 1))
    reward, _ = learn_reward(
        base, str(tmp_path / "r"), ratings, RewardConfig(reward_steps=4)
    )
    answers = sample_answers(
        reward.model, reward.tokenizer, PROMPTS, 6, rng=np.random.default_rng(0)
    )
    said = [w for c in answers.conversations for w, _ in counts(c[-1].content, True)]
    words = WordScores({word: 3.0 + i for i, word in enumerate(said)})
    assert words.rate(answers.conversations).any()
    reward = RewardModel(reward.model, reward.tokenizer, reward.spread, words)
    rewards, _ = reward.read(answers)
    without, _ = RewardModel(reward.model, reward.tokenizer).read(answers)
    np.testing.assert_allclose(
        rewards - without, words.rate(answers.conversations), atol=1e-9
    )


@pytest.mark.parametrize("pairs", [8, 16, 60])
def test_few_pairs_with_random_labels_are_worth_next_to_nothing(pairs: int) -> None:
    """Else they would drown what the model says."""
    worth = []
    for seed in range(20):
        train = planted(pairs, seed, 0.5)
        other = [c for pair in planted(50, 100 + seed) for c in pair]
        found = learned_words(train).rate(other)
        worth.append(np.abs(found[::2] - found[1::2]).mean())
    assert np.median(worth) < 0.3 and np.mean(worth) < 1  # nats


def test_words_are_the_same_whatever_python_s_hashes_are() -> None:
    program = (
        "from tests.alignment.test_study import planted\n"
        "from gptlite.alignment.words import learned_words\n"
        "found, pairs = learned_words(planted(60, 0, 0.2)), planted(9, 1)\n"
        "print(found.weights, found.rate([c for p in pairs for c in p]).tolist())"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program], check=True, capture_output=True,
            env=child_environment() | {"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(said) == 1 and LOVELY.encode() in said.pop()


def test_a_reward_model_that_learns_on_weighs_words_again(
    base: str, tmp_path: Path
) -> None:
    """Its older ratings are as doubtful as before, whoever gives the new ones."""
    reward, out = str(tmp_path / "r"), str(tmp_path / "again")
    first, _ = learn_reward(base, reward, Ratings(rated(40, 0), rated(20, 1)), QUICK)
    sure = RewardConfig("vocabulary", reward_steps=6)
    assert first.words and not sure.words
    again = learn_again(first.model, reward, out, sure, 8)
    assert again.words is not None and again.words != first.words
    assert RewardModel.load(out).words == again.words


def test_a_policy_knows_its_judge_by_the_words_too(base: str, tmp_path: Path) -> None:
    out = str(tmp_path / "r")
    ratings = Ratings(rated(40, 0), rated(20, 1))
    reward, _ = learn_reward(base, out, ratings, RewardConfig(reward_steps=4))
    assert reward.words and RewardModel.load(out).fingerprint == reward.fingerprint
    other = dataclasses.replace(reward, words=reward.words.scaled(2))
    none = dataclasses.replace(reward, words=None)
    assert len({x.fingerprint for x in (reward, other, none)}) == 3


def test_grades_and_who_does_not_want_them_have_no_words(
    base: str, tmp_path: Path
) -> None:
    ratings = Ratings(rated(40, 0), rated(20, 1))
    off = RewardConfig(reward_steps=4, reward_words=False)
    learned, _ = learn_reward(base, str(tmp_path / "off"), ratings, off)
    assert learned.words is None
    graded = Ratings(*(
        [Rating(r.prompt, (text,), grade=float(k), rater="ann")
         for r in some for k, text in enumerate(r.answers)]
        for some in ratings
    ))  # fmt: skip
    few = RewardConfig(reward_steps=4)
    learned, _ = learn_reward(base, str(tmp_path / "grades"), graded, few)
    assert learned.words is None


def test_words_are_added_where_labels_may_be_wrong() -> None:
    assert not RewardConfig("politeness").words
    assert RewardConfig("politeness", noise=0.2).words
    assert RewardConfig().words  # people's
    assert not RewardConfig(reward_words=False).words


@pytest.mark.parametrize(
    "damage",
    [
        {"no": True},
        {"no": 10**400},
        ["thanks"],
        {"thanks": "much"},
        {"no": float("nan")},
    ],
)
def test_damaged_words_are_refused(base: str, tmp_path: Path, damage: object) -> None:
    out = str(tmp_path / "r")
    ratings = Ratings(rated(40, 0), rated(20, 1))
    learn_reward(base, out, ratings, RewardConfig(reward_steps=4))
    file = Run(out).config_file
    described = json.loads(file.read_text()) | {"words": damage}
    file.write_text(json.dumps(described))
    with pytest.raises(CheckpointError, match="a number for each word"):
        RewardModel.load(out)
