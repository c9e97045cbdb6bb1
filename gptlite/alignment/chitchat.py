"""Real ratings: what students thought of their conversations with each other.

Of the source `dialogue`, once `gptlite data fetch dialogue` has run, else of the sample
in the package. docs/alignment/ratings.md says what was found in them: who of the two
gave a grade is not in the data, and many never moved it from the middle.
"""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gptlite.alignment.grades import FEWEST, normalised
from gptlite.alignment.grades import pairs as pairs  # of these rows too
from gptlite.corpus import readers
from gptlite.corpus.documents import Document
from gptlite.data.fetch import data_folder, is_fetched
from gptlite.data.sample import sample_file, sample_files
from gptlite.data.sources import source
from gptlite.tasks.chat import without_tests
from gptlite.tasks.split import is_for_test
from gptlite.text import chat

QUALITIES = ("witty", "upbeat", "interesting")  # graded 1 … 10 each
UNTOUCHED = (5, 5, 5)  # taken as no answer
HELD_OUT_ONE_IN = 5


@dataclass(frozen=True, slots=True)
class Rated:
    """A conversation with its grades, in the order of QUALITIES.

    turns: of two people in turn. people: who spoke, first the one who began; empty if
    the file does not say so.
    """

    topic: str
    turns: tuple[str, ...]
    people: tuple[str, ...]
    grades: tuple[int, ...]

    @property
    def grade(self) -> float:
        """The mean of the three, which say much the same."""
        return float(np.mean(self.grades))


class Row(NamedTuple):
    """A conversation and its normalised grade: 0 is as usual, 1 a deviation better."""

    topic: str
    turns: tuple[str, ...]
    grade: float

    @property
    def text(self) -> str:
        """As it stands in a corpus: the topic, then lines A: … and B: …"""
        turns = list(zip(itertools.cycle("AB"), self.turns, strict=False))
        return readers.conversation(self.topic, turns)

    @property
    def conversation(self) -> chat.Conversation:
        """As a model reads it: the last turn is the assistant's. If their number is
        odd, the first one is left out."""
        kept = self.turns[len(self.turns) % 2 :]
        roles = itertools.cycle(["user", "assistant"])
        return chat.conversation(*zip(roles, kept, strict=False))


def from_folder(folder: Path) -> list[Rated]:
    """All conversations with grades in the files of the source."""
    found = []
    for path in sorted(folder.rglob("dataset.json")):
        for row in json.loads(path.read_text(encoding="utf-8")).values():
            if row.get("ratings"):
                messages = [m for group in row["messages"] for m in group]
                said = [
                    (who, " ".join(m["text"] for m in some))
                    for who, some in itertools.groupby(messages, lambda m: m["sender"])
                ]
                people = tuple(dict.fromkeys(who for who, _ in said))
                found.append(_rated(row, [text for _, text in said], people))
    return found


def from_sample() -> list[Rated]:
    """Those of the sample in the package, which does not say who spoke."""
    lines = (x for f in sample_files("dialogue") for x in sample_file(f).splitlines())
    rows = (json.loads(line) for line in lines)
    return [_rated(row, row["turns"], ()) for row in rows if row["ratings"]]


def _rated(row: dict[str, Any], turns: Iterable[str], people: tuple[str, ...]) -> Rated:
    grades = tuple(row["ratings"][name] for name in QUALITIES)
    return Rated(row.get("prompt") or "", tuple(turns), people, grades)


def rated_conversations() -> list[Rated]:
    """Of the source, if it has been fetched; else of the sample."""
    found = source("dialogue")
    return from_folder(data_folder(found)) if is_fetched(found) else from_sample()


def usable(rated: Iterable[Rated]) -> list[Rated]:
    """Those in which two people spoke, and somebody moved a grade."""
    return [r for r in rated if len(r.turns) > 1 and r.grades != UNTOUCHED]


