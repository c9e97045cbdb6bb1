"""Chitchat between people: a few turns, and what the other one said next.

There is no right answer to "how was your day?", so that this task is measured by how
likely the model finds what was really said, and by how varied its own answers are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np

from gptlite.corpus.documents import Document
from gptlite.corpus.readers import sample_documents, source_documents
from gptlite.data.fetch import is_fetched
from gptlite.data.sources import source
from gptlite.tasks.metrics import chrf
from gptlite.tasks.split import is_for_test
from gptlite.text.chat import Conversation, conversation

Dialogue = tuple[str, ...]  # turns, whoever speaks first, then the other, and so on

LONGEST_TURN = 200  # characters
LONGEST = 400  # characters of all turns together, about 130 tokens
TURNS = (2, 4, 6)  # at most so many, the last one the assistant's
TESTED_ONE_IN = 4  # of the sample's dialogues
TELLING = 40  # characters from which on a turn tells which dialogue it is from

# words that an assistant had better not learn, addresses, and long numbers
BARRED = re.compile(
    r"\b(?:(?:bull)?shit|fuck|bitch|dick|cock|cunt|puss(?:y|ies)|bastard|ass(?:hole)?s?\b"
    r"|whore|slut|fag|nigg|retard|porn|sex|nude|rape|kill yourself|damn|crap\b)"
    r"|@|https?:|www\.|\d{5}",
    re.IGNORECASE,
)


def _turns(document: Document) -> Dialogue:
    """The turns of a dialogue as its reader writes it: a topic, then A: … and B: …"""
    _, _, said = document.text.partition("\n\n")
    return tuple(
        " ".join(t.split()) for t in re.split(r"^[AB]: ", said, flags=re.M)[1:]
    )


def _is_decent(turn: str) -> bool:
    return 0 < len(turn) <= LONGEST_TURN and not BARRED.search(turn)


def _dialogues(documents: Iterable[Document]) -> list[Dialogue]:
    return [turns for d in documents if len(turns := _turns(d)) > 1]


@lru_cache(maxsize=1)
def sample_dialogues() -> tuple[list[Dialogue], list[Dialogue]]:
    """Those for training, and those for the test: told by how they begin.

    For training are only those that share no telling turn with the test's.
    """
    found = _dialogues(sample_documents()["dialogue"])
    tested = [d for d in found if is_for_test("\n".join(d[:2]), TESTED_ONE_IN)]
    return _without(found, tested), tested


def _without(dialogues: list[Dialogue], tested: list[Dialogue]) -> list[Dialogue]:
    known = {turn for turns in tested for turn in turns if len(turn) >= TELLING}
    return [turns for turns in dialogues if known.isdisjoint(turns)]


def without_tests(documents: Iterable[Document]) -> Iterator[Document]:
    """The documents that are not, and share nothing telling with, the test's dialogues:
    for pretraining."""
    _, tested = sample_dialogues()
    for document in documents:
        if _without([_turns(document)], tested):
            yield document


@lru_cache(maxsize=1)
def training_ends() -> tuple[list[Dialogue], np.ndarray]:
    """Dialogues for training, and rows (dialogue, turn) that may be the last answer."""
    dialogues, tested = sample_dialogues()
    if is_fetched(source("dialogue")):
        dialogues = _without(_dialogues(source_documents("dialogue")), tested)
    rows = [(i, end) for i, turns in enumerate(dialogues) for end in _ends(turns)]
    return dialogues, np.array(rows)


def _ends(turns: Dialogue) -> list[int]:
    """The turns that can be an answer: it and the one before are decent."""
    decent = [_is_decent(turn) for turn in turns]
    return [i for i in range(1, len(turns)) if decent[i] and decent[i - 1]]


def window(turns: Dialogue, end: int, longest: int) -> Conversation:
    """At most `longest` turns up to turn `end`, the assistant's answer.

    As many pairs of turns as are decent and fit into LONGEST characters.

    >>> [m.role for m in window(("hi", "hello", "well?", "fine"), 3, 4)]
    ['user', 'assistant', 'user', 'assistant']
    """
    start, size = end + 1, 0
    while start >= 2 and end + 1 - start < longest:
        pair = turns[start - 2 : start]
        size += sum(map(len, pair))
        if start <= end and (size > LONGEST or not all(map(_is_decent, pair))):
            break  # the last pair is taken as it is: whoever chose `end` looked at it
        start -= 2
    kept = turns[start : end + 1]
    return conversation(*zip(["user", "assistant"] * len(kept), kept, strict=False))


class Chat:
    """What people said to each other."""

    name = "chat"
    source = (
        "conversations of students (chitchat-dataset, MIT): 296 in the package, 7,168 "
        "once `gptlite data fetch dialogue` has run; rude words and addresses left out"
    )
    metric = "bits per byte of what was really said, the fewer the better"
    measured_by = "likelihood"

    def draw(self, rng: np.random.Generator) -> Conversation:
        dialogues, ends = training_ends()
        i, end = ends[int(rng.random() * len(ends))]
        return window(dialogues[i], int(end), TURNS[int(rng.random() * len(TURNS))])

    def test(self, n: int) -> list[Conversation]:
        """Of the sample's dialogues that are never drawn, whether or not more was
        fetched: each answer to a turn long enough to be found nowhere else.
        """
        _, tested = sample_dialogues()
        asked = [
            window(turns, end, TURNS[-1])
            for turns in tested
            for end in _ends(turns)
            if len(turns[end - 1]) >= TELLING
        ]
        order = np.random.default_rng(0).permutation(len(asked))[:n]
        return [asked[i] for i in order]

    def score(self, asked: Conversation, answer: str) -> float:
        """chrF with what was said: low for all, since much else would do as well."""
        return chrf(answer, asked[-1].content)

    def baseline(self, asked: Conversation, rng: np.random.Generator) -> str:
        """What somebody said in some other conversation."""
        return self.draw(rng)[-1].content
