"""What workers say to one another: the collectives, and the one for shared memory.

A training step is written once, against `Communicator`. Workers that are threads
share one copy of the parameters, so that their all-gather has nothing to move.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

Result = TypeVar("Result")
Item = TypeVar("Item")
Shard = list[slice]  # the parts of a flat buffer that belong to one worker


class Communicator(Protocol):
    """One worker's door to the others. Every worker makes the same calls in turn."""

    rank: int  # 0 … size − 1
    size: int  # number of workers

    def barrier(self) -> None:
        """Return when every worker has come this far."""
        ...

    def all_reduce(self, values: np.ndarray) -> np.ndarray:
        """The sum of all workers' `values`, the same bits for everyone."""
        ...

    def reduce_scatter(self, flat: np.ndarray, shards: list[Shard]) -> list[np.ndarray]:
        """The sum of all workers' `flat`, only this worker's shard of it.

        The arrays stay valid until a worker writes into its `flat` again.
        """
        ...

    def all_gather(self, flat: np.ndarray, shards: list[Shard]) -> None:
        """Every worker's shard of `flat` is in everyone's `flat` on return."""
        ...


class Pool(Protocol):
    """Workers, of which some (`ranks`) are in this process: all, or one."""

    @property
    def size(self) -> int: ...

    @property
    def ranks(self) -> Sequence[int]: ...

    def run(self, function: Callable[[Any], Result]) -> list[Result]:
        """`function(comm)` on each worker of this process; the results in order."""
        ...

    def map(
        self, function: Callable[[int, Item], Result], items: Sequence[Item]
    ) -> list[Result]:
        """`function(rank, item)` of each item, by the workers of this process."""
        ...


class Meeting:
    """What the threads of one pool share: notice boards, a barrier, and a turn.

    There are two boards, used in turn: a fast worker may write its next notice
    while a slow one still reads the last. With `one_at_a_time` a worker computes
    only while it holds the turn, and gives it away while it waits.
    """

    def __init__(self, size: int, one_at_a_time: bool) -> None:
        self.boards: list[list[Any]] = [[None] * size, [None] * size]
        self.barrier = threading.Barrier(size)
        self.turn = threading.Lock() if one_at_a_time else None


class SharedMemory:
    """A `Communicator` between threads: they read one another's arrays."""

    def __init__(self, rank: int, size: int, meeting: Meeting) -> None:
        self.rank, self.size, self._meeting = rank, size, meeting
        self._notices = 0

    def barrier(self) -> None:
        turn = self._meeting.turn
        if turn:
            turn.release()
        try:
            self._meeting.barrier.wait()
        finally:
            if turn:
                turn.acquire()

    def _show(self, value: Any) -> list[Any]:
        """Everyone's `value`, in order of rank."""
        board = self._meeting.boards[self._notices % 2]
        self._notices += 1
        board[self.rank] = value
        self.barrier()
        return board

    def all_reduce(self, values: np.ndarray) -> np.ndarray:
        # a copy: whoever is done may change `values` while others still add
        shown = self._show(values.copy())
        total = shown[0].copy()
        for other in shown[1:]:  # in order of rank: the same bits for everyone
            total += other
        return total

    def reduce_scatter(self, flat: np.ndarray, shards: list[Shard]) -> list[np.ndarray]:
        # The sum lands in worker 0's buffer, where each worker touches only its own
        # shard: no copy, and always the order 0 + 1 + 2 + …
        shown = self._show(flat)
        mine = [shown[0][part] for part in shards[self.rank]]
        for other in shown[1:]:
            for total, part in zip(mine, shards[self.rank], strict=True):
                np.add(total, other[part], out=total)
        return mine

    def all_gather(self, flat: np.ndarray, shards: list[Shard]) -> None:
        self.barrier()  # one copy of the parameters: being finished is enough
