"""A batch: the tokens that go in, the ones that should come out, which count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gptlite.errors import DataError


class Rows(Protocol):
    """What a model's backward looks at: the tokens (B, T), and whether rows are packed
    (see `Batch`)."""

    @property
    def ids(self) -> np.ndarray: ...

    @property
    def segments(self) -> np.ndarray | None: ...


@dataclass(frozen=True, slots=True)
class Batch:
    """ids, targets: (B, T) int64; mask: (B, T) bool, true where the loss counts.

    segments: (B, T) int64 or None. Packed conversations have different numbers, do not
    see one another, and have positions of their own.
    """

    ids: np.ndarray
    targets: np.ndarray
    mask: np.ndarray
    segments: np.ndarray | None = None

    def __post_init__(self) -> None:
        arrays = [self.ids, self.targets, self.mask]
        arrays += [] if self.segments is None else [self.segments]
        shapes = [array.shape for array in arrays]
        if len(shapes[0]) != 2 or any(shape != shapes[0] for shape in shapes):
            raise DataError(f"wanted ids, targets and mask alike (B, T), got {shapes}")

    @classmethod
    def of(cls, ids: np.ndarray, targets: np.ndarray) -> Batch:
        """A batch in which every token counts."""
        return cls(ids, targets, np.ones(ids.shape, bool))

    @property
    def n_tokens(self) -> int:
        """Tokens whose loss counts."""
        return int(np.count_nonzero(self.mask))

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, start: int, stop: int) -> Batch:
        part = slice(start, stop)
        segments = None if self.segments is None else self.segments[part]
        return Batch(self.ids[part], self.targets[part], self.mask[part], segments)

    def part(self, rank: int, size: int) -> Batch:
        """Worker `rank`'s slice when `size` workers share the batch.

        >>> ids = np.zeros((5, 1), int)
        >>> [len(Batch.of(ids, ids).part(rank, 2)) for rank in (0, 1)]
        [2, 3]
        """
        return self.rows(len(self) * rank // size, len(self) * (rank + 1) // size)
