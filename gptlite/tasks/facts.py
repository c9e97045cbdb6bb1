"""Who or what is it: the encyclopedia's description, or "I don't know".

A model this small knows what it has been told, so that 2,000 titles are told in two
languages, and many others are answered by a refusal. What is tested is whether it finds
a fact when it is asked in new words, and refuses a title that it has never met.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from gptlite.tasks.data import data_file
from gptlite.tasks.held_out import held_out
from gptlite.tasks.metrics import normalised, rouge_l
from gptlite.tasks.phrasings import FACTS
from gptlite.tasks.split import part
from gptlite.tasks.words import pick
from gptlite.text.chat import Conversation, conversation

REFUSALS = {"en": "I don't know.", "fr": "Je ne sais pas."}
LANGUAGES = tuple(REFUSALS)

GOOD = 0.6  # ROUGE-L from which on a fact is told
UNKNOWN = 0.2  # share of the questions
PARTS = 16  # of the titles, by checksum: one is for the test, some are for training
TEST_PART, TRAIN_PARTS = 0, range(1, 8)

STARTS = [
    "b",
    "br",
    "d",
    "dr",
    "f",
    "fl",
    "g",
    "gr",
    "h",
    "j",
    "k",
    "kl",
    "l",
    "m",
    "n",
    "p",
    "pr",
    "r",
    "s",
    "st",
    "t",
    "tr",
    "v",
    "w",
    "z",
]
VOWELS = ["a", "e", "i", "o", "u", "ai", "ea", "ou"]
ENDS = ["l", "m", "n", "r", "s", "t", "x", "nd", "rk"] + [""] * 6


@lru_cache(maxsize=1)
def facts() -> dict[str, dict[str, str]]:
    """Title: language: description.

    >>> facts()["Jan van Eyck"]["fr"]
    'peintre flamand'
    """
    rows = (row.split("\t") for row in data_file("facts.tsv").splitlines())
    return {title: {"en": en, "fr": fr} for title, en, fr in rows}


@lru_cache(maxsize=1)
def unknown_titles() -> list[str]:
    """Titles to be refused in training."""
    return data_file("unknown.txt").splitlines()


@lru_cache(maxsize=1)
def _known_titles() -> list[str]:
    return list(facts())


@lru_cache(maxsize=1)
def _long_titles() -> list[list[str]]:
    return [title.split() for title in facts() if " " in title]


def invented(rng: np.random.Generator) -> str:
    """A name that nobody bears: one or two words of two or three syllables."""

    def pick(parts: list[str]) -> str:
        return parts[int(rng.random() * len(parts))]

    def word() -> str:
        middle = pick(STARTS) + pick(VOWELS) if rng.random() < 0.3 else ""
        end = pick(STARTS) + pick(VOWELS) + pick(ENDS)
        return (pick(STARTS) + pick(VOWELS) + middle + end).capitalize()

    return word() if rng.random() < 0.5 else f"{word()} {word()}"


def mixed(rng: np.random.Generator) -> str:
    """The beginning of one known title with the end of another: "Jan Wilde"."""
    titles = _long_titles()
    first, last = (titles[int(rng.random() * len(titles))] for _ in range(2))
    return f"{first[0]} {last[-1]}"


def draw_unknown(rng: np.random.Generator) -> str:
    """A title to refuse, by chance also a new one, and never one of the test's."""
    while True:
        kind = rng.random()
        if kind < 0.6:
            title = unknown_titles()[int(rng.random() * len(unknown_titles()))]
        else:
            title = mixed(rng) if kind < 0.8 else invented(rng)
        if title not in facts() and part(title, PARTS) != TEST_PART:
            return title


class Facts:
    """Questions on titles, in English and in French."""

    name = "facts"
    source = (
        "descriptions of 2,000 titles in the English and the French Wikipedia "
        "(CC BY-SA 4.0, gptlite/tasks/data/facts.LICENSE); unknown titles are others"
    )
    metric = "ROUGE-L with the description; an unknown title refused"

    def draw(self, rng: np.random.Generator) -> Conversation:
        """A question in a phrasing for training; a fifth are on unknown titles."""
        language = LANGUAGES[int(rng.random() * 2)]
        known = rng.random() >= UNKNOWN
        title = pick(_known_titles(), rng.random()) if known else draw_unknown(rng)
        # who and what are asked of everything: the list does not say who is a person
        return _answered(FACTS[language].ask(title, rng), title, language)

    def test(self, n: int) -> list[Conversation]:
        """Held-out phrasings, languages alternating; every fifth title is unknown."""
        known, unknown = iter(self.test_known(n)), iter(self.test_unknown(n))
        every = round(1 / UNKNOWN)
        both = (next(unknown if i % every == every - 1 else known, None)
                for i in range(n))  # fmt: skip
        return [asked for asked in both if asked is not None]

    def test_known(self, n: int) -> list[Conversation]:
        """The 2,000 facts in held-out phrasings, each in one language."""
        return _in_new_words(_known_titles(), n)

    def test_unknown(self, n: int) -> list[Conversation]:
        """Titles that are never drawn, in held-out phrasings."""
        return _in_new_words(held_out("facts")["unknown"], n)

    def score(self, asked: Conversation, answer: str) -> float:
        right = asked[-1].content
        refusals = {normalised(text) for text in REFUSALS.values()}
        if normalised(right) in refusals:
            return float(normalised(answer) in refusals)
        return rouge_l(answer, right)

    def parts(
        self, asked: Sequence[Conversation], scores: Sequence[float]
    ) -> dict[str, float]:
        """The share of known titles told well, and of unknown titles refused."""
        refused = [c[-1].content in REFUSALS.values() for c in asked]
        told = [s >= GOOD for s, no in zip(scores, refused, strict=True) if not no]
        right = [s for s, no in zip(scores, refused, strict=True) if no]
        return {"known": sum(told) / max(1, len(told)),
                "refused": sum(right) / max(1, len(right))}  # fmt: skip

    def baseline(self, asked: Conversation, rng: np.random.Generator) -> str:
        """The description of some other title, in either language."""
        return self.draw(rng)[-1].content


def _answered(question: str, title: str, language: str) -> Conversation:
    found = facts().get(title)
    answer = found[language] if found else REFUSALS[language]
    return conversation(("user", question), ("assistant", answer))


def _in_new_words(titles: list[str], n: int) -> list[Conversation]:
    """The first n of the titles, shuffled, the same each time."""
    phrasings = held_out("facts")["phrasings"]
    order = np.random.default_rng(0).permutation(len(titles))[:n]
    asked = []
    for number, i in enumerate(order):
        language = LANGUAGES[number % 2]
        some = phrasings[language]
        question = some[number // 2 % len(some)].format(titles[i])
        asked.append(_answered(question, titles[i], language))
    return asked
