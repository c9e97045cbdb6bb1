"""Ratings as examples: read, split by prompt, made batches of pairs or of grades."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gptlite.alignment import grades
from gptlite.alignment import ratings as store
from gptlite.alignment.health import Pair
from gptlite.alignment.ratings import Rating
from gptlite.alignment.reward import Judged, graded, pairs_of
from gptlite.errors import DataError
from gptlite.tasks.split import is_for_test
from gptlite.text.chat import Conversation, conversation
from gptlite.text.tokenizer import Tokenizer
from gptlite.training.run import open_run

HELD_OUT_ONE_IN = 5  # of people's prompts


class Ratings(NamedTuple):
    """To learn from, and of other prompts, to be measured on."""

    learned: list[Rating]
    held_out: list[Rating]


class Examples(NamedTuple):
    """What ratings teach: batches to learn from and to be measured on, all that was
    said in the first, and pairs of the second, of which `health` tells."""

    learned: Judged
    held_out: Judged
    talks: list[Conversation]
    pairs: list[Pair]


def rated_by_people(paths: Sequence[str | Path]) -> tuple[Ratings, list[str]]:
    """The ratings of files, one prompt in HELD_OUT_ONE_IN held out; and a sentence on
    each line, and on each kind of rating, that was left out."""
    merged = store.merge(paths)
    found, others = _of_one_kind(merged.ratings)
    parts: tuple[list[Rating], list[Rating]] = [], []
    for rating in found:
        parts[is_for_test(rating.prompt, HELD_OUT_ONE_IN)].append(rating)
    if not all(parts):
        raise DataError(
            f"wanted ratings of prompts to learn from and of others to be measured on "
            f"(one prompt in {HELD_OUT_ONE_IN}, told by its checksum), got "
            f"{len(parts[0])} and {len(parts[1])}; rate answers to more prompts"
        )
    return Ratings(*parts), merged.left_out + others


def _of_one_kind(ratings: Sequence[Rating]) -> tuple[list[Rating], list[str]]:
    """The choices or the grades, whichever are more, since a loss is of one kind; and a
    sentence on the others."""
    kinds: dict[str, list[Rating]] = {"choices": [], "grades": []}
    for rating in ratings:
        kinds["choices" if rating.grade is None else "grades"].append(rating)
    more, less = sorted(kinds, key=lambda kind: -len(kinds[kind]))
    if not kinds[less]:
        return kinds[more], []
    return kinds[more], [
        f"{len(kinds[less]):,} {less}, since {more} are learned from, of which there "
        f"are {len(kinds[more]):,}"
    ]


def read_ratings(run: str) -> Ratings:
    """What a reward model's run was learned from and measured on."""
    folder = open_run(run).folder
    names = folder / "ratings.jsonl", folder / "held_out.jsonl"
    if not all(path.exists() for path in names):
        raise DataError(
            f"wanted a run with ratings.jsonl and held_out.jsonl, got {folder}; "
            "`gptlite reward` makes one"
        )
    return Ratings(*(store.read(path).ratings for path in names))


def as_pairs(ratings: Sequence[Rating]) -> list[Pair]:
    """(better, worse) conversations."""
    talks = []
    for prompt, *texts in store.pairs(ratings):
        better, worse = (
            conversation(("user", prompt), ("assistant", text)) for text in texts
        )
        talks.append((better, worse))
    return talks


def as_examples(
    ratings: Ratings, tokenizer: Tokenizer, T: int, n: int, seed: int = 0
) -> Examples:
    """Pairs or graded answers, whatever the ratings are.

    n: pairs at most that are made of held-out grades; T: tokens of a conversation.
    """
    if any(rating.grade is None for rating in ratings.learned):
        train, held_out = (as_pairs(some) for some in ratings)
        talks = list(dict.fromkeys(talk for pair in train for talk in pair))
        learned, measured = (pairs_of(some, tokenizer, T) for some in (train, held_out))
        return Examples(learned, measured, talks, held_out)
    parts = grades.graded_answers(*ratings)
    two = grades.pairs(parts[1], n, np.random.default_rng(seed))
    learned, measured = (
        graded([x.conversation for x in part], [x.grade for x in part], tokenizer, T)
        for part in parts
    )
    pairs = [(better.conversation, worse.conversation) for better, worse in two]
    return Examples(learned, measured, [x.conversation for x in parts[0]], pairs)
