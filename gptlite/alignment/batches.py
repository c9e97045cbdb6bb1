"""Rated examples as the training loop wants them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Protocol

import numpy as np

from gptlite.training.loop import Task


class Examples(Protocol):
    """Pairs or graded answers, of which some can be taken."""

    def __len__(self) -> int: ...

    def take(self, which: np.ndarray) -> Examples: ...


def task_of(train: Examples, held_out: Examples, batch_size: int) -> Task:
    """Examples drawn at random to learn from, and others, in order, to measure on."""

    def next_batch(rng: np.random.Generator) -> Examples:
        return train.take(rng.integers(0, len(train), batch_size))

    def validation(n: int) -> Iterator[Examples]:
        end = min(n or len(held_out), len(held_out))
        for start in range(0, end, batch_size):
            yield held_out.take(np.arange(start, min(end, start + batch_size)))

    return Task(next_batch, validation, math.nan, sample=lambda rng: "")
