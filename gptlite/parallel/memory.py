"""The other side of the ledger: every byte that a worker holds, by what it is for."""

from __future__ import annotations

import threading
from collections import defaultdict

from gptlite.errors import DataError

KINDS = ("parameters", "gradients", "moments", "units")


class Memory:
    """What each of `size` workers holds, in bytes, now and at most.

    kinds: parameters, gradients, moments (of the optimizer), and units: parameters and
    gradients that are whole only while a worker needs them (ZeRO).

    >>> memory = Memory(2)
    >>> memory.hold(0, "units", 400)
    >>> memory.hold(0, "units", -400)
    >>> memory.now(0, "units"), memory.peak(0, "units"), memory.peak(1, "units")
    (0, 400, 0)
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._now: defaultdict[tuple[int, str], int] = defaultdict(int)
        self._peak: defaultdict[tuple[int, str], int] = defaultdict(int)
        self._lock = threading.Lock()

    def hold(self, rank: int, kind: str, nbytes: int) -> None:
        """Worker `rank` has so many bytes more, or fewer."""
        if kind not in KINDS:
            raise DataError(f"wanted a kind among {KINDS}, got {kind!r}")
        with self._lock:
            now = self._now[rank, kind] + nbytes
            self._now[rank, kind] = now
            self._peak[rank, kind] = max(self._peak[rank, kind], now)

    def now(self, rank: int, kind: str) -> int:
        return self._now[rank, kind]

    def peak(self, rank: int, kind: str) -> int:
        return self._peak[rank, kind]
