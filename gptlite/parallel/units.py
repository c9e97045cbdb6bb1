"""A model's numbers in units, and the shard of each that a worker owns.

A unit is what is needed at one time: the embeddings, a layer, the last norm. ZeRO's
stages 2 and 3 have it whole only while it is needed, and of all others a shard
(Rajbhandari et al. 2019, arXiv:1910.02054). `Sharded` reads like the `Arena` that it
stands for, so that forward and backward of a model are the same lines.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gptlite.arena import Arena, Block
from gptlite.parallel.communicator import Shard

AT_ONCE = 2  # units that are whole: a norm's backward looks at the layer above


def cut(where: slice, rank: int, size: int) -> slice:
    """Worker `rank`'s of `size` parts, without padding: some have one number more.

    >>> [cut(slice(10, 20), rank, 3) for rank in range(3)]
    [slice(10, 13, None), slice(13, 16, None), slice(16, 20, None)]
    """
    start, length = where.start, where.stop - where.start
    return slice(start + length * rank // size, start + length * (rank + 1) // size)


@dataclass(frozen=True)
class Unit:
    """blocks: its tensors. where: the stretch of the whole flat buffer for each."""

    blocks: tuple[Block, ...]
    where: tuple[slice, ...]

    @property
    def inside(self) -> tuple[slice, ...]:
        """The same stretches in a buffer of the unit alone."""
        ends = [0, *itertools.accumulate(block.size for block in self.blocks)]
        return tuple(slice(a, b) for a, b in itertools.pairwise(ends))

    def shards(self, size: int) -> list[Shard]:
        """Each worker's parts of a buffer of the unit alone."""
        return [[cut(s, rank, size) for s in self.inside] for rank in range(size)]


def units_of(params: Arena) -> list[Unit]:
    """The units of a model's parameters: embeddings, layer after layer, the last norm.

    >>> from gptlite.config import GPTConfig
    >>> from gptlite.models.gpt import GPT
    >>> params = GPT(GPTConfig(n_layer=2, n_head=1, n_embd=4, vocab_size=5)).params
    >>> units = units_of(params)
    >>> len(units), sum(b.size for u in units for b in u.blocks) == params.flat.size
    (4, True)
    """
    starts = [0, *itertools.accumulate(block.size for block in params.blocks)]
    first, *middle, last = zip(params.blocks, starts, strict=False)

    def unit(parts: list[tuple[Block, int]], l: int) -> Unit:
        blocks, where = [], []
        for block, start in parts:
            one = Block(block.shapes)
            blocks.append(one)
            where.append(slice(start + l * one.size, start + (l + 1) * one.size))
        return Unit(tuple(blocks), tuple(where))

    layers = [unit(middle, l) for l in range(len(params.layers))]
    return [unit([first], 0), *layers, unit([last], 0)]


class Sharded:
    """Looks like the arena of a model's parameters or gradients; has few units whole.

    opened: makes unit i whole. closed: takes it back. kept: units that stay open until
    `close`. Of the others at most AT_ONCE are open, those that were used last. `flat`
    is empty: it tells the dtype.
    """

    adds = True  # as `Arena.adds`: here gradients are always set to 0 at first

    def __init__(
        self, units: list[Unit], opened: Callable[[int], Arena],
        closed: Callable[[int, Arena], None], *, dtype: np.dtype,
        kept: tuple[int, ...] = (),
    ) -> None:  # fmt: skip
        ends = 0, len(units) - 1
        self._names = {n: i for i in ends for b in units[i].blocks for n in b.shapes}
        self._opened, self._closed, self._kept = opened, closed, kept
        self._open: dict[int, Arena] = {}  # in the order in which they were used
        self.layers = _Layers(self, len(units) - 2)
        self.flat = np.empty(0, dtype)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._names:
            raise AttributeError(name)
        return getattr(self.unit(self._names[name]), name)

    def unit(self, i: int) -> Arena:
        """Unit i, whole."""
        if i in self._open:
            self._open[i] = self._open.pop(i)  # the newest again
            return self._open[i]
        others = [j for j in self._open if j not in self._kept]
        if i not in self._kept and len(others) >= AT_ONCE:
            self._closed(others[0], self._open.pop(others[0]))
        self._open[i] = self._opened(i)
        return self._open[i]

    def close(self) -> None:
        """Close what is open, the oldest first."""
        while self._open:
            i = next(iter(self._open))
            self._closed(i, self._open.pop(i))


class _Layers:
    """`layers[l]` of a `Sharded`, and how many there are."""

    def __init__(self, of: Sharded, n: int) -> None:
        self._of, self._n = of, n

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, l: int) -> Arena:
        if not 0 <= l < self._n:
            raise IndexError(l)
        return self._of.unit(l + 1)
