"""Rewrite: what the instructions mean, and that what is tested is never taught."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptlite.errors import DataError
from gptlite.tasks.held_out import held_out, sealed
from gptlite.tasks.rewrite import OPERATIONS, PAIRS, TRAINED, Rewrite
from gptlite.tasks.words import WORDS
from gptlite.text.chat import Conversation, conversation

TASK = Rewrite()
DRAWS = 30_000
TESTED = 500


def apply(names: str, text: str) -> str:
    words = text.split()
    for name in names.split(", "):
        words = OPERATIONS[name].apply(words, "red", "Sky")
    return " ".join(words)


@lru_cache(maxsize=100_000)
def operation_of(told: str) -> str:
    """The operation that these words ask for, and no other."""
    found = [
        name for name, operation in OPERATIONS.items()
        if any(re.fullmatch(re.sub(r"{\w}", r"\\w+", way), told)
               for way in operation.ways)
    ]  # fmt: skip
    assert len(found) == 1, told
    return found[0]


def operations_of(asked: Conversation) -> tuple[str, ...]:
    told = asked[0].content.partition(": ")[0].removeprefix("First ")
    parts = (told[0].lower() + told[1:]).split(", then ")
    return tuple(map(operation_of, parts))


@pytest.mark.parametrize(
    ("names", "answer"),
    [
        ("upper", "OLD RED HOUSE"), ("lower", "old red house"),
        ("title", "Old Red House"), ("reverse", "house red Old"),
        ("sort", "house Old red"), ("swap", "house red Old"), ("first", "Old"),
        ("last", "house"), ("without first", "red house"), ("without last", "Old red"),
        ("start", "red Old red house"), ("end", "Old red house red"),
        ("twice", "Old red house Old red house"), ("replace", "Old Sky house"),
        ("quote", '"Old red house"'), ("exclaim", "Old red house!"), ("count", "3"),
        ("start, reverse", "house red Old red"), ("twice, count", "6"),
        ("last, letters", "5"), ("replace, lower", "old sky house"),
        ("without last, quote", '"Old red"'),
    ],
)  # fmt: skip
def test_an_instruction_does_what_it_says(names: str, answer: str) -> None:
    assert apply(names, "Old red house") == answer


def test_no_two_instructions_are_asked_for_in_the_same_words() -> None:
    ways = [way for operation in OPERATIONS.values() for way in operation.ways]
    assert len(set(ways)) == len(ways)


def test_the_words_differ() -> None:
    assert len(set(WORDS)) == len(WORDS) > 150
    assert all(word.isalpha() and word.islower() for word in WORDS)


def test_the_file_says_which_pairs_are_held_out() -> None:
    kept = {tuple(pair) for pair in held_out("rewrite")["pairs"]}
    assert kept == set(PAIRS) - set(TRAINED)
    assert len(PAIRS) / 10 < len(kept) < len(PAIRS) / 3


def test_a_pair_is_held_out_in_both_orders() -> None:
    assert not {(b, a) for a, b in set(PAIRS) - set(TRAINED)} & set(TRAINED)


def test_every_instruction_is_trained_with_others() -> None:
    for name in OPERATIONS:
        assert sum(name in pair for pair in TRAINED) >= 2, name


def test_nothing_of_the_test_is_ever_drawn() -> None:
    kept = {operations_of(item) for item in TASK.test(TESTED)}
    rng = np.random.default_rng(0)
    with sealed():
        drawn = [TASK.draw(rng) for _ in range(DRAWS)]
    assert not {item[0] for item in drawn} & {item[0] for item in TASK.test(TESTED)}
    # the words are others each time: so must the instructions be
    assert not kept & set(map(operations_of, drawn))


def test_training_cannot_ask_for_the_test() -> None:
    with sealed(), pytest.raises(DataError, match="held-out part of 'rewrite'"):
        TASK.test(1)


def test_the_test_is_always_the_same_and_asks_for_all_pairs() -> None:
    items = TASK.test(TESTED)
    assert TASK.test(20) == items[:20]
    assert len({item[0].content for item in items}) == TESTED
    kept = {tuple(pair) for pair in held_out("rewrite")["pairs"]}
    assert set(map(operations_of, items)) == kept


def test_the_right_answer_scores_1_and_a_copy_far_less() -> None:
    items, rng = TASK.test(TESTED), np.random.default_rng(0)
    assert all(TASK.score(item, item[-1].content) == 1 for item in items)
    guessed = [TASK.score(item, TASK.baseline(item, rng)) for item in items]
    assert np.mean(guessed) < 0.05


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        (" RED  house\n", 1), (" red house\n RED house", 1), ("red house", 0), ("", 0),
        (" RED house\n red house", 0), ("\n \n", 0), ("RED house.", 0),
    ],
)  # fmt: skip
def test_the_last_line_counts_and_blanks_do_not(answer: str, score: float) -> None:
    asked = conversation(("user", "?"), ("assistant", " house RED\n RED house"))
    assert TASK.score(asked, answer) == score


def test_an_answer_has_a_line_for_each_instruction() -> None:
    for item in TASK.test(TESTED):
        first, second = item[-1].content.split("\n")
        names = operations_of(item)
        told = item[0].content.rpartition(": ")[2]
        x, y = words_in(item)
        once = OPERATIONS[names[0]].apply(told.split(), x, y)
        assert first.split() == once
        assert second.split() == OPERATIONS[names[1]].apply(once, x, y)


def words_in(asked: Conversation) -> tuple[str, str]:
    """What stands for x and y in the instructions; empty where there is none."""
    told = asked[0].content.partition(": ")[0]
    if found := re.search(r"(?:eplace|hange) (\w+) (?:by|to) (\w+)", told):
        return found[1], found[2]
    found = re.search(r"the word (\w+)", told)
    return (found[1] if found else "", "")


@given(st.integers(0, 2**32), st.text(max_size=30))
def test_a_draw_is_short_fixed_by_its_seed_and_scored(seed: int, answer: str) -> None:
    drawn = TASK.draw(np.random.default_rng(seed))
    assert drawn == TASK.draw(np.random.default_rng(seed))
    assert sum(len(message.content.split()) for message in drawn) < 60
    assert drawn[-1].content.strip()
    assert 0 <= TASK.score(drawn, answer) <= 1


def test_all_that_makes_sense_is_drawn() -> None:
    rng = np.random.default_rng(1)
    found = {operations_of(TASK.draw(rng)) for _ in range(10_000)}
    assert found == set(TRAINED) | {(name,) for name in OPERATIONS}
