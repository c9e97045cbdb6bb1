"""The scores say what their papers say, and the intervals cover what they promise."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptlite.errors import DataError
from gptlite.tasks.metrics import (
    chrf,
    common_subsequence,
    distinct_n,
    normalised,
    ratio_interval,
    rouge_l,
    score_interval,
)
from gptlite.tasks.split import is_for_test, part

FEW_WORDS = st.lists(st.sampled_from("abc"), max_size=7)
TEXT = st.text("abé ", max_size=12)


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ("police kill the gunman", 0.75),
        ("the gunman kill police", 0.5),
        ("the gunman police killed", 0.5),
    ],
)
def test_rouge_l_is_that_of_the_examples_in_its_paper(
    answer: str, score: float
) -> None:
    assert rouge_l(answer, "police killed the gunman") == score


def test_rouge_l_weighs_precision_and_recall_alike() -> None:
    # 2 words of 4 and 2 of 2: P = 1/2, R = 1, F = 2/3
    assert rouge_l("a big brown bird", "a bird") == pytest.approx(2 / 3)
    assert rouge_l("a bird", "a big brown bird") == pytest.approx(2 / 3)


@given(FEW_WORDS, FEW_WORDS)
def test_the_common_subsequence_is_the_longest_there_is(
    a: list[str], b: list[str]
) -> None:
    def subsequences(x: list[str]) -> set[tuple[str, ...]]:
        return {s for n in range(len(x) + 1) for s in itertools.combinations(x, n)}

    longest = max(map(len, subsequences(a) & subsequences(b)))
    assert common_subsequence(a, b) == longest


def test_chrf_is_what_one_computes_by_hand() -> None:
    # abc against abd: of one character 2 of 3 in common, of two 1 of 2, of three none
    mean = (2 / 3 + 1 / 2 + 0) / 3
    assert chrf("abc", "abd") == pytest.approx(mean)
    # ab against abcd: P = 1 and 1, R = 2/4 and 1/3; longer ones only one text has
    p, r = 1.0, (2 / 4 + 1 / 3) / 2
    assert chrf("ab", "abcd") == pytest.approx(5 * p * r / (4 * p + r))


@pytest.mark.parametrize(
    ("answer", "right", "score"),
    [
        ("star of David", "étoile de David", 25.135960053099986),
        ("tamale", "tamal", 92.44791666666666),
        ("toilet", "toilettes", 55.77101053281037),
        ("woman astronaut", "astronaute femme", 53.03220665224436),
        ("volcano", "volcan", 93.25876662636034),
    ],
)
def test_chrf_is_that_of_sacrebleu_2_6(answer: str, right: str, score: float) -> None:
    assert 100 * chrf(answer, right) == pytest.approx(score, rel=1e-12)


@pytest.mark.parametrize("score", [rouge_l, chrf])
@given(a=TEXT, b=TEXT)
def test_scores_lie_between_0_and_1_and_the_right_answer_has_1(
    score: object, a: str, b: str
) -> None:
    assert callable(score)
    assert 0 <= score(a, b) <= 1 + 1e-12
    assert score(a, a) == pytest.approx(1)


def test_case_spaces_and_the_final_stop_do_not_make_an_answer_wrong() -> None:
    assert normalised(" I  don't know. ") == normalised("i don't know")
    assert normalised("I don't know") != normalised("I do know")


def test_who_repeats_himself_is_not_distinct() -> None:
    assert distinct_n(["so do I"] * 10, 2) == pytest.approx(2 / 20)
    assert distinct_n(["so do I", "not me"], 2) == 1
    assert distinct_n(["yes", ""], 2) == 0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_the_interval_holds_the_mean_and_is_never_a_point(scores: list[float]) -> None:
    mean, low, high = score_interval(scores)
    assert mean == pytest.approx(np.mean(scores))
    assert 0 <= low - 1e-12 <= mean <= high + 1e-12 <= 1 + 1e-9 or low == 0
    assert low < high


@pytest.mark.parametrize("n", [20, 80, 200])
@pytest.mark.parametrize("p", [0.02, 0.3, 0.5, 0.9])
def test_the_interval_covers_the_truth_in_about_95_of_100(p: float, n: int) -> None:
    covered = 0.0  # the chance of those counts of successes whose interval holds p
    for k in range(n + 1):
        _, low, high = score_interval([1.0] * k + [0.0] * (n - k))
        if low <= p <= high:
            covered += math.comb(n, k) * p**k * (1 - p) ** (n - k)
    assert 0.93 <= covered <= 0.999


def test_the_interval_of_a_ratio_covers_the_truth(rng: np.random.Generator) -> None:
    covered = 0
    for _ in range(200):
        size = rng.uniform(10, 90, 100)
        _, low, high = ratio_interval(size * rng.normal(2, 0.5, 100), size)
        covered += low <= 2 <= high
    assert 0.88 <= covered / 200 <= 0.99


@pytest.mark.parametrize("scores", [[], [0.5, 1.2], [float("nan")]])
def test_what_are_no_scores_is_refused(scores: list[float]) -> None:
    with pytest.raises(DataError, match="wanted scores of 0 … 1"):
        score_interval(scores)


@pytest.mark.parametrize(("tops", "bottoms"), [([1.0], [0.0]), ([1.0], []), ([], [])])
def test_a_ratio_needs_something_to_divide_by(
    tops: list[float], bottoms: list[float]
) -> None:
    with pytest.raises(DataError, match="positive numbers to divide by"):
        ratio_interval(tops, bottoms)


def test_about_one_in_so_many_is_for_the_test() -> None:
    tested = sum(is_for_test(f"title {i}", 8) for i in range(8000))
    assert 900 <= tested <= 1100
    assert all(is_for_test(f"{i}", 4) == (part(f"{i}", 4) == 0) for i in range(50))
