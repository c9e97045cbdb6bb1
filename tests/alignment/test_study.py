"""Learning curves and baselines find what was planted, and no more than that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gptlite.alignment.health import Pair
from gptlite.alignment.study import (
    bag_of_words,
    learning_curve,
    length_only,
    measured,
)
from gptlite.config import TrainConfig
from gptlite.errors import DataError
from gptlite.tasks.metrics import score_interval
from gptlite.text.chat import Conversation, conversation
from tests.alignment.test_reward import examples

TRAINING = TrainConfig(steps=80, batch_size=32, learning_rate=3e-3, warmup_steps=5,
                       eval_every=0, sample_every=0, workers=1)  # fmt: skip
WORDS = [f"w{i}" for i in range(10, 40)]
LOVELY = "w99"  # as long as the others


def said(words: list[str]) -> Conversation:
    return conversation(("user", "Hi"), ("assistant", " ".join(words)))


def planted(n: int, seed: int, noise: float = 0.0) -> list[Pair]:
    """Of two answers of eight words, the one with LOVELY is better."""
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(n):
        better, worse = rng.choice(WORDS, (2, 8)).tolist()
        better[int(rng.integers(8))] = LOVELY
        pair = said(better), said(worse)
        pairs.append(pair[::-1] if rng.random() < noise else pair)
    return pairs


def by_length(n: int, seed: int, longer: float) -> list[Pair]:
    """The longer answer is better in this share of the pairs."""
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(n):
        short, more = rng.integers(1, 9, 2)
        words = rng.choice(WORDS, int(short + short + more)).tolist()
        pair = said(words[int(short) :]), said(words[: int(short)])
        pairs.append(pair if rng.random() < longer else pair[::-1])
    return pairs


def test_a_bag_of_words_finds_a_planted_word_and_a_ruler_does_not() -> None:
    train, held_out = planted(300, 0), planted(200, 1)
    row = bag_of_words(train, held_out)
    assert row["n"] == 300 and row["accuracy"] > 0.97
    assert row["interval"][0] < row["accuracy"] < row["interval"][1] + 1e-12
    assert length_only(train, held_out)["accuracy"] == 0.5  # all are as long


def test_with_noisy_labels_the_truth_is_found_better_than_the_labels() -> None:
    row = bag_of_words(planted(400, 0, 0.2), planted(300, 1, 0.2),
                       lambda c: float(LOVELY in c[-1].content))  # fmt: skip
    assert 0.7 < row["accuracy"] < 0.9 < row["truth"]
    assert row["truth_interval"][0] > row["interval"][1]


def test_the_text_that_is_looked_at_can_be_chosen() -> None:
    row = bag_of_words(planted(100, 0), planted(100, 1), text=lambda c: c[0].content)
    assert row["accuracy"] == 0.5  # the prompts are the same


@pytest.mark.parametrize("longer", [0.85, 0.15])
def test_a_ruler_learns_whether_long_or_short_is_liked(longer: float) -> None:
    row = length_only(by_length(200, 0, longer), by_length(400, 1, longer))
    assert row["n"] == 200
    assert row["interval"][0] < 0.85 < row["interval"][1]
    other = length_only(by_length(200, 0, 1 - longer), by_length(400, 1, longer))
    assert other["accuracy"] == pytest.approx(1 - row["accuracy"])


def test_intervals_know_that_pairs_share_conversations() -> None:
    """Rewards that are chance are right in half of all cases: how often does an
    interval say so?"""
    covered, naive = [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        talks = [said([f"t{i}"]) for i in range(40)]
        some = rng.choice([(i, j) for i in range(40) for j in range(i)], 300, False)
        pairs = [(talks[i], talks[j]) for i, j in some]  # a higher number is better
        rewards = dict(zip(talks, rng.normal(size=40), strict=True))
        row = measured(0, lambda cs, r=rewards: np.array([r[c] for c in cs]), pairs)
        low, high = row["interval"]
        covered.append(low <= 0.5 <= high)
        right = [float(rewards[a] > rewards[b]) for a, b in pairs]
        naive.append(score_interval(right).low <= 0.5 <= score_interval(right).high)
    assert np.mean(covered) > 0.88 > 0.8 > np.mean(naive)


def test_without_shared_conversations_an_interval_is_that_of_health() -> None:
    pairs = [(said([f"a{i}"]), said([f"b{i}"])) for i in range(50)]
    rewards = np.random.default_rng(0).normal(size=100)
    row = measured(7, lambda cs: rewards, pairs)
    scores = (rewards[::2] > rewards[1::2]).astype(float).tolist()
    assert row["interval"] == pytest.approx(score_interval(scores)[1:])
    assert row["n"] == 7 and set(row) == {"n", "accuracy", "interval"}


def test_more_ratings_are_better_where_there_is_something_to_learn(
    base: str,
    tmp_path: Path,
) -> None:
    rows = learning_curve(
        base, tmp_path / "curve", examples(200), examples(100, seed=1), [4, 200],
        TRAINING, lambda c: 0.0,
    )  # fmt: skip
    assert [row["n"] for row in rows] == [4, 200]
    assert rows[1]["interval"][0] > rows[0]["interval"][1]
    assert rows[1]["accuracy"] > 0.9 and "truth" not in rows[1]  # all are equal to it
    with pytest.raises(DataError, match="1 … 3 training pairs"):
        learning_curve(base, tmp_path, examples(3), examples(3), [4], TRAINING)
