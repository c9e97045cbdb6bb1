"""Point to point: how bytes get from one worker to another.

`Channel` is all that the collectives need of a machine. Threads, processes with shared
memory and MPI each have one, in a file of its own.
"""

from __future__ import annotations

from typing import Protocol

from gptlite.errors import ConfigError

TIMEOUT = 60.0  # seconds that a worker waits for another before it gives up


class Channel(Protocol):
    """One worker's lines to the others, for bytes.

    Between two workers bytes arrive in the order in which they were sent.
    """

    rank: int  # 0 … size − 1
    size: int  # number of workers

    def exchange(
        self, to: int | None, data: memoryview, source: int | None, into: memoryview
    ) -> None:
        """Send `data` to worker `to`, and fill `into` with what `source` sends.

        Both at the same time: in a ring everyone sends to the right, and would wait
        for ever if nobody listened to the left meanwhile. `None`: only the other half.
        On return `data` is the caller's again. Raises `WorkerError` if the other one
        is dead, has finished, or lets `TIMEOUT` pass.
        """
        ...


def check_size(size: int) -> None:
    """Refuse a number of workers that cannot be.

    >>> check_size(0)
    Traceback (most recent call last):
    gptlite.errors.ConfigError: wanted at least 1 worker, got 0; pass a positive number
    """
    if size < 1:
        raise ConfigError(
            f"wanted at least 1 worker, got {size}; pass a positive number"
        )


def silence(source: int, seconds: float) -> str:
    """What to say of a worker that does not answer."""
    return (
        f"waited {seconds:g} s for worker {source}, and nothing came; "
        "does every worker make the same calls in the same order?"
    )


def finished(source: int) -> str:
    """What to say of a worker that returned while another still needs it."""
    return (
        f"worker {source} has finished, but another worker waits for it; "
        "every worker must make the same calls in the same order"
    )
