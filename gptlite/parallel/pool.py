"""A pool of data-parallel workers: threads that stand for GPUs.

Every worker runs the same function on its own slice of the batch, with serial
kernels and a single-threaded BLAS. All operations, not only products, then use all
cores, with three synchronisations a step.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from queue import Empty, SimpleQueue
from threading import BrokenBarrierError
from types import TracebackType
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from gptlite.config import THREADS
from gptlite.errors import ConfigError
from gptlite.parallel.communicator import Meeting, SharedMemory

Result = TypeVar("Result")
Item = TypeVar("Item")


def available_cores() -> int:
    """Cores that this process may use (all, where the system does not say)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class OneBlasThread:
    """BLAS uses one thread while any pool is open, and its own after the last."""

    _lock = threading.Lock()
    _open = 0
    _limit: Any = None

    @classmethod
    def enter(cls) -> None:
        with cls._lock:
            if cls._open == 0:
                cls._limit = threadpool_limits(1, user_api="blas")
            cls._open += 1

    @classmethod
    def leave(cls) -> None:
        with cls._lock:
            cls._open -= 1
            if cls._open == 0:
                cls._limit.restore_original_limits()


class WorkerPool:
    """`n` workers; `run(function)` calls `function(comm)` on each of them.

    `backend="threads"` runs them at the same time, `"sequential"` one after
    another, with the same result to the last bit: for debugging, and for more
    workers than cores. While the pool is open, BLAS uses one thread a worker.

    >>> import numpy as np
    >>> with WorkerPool(3) as pool:
    ...     pool.run(lambda comm: comm.all_reduce(np.array([comm.rank])).item())
    [3, 3, 3]
    """

    def __init__(self, n: int, backend: str = "threads") -> None:
        if n < 1:
            raise ConfigError(
                f"wanted at least 1 worker, got {n}; "
                f"this machine has {available_cores()} cores"
            )
        if backend not in THREADS:
            raise ConfigError(f"wanted a pool among {THREADS}, got {backend!r}")
        self.size, self.backend, self.ranks = n, backend, range(n)
        self._meeting = Meeting(n, one_at_a_time=backend == "sequential")
        self._threads = ThreadPoolExecutor(n, thread_name_prefix="gptlite-worker")
        self._closed = False
        OneBlasThread.enter()

    def run(self, function: Callable[[SharedMemory], Result]) -> list[Result]:
        """Call `function(comm)` on every worker; the results in order of rank.

        An error in one worker releases the others and is raised here.
        """
        futures = [
            self._threads.submit(self._work, function, rank)
            for rank in range(self.size)
        ]
        wait(futures)
        errors = [e for e in (future.exception() for future in futures) if e]
        if errors:
            self._meeting.barrier.reset()
            first = [e for e in errors if not isinstance(e, BrokenBarrierError)]
            raise (first or errors)[0]
        return [future.result() for future in futures]

    def map(
        self, function: Callable[[int, Item], Result], items: Sequence[Item]
    ) -> list[Result]:
        """`function(rank, item)` of each item, in order; a worker that is free takes
        the next one.

        >>> with WorkerPool(2) as pool:
        ...     pool.map(lambda rank, x: x * x, [1, 2, 3])
        [1, 4, 9]
        """
        left: SimpleQueue[int] = SimpleQueue()
        for i in range(len(items)):
            left.put(i)
        found: list[Any] = [None] * len(items)

        def work(comm: SharedMemory) -> None:
            with contextlib.suppress(Empty):
                while True:
                    i = left.get_nowait()
                    found[i] = function(comm.rank, items[i])

        self.run(work)
        return found

    def _work(self, function: Callable[[SharedMemory], Result], rank: int) -> Result:
        turn = self._meeting.turn
        if turn:
            turn.acquire()
        try:
            return function(SharedMemory(rank, self.size, self._meeting))
        except BaseException:
            self._meeting.barrier.abort()
            raise
        finally:
            if turn:
                turn.release()

    def close(self) -> None:
        """End the threads and give BLAS its threads back."""
        self._threads.shutdown()
        if not self._closed:
            self._closed = True
            OneBlasThread.leave()

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> Any:
        self.close()
