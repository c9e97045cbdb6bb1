"""Rows of rated examples: put together by length, and as the training loop wants them.

A batch is as long as its longest row. So rows of like length go together wherever the
result does not depend on it: when they are sampled, read or scored, and in the pieces
of a batch whose gradients are summed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar

import numpy as np

from gptlite.training.loop import Task

PIECE = 16  # rows: enough for products to be fast


Some = TypeVar("Some", bound="Examples")


class Examples(Protocol):
    """Pairs, graded or sampled answers, of which some can be taken.

    lengths: tokens of each. rows_each: how many rows each is.
    """

    @property
    def lengths(self) -> np.ndarray: ...

    @property
    def rows_each(self) -> int: ...

    def __len__(self) -> int: ...

    def take(self: Some, which: np.ndarray) -> Some: ...


def alike(lengths: Sequence[int] | np.ndarray, n: int) -> list[np.ndarray]:
    """Which rows go together, n at a time, so that each is beside those of its length;
    the longest first, since workers end together when the last job is small.

    >>> [some.tolist() for some in alike([5, 1, 9, 2], 2)]
    [[2, 0], [3, 1]]
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    return [order[i : i + n] for i in range(0, len(order), n)]


def pieces(examples: Some) -> list[Some]:
    """The same examples as smaller batches, each no longer than its own rows."""
    n = max(1, PIECE // examples.rows_each)
    return [examples.take(some) for some in alike(examples.lengths, n)]


def task_of(train: Examples, held_out: Examples, rows: int) -> Task:
    """Examples drawn at random to learn from, and others, in order, to measure on;
    about so many rows at a time."""
    drawn, n = (max(1, rows // some.rows_each) for some in (train, held_out))

    def next_batch(rng: np.random.Generator) -> Examples:
        return train.take(rng.integers(0, len(train), drawn))

    def validation(most: int) -> Iterator[Examples]:
        end = min(most or len(held_out), len(held_out))
        for start in range(0, end, n):
            some = held_out.take(np.arange(start, min(end, start + n)))
            yield from pieces(some)

    return Task(next_batch, validation, math.nan, sample=lambda rng: "", split=pieces)
