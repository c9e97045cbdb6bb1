"""Faults on purpose: a worker that dies, a message that is damaged, a slow worker."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from gptlite.errors import ConfigError, WorkerError
from gptlite.parallel.channel import Channel

KINDS = ("kill", "corrupt", "slow")
LATE = 0.002  # seconds


class Killed(WorkerError):
    """What a worker dies of."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to worker `rank` when it sends its `message`-th message (0 …).

    bit: which one of the message is flipped. A slow worker waits `LATE` before this
    message and each after it, and is no error.
    """

    kind: str
    rank: int
    message: int
    bit: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"wanted a fault among {KINDS}, got {self.kind!r}")

    @classmethod
    def random(cls, size: int, messages: int, rng: np.random.Generator) -> Fault:
        """One of a training of `size` workers that send so many messages each.

        >>> Fault.random(4, 100, np.random.default_rng(0))
        Fault(kind='slow', rank=2, message=51, bit=276)
        """
        return cls(
            KINDS[rng.integers(3)], int(rng.integers(size)),
            int(rng.integers(messages)), int(rng.integers(1024)),
        )  # fmt: skip


class Faulty:
    """A `Channel` to which `fault` happens, if it is its worker's. It happens once."""

    def __init__(self, channel: Channel, fault: Fault) -> None:
        self.rank, self.size = channel.rank, channel.size
        self._channel, self._fault, self._sent = channel, fault, 0

    def exchange(
        self, to: int | None, data: memoryview, source: int | None, into: memoryview
    ) -> None:
        if to is not None and len(data) and self._fault.rank == self.rank:
            data = self._struck(data)
            self._sent += 1
        self._channel.exchange(to, data, source, into)

    def _struck(self, data: memoryview) -> memoryview:
        fault = self._fault
        if fault.kind == "slow" and self._sent >= fault.message:
            time.sleep(LATE)
        if self._sent != fault.message or fault.kind == "slow":
            return data
        if fault.kind == "kill":
            raise Killed(f"worker {self.rank} was killed before message {self._sent}")
        damaged = bytearray(data)
        damaged[fault.bit // 8 % len(data)] ^= 1 << fault.bit % 8
        return memoryview(damaged)
