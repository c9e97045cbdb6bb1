"""A pool of which this process is one worker; the others are processes elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TypeVar

from gptlite.parallel.communicator import Communicator
from gptlite.parallel.pool import OneBlasThread

Result = TypeVar("Result")
Item = TypeVar("Item")


class Member:
    """What a `WorkerPool` is to the process that has all workers as threads, for a
    process that is one of them: `run` calls the function once, and its result is this
    worker's alone.

    >>> from gptlite.parallel.threads import ThreadWorkers
    >>> def worker(comm):
    ...     with Member(comm) as pool:
    ...         return pool.ranks, pool.run(lambda comm: comm.size * 10)
    >>> ThreadWorkers(2).run(worker)
    [((0,), [20]), ((1,), [20])]
    """

    def __init__(self, comm: Communicator) -> None:
        self.comm, self.size, self.ranks = comm, comm.size, (comm.rank,)

    def run(self, function: Callable[[Communicator], Result]) -> list[Result]:
        return [function(self.comm)]

    def map(
        self, function: Callable[[int, Item], Result], items: Sequence[Item]
    ) -> list[Result]:
        return [function(self.comm.rank, item) for item in items]

    def __enter__(self) -> Member:
        OneBlasThread.enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        OneBlasThread.leave()
