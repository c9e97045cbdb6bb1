"""Which documents of a stream repeat an earlier one, exactly or nearly.

Nothing that grows with the stream stays in memory: signatures go to a file, and the
hashes under which documents could meet go to sorted runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gptlite.corpus import similar
from gptlite.corpus.runs import Runs

KEPT, EXACT, NEAR = 0, 1, 2


def text_hash(text: str, seed: int = 0) -> int:
    """64 bits of BLAKE2 of the text: the same text, the same number."""
    salt = seed.to_bytes(8, "little")
    digest = hashlib.blake2b(text.encode("utf-8"), digest_size=8, salt=salt).digest()
    return int.from_bytes(digest, "little")


class Repeats:
    """Documents are added one by one; then `found` tells which to leave out.

    Two texts are nearly the same if their signatures suggest a Jaccard index of at
    least `similarity`. A document is compared with the first and the last before it
    of those that it shares a band with, and left out if it is nearly the same.
    """

    def __init__(self, folder: Path, similarity: float, seed: int) -> None:
        self.similarity = similarity
        self.documents = 0
        self._functions = similar.hash_functions(seed)
        for name in ("same", "bands"):
            (folder / name).mkdir()
        self._same, self._bands = Runs(folder / "same"), Runs(folder / "bands")
        self._flags_file = folder / "flags.bin"
        self._signatures_file = folder / "signatures.bin"
        self._signatures = open(self._signatures_file, "w+b")  # noqa: SIM115 - close()

    def close(self) -> None:
        self._signatures.close()

    def add(self, text: str) -> None:
        """The next document of the stream."""
        self._same.add(np.array([text_hash(text)], np.uint64), self.documents)
        signature = similar.signature(text, self._functions)
        self._signatures.write(signature.tobytes())
        if signature.min() < signature.max():  # it has words
            self._bands.add(similar.band_keys(signature), self.documents)
        self.documents += 1

    def found(self) -> np.ndarray:
        """(documents,) uint8: KEPT, EXACT or NEAR; a memory map."""
        flags = np.memmap(
            self._flags_file, np.uint8, "w+", shape=(max(1, self.documents),)
        )
        for _, later in self._pairs(self._same):
            flags[later] = EXACT
        for earlier, later in self._pairs(self._bands):
            fresh = flags[later] == KEPT
            earlier, later = earlier[fresh], later[fresh]
            alike = self._similarities(earlier, later) >= self.similarity
            flags[later[alike]] = NEAR
        return flags[: self.documents]

    @staticmethod
    def _pairs(runs: Runs) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(earlier, later) documents under one key: the first and the one before."""
        for block in runs.merged():
            keys, documents = block["key"], block["document"]
            again = np.flatnonzero(keys[1:] == keys[:-1]) + 1
            starts = np.arange(len(keys))
            starts[again] = 0
            first = np.maximum.accumulate(starts)
            pairs = np.concatenate([
                np.stack([documents[again - 1], documents[again]], 1),
                np.stack([documents[first[again]], documents[again]], 1),
            ])  # fmt: skip
            if len(pairs):
                earlier, later = np.unique(pairs, axis=0).T
                yield earlier, later

    def _similarities(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        out = np.empty(len(a))
        for i in range(len(a)):
            out[i] = similar.similarity(self._signature(a[i]), self._signature(b[i]))
        return out

    def _signature(self, document: int) -> np.ndarray:
        size = similar.K * 4
        self._signatures.seek(int(document) * size)
        return np.frombuffer(self._signatures.read(size), np.uint32)
