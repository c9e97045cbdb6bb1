"""Kappa is what its papers define, and says when it says nothing."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gptlite.alignment.agreement import agreement, cohen, contradictions, fleiss
from gptlite.alignment.ratings import TIE, Rating
from gptlite.errors import DataError

# 14 raters, 10 items, 5 categories: a worked example found in many places
FOURTEEN = np.array(
    [[0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0],
     [2, 2, 8, 1, 1], [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2],
     [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]]
)  # fmt: skip

two = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=2)
tables = st.integers(2, 5).flatmap(
    lambda n: st.lists(
        st.lists(st.sampled_from(range(3)), min_size=n, max_size=n), min_size=1,
        max_size=8,
    )
)  # fmt: skip


def same(a: float, b: float) -> bool:
    return (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, abs_tol=1e-12)


def counted(table: list[list[int]]) -> np.ndarray:
    return np.array([[row.count(c) for c in range(3)] for row in table])


def test_known_values() -> None:
    assert round(fleiss(FOURTEEN), 3) == 0.210
    yes_no = ["yy"] * 20 + ["yn"] * 5 + ["ny"] * 10 + ["nn"] * 15
    assert cohen([x[0] for x in yes_no], [x[1] for x in yes_no]) == pytest.approx(0.4)


@given(two)
def test_cohen_is_its_definition(rows: list[tuple[str, str]]) -> None:
    a, b = [x for x, _ in rows], [y for _, y in rows]
    assume(len({*a, *b}) > 1)
    chance = np.mean([x == y for x, y in itertools.product(a, b)])
    seen = np.mean([x == y for x, y in rows])
    assert same(cohen(a, b), (seen - chance) / (1 - chance))


@given(two, st.randoms(use_true_random=False))
def test_cohen_does_not_mind_order_names_or_sides(
    rows: list[tuple[str, str]], random: object
) -> None:
    a, b = [x for x, _ in rows], [y for _, y in rows]
    mixed = list(rows)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    named = {"a": 7, "b": TIE, "c": None}
    k = cohen(a, b)
    assert same(k, cohen(b, a))
    assert same(k, cohen([x for x, _ in mixed], [y for _, y in mixed]))
    assert same(k, cohen([named[x] for x in a], [named[y] for y in b]))
    assert math.isnan(k) or k <= 1


@given(st.lists(st.sampled_from("abc"), min_size=1))
def test_one_agrees_with_himself(a: list[str]) -> None:
    assert same(cohen(a, a), 1.0 if len(set(a)) > 1 else math.nan)


@given(tables)
def test_fleiss_is_its_definition(table: list[list[int]]) -> None:
    everything = [c for row in table for c in row]
    assume(len(set(everything)) > 1)
    agree = [
        np.mean([x == y for x, y in itertools.permutations(row, 2)]) for row in table
    ]
    chance = sum((n / len(everything)) ** 2 for n in Counter(everything).values())
    wanted = (np.mean(agree) - chance) / (1 - chance)
    assert same(fleiss(counted(table)), float(wanted))


@given(tables)
def test_fleiss_does_not_mind_order_or_unused_categories(
    table: list[list[int]],
) -> None:
    counts = counted(table)
    k = fleiss(counts)
    assert same(k, fleiss(counts[::-1, ::-1]))
    assert same(k, fleiss(np.pad(counts, ((0, 0), (0, 2)))))
    assert math.isnan(k) or k <= 1


def test_those_who_draw_do_not_agree(rng: np.random.Generator) -> None:
    draws = rng.choice(3, size=(4000, 4), p=[0.6, 0.3, 0.1])
    assert abs(cohen(draws[:, 0].tolist(), draws[:, 1].tolist())) < 0.06
    assert abs(fleiss(counted(draws.tolist()))) < 0.04


def test_opposites_are_below_chance() -> None:
    assert cohen("abab", "baba") == pytest.approx(-1)


def test_one_category_is_no_number() -> None:
    assert math.isnan(cohen("aaa", "aaa"))
    assert math.isnan(fleiss(np.array([[3, 0], [3, 0]])))
    assert cohen("aaa", "bbb") == 0


@pytest.mark.parametrize("given_", [("ab", "a"), ("", "")])
def test_cohen_needs_two_ratings_of_each(given_: tuple[str, str]) -> None:
    with pytest.raises(DataError, match="two ratings of each item"):
        cohen(*given_)


@pytest.mark.parametrize("counts", [[[1, 0]], [[2, 1], [0, 0]], [], [[3, -1]], [3]])
def test_fleiss_needs_two_raters_of_each(counts: list[list[int]]) -> None:
    with pytest.raises(DataError, match="wanted"):
        fleiss(np.array(counts))


# --- from ratings -----------------------------------------------------------------


def said(rater: str, prompt: str, best: str, others: str) -> Rating:
    """`best` is chosen among the letters of `others`; "" is a tie."""
    choice = others.index(best) if best else TIE
    return Rating(prompt, tuple(others), choice, rater=rater)


def test_both_kappas_from_ratings() -> None:
    ann = [said("ann", p, b, "xy") for p, b in zip("1234", "xxyy", strict=True)]
    bob = [said("bob", p, b, "yx") for p, b in zip("1234", "xxyx", strict=True)]
    eve = [said("eve", p, b, "xy") for p, b in zip("12", "xy", strict=True)]
    alone = [said("eve", "9", "x", "xy")]
    found = agreement([*ann, *bob, *eve, *alone])
    assert found.items == 4
    assert found.cohen["ann", "bob"] == pytest.approx(0.5)
    assert found.cohen["ann", "eve"] == pytest.approx(cohen("xx", "xy"))
    counts = [[3, 0], [2, 1], [0, 2], [1, 1]]
    assert found.fleiss == pytest.approx(fleiss(np.array(counts)))
    assert found.same == pytest.approx((3 + 1 + 1 + 0) / (3 + 3 + 1 + 1))


def test_a_tie_is_a_category_and_the_later_rating_counts() -> None:
    first = [said("ann", "1", "", "xy"), said("ann", "2", "x", "xy")]
    second = [said("bob", "1", "x", "xy"), said("bob", "2", "x", "xy")]
    assert agreement([*first, *second]).same == 0.5
    assert agreement([*first, *second, said("bob", "1", "", "yx")]).same == 1


def test_other_answers_are_another_item() -> None:
    with pytest.raises(DataError, match="two raters"):
        agreement([said("ann", "1", "x", "xy"), said("bob", "1", "x", "xz")])


def test_contradictions_are_found() -> None:
    one = said("ann", "1", "x", "xy")
    turned = said("ann", "1", "y", "yx")
    tie = said("ann", "1", "", "xy")
    again = said("ann", "1", "x", "yx")
    best = said("ann", "1", "y", "yxz")  # y before x, and before z
    by_bob, elsewhere = said("bob", "1", "y", "xy"), said("ann", "2", "y", "xy")
    assert contradictions([one, again, by_bob, elsewhere]) == []
    assert contradictions([one, by_bob, turned]) == [[one, turned]]
    assert contradictions([one, tie]) == [[one, tie]]
    assert contradictions([one, best]) == [[one, best]]
    grades = [Rating("1", ("x",), grade=g, rater="ann") for g in (3, 3.0, 4)]
    assert contradictions(grades[:2]) == []
    assert contradictions(grades) == [grades]
