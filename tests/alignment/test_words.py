"""What single words are worth, alone and beside a reward model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gptlite.alignment.examples import Ratings, as_pairs
from gptlite.alignment.experience import sample_answers
from gptlite.alignment.learn import learn_reward
from gptlite.alignment.reward import scores_of
from gptlite.alignment.settings import RewardConfig
from gptlite.alignment.train_reward import RewardModel
from gptlite.alignment.words import (
    WordScores,
    fitted,
    learned_words,
    occurring,
    strength_for,
)
from gptlite.errors import CheckpointError
from gptlite.training.run import Run
from tests.alignment.test_learn import QUICK, rated
from tests.alignment.test_runs import PROMPTS
from tests.alignment.test_study import LOVELY, planted, said


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
    assert occurring(["a b b zebra"], {"b": 1, "a": 0}).tolist() == [[1.0, 1.0]]
    assert WordScores({"b": 2.0}).rate([said(["b", "b", "zebra"])]) == [2.0]


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
    reward = RewardModel(
        reward.model, reward.tokenizer, reward.spread, WordScores({"a": 3.0})
    )
    answers = sample_answers(
        reward.model, reward.tokenizer, PROMPTS, 6, rng=np.random.default_rng(0)
    )
    rewards, _ = reward.read(answers)
    without, _ = RewardModel(reward.model, reward.tokenizer).read(answers)
    assert reward.words
    np.testing.assert_allclose(
        rewards - without, reward.words.rate(answers.conversations), atol=1e-9
    )


def test_words_are_added_where_labels_may_be_wrong() -> None:
    assert not RewardConfig("politeness").words
    assert RewardConfig("politeness", noise=0.2).words
    assert RewardConfig().words  # people's
    assert not RewardConfig(reward_words=False).words


@pytest.mark.parametrize(
    "damage", [["thanks"], {"thanks": "much"}, {"no": float("nan")}]
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
