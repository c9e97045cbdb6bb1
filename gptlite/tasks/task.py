"""What a task is: conversations to learn from, others to be tested on, and a score."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from gptlite.text.chat import Conversation


class Task(Protocol):
    """A job for an assistant.

    name: as on the command line. source: a line on where the data come from, with the
    licence. metric: what a score of 1 means, in a few words. A task may also have
    measured_by = "likelihood": its measure is the bits per byte of the right answers;
    and parts(asked, scores) → {what: number}, shown beside the mean score.

    A conversation ends with the assistant's right answer. Everything before the first
    answer or call is what the model is given; if it calls tools, they are run.
    """

    name: str
    source: str
    metric: str

    def draw(self, rng: np.random.Generator) -> Conversation:
        """One conversation to learn from, drawn at random."""
        ...

    def test(self, n: int) -> list[Conversation]:
        """At most n held-out conversations, always the same ones."""
        ...

    def score(self, asked: Conversation, answer: str) -> float:
        """How good an answer is, 0 … 1; the right one is the last turn of `asked`."""
        ...

    def baseline(self, asked: Conversation, rng: np.random.Generator) -> str:
        """What one who cannot do the task would answer: a guess, or a copy."""
        ...
