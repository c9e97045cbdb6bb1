"""Workers as processes of the operating system, which share nothing but mailboxes.

Each has a Python, a memory and a model of its own, as on a machine with many GPUs. They
are spawned, not forked: a fork copies locks that threads of the parent hold.
"""

from __future__ import annotations

import multiprocessing
import signal
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import connection
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from gptlite.errors import ConfigError, WorkerError
from gptlite.parallel.channel import TIMEOUT, check_size
from gptlite.parallel.collectives import ALGORITHMS, Collectives
from gptlite.parallel.ledger import Ledger
from gptlite.parallel.mailboxes import FAILED, FINISHED, Bells, Board, MailChannel

RESULT, ERROR, RELEASED = b"R", b"E", b"L"  # what a process's last message is
SHAPE = struct.Struct("<4sb8Q")  # dtype, number of axes (−1: no result), their lengths
Function = Callable[..., "np.ndarray | None"]


def pack_result(result: np.ndarray | None) -> bytes:
    """An array, or `None`, as bytes: dtype, shape, numbers.

    >>> unpack_result(pack_result(np.arange(6, dtype=np.int16).reshape(2, 3))).tolist()
    [[0, 1, 2], [3, 4, 5]]
    """
    if result is None:
        return SHAPE.pack(b"", -1, *[0] * 8)
    values = np.asarray(result)
    if values.dtype.kind not in "biufc" or values.ndim > 8:
        raise ConfigError(
            f"wanted an array of numbers or None as result, got {type(result).__name__}"
            f" (dtype {values.dtype}); return an array"
        )
    shape = [*values.shape, *[0] * (8 - values.ndim)]
    return SHAPE.pack(values.dtype.str.encode(), values.ndim, *shape) + values.tobytes()


def unpack_result(data: bytes) -> np.ndarray | None:
    dtype, ndim, *shape = SHAPE.unpack(data[: SHAPE.size])
    if ndim < 0:
        return None
    values = np.frombuffer(data[SHAPE.size :], dtype.rstrip(b"\0").decode())
    return values.reshape(shape[:ndim]).copy()


def _parent_lives() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():
        raise WorkerError("the process that started the workers is gone")


def _work(
    rank: int, size: int, capacity: int, memory: SharedMemory, bells: Bells,
    door: connection.Connection, algorithm: str, timeout: float,
    function: Function, arguments: tuple[Any, ...],
) -> None:  # fmt: skip
    """What a child does: run the function, say what became of it, let go."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C: the parent ends us
    board = Board(size, capacity, memory.buf)
    channel = MailChannel(rank, board, bells, timeout, _parent_lives)
    ledger = Ledger(size, board["ledger"])
    state = FAILED
    try:
        with threadpool_limits(1, user_api="blas"):
            result = function(Collectives(channel, ledger, algorithm), *arguments)
        message, state = RESULT + pack_result(result), FINISHED
    except WorkerError as error:
        message = RELEASED + str(error).encode()
    except BaseException as error:
        message = ERROR + f"{type(error).__name__}: {error}".encode()
    board["status"][rank] = state
    bells.ring_all()
    del ledger.counts, channel, ledger
    board.leave()
    memory.close()
    with suppress(OSError):  # the parent may be gone
        door.send_bytes(message)
        door.close()


class ProcessWorkers:
    """`n` processes; `run(function, *arguments)` calls `function(comm, *arguments)`.

    The function must be one that a new Python can import, and returns an array of
    numbers or `None`. In a script, start workers below `if __name__ == "__main__":`.
    capacity: bytes of a mailbox, of which there are n². timeout: seconds that a worker
    waits for another.
    """

    def __init__(
        self, n: int, algorithm: str = "ring", timeout: float = TIMEOUT,
        capacity: int = 1 << 18,
    ) -> None:  # fmt: skip
        check_size(n)
        if algorithm not in ALGORITHMS:
            raise ConfigError(
                f"wanted an algorithm among {ALGORITHMS}, got {algorithm!r}"
            )
        if capacity < 1:
            raise ConfigError(
                f"wanted a mailbox of at least 1 byte, got {capacity}; "
                "some 100,000 are good"
            )
        self.size, self.algorithm, self.timeout = n, algorithm, timeout
        self.capacity, self.ledger = capacity, Ledger(n)

    def run(self, function: Function, *arguments: Any) -> list[np.ndarray | None]:
        """The results in order of rank. If a worker fails or is killed, the others are
        released, and its error is raised here as a `WorkerError`."""
        name = getattr(function, "__qualname__", repr(function))
        if "<" in name:
            raise ConfigError(
                f"wanted a function that another Python can import, got {name}; "
                "define it at the top of a module, and pass what it needs as arguments"
            )
        context = multiprocessing.get_context("spawn")
        nbytes = Board(self.size, self.capacity).nbytes
        memory = SharedMemory(create=True, size=nbytes)
        board, bells = (
            Board(self.size, self.capacity, memory.buf),
            Bells(context, self.size),
        )
        children: list[Any] = []
        doors: list[connection.Connection] = []
        try:
            for rank in range(self.size):
                ours, theirs = context.Pipe(duplex=False)
                child = context.Process(
                    target=_work, daemon=True, name=f"gptlite-worker-{rank}",
                    args=(rank, self.size, self.capacity, memory, bells, theirs,
                          self.algorithm, self.timeout, function, arguments),
                )  # fmt: skip
                child.start()
                theirs.close()  # ours alone is left: its end is the child's end
                children.append(child)
                doors.append(ours)
            last = self._last_messages(doors, children, board, bells)
            self.ledger.counts += board["ledger"]
        finally:
            for child in children:
                if child.is_alive():
                    child.kill()
                child.join()
                child.close()
            for door in doors:
                door.close()
            board.leave()
            memory.close()
            memory.unlink()
        return self._results(last)

    def _last_messages(
        self, doors: list[Any], children: list[Any], board: Board, bells: Bells
    ) -> list[bytes]:
        """What each child said last; after a failure, no later than `timeout`."""
        last, first, deadline = [b""] * self.size, None, float("inf")
        waiting = dict(zip(doors, range(self.size), strict=True))
        while waiting and time.monotonic() < deadline:
            for door in connection.wait(list(waiting), timeout=0.5):
                rank = waiting.pop(door)  # type: ignore[arg-type]
                try:
                    last[rank] = door.recv_bytes()  # type: ignore[union-attr]
                except EOFError:  # killed
                    children[rank].join()
                    code = children[rank].exitcode
                    last[rank] = ERROR + f"it ended with exit code {code}".encode()
                    board["status"][rank] = FAILED
                    bells.ring_all()
                if last[rank][:1] != RESULT and first is None:
                    first, deadline = rank, time.monotonic() + self.timeout
        return last

    def _results(self, last: list[bytes]) -> list[np.ndarray | None]:
        for kind in (ERROR, RELEASED):  # who failed alone, before whom that released
            for rank, message in enumerate(last):
                if message[:1] == kind:
                    text = message[1:].decode()
                    died = f"worker {rank} died: {text}" if kind == ERROR else text
                    raise WorkerError(died)
        return [unpack_result(message[1:]) for message in last]
