"""Rewrite a few words as told: instructions whose outcome a program can check.

    First reverse the order of the words, then put it in quotes: red house tree
     tree house red
     "tree house red"

Eighteen operations come alone or two after another, each asked for in two ways. About
one in five pairs of operations is never drawn, in neither order: the test asks for
these, so that what was learned has to be put together anew.

An answer has a line for each instruction, and the last one counts. To write down what
is in between helps a small model more than anything else: the second instruction has to
be applied to words that can be read (Nye et al. 2021, arXiv:2112.00114). A line begins
with a blank, so that its first word is the same token as in the question.

What was chosen, and why: a model that reads tokens does not see letters, and one of
five million parameters has no room for many spellings. So the words are some 200 common
ones that are one token each, and a text has two to five of them. Capitals, the alphabet
and lengths must still be learned word by word. To spell words backwards is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from gptlite.tasks.held_out import held_out
from gptlite.tasks.split import is_for_test
from gptlite.tasks.words import WORDS, pick
from gptlite.text.chat import Conversation, conversation


@dataclass(frozen=True, slots=True)
class Operation:
    """family: two of one family are not combined. ways: how it is asked for, with words
    for {x} and {y}. apply: (words, x, y) → words."""

    family: str
    ways: tuple[str, ...]
    apply: Callable[[list[str], str, str], list[str]]


def replaced(words: list[str], x: str, y: str) -> list[str]:
    return [y if word == x else word for word in words]


def letters(words: list[str], x: str, y: str) -> list[str]:
    return [str(len("".join(words)))]


OPERATIONS = {
    "upper": Operation(
        "case", ("write it in capital letters", "make it upper case"),
        lambda words, x, y: [word.upper() for word in words]),
    "lower": Operation(
        "case", ("write it in small letters", "make it lower case"),
        lambda words, x, y: [word.lower() for word in words]),
    "title": Operation(
        "case", ("start every word with a capital", "give every word a capital"),
        lambda words, x, y: [word.title() for word in words]),
    "reverse": Operation(
        "order", ("reverse the order of the words", "write the words backwards"),
        lambda words, x, y: words[::-1]),
    "sort": Operation(
        "order", ("sort the words", "put the words in alphabetical order"),
        lambda words, x, y: sorted(words, key=str.casefold)),
    "swap": Operation(
        "order", ("swap the first and the last word",
                  "exchange the first and the last word"),
        lambda words, x, y: [words[-1], *words[1:-1], words[0]]),
    "first": Operation(
        "one", ("keep only the first word", "take the first word"),
        lambda words, x, y: words[:1]),
    "last": Operation(
        "one", ("keep only the last word", "take the last word"),
        lambda words, x, y: words[-1:]),
    "without first": Operation(
        "less", ("remove the first word", "leave out the first word"),
        lambda words, x, y: words[1:]),
    "without last": Operation(
        "less", ("remove the last word", "leave out the last word"),
        lambda words, x, y: words[:-1]),
    "start": Operation(
        "more", ("start with the word {x}", "put the word {x} before it"),
        lambda words, x, y: [x, *words]),
    "end": Operation(
        "more", ("end with the word {x}", "put the word {x} after it"),
        lambda words, x, y: [*words, x]),
    "twice": Operation(
        "twice", ("repeat it", "write it twice"), lambda words, x, y: words * 2),
    "replace": Operation(
        "replace", ("replace {x} by {y}", "change {x} to {y}"), replaced),
    "quote": Operation(
        "mark", ("put it in quotes", "put quotes around it"),
        lambda words, x, y: f'"{" ".join(words)}"'.split(" ")),
    "exclaim": Operation(
        "mark", ("add an exclamation mark", "end it with an exclamation mark"),
        lambda words, x, y: f"{' '.join(words)}!".split(" ")),
    "count": Operation(
        "count", ("count the words", "say how many words there are"),
        lambda words, x, y: [str(len(words))]),
    "letters": Operation(
        "count", ("count the letters", "say how many letters there are"), letters),
}  # fmt: skip


def makes_sense(first: str, second: str) -> bool:
    """Whether one operation may come after the other."""
    a, b = OPERATIONS[first].family, OPERATIONS[second].family
    if a == b or a in ("mark", "count") or b == "replace":
        return False  # marks and counts are made in the end, words replaced at first
    if second == "letters":  # those of many words are a sum: for the calculator
        return a == "one"
    return a != "one" or b not in ("order", "less", "count")


def is_kept_back(first: str, second: str) -> bool:
    """Whether a pair of operations is for the test, whatever their order."""
    return is_for_test(" + ".join(sorted((first, second))), 5)


PAIRS = [pair for pair in permutations(OPERATIONS, 2) if makes_sense(*pair)]
TRAINED = [pair for pair in PAIRS if not is_kept_back(*pair)]


def exercise(names: Sequence[str], rng: np.random.Generator) -> Conversation:
    """One or two operations on words drawn at random."""
    u = rng.random(8).tolist()
    drawn = list(dict.fromkeys(rng.integers(len(WORDS), size=16).tolist()))
    n = 2 + int((2 if "twice" in names else 4) * u[0])
    n = 1 if names[0] == "letters" else n
    words = [WORDS[i] for i in drawn[:n]]
    x, y = WORDS[drawn[-1]], WORDS[drawn[-2]]
    if "replace" in names:
        x = pick(words, u[1])
    elif u[2] < (0.75 if "lower" in names else 0.25):
        words = [word.title() for word in words]
    text = " ".join(words)
    asked = [pick(OPERATIONS[name].ways, u[3 + i]) for i, name in enumerate(names)]
    told = ", then ".join(asked).format(x=x, y=y)
    if len(names) > 1 and u[5] < 0.5:
        told = f"first {told}"
    lines = []
    for name in names:
        words = OPERATIONS[name].apply(words, x, y)
        lines.append(" " + " ".join(words))
    question = f"{told[0].upper()}{told[1:]}: {text}"
    return conversation(("user", question), ("assistant", "\n".join(lines)))


def last_line(answer: str) -> list[str]:
    """The words of the last line that has any."""
    lines = [line.split() for line in answer.splitlines() if line.strip()]
    return lines[-1] if lines else []


class Rewrite:
    """Do with some words as told."""

    name = "rewrite"
    source = "made by a program from 200 common English words; no licence needed"
    metric = "the last line is right, for pairs of instructions never seen together"

    def draw(self, rng: np.random.Generator) -> Conversation:
        """One operation, or two that are trained together.

        >>> Rewrite().draw(np.random.default_rng(2))[0].content
        'Exchange the first and the last word: fruit name father court sister'
        """
        u, v = rng.random(2).tolist()
        names = (pick(list(OPERATIONS), v),) if u < 0.3 else pick(TRAINED, v)
        return exercise(names, rng)

    def test(self, n: int) -> list[Conversation]:
        """Pairs of operations that are never drawn, one after another."""
        pairs = held_out("rewrite")["pairs"]
        return [
            exercise(pairs[i % len(pairs)], np.random.default_rng((2025, i)))
            for i in range(n)
        ]

    def score(self, asked: Conversation, answer: str) -> float:
        """1 if the last line is the right one, blanks apart."""
        return float(last_line(answer) == last_line(asked[-1].content))

    def baseline(self, asked: Conversation, rng: np.random.Generator) -> str:
        """A copy of the words."""
        return asked[0].content.partition(": ")[2]
