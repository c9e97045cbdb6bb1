"""A small table and a question on it, or a sum; tools do the arithmetic.

    document   city, price, age
               Oslo, 37, 12
               Bonn, 20, 48
    user       Which city has the highest price?
    call       table max price
    tool       max price = 37, city = Oslo
    assistant  It is Oslo.

Some tables are asked about twice; some have several rows of one name, and are asked for
a number of each; some columns are to be plotted; some sums divide by zero.

What has to be learned is which operation a question means, and to copy columns,
numbers and names. So that they can be copied as tokens, all of them stand behind a
blank in the question, in the call, in the tool's answer and in the sentence. Many
tables have columns and rows with made-up names, or any nouns and names of an
encyclopedia, so that to know the usual ones by heart does not help.

Never drawn, and what the test asks for: some frames of sentences, some words as
columns, one operation of each column, one in ten sums; and the test's tables have rows
with names of their own. The words for an operation ("highest", "largest") are all
trained: a model of this size could not know others.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from gptlite.tasks.held_out import held_out
from gptlite.tasks.questions import FRAMES, KINDS, OPERATIONS, Asked, kept_back
from gptlite.tasks.split import is_for_test
from gptlite.tasks.tables import TABLES, columns_of, made_up, names, nouns
from gptlite.tasks.words import pick
from gptlite.text.chat import Conversation, conversation
from gptlite.tools import PICTURE, last_document, run

TWICE = 0.25  # share of the tables that are asked about twice
NO_DIVISOR = 0.1  # share of the divisions that are by zero
IMPOSSIBLE = "Nothing can be divided by 0."
SIGNS = {"+": "plus", "-": "minus", "*": "times", "/": "divided by"}


def sum_of(frames: Sequence[str], test: bool, rng: np.random.Generator) -> Conversation:
    """An expression of two or three numbers, some with the signs as words.

    test: one that is never drawn, for it is among the one in ten that are kept back.
    """
    while True:
        u, form = rng.random(3).tolist(), int(rng.integers(5))
        a, b, c = (int(x) for x in rng.integers(2, (200, 100, 20)).tolist())
        sign, other = pick("+-*/", u[0]), pick("+-*", u[1])
        a = a * b if sign == "/" else a
        if sign == "/" and form < 3 and rng.random() < NO_DIVISOR:
            b = 0
        expression = f"{a} {sign} {b}"
        if form == 3:
            expression += f" {other} {c}"
        elif form == 4:
            expression = f"( {expression} ) {other} {c}"
        if is_for_test(expression, 10) == test:
            break
    said = f"{a} {SIGNS[sign]} {b}" if form == 0 else expression
    call = f"calculator {expression}"
    result = run(call)
    answer = f"It is {result.removeprefix('= ')}." if b else IMPOSSIBLE
    return conversation(
        ("user", pick(frames, u[2]).format(e=said)), ("call", call), ("tool", result),
        ("assistant", answer),
    )  # fmt: skip


def numbers_in(text: str) -> list[float]:
    return [float(x) for x in re.findall(r"-?\d+(?:\.\d+)?", text)]


def named_numbers(text: str) -> list[str]:
    """The numbers and the words of a text.

    >>> named_numbers("Oslo 3.5, Bonn 2.")
    ['Oslo', '3.5', 'Bonn', '2']
    """
    return re.findall(r"-?\d+(?:\.\d+)?|[^\W\d]+", text)


def row_names(asked: Conversation) -> list[str]:
    lines = last_document(asked).splitlines()[1:]
    return [line.partition(",")[0] for line in lines]


class Numbers:
    """Answer a question on a table, or do a sum, by calling a tool."""

    name = "numbers"
    source = (
        "made by a program, with some words of the built-in encyclopedia (CC BY-SA)"
    )
    metric = "the right number or name in the last sentence, after the tool was called"

    def draw(self, rng: np.random.Generator) -> Conversation:
        """A sum, or a question on a table with a column and an operation of training.

        >>> Numbers().draw(np.random.default_rng(3))[-1].content
        'It is 27.'
        """
        kind = pick((*KINDS, None), rng.random())
        if kind is None:
            return sum_of(FRAMES["sum"], False, rng)
        table = pick(list(TABLES), rng.random())
        fit = [c for c in columns_of(table) if kept_back(c) != kind.operation]
        column, rows = pick(fit, rng.random()), TABLES[table][1].split()
        u, v = rng.random(2).tolist()
        if u < 0.5:
            rows = made_up(6, rng) if u < 0.25 else names()
        if v < 0.4:
            column = (
                made_up(1, rng)[0].lower() if v < 0.1 else pick(nouns(), v * 10 % 1)
            )
        asked = Asked.random(table, column, rows, kind, rng)
        kinds = [kind]
        if kind.frame != "by" and rng.random() < TWICE:
            again = [k for k in KINDS if k.frame != "by" and
                     kept_back(column) != k.operation]  # fmt: skip
            kinds.append(pick(again, rng.random()))
        return asked.conversation(
            *(asked.exchange(k, FRAMES[k.frame], rng) for k in kinds)
        )

    def test(self, n: int) -> list[Conversation]:
        """A frame, a word as column, or a column with an operation: one of the three
        was never drawn (of sums: the frame, or the sum)."""
        return [self._test_item(i, np.random.default_rng((2025, i))) for i in range(n)]

    def _test_item(self, i: int, rng: np.random.Generator) -> Conversation:
        kept = held_out("numbers")
        way = ("frame", "column", "pair")[i % 3]
        kind = (*KINDS, None)[i // 3 % (len(KINDS) + 1)]
        frame = "sum" if kind is None else kind.frame
        frames = kept["frames"][frame] if way == "frame" else FRAMES[frame]
        if kind is None:
            return sum_of(frames, way != "frame", rng)
        if way == "pair" and kind.operation in OPERATIONS:
            pairs = [(t, c) for t in TABLES for c in columns_of(t)
                     if kept["pairs"][c] == kind.operation]  # fmt: skip
            table, column = pick(pairs, rng.random())
        else:
            table = pick(list(TABLES), rng.random())
            trained = [c for c in columns_of(table) if kept_back(c) != kind.operation]
            known = trained if way == "frame" else kept["columns"][table]
            column = pick(known, rng.random())
        asked = Asked.random(table, column, kept["rows"][table], kind, rng)
        return asked.conversation(asked.exchange(kind, frames, rng))

    def score(self, asked: Conversation, answer: str) -> float:
        """1 if the last number is the right one; or the only name of a row is; or, of
        several numbers with their names, all are; or the picture is named."""
        right = asked[-1].content
        if PICTURE in right:
            return float(answer.strip() == right)
        wanted = numbers_in(right)
        if len(wanted) > 1:
            return float(named_numbers(answer) == named_numbers(right))
        if wanted:
            return float(numbers_in(answer)[-1:] == wanted)
        words = re.findall(r"\w+", answer)
        named = {name for name in row_names(asked) if name in words}
        return float(named == {right.removeprefix("It is ").removesuffix(".")})

    def baseline(self, asked: Conversation, rng: np.random.Generator) -> str:
        """Some number, or some name, of what was asked."""
        told = " ".join(m.content for m in asked if m.role in ("document", "user"))
        right = asked[-1].content
        guesses: list[Any] = numbers_in(told) if numbers_in(right) else row_names(asked)
        return f"It is {pick(guesses, rng.random())}."
