"""Workers as threads that send one another messages, at once or one after another.

`WorkerPool` is faster: its threads read one another's arrays. These copy every byte, as
machines with a network between them must, and so the ledger can count it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from gptlite.config import THREADS
from gptlite.errors import ConfigError, WorkerError
from gptlite.parallel.channel import TIMEOUT, Channel, check_size, finished, silence
from gptlite.parallel.collectives import Collectives
from gptlite.parallel.ledger import Ledger

Result = TypeVar("Result")


class Hub:
    """What the threads share: a queue for each pair, and who failed first.

    With `one_at_a_time` a worker computes only while it holds the turn, and gives it
    away while it waits for a message.
    """

    def __init__(self, size: int, one_at_a_time: bool = False) -> None:
        self.queues: list[list[SimpleQueue[bytes | None]]] = [
            [SimpleQueue() for _ in range(size)] for _ in range(size)
        ]  # [source][to]; None: nothing more will come
        self.turn = threading.Lock() if one_at_a_time else None
        self.failed: str | None = None

    def leave(self, rank: int, error: BaseException | None) -> None:
        """Worker `rank` is done, or dead: nobody has to wait for it any more."""
        if error is not None and self.failed is None:
            self.failed = f"worker {rank} died: {type(error).__name__}: {error}"
        for queue in self.queues[rank]:
            queue.put(None)


class ThreadChannel:
    """A `Channel` between threads. Sending never waits: queues have no end."""

    def __init__(self, rank: int, size: int, hub: Hub, timeout: float) -> None:
        self.rank, self.size = rank, size
        self._hub, self._timeout = hub, timeout

    def exchange(
        self, to: int | None, data: memoryview, source: int | None, into: memoryview
    ) -> None:
        if to is not None and len(data):
            self._hub.queues[self.rank][to].put(bytes(data))  # a copy: data may change
        if source is not None and len(into):
            into[:] = self._next(source, len(into))

    def _next(self, source: int, length: int) -> bytes:
        queue, turn = self._hub.queues[source][self.rank], self._hub.turn
        if turn:
            turn.release()
        try:
            came = queue.get(timeout=self._timeout)
        except Empty:
            raise WorkerError(silence(source, self._timeout)) from None
        finally:
            if turn:
                turn.acquire()
        if came is None:
            queue.put(None)  # for whoever asks again
            raise WorkerError(self._hub.failed or finished(source))
        if len(came) != length:
            raise WorkerError(
                f"wanted {length} bytes of worker {source}, got {len(came)}; "
                "every worker must make the same calls with arrays alike"
            )
        return came


class ThreadWorkers:
    """`n` workers; `run(function)` calls `function(comm)` on each of them.

    backend: as of `WorkerPool`, "threads" or "sequential", with the same bits.
    timeout: seconds that a worker waits for another. wrap: what to put around a
    worker's channel, for tests that damage or delay messages.

    >>> import numpy as np
    >>> workers = ThreadWorkers(3, algorithm="tree")
    >>> workers.run(lambda comm: comm.broadcast(np.array([comm.rank]), root=2).item())
    [2, 2, 2]
    """

    def __init__(
        self, n: int, backend: str = "threads", algorithm: str = "ring",
        timeout: float = TIMEOUT, wrap: Callable[[Channel], Channel] = lambda c: c,
    ) -> None:  # fmt: skip
        check_size(n)
        if backend not in THREADS:
            raise ConfigError(f"wanted a pool among {THREADS}, got {backend!r}")
        self.size, self.backend, self.algorithm = n, backend, algorithm
        self.ranks = range(n)
        self.ledger, self._timeout, self._wrap = Ledger(n), timeout, wrap

    def run(self, function: Callable[[Collectives], Result]) -> list[Result]:
        """Call `function(comm)` on every worker; the results in order of rank.

        An error in one worker releases the others and is raised here.
        """
        hub = Hub(self.size, one_at_a_time=self.backend == "sequential")
        results: list[Any] = [None] * self.size
        errors: list[BaseException] = []  # in the order of time

        def work(rank: int) -> None:
            channel = ThreadChannel(rank, self.size, hub, self._timeout)
            error = None
            if hub.turn:
                hub.turn.acquire()
            try:
                comm = Collectives(self._wrap(channel), self.ledger, self.algorithm)
                results[rank] = function(comm)
            except BaseException as e:
                error = e
                errors.append(e)
            finally:
                hub.leave(rank, error)
                if hub.turn:
                    hub.turn.release()

        threads = [
            threading.Thread(target=work, args=(rank,), daemon=True)
            for rank in range(self.size)
        ]
        for thread in threads:
            thread.start()
        self._join(threads, errors)
        if errors:
            raise errors[0]
        return results

    def _join(self, threads: list[threading.Thread], errors: list[Any]) -> None:
        """Wait for all; after an error, no longer than `timeout`.

        A thread cannot be ended from outside: one that hangs is left behind.
        """
        deadline = None
        for thread in threads:
            while thread.is_alive():
                if errors:
                    deadline = deadline or time.monotonic() + self._timeout
                    if time.monotonic() > deadline:
                        return
                thread.join(0.05)
