"""A `Channel` through shared memory: a mailbox for each pair of processes.

A mailbox is a ring of bytes with two counts, of bytes ever written and ever read. Only
the sender moves the one, only the receiver the other, so a message may be longer than
the mailbox: it flows through.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from gptlite.errors import WorkerError
from gptlite.parallel.channel import finished, silence
from gptlite.parallel.ledger import COLLECTIVES, COUNTS

RUNNING, FINISHED, FAILED = 0, 1, 2
TICK = 0.05  # seconds between two looks at whether the others are still there


class Board:
    """Named arrays in one block of shared memory.

    status: (N,), of RUNNING, FINISHED, FAILED; written, read: (N, N) bytes that went
    from [source] to [to]; ledger: the counts of a `Ledger`; boxes: (N, N, capacity).
    """

    def __init__(self, size: int, capacity: int, buffer: Any = None) -> None:
        shapes = {
            "status": (size,), "written": (size, size), "read": (size, size),
            "ledger": (size, len(COLLECTIVES), len(COUNTS)),
        }  # fmt: skip
        numbers = sum(int(np.prod(shape)) for shape in shapes.values())
        self.nbytes, self.size = 8 * numbers + size * size * capacity, size
        if buffer is None:
            return  # only to know how much memory it needs
        self.arrays, start = {}, 0
        for name, shape in shapes.items():
            self.arrays[name] = np.ndarray(shape, np.int64, buffer, start)
            start += self.arrays[name].nbytes
        boxes = np.ndarray((size, size, capacity), np.uint8, buffer, start)
        self.arrays["boxes"] = boxes

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]

    def leave(self) -> None:
        """Let go of the memory, which cannot be closed before."""
        self.arrays.clear()


class Bells:
    """How a process that waits is woken, and the locks of the counts.

    A lock is also what makes the bytes visible to another processor before the count
    that announces them.
    """

    def __init__(self, context: Any, size: int) -> None:
        self.bells = [context.Semaphore(0) for _ in range(size)]
        self.locks = [context.Lock() for _ in range(size)]  # of the mail to each

    def ring_all(self) -> None:
        for bell in self.bells:
            bell.release()


class MailChannel:
    """One process's side of the mailboxes; `look` is called while it waits."""

    def __init__(
        self, rank: int, board: Board, bells: Bells, timeout: float,
        look: Callable[[], None],
    ) -> None:  # fmt: skip
        self.rank, self.size = rank, board.size
        self._board, self._bells, self._timeout = board, bells, timeout
        self._look = look

    def exchange(
        self, to: int | None, data: memoryview, source: int | None, into: memoryview
    ) -> None:
        sent, got = 0, 0
        deadline = time.monotonic() + self._timeout
        sending, receiving = to is not None, source is not None
        while (sending and sent < len(data)) or (receiving and got < len(into)):
            bell = self._bells.bells[self.rank]
            while bell.acquire(block=False):
                pass  # old news; what is rung from here on is not missed
            states = self._board["status"].copy()  # before the look into the boxes
            moved = 0
            if to is not None:
                n = self._write(to, data[sent:])
                sent, moved = sent + n, moved + n
            if source is not None:
                n = self._read(source, into[got:])
                got, moved = got + n, moved + n
            if moved:
                deadline = time.monotonic() + self._timeout
                continue
            other = source if source is not None and got < len(into) else to
            assert other is not None
            self._check(states, other, deadline)
            bell.acquire(timeout=TICK)

    def _check(self, states: np.ndarray, other: int, deadline: float) -> None:
        """Raise if nothing can come any more from `other`."""
        self._look()
        if (states == FAILED).any():
            dead = int(np.argmax(states == FAILED))
            raise WorkerError(
                f"worker {dead} died, and worker {self.rank} waited for "
                f"worker {other}; go on from the last checkpoint"
            )
        if states[other] == FINISHED:
            raise WorkerError(finished(other))
        if time.monotonic() > deadline:
            raise WorkerError(silence(other, self._timeout))

    def _counts(self, source: int, to: int) -> tuple[int, int]:
        """(bytes ever written, bytes ever read) from `source` to `to`."""
        lock = self._bells.locks[to]
        if not lock.acquire(timeout=self._timeout):  # its holder was killed inside
            raise WorkerError(silence(to, self._timeout))
        try:
            board = self._board
            return int(board["written"][source, to]), int(board["read"][source, to])
        finally:
            lock.release()

    def _advance(self, which: str, source: int, to: int, n: int, other: int) -> None:
        with self._bells.locks[to]:
            self._board[which][source, to] += n
        self._bells.bells[other].release()

    def _write(self, to: int, data: memoryview) -> int:
        """Put as much as there is room for into the box; how many bytes."""
        box = self._board["boxes"][self.rank, to]
        written, read = self._counts(self.rank, to)
        n = min(len(data), len(box) - (written - read))
        if n:
            start = written % len(box)
            first = min(n, len(box) - start)  # up to the end of the ring, then on
            box[start : start + first] = data[:first]
            box[: n - first] = data[first:n]
            self._advance("written", self.rank, to, n, to)
        return n

    def _read(self, source: int, into: memoryview) -> int:
        box = self._board["boxes"][source, self.rank]
        written, read = self._counts(source, self.rank)
        n = min(len(into), written - read)
        if n:
            start = read % len(box)
            first = min(n, len(box) - start)
            into[:first] = box[start : start + first].data
            into[first:n] = box[: n - first].data
            self._advance("read", source, self.rank, n, source)
        return n
