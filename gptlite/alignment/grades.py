"""Grades: one rater's 7 is another's 4, so each is compared with himself.

A grade becomes the distance from what its rater usually gives, in his own deviations.
Only then can grades of several raters be learned together, or two of them compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeVar

import numpy as np

from gptlite.alignment.ratings import Rating
from gptlite.errors import DataError
from gptlite.text.chat import Conversation, conversation

FEWEST = 5  # grades, without which a person's mean and spread say little
MARGIN = 0.5  # of normalised grades, below which neither is called better


class Graded(NamedTuple):
    """A conversation and its normalised grade: 0 is as usual, 1 a deviation better."""

    conversation: Conversation
    grade: float


class HasGrade(Protocol):
    """Whatever has a normalised grade."""

    @property
    def grade(self) -> float: ...


Some = TypeVar("Some", bound=HasGrade)


def normalised(own: np.ndarray, fewest: int = FEWEST) -> np.ndarray | None:
    """(N,): one person's grades (N,) with mean 0 and deviation 1.

    None if they say nothing: fewer than `fewest`, or the same in all.

    >>> normalised(np.array([4, 4, 5, 6, 6])).round(2).tolist()
    [-1.12, -1.12, 0.0, 1.12, 1.12]
    """
    if len(own) < fewest or own.min() == own.max():
        return None
    return np.asarray((own - own.mean()) / own.std())


def graded_answers(*parts: Sequence[Rating]) -> list[list[Graded]]:
    """The graded answers of each part.

    A rater's mean and deviation are those of his grades in all parts together: how good
    an answer is must not depend on which part it fell into.
    """
    own: dict[str, list[tuple[int, Rating, float]]] = defaultdict(list)
    for k, part in enumerate(parts):
        for rating in part:
            if rating.grade is not None:
                own[rating.rater].append((k, rating, rating.grade))
    found: list[list[Graded]] = [[] for _ in parts]
    for said in own.values():
        grades = normalised(np.array([grade for _, _, grade in said], np.float64))
        if grades is not None:
            for (k, r, _), grade in zip(said, grades.tolist(), strict=True):
                talk = conversation(("user", r.prompt), ("assistant", r.answers[0]))
                found[k].append(Graded(talk, grade))
    if not all(found):
        raise DataError(
            f"wanted raters with at least {FEWEST} grades that are not all the same, "
            f"got {', '.join(f'{name}: {len(said)}' for name, said in own.items())}; "
            "grade more answers, and use the whole scale"
        )
    return found


def pairs(
    rows: Sequence[Some], n: int, rng: np.random.Generator, margin: float = MARGIN
) -> list[tuple[Some, Some]]:
    """(better, worse): n pairs at random whose grades differ by `margin` or more.

    All if there are fewer than n. A conversation may be in several pairs, so that n
    pairs of few rows tell less than n.
    """
    if n < 1 or margin <= 0:
        raise DataError(f"wanted n ≥ 1 and a margin > 0, got {n} and {margin}")
    grades = np.array([row.grade for row in rows])
    better, worse = np.nonzero(grades[:, None] - grades[None, :] >= margin)
    if not better.size:
        raise DataError(
            f"wanted conversations whose grades differ by {margin}, got none in "
            f"{len(rows)}; choose a smaller margin, or give more of them"
        )
    some = rng.choice(len(better), min(n, len(better)), replace=False)
    return [(rows[better[k]], rows[worse[k]]) for k in some]
