"""How far raters agree, with each other and with themselves, beyond chance.

    κ = (observed − expected) / (1 − expected)

1: always; 0: as often as if each had drawn his answers from his own habits; below 0:
less often. Where all answers are of one category, they could not but agree, and
nothing is measured: κ is 0 / 0, and these functions return NaN.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from gptlite.alignment.ratings import TIE, Rating
from gptlite.errors import DataError

Item = tuple[str, frozenset[str]]  # a prompt with answers, in whatever order shown
Verdict = str | float | None  # the answer preferred, a grade, or None: a tie


def _kappa(observed: float, expected: float) -> float:
    if np.isclose(expected, 1, rtol=0, atol=1e-12):
        return float("nan")
    return float((observed - expected) / (1 - expected))


def cohen(a: Sequence[object], b: Sequence[object]) -> float:
    """κ of two raters; a, b: (n,) the category that each gave to the same n items.

    Expected is that both draw, each from his own shares of the categories. Cohen, "A
    coefficient of agreement for nominal scales", 1960.

    >>> round(cohen("yynnyy", "yynnny"), 3)
    0.667
    """
    if len(a) != len(b) or not len(a):
        raise DataError(
            f"wanted two ratings of each item, got {len(a)} and {len(b)} ratings"
        )
    observed = np.mean([x == y for x, y in zip(a, b, strict=True)])
    expected = sum(
        (list(a).count(c) / len(a)) * (list(b).count(c) / len(b)) for c in set(a)
    )
    return _kappa(float(observed), expected)


def fleiss(counts: np.ndarray) -> float:
    """κ of many raters; counts: (items, categories), how many chose each.

    Observed is the share of pairs of raters that agree, averaged over the items;
    expected is that each draws from the shares of all. Fleiss, "Measuring nominal
    scale agreement among many raters", 1971, where all items have as many raters; here
    each needs two, so that a class in which somebody was absent can be measured.

    >>> fleiss(np.array([[3, 0], [0, 3]]))
    1.0
    """
    counts = np.asarray(counts)
    if counts.ndim != 2 or not counts.size or (counts < 0).any():
        raise DataError(f"wanted counts (items, categories), got shape {counts.shape}")
    n = counts.sum(axis=1)
    if n.min() < 2:
        raise DataError(
            f"wanted at least 2 raters of each item, got one with {n.min()}"
        )
    observed = ((counts * (counts - 1)).sum(axis=1) / (n * (n - 1))).mean()
    shares = counts.sum(axis=0) / n.sum()
    return _kappa(float(observed), float((shares**2).sum()))


class Agreement(NamedTuple):
    """What several raters have in common.

    items: how many two or more rated; fleiss: κ of all; cohen: {(rater, rater): κ} of
    those two who have items in common; same: share of pairs of raters that agree.
    """

    items: int
    fleiss: float
    cohen: dict[tuple[str, str], float]
    same: float


def agreement(ratings: Sequence[Rating]) -> Agreement:
    """Agreement on which of two or more answers is best; grades are left out.

    An item is a prompt with its answers, however they were ordered. A category is
    the place of the chosen answer in the order of the alphabet, or a tie. Of one who
    rated an item twice, the later rating in `ratings` counts.
    """
    chosen: dict[Item, dict[str, object]] = defaultdict(dict)
    for r in ratings:
        if r.choice is not None:
            item = r.prompt, frozenset(r.answers)
            chosen[item][r.rater] = _category(r)
    common = [said for said in chosen.values() if len(said) > 1]
    if not common:
        raise DataError(
            "wanted prompts with answers that two raters have judged, got none; let "
            "them rate the same file of prompts with the same seed"
        )
    names = list(dict.fromkeys(c for said in common for c in said.values()))
    counts = [[list(said.values()).count(c) for c in names] for said in common]
    table = np.array(counts)
    both = (table * (table - 1)).sum() / (table.sum(1) * (table.sum(1) - 1)).sum()
    return Agreement(len(common), fleiss(table), _of_two(common), float(both))


def _category(rating: Rating) -> object:
    if not isinstance(rating.choice, int):
        return TIE
    return sorted(set(rating.answers)).index(rating.answers[rating.choice])


def _of_two(common: list[dict[str, object]]) -> dict[tuple[str, str], float]:
    raters = sorted({rater for said in common for rater in said})
    found = {}
    for a, b in itertools.combinations(raters, 2):
        two = [(said[a], said[b]) for said in common if a in said and b in said]
        if two:
            found[a, b] = cohen([x for x, _ in two], [y for _, y in two])
    return found


def _verdicts(rating: Rating) -> Iterator[tuple[frozenset[str], Verdict]]:
    """(answers, what was said of them): each two that were compared, or a grade."""
    if rating.choice is None:
        yield frozenset(rating.answers), rating.grade
    elif isinstance(rating.choice, int):
        best = rating.answers[rating.choice]
        yield from ((frozenset((best, a)), best) for a in rating.answers if a != best)
    else:
        two = itertools.combinations(rating.answers, 2)
        yield from ((frozenset(texts), None) for texts in two)


def contradictions(ratings: Sequence[Rating]) -> list[list[Rating]]:
    """Groups of ratings in which a rater says different things of the same answers.

    Of two answers: now this one is better, now that one, or neither. Of one answer:
    another grade. Nothing is removed; `ratings.pairs` says what becomes of them.

    >>> texts = ("Hello!", "Go!")
    >>> found = [Rating("Hi", texts, choice, rater="ann") for choice in (0, 1)]
    >>> [[r.choice for r in group] for group in contradictions(found)]
    [[0, 1]]
    """
    said = defaultdict(list)
    for rating in ratings:
        for answers, verdict in _verdicts(rating):
            said[rating.rater, rating.prompt, answers].append((verdict, rating))
    return [
        [rating for _, rating in found]
        for found in said.values()
        if len({verdict for verdict, _ in found}) > 1
    ]
