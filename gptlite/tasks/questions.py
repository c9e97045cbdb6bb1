"""Questions on a table: which kinds there are, their sentences, and their answers.

The sentences that a test asks are in held_out/numbers.json.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gptlite.tasks.split import part
from gptlite.tasks.tables import TABLES, random_table
from gptlite.tasks.words import pick
from gptlite.text.chat import Conversation, Message
from gptlite.tools import PICTURE, run


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
    Kind("mean", "by", ("mean", "average"), "table mean {c} by {l}", "{n}."),
    Kind("sum", "by", ("total", "overall"), "table sum {c} by {l}", "{n}."),
    Kind("plot", "plot", ("",), "table plot {c}", "{n} shows the {c}."),
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
    "by": ("What is the {w} {c} of each {l}?", "Find the {w} {c} by {l}.",
           "Tell me the {w} {c} for each {l}.", "Compute the {w} {c} of every {l}."),
    "plot": ("Plot the {c}.", "Draw the {c}.", "Show me the {c} as bars.",
             "Make a picture of the {c}."),
    "sum": ("What is {e}?", "Compute {e}.", "How much is {e}?", "Work out {e}."),
}  # fmt: skip


def kept_back(column: str) -> str:
    """The operation that a column is never drawn with."""
    return OPERATIONS[part(column, len(OPERATIONS))]


@dataclass(frozen=True, slots=True)
class Asked:
    """A table as CSV, and the column of it that is asked about: of which kind of table,
    its rows' names and its numbers."""

    table: str
    column: str
    csv: str
    labels: list[str]
    values: list[int]

    @classmethod
    def random(cls, table: str, column: str, rows: Sequence[str], kind: Kind,
               rng: np.random.Generator) -> Asked:  # fmt: skip
        """rows: names to take some of; few, each twice, where groups are asked for."""
        if kind.frame == "by":
            rows = 2 * [rows[i] for i in rng.permutation(len(rows))[:3].tolist()]
        return cls(table, column, *random_table(table, column, rows, rng))

    def exchange(
        self, kind: Kind, frames: Sequence[str], rng: np.random.Generator
    ) -> Conversation:
        """A question of a kind, the call, and the answer."""
        u, low, high = rng.random(3).tolist(), min(self.values), max(self.values)
        parts = {
            "c": self.column, "w": pick(kind.words, u[0]), "l": self.table,
            "ls": TABLES[self.table][0], "r": pick(self.labels, u[1]),
            "v": int(rng.integers(low, high)),
        }  # fmt: skip
        call = kind.call.format(**parts)
        plots = kind.operation == "plot"  # not drawn to be learned from
        result = f"plot = {PICTURE}" if plots else run(call, csv=self.csv)
        said = result.split(" = ")  # such as "max price = 37, city = Oslo"
        last = kind.frame in ("which", "by")
        found = said[-1] if last else said[1].split(",")[0]
        asked = pick(frames, u[2]).format(**parts)
        answer = kind.answer.format(n=found, **parts)
        return tuple(Message(role, text) for role, text in (
            ("user", asked), ("call", call), ("tool", result), ("assistant", answer),
        ))  # fmt: skip

    def conversation(self, *exchanges: Conversation) -> Conversation:
        """The table, and these exchanges about it."""
        turns = (turn for exchange in exchanges for turn in exchange)
        return (Message("document", self.csv), *turns)