def describe(rated: Sequence[Rated]) -> dict[str, float]:
    """What ratings look like, in numbers; correlations are with the grade."""
    both = [r for r in rated if len(r.turns) > 1]
    kept, rows = usable(rated), normalise(usable(rated))
    lengths = np.log([sum(map(len, r.turns)) for r in kept])
    normalised = [sum(map(len, row.turns)) for row in rows]
    people = [len(at) for at in _places(kept).values()]
    return {
        "conversations with grades": len(rated),
        "of these, two people spoke": len(both),
        "of these, all three grades 5": sum(r.grades == UNTOUCHED for r in both),
        "usable": len(kept),
        "three times the same grade": sum(len(set(r.grades)) == 1 for r in kept),
        "people in these": len(people),
        f"people with {FEWEST} or more": sum(n >= FEWEST for n in people),
        "mean grade": float(np.mean([r.grade for r in kept])),
        "correlation, log of length": _correlation(lengths, [r.grade for r in kept]),
        "normalised": len(rows),
        "correlation, once normalised":
            _correlation(np.log(normalised), [row.grade for row in rows]),
        "share of variance, who began": _between(kept, 0),
        "share of variance, the other": _between(kept, 1),
    }  # fmt: skip


def _correlation(a: np.ndarray, b: Sequence[float]) -> float:
    return float(np.corrcoef(a, b)[0, 1])


def _between(rated: Sequence[Rated], role: int) -> float:
    """Share of the grades' variance that lies between the people in a role (0 began).

    The intraclass correlation of one-way analysis of variance, of those with two grades
    or more: Fisher, "Statistical Methods for Research Workers", 1925. NaN if unknown.
    """
    own = defaultdict(list)
    for one in rated:
        if len(one.people) > role:
            own[one.people[role]].append(one.grade)
    groups = [np.array(g) for g in own.values() if len(g) > 1]
    if len(groups) < 2:
        return float("nan")
    sizes = np.array([len(g) for g in groups])
    n, k = sizes.sum(), len(groups)
    mean = np.concatenate(groups).mean()
    between = sum(len(g) * (g.mean() - mean) ** 2 for g in groups) / (k - 1)
    within = sum(((g - g.mean()) ** 2).sum() for g in groups) / (n - k)
    size = (n - (sizes**2).sum() / n) / (k - 1)  # of a group, for unequal ones
    return float((between - within) / (between + (size - 1) * within))


def _places(rated: Sequence[Rated]) -> dict[str, list[int]]:
    """{person: where his conversations are}; "" is everybody, if nobody is known."""
    at: dict[str, list[int]] = defaultdict(list)
    for i, one in enumerate(rated):
        for person in one.people or ("",):
            at[person].append(i)
    return at


def normalise(rated: Sequence[Rated], fewest: int = FEWEST) -> list[Row]:
    """Grades as distances from what is usual with these people, in deviations.

        z = mean over the conversation's people of (grade − mean_p) / deviation_p

    mean_p and deviation_p are those of all conversations of person p. He gave the
    grade or the other did, and the data do not say who; so both count. Left out are
    people with fewer than `fewest` grades or the same in all, and conversations of
    two such people. Where no people are known, all are taken for one.
    """
    grades = np.array([r.grade for r in rated])
    found = defaultdict(list)
    for places in _places(rated).values():
        own = normalised(grades[places], fewest)
        if own is not None:
            for i, z in zip(places, own, strict=True):
                found[i].append(z)
    return [
        Row(rated[i].topic, rated[i].turns, float(np.mean(found[i])))
        for i in sorted(found)
    ]


class Split(NamedTuple):
    """Rows to learn from and rows to be measured on: no conversation is in both."""

    train: list[Row]
    held_out: list[Row]


def load(rated: Sequence[Rated] | None = None, fewest: int = FEWEST) -> Split:
    """Real ratings, normalised and split. rated: default, `rated_conversations`.

    A conversation is held out if the checksum of its text says so. What the task
    `chat` is tested on is not learned from either.

    >>> split = load(from_sample())
    >>> len(split.train), len(split.held_out)
    (120, 50)
    """
    rows = normalise(usable(rated_conversations() if rated is None else rated), fewest)
    parts: tuple[list[Row], list[Row]] = [], []
    for row in rows:
        parts[is_for_test(row.text, HELD_OUT_ONE_IN)].append(row)
    others, held_out = parts
    allowed = {d.text for d in without_tests(Document(row.text) for row in others)}
    return Split([row for row in others if row.text in allowed], held_out)
