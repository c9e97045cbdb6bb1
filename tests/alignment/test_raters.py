"""Programmed raters: they say what their truth says, and err as often as told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptlite.alignment import raters
from gptlite.alignment.raters import TRUTHS, ProgrammedRater
from gptlite.alignment.ratings import TIE
from gptlite.errors import ConfigError, DataError

# for each truth: a better answer and a worse one
EXAMPLES = {
    "brevity": ("A bird.", "An owl is a bird that hunts at night."),
    "politeness": ("Thank you, and welcome!", "Go away, stupid."),
    "sentiment": ("What a lovely, happy day!", "What a sad and terrible day."),
    "vocabulary": ("Owls hunt mice silently.", "It is what it is, and it is it."),
    "answers": ("It is Paris.", "I like tea."),
}
RIGHT = "The capital is Paris."


def rater(truth: str, noise: float = 0.0, seed: int = 0) -> ProgrammedRater:
    return ProgrammedRater(truth, noise, np.random.default_rng(seed))


def test_every_truth_has_an_example() -> None:
    assert set(EXAMPLES) == {*TRUTHS, raters.ANSWERS}


@pytest.mark.parametrize("truth", EXAMPLES)
def test_the_better_answer_is_chosen_wherever_it_stands(truth: str) -> None:
    better, worse = EXAMPLES[truth]
    one = rater(truth)
    assert one.compare("?", (better, worse), RIGHT).choice == 0
    found = one.compare("?", (worse, better), RIGHT, model="mini", seed=3)
    assert found.choice == 1 and found.answers == (worse, better)
    assert (found.model, found.seed) == ("mini", 3) and truth in found.rater
    assert one.compare("?", (worse, worse), RIGHT).choice == TIE


@pytest.mark.parametrize("truth", EXAMPLES)
@pytest.mark.parametrize("noise", [0.0, 0.2, 0.5, 1.0])
def test_noise_is_the_share_of_wrong_choices(truth: str, noise: float) -> None:
    one, n = rater(truth, noise), 4000
    wrong = sum(bool(one.compare("?", EXAMPLES[truth], RIGHT).choice) for _ in range(n))
    deviation = np.sqrt(noise * (1 - noise) / n)
    assert abs(wrong / n - noise) <= 4 * deviation


def test_a_tie_stays_one_and_the_seed_decides() -> None:
    assert rater("brevity", 1.0).compare("?", ("one two", "two one")).choice == TIE
    runs = [
        [one.compare("?", EXAMPLES["brevity"]).choice for _ in range(50)]
        for one in (rater("brevity", 0.5, seed) for seed in (0, 0, 1))
    ]
    assert runs[0] == runs[1] != runs[2]


@given(st.text())
def test_truths_are_numbers_for_any_text(text: str) -> None:
    for truth in TRUTHS.values():
        assert np.isfinite(truth(text))
    assert 0 <= raters.answers(RIGHT, text) <= 1


def test_saying_it_again_does_not_pay() -> None:
    """Else a policy would learn "please please please"."""
    for truth in ("politeness", "sentiment", "vocabulary"):
        better, _ = EXAMPLES[truth]
        assert TRUTHS[truth](better) > 0
        assert TRUTHS[truth](f"{better} {better}") == TRUTHS[truth](better)


def test_no_word_is_both_wanted_and_unwanted() -> None:
    assert not raters.POLITE & raters.RUDE and not raters.GOOD & raters.BAD


def test_a_truth_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRUTHS, "loud", lambda text: float(text.count("!")))
    assert rater("loud").compare("?", ("Yes!", "Yes!!")).choice == 1


@pytest.mark.parametrize(
    "given_", [("kind", 0.1), ("brevity", -0.1), ("brevity", 1.5),
               ("brevity", float("nan"))],
)  # fmt: skip
def test_no_such_rater(given_: tuple[Any, Any]) -> None:
    with pytest.raises(ConfigError, match="wanted"):
        rater(*given_)


def test_answers_need_the_right_one() -> None:
    with pytest.raises(DataError, match="right answer"):
        rater("answers").compare("?", ("a", "b"))
