"""A `Channel` over MPI: the same collectives on the machines of a cluster.

Of MPI only sending and receiving bytes is used: the collectives are ours. Start a
script that calls `run` with

    mpiexec -n 4 python script.py
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

from gptlite.errors import ConfigError, GptliteError, WorkerError
from gptlite.parallel.channel import TIMEOUT, silence
from gptlite.parallel.collectives import Collectives

Result = TypeVar("Result")
LAST_WORDS = 1.0  # seconds from the text of an error to the end of all processes


def _mpi() -> Any:
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise ConfigError(
            f"wanted mpi4py and an MPI, got: {error}; pip install 'gptlite[mpi]'"
        ) from None
    return MPI


class MPIChannel:
    """One MPI process's lines to the others; `comm` is MPI's own, or all of them."""

    def __init__(self, comm: Any = None, timeout: float = TIMEOUT) -> None:
        self._mpi = _mpi()
        self._comm = self._mpi.COMM_WORLD if comm is None else comm
        self.rank, self.size = self._comm.Get_rank(), self._comm.Get_size()
        self._timeout = timeout

    def exchange(
        self, to: int | None, data: memoryview, source: int | None, into: memoryview
    ) -> None:
        byte, requests = self._mpi.BYTE, []
        if to is not None and len(data):
            requests.append(self._comm.Isend([data, byte], to))
        if source is not None and len(into):
            requests.append(self._comm.Irecv([into, byte], source))
        deadline = time.monotonic() + self._timeout
        while not self._mpi.Request.Testall(requests):
            if time.monotonic() > deadline:
                other = to if source is None else source
                raise WorkerError(silence(int(other or 0), self._timeout))
            time.sleep(0)  # let others have the core


def run(
    function: Callable[[Collectives], Result], algorithm: str = "ring",
    timeout: float = TIMEOUT,
) -> Result:  # fmt: skip
    """Call `function(comm)` in this process of an `mpiexec`, and return its result.

    An error here ends the others too: they would wait for this process.
    """
    channel = MPIChannel(timeout=timeout)
    try:
        return function(Collectives(channel, algorithm=algorithm))
    except BaseException as error:
        if channel.size == 1:
            raise
        known = isinstance(error, GptliteError)  # then its text says all
        text = f"gptlite: error: {error}\n" if known else traceback.format_exc()
        sys.stderr.write(text)
        sys.stderr.flush()
        # The launcher hears of the abort by another way than these words, and would
        # throw away those that it has not read by then.
        time.sleep(LAST_WORDS)
        _mpi().COMM_WORLD.Abort(1)
        raise
