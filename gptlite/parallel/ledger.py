"""The ledger: every byte that a worker sent, by collective, and how many steps it took.

Payload (the numbers themselves) and headers are kept apart: the formulas of
`costs.py` are about payload, and the tests hold the ledger to them exactly.
"""

from __future__ import annotations

import numpy as np

from gptlite.errors import DataError

COLLECTIVES = (
    "barrier",
    "naive broadcast", "tree broadcast",
    "naive reduce", "tree reduce",
    "naive all-reduce", "tree all-reduce", "ring all-reduce",
    "ring reduce-scatter", "ring all-gather",
)  # fmt: skip
COUNTS = ("calls", "messages", "payload", "steps")


class Ledger:
    """What each of `size` workers sent.

    counts: (size, len(COLLECTIVES), len(COUNTS)) int64, for a ledger that lives in
    shared memory. A worker writes only its own row, so nobody has to lock it.

    >>> ledger = Ledger(2)
    >>> ledger.add(0, "ring all-reduce", calls=1, messages=2, payload=4000, steps=2)
    >>> ledger.bytes_sent(0, "ring all-reduce"), ledger.bytes_sent(1)
    (4000, 0)
    """

    def __init__(self, size: int, counts: np.ndarray | None = None) -> None:
        shape = size, len(COLLECTIVES), len(COUNTS)
        self.counts = np.zeros(shape, np.int64) if counts is None else counts
        if self.counts.shape != shape:
            raise DataError(
                f"wanted counts of shape {shape}, got {self.counts.shape}; "
                "pass the counts of a ledger for as many workers"
            )

    @property
    def size(self) -> int:
        return len(self.counts)

    def add(self, rank: int, name: str, **counts: int) -> None:
        """Enter what worker `rank` did, in units of COUNTS."""
        for what, n in counts.items():
            self.counts[rank, COLLECTIVES.index(name), COUNTS.index(what)] += n

    def count(self, what: str, rank: int, name: str | None = None) -> int:
        """One of COUNTS, of one collective or of all."""
        if name is not None and name not in COLLECTIVES:
            raise DataError(f"wanted a collective among {COLLECTIVES}, got {name!r}")
        rows = slice(None) if name is None else COLLECTIVES.index(name)
        return int(self.counts[rank, rows, COUNTS.index(what)].sum())

    def bytes_sent(self, rank: int, name: str | None = None) -> int:
        """Bytes of payload that worker `rank` sent; headers not counted."""
        return self.count("payload", rank, name)

    def messages(self, rank: int, name: str | None = None) -> int:
        """Messages that worker `rank` sent, each with a header of 48 bytes."""
        return self.count("messages", rank, name)

    def steps(self, name: str) -> int:
        """Steps until the last worker was done, summed over the calls of `name`.

        (Of several calls with different roots: those of the worker with most.)
        """
        return max(self.count("steps", rank, name) for rank in range(self.size))

    def clear(self) -> None:
        self.counts[:] = 0

    def __str__(self) -> str:
        """One line a collective that was used: of all workers, and of the busiest."""
        lines = [
            f"{'collective':<20} {'calls':>6} {'steps':>6} {'bytes of all':>12} "
            f"{'of busiest':>13}"
        ]
        for name in COLLECTIVES:
            sent = [self.bytes_sent(rank, name) for rank in range(self.size)]
            calls = max(self.count("calls", rank, name) for rank in range(self.size))
            if calls:
                lines.append(
                    f"{name:<20} {calls:>6} {self.steps(name):>6} {sum(sent):>12,} "
                    f"{max(sent):>13,}"
                )
        return "\n".join(lines)
