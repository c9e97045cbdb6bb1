"""The health report says what is so, of reward models whose worth is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from gptlite.alignment.health import calibration, health
from gptlite.errors import DataError
from gptlite.text.chat import Conversation, conversation


def pair(better: str, worse: str) -> tuple[Conversation, Conversation]:
    said = [conversation(("user", "Hi"), ("assistant", text))
            for text in (better, worse)]  # fmt: skip
    return said[0], said[1]


def polite(c: Conversation) -> float:
    return float(c[-1].content.count("please"))


PAIRS = [pair("please " * (1 + i % 3) + "no" * (i % 7), "well" * (i % 5 + 1))
         for i in range(100)]  # fmt: skip


def test_one_who_knows_is_right_and_one_who_does_not_is_half_right() -> None:
    found = health(lambda cs: np.array([polite(c) for c in cs]), PAIRS, polite)
    assert found["accuracy"] == 1.0 == found["truth"]
    assert found["interval"][0] > 0.9
    nothing = health(lambda cs: np.zeros(len(cs)), PAIRS)
    assert nothing["accuracy"] == 0.5 and "truth" not in nothing
    assert nothing["length_correlation"] == 0.0
    assert nothing["calibration_error"] == 0.0  # it says ½ and is right in ½
    assert health(lambda cs: np.zeros(len(cs)), PAIRS, polite)["truth"] == 0.5
    assert "truth" not in health(lambda cs: np.zeros(len(cs)), PAIRS, lambda c: 1.0)


def test_the_pairs_it_gets_most_wrong_come_first() -> None:
    def wrong(cs: Sequence[Conversation]) -> np.ndarray:
        return np.array([-polite(c) for c in cs])

    found = health(wrong, PAIRS, polite)
    assert found["accuracy"] == 0.0
    margins = [row["margin"] for row in found["worst"]]
    assert margins == sorted(margins) and margins[0] == -3.0
    assert found["worst"][0]["prompt"] == "Hi"


def test_one_who_likes_long_answers_is_found_out() -> None:
    def long(cs: Sequence[Conversation]) -> np.ndarray:
        return np.array([len(c[-1].content) for c in cs], float)

    found = health(long, PAIRS)
    assert found["length_correlation"] == pytest.approx(1.0)
    assert found["accuracy"] == pytest.approx(found["longer_preferred"])


def test_who_is_as_sure_as_right_is_calibrated() -> None:
    rng = np.random.default_rng(0)
    margins = rng.exponential(2, 20_000)
    right = rng.random(20_000) < 1 / (1 + np.exp(-margins))
    classes = calibration(margins, right)
    assert len(classes) == 10
    assert max(abs(c["sure"] - c["right"]) for c in classes) < 0.04
    too_sure = calibration(10 * margins, right)
    assert max(c["sure"] - c["right"] for c in too_sure) > 0.2


def test_nothing_to_measure_on_is_an_error() -> None:
    with pytest.raises(DataError, match="got none"):
        health(lambda cs: np.zeros(len(cs)), [])
