"""A text in one line: an article's first sentence, and what describes it.

The text is a turn of its own, the `document`, and not a part of the question: whatever
stands in it can then never be taken for what the user asks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from gptlite.data.fetch import data_folder, is_fetched
from gptlite.data.sample import sample_file
from gptlite.data.sources import source
from gptlite.tasks.data import plain
from gptlite.tasks.facts import facts
from gptlite.tasks.held_out import held_out
from gptlite.tasks.metrics import rouge_l
from gptlite.tasks.split import is_for_test
from gptlite.text.chat import Conversation, conversation

PHRASINGS = (
    "Describe this in a few words.", "Summarise this.", "Sum up the text.",
    "What is this text about?", "Give a short description.",
    "Summarise it in one line.", "Say in one line what this is about.",
    "In a few words, please.", "Shorten this to one line.", "What is it, in short?",
)  # fmt: skip
LONGEST = 240  # characters of the text, about 80 tokens
LONGEST_LINE = 80  # characters of a description
TESTED_ONE_IN = 3  # of the sample's articles that `facts` does not teach
FIRST_WORDS = 8  # the baseline

SENTENCE_END = re.compile(r"(?<=[a-z0-9)]{3}[.!?]) (?=[A-Z])")


class Article(NamedTuple):
    """text: the first sentence; line: the description."""

    title: str
    text: str
    line: str


def first_sentence(extract: str) -> str:
    """The first sentence, cut before the word that goes beyond LONGEST characters.

    >>> first_sentence("The owl, e.g. J. Frost's, is a bird. It hunts at night.")
    "The owl, e.g. J. Frost's, is a bird."
    """
    sentence = SENTENCE_END.split(" ".join(extract.split()), maxsplit=1)[0]
    if len(sentence) <= LONGEST:
        return sentence
    return sentence[:LONGEST].rsplit(" ", 1)[0] + "…"


def _articles(entries: Iterable[dict[str, str]]) -> list[Article]:
    """Those that have a short description."""
    found = []
    for entry in entries:
        line = plain(entry.get("description") or "")
        if 0 < len(line) <= LONGEST_LINE:
            text = first_sentence(entry["extract"])
            found.append(Article(entry["title"], text, line))
    return found


@lru_cache(maxsize=1)
def sample_articles() -> list[Article]:
    rows = sample_file("encyclopedia.jsonl").splitlines()
    return _articles(json.loads(row) for row in rows)


def _is_tested(article: Article) -> bool:
    return article.title not in facts() and is_for_test(article.title, TESTED_ONE_IN)


@lru_cache(maxsize=1)
def training_articles() -> list[Article]:
    """The fetched encyclopedia's, or else the sample's, without those of the test."""
    tested = {a.title for a in sample_articles() if _is_tested(a)}
    articles = sample_articles()
    found = source("encyclopedia")
    if is_fetched(found):
        path = next(data_folder(found).rglob("summaries_en-us.json"))
        articles = _articles(json.loads(path.read_text(encoding="utf-8")).values())
    return [a for a in articles if a.title not in tested]


class Summary:
    """First sentences of articles, in English, each with its one-line description."""

    name = "summary"
    source = (
        "leads and descriptions of the English Wikipedia (CC BY-SA 4.0): 750 in the "
        "package, 10,000 once `gptlite data fetch encyclopedia` has run"
    )
    metric = "ROUGE-L with the description"

    def draw(self, rng: np.random.Generator) -> Conversation:
        articles = training_articles()
        article = articles[int(rng.random() * len(articles))]
        return _ask(article, PHRASINGS[int(rng.random() * len(PHRASINGS))])

    def test(self, n: int) -> list[Conversation]:
        """The sample's articles that neither this task nor `facts` has taught, whether
        or not more was fetched; in held-out phrasings.
        """
        tested = [a for a in sample_articles() if _is_tested(a)]
        some = held_out("summary")["phrasings"]
        order = np.random.default_rng(0).permutation(len(tested))[:n]
        return [_ask(tested[i], some[k % len(some)]) for k, i in enumerate(order)]

    def score(self, asked: Conversation, answer: str) -> float:
        return rouge_l(answer, asked[-1].content)

    def baseline(self, asked: Conversation, rng: np.random.Generator) -> str:
        """The text's first words."""
        return " ".join(asked[0].content.split()[:FIRST_WORDS])


def _ask(article: Article, phrasing: str) -> Conversation:
    return conversation(
        ("document", article.text), ("user", phrasing), ("assistant", article.line)
    )
