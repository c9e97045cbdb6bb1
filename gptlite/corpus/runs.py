"""Sorting more than memory holds: sorted runs on disk, merged block by block."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

RECORD = np.dtype([("key", np.uint64), ("document", np.int64)])
RUN = 2**20  # records that are sorted in memory
BLOCK = 2**14  # records of each run that a merge holds


class Runs:
    """Records (key, document), added in any order, read in the order of their keys.

    Equal keys keep the order in which they were added. Memory: one run while adding,
    a block of each run while reading.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: list[Path] = []
        self._records = np.empty(RUN, RECORD)
        self._used = 0

    def add(self, keys: np.ndarray, document: int) -> None:
        """Enter a document under each of `keys`, at most RUN of them."""
        if self._used + len(keys) > RUN:
            self._write()
        new = self._records[self._used : self._used + len(keys)]
        new["key"], new["document"] = keys, document
        self._used += len(keys)

    def _write(self) -> None:
        records = self._records[: self._used]
        path = self.folder / f"run-{len(self.files):05d}.bin"
        records[np.argsort(records["key"], kind="stable")].tofile(path)
        self.files.append(path)
        self._used = 0

    def merged(self) -> Iterator[np.ndarray]:
        """Blocks of records by ascending key; equal keys are in one block."""
        if self._used:
            self._write()
        readers = [_Reader(path) for path in self.files]
        while any(reader.left for reader in readers):
            # up to here, no run has anything left on disk
            bound = min((r.block["key"][-1] for r in readers if r.unread), default=None)
            parts = [reader.take_below(bound) for reader in readers]
            block = np.concatenate(parts)
            if block.size:
                yield block[np.argsort(block["key"], kind="stable")]
            else:  # one key fills a whole block: read on until another one comes
                for reader in readers:
                    if reader.unread and reader.block["key"][-1] == bound:
                        reader.read()


class _Reader:
    """The part of a run that is in memory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0
        self.unread = path.stat().st_size // RECORD.itemsize
        self.block = np.empty(0, RECORD)
        self.read()

    @property
    def left(self) -> int:
        return len(self.block) + self.unread

    def read(self) -> None:
        offset = self._at * RECORD.itemsize
        new = np.fromfile(self._path, RECORD, BLOCK, offset=offset)
        self._at += len(new)
        self.unread -= len(new)
        self.block = np.concatenate([self.block, new])

    def take_below(self, bound: int | None) -> np.ndarray:
        """The records before `bound` (None: all); at least a block stays, if any."""
        cut = len(self.block)
        if bound is not None:
            cut = int(np.searchsorted(self.block["key"], bound))
        taken, self.block = self.block[:cut], self.block[cut:]
        if self.unread and len(self.block) < BLOCK:
            self.read()
        return taken
