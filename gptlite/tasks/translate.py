"""English ↔ French: the names of emoji, and short verses where they were fetched.

A model this small learns the words that it is shown. What is tested is whether it gives
them when it is asked in new words; words never shown are tested apart, and it can guess
little more of these than their parts ("flag: …", "woman …").
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from functools import lru_cache

import numpy as np

from gptlite.data.fetch import data_folder, is_fetched
from gptlite.data.sample import sample_file
from gptlite.data.sources import source
from gptlite.errors import DataError
from gptlite.tasks.held_out import held_out
from gptlite.tasks.metrics import chrf
from gptlite.tasks.phrasings import TRANSLATE
from gptlite.tasks.split import is_for_test
from gptlite.tasks.words import pick
from gptlite.text.chat import Conversation, conversation

ONE_IN = 8  # words and verses that are never drawn
VERSES = 0.1  # share of the draws, where they were fetched
LONGEST_VERSE = 70  # characters
PLAIN = str.maketrans({"’": "'", "\u202f": " ", "\xa0": " "})  # as one types
NUMBER = re.compile(r"^\(\d+:\d+\w*\) ")  # where two Bibles count differently

Pair = tuple[str, str]  # English, French


@lru_cache(maxsize=1)
def words() -> list[Pair]:
    """Labels of emoji, such as ("fallen leaf", "feuille morte").

    >>> len(words())
    1949
    """
    text = sample_file("emoji-en-fr.tsv").translate(PLAIN)
    return [(en, fr) for en, fr in (row.split("\t") for row in text.splitlines())]


@lru_cache(maxsize=1)
def verses() -> list[Pair]:
    """Short verses of the King James Version and of Segond's, both public domain."""
    found = source("verses")
    if not is_fetched(found):
        raise DataError(
            "wanted the source verses, which is not here yet; run "
            "`gptlite data fetch verses`, or ask for words alone"
        )
    address = next(data_folder(found).rglob("bible.db")).absolute().as_uri()
    with contextlib.closing(sqlite3.connect(f"{address}?mode=ro", uri=True)) as db:
        rows = db.execute(
            "select k.vText, l.vText from bible k join bible l "
            "using (bNumber, cNumber, vNumber) where k.bbName = 'k' and l.bbName = 'l' "
            "order by bNumber, cNumber, vNumber"
        )
        pairs = [(english, NUMBER.sub("", french)) for english, french in rows]
    return [p for p in pairs if max(map(len, p)) <= LONGEST_VERSE and all(p)]


@lru_cache(maxsize=4)
def _part(kind: str, tested: bool) -> list[Pair]:
    """The words or the verses that are drawn, or those that are not."""
    pairs = words() if kind == "words" else verses()
    return [p for p in pairs if is_for_test(p[0], ONE_IN) == tested]


@lru_cache(maxsize=1)
def _has_verses() -> bool:
    return is_fetched(source("verses"))


class Translate:
    """Words and short verses, both ways."""

    name = "translate"
    source = (
        "1,949 labels of emoji, English and French (emojibase-data: MIT, Unicode); "
        "after `gptlite data fetch verses` also the King James Version and Segond 1910 "
        "(public domain)"
    )
    metric = "chrF with the translation, words English → French"

    def draw(self, rng: np.random.Generator) -> Conversation:
        """A word, or now and then a verse; either way with equal chance."""
        back = rng.random() < 0.5
        verse = _has_verses() and rng.random() < VERSES
        pair = pick(_part("verses" if verse else "words", tested=False), rng.random())
        ways = TRANSLATE["fr" if back else "en"]  # in the language that one has it in
        question = ways.cores[0].format(pair[back]) if verse else ""
        return _answered(question or ways.ask(pair[back], rng), pair, back)

    def test(self, n: int) -> list[Conversation]:
        """Trained words in held-out phrasings, English → French."""
        return _in_new_words(_part("words", tested=False), n)

    def test_back(self, n: int) -> list[Conversation]:
        """The same, French → English."""
        return _in_new_words(_part("words", tested=False), n, back=True)

    def test_unseen(self, n: int) -> list[Conversation]:
        """Words that are never drawn, English → French."""
        return _in_new_words(_part("words", tested=True), n)

    def test_verses(self, n: int) -> list[Conversation]:
        """Verses that are never drawn, English → French; they must be fetched."""
        return _in_new_words(_part("verses", tested=True), n)

    def score(self, asked: Conversation, answer: str) -> float:
        return chrf(answer, asked[-1].content)

    def baseline(self, asked: Conversation, rng: np.random.Generator) -> str:
        """A copy of the word (the longest that is in the question), or of it all."""
        question = asked[0].content
        named = [text for pair in words() for text in pair if text in question]
        return max(named, key=len, default=question)


def _answered(question: str, pair: Pair, back: bool) -> Conversation:
    return conversation(("user", question), ("assistant", pair[not back]))


def _in_new_words(pairs: list[Pair], n: int, back: bool = False) -> list[Conversation]:
    """The first n of the pairs, shuffled, the same each time."""
    some = held_out("translate")["phrasings"]["fr" if back else "en"]
    order = np.random.default_rng(0).permutation(len(pairs))[:n]
    return [
        _answered(some[k % len(some)].format(pairs[i][back]), pairs[i], back)
        for k, i in enumerate(order)
    ]
