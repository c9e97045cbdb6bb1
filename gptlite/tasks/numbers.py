"""A small table and a question on it, or a sum; tools do the arithmetic.

    document   city, price, age
               Oslo, 37, 12
               Bonn, 20, 48
    user       Which city has the highest price?
    call       table max price
    tool       max price = 37, city = Oslo
    assistant  It is Oslo.

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
from dataclasses import dataclass

import numpy as np

from gptlite.tasks.held_out import held_out
from gptlite.tasks.split import is_for_test, part
from gptlite.tasks.tables import TABLES, columns_of, made_up, names, nouns, random_table
from gptlite.tasks.words import pick
from gptlite.text.chat import Conversation, conversation
from gptlite.tools import last_document, run


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of question. operation: the tool's. frame: which sentences ask it, with
    the words for {w}. call, answer: what the assistant writes; {n} is the result."""

    operation: str
    frame: str
    words: tuple[str, ...]
    call: str
    answer: str


HIGH = ("highest", "largest", "greatest", "biggest", "maximum")
LOW = ("lowest", "smallest", "least", "minimum")
MORE, LESS = ("above", "over", "more than"), ("below", "under", "less than")
NUMBER = "The {w} {c} is {n}."
KINDS = (
    Kind("max", "number", HIGH, "table max {c}", NUMBER),
    Kind("min", "number", LOW, "table min {c}", NUMBER),
    Kind("mean", "number", ("mean", "average"), "table mean {c}", NUMBER),
    Kind("sum", "number", ("total", "overall"), "table sum {c}", NUMBER),
    Kind("max", "which", HIGH, "table max {c}", "It is {n}."),
    Kind("min", "which", LOW, "table min {c}", "It is {n}."),
    Kind("count", "count", MORE, "table count where {c} > {v}", "There are {n}."),
    Kind("count", "count", LESS, "table count where {c} < {v}", "There are {n}."),
    Kind("value", "value", ("",), "table {c} where {l} = {r}", "It is {n}."),
)
OPERATIONS = ("max", "min", "mean", "sum", "count", "value")
FRAMES = {
    "number": ("What is the {w} {c}?", "Find the {w} {c}.", "Tell me the {w} {c}.",
               "Compute the {w} {c}.", "I want to know the {w} {c}."),
    "which": ("Which {l} has the {w} {c}?", "Find the {l} with the {w} {c}.",
              "Tell me which {l} has the {w} {c}.", "What {l} has the {w} {c}?"),
    "count": ("How many {ls} have {c} {w} {v}?", "Count the {ls} with {c} {w} {v}.",
              "How many have {c} {w} {v}?"),
    "value": ("What is the {c} of {r}?", "Find the {c} of {r}.",
              "Tell me the {c} of {r}.", "Look up the {c} of {r}."),
    "sum": ("What is {e}?", "Compute {e}.", "How much is {e}?", "Work out {e}."),
}  # fmt: skip
SIGNS = {"+": "plus", "-": "minus", "*": "times", "/": "divided by"}


def kept_back(column: str) -> str:
    """The operation that a column is never drawn with."""
    return OPERATIONS[part(column, len(OPERATIONS))]


def question(
    table: str,
    column: str,
    kind: Kind,
    frames: Sequence[str],
    rows: Sequence[str],
    rng: np.random.Generator,
) -> Conversation:
    """A question of a kind on a column, with a table that has it."""
    document, labels, values = random_table(table, column, rows, rng)
    u = rng.random(3).tolist()
    parts = {
        "c": column, "w": pick(kind.words, u[0]), "l": table, "ls": TABLES[table][0],
        "r": pick(labels, u[1]), "v": int(rng.integers(min(values), max(values))),
    }  # fmt: skip
    call = kind.call.format(**parts)
    result = run(call, csv=document)
    at = -1 if kind.frame == "which" else 1  # "max price = 37, city = Oslo"
    found = result.split(" = ")[at].split(",")[0]
    return conversation(
        ("document", document), ("user", pick(frames, u[2]).format(**parts)),
        ("call", call), ("tool", result),
        ("assistant", kind.answer.format(n=found, **parts)),
    )  # fmt: skip


def sum_of(frames: Sequence[str], test: bool, rng: np.random.Generator) -> Conversation:
    """An expression of two or three numbers, some with the signs as words.

    test: one that is never drawn, for it is among the one in ten that are kept back.
    """
    while True:
        u, form = rng.random(3).tolist(), int(rng.integers(5))
        a, b, c = (int(x) for x in rng.integers(2, (200, 100, 20)).tolist())
        sign, other = pick("+-*/", u[0]), pick("+-*", u[1])
        a = a * b if sign == "/" else a
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
    return conversation(
        ("user", pick(frames, u[2]).format(e=said)), ("call", call), ("tool", result),
        ("assistant", f"It is {result.removeprefix('= ')}."),
    )  # fmt: skip


def numbers_in(text: str) -> list[float]:
    return [float(x) for x in re.findall(r"-?\d+(?:\.\d+)?", text)]


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
        'The highest komapo is 57.'
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
        return question(table, column, kind, FRAMES[kind.frame], rows, rng)

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
        if way == "pair":
            pairs = [(t, c) for t in TABLES for c in columns_of(t)
                     if kept["pairs"][c] == kind.operation]  # fmt: skip
            table, column = pick(pairs, rng.random())
        else:
            table = pick(list(TABLES), rng.random())
            trained = [c for c in columns_of(table) if kept_back(c) != kind.operation]
            known = kept["columns"][table] if way == "column" else trained
            column = pick(known, rng.random())
        return question(table, column, kind, frames, kept["rows"][table], rng)

    def score(self, asked: Conversation, answer: str) -> float:
        """1 if the last number is the right one; or the only name of a row is."""
        right = asked[-1].content
        if wanted := numbers_in(right):
            return float(numbers_in(answer)[-1:] == wanted[-1:])
        words = re.findall(r"\w+", answer)
        named = {name for name in row_names(asked) if name in words}
        return float(named == {right.removeprefix("It is ").removesuffix(".")})

    def baseline(self, asked: Conversation, rng: np.random.Generator) -> str:
        """Some number, or some name, of what was asked."""
        told = " ".join(m.content for m in asked if m.role in ("document", "user"))
        right = asked[-1].content
        guesses = numbers_in(told) if numbers_in(right) else row_names(asked)
        return f"It is {pick(guesses, rng.random())}."
