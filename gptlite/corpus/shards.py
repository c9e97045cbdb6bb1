"""Tokens on disk: .npy files of at most SHARD tokens, read through memory maps."""

from __future__ import annotations

import tokenize
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gptlite.errors import DataError

SHARD = 2**24  # tokens


def token_type(vocab_size: int) -> np.dtype:
    """The smallest of uint16 and uint32 that holds every id."""
    return np.dtype(np.uint16 if vocab_size <= 2**16 else np.uint32)


class ShardWriter:
    """Writes a stream of tokens as NAME-00000.npy, NAME-00001.npy, …"""

    def __init__(self, folder: Path, name: str, dtype: np.dtype) -> None:
        self.folder, self.name = folder, name
        self.files: list[str] = []
        self.tokens = 0
        self._buffer = np.empty(SHARD, dtype)
        self._used = 0

    def add(self, ids: np.ndarray) -> None:
        while len(ids):
            part = ids[: SHARD - self._used]
            self._buffer[self._used : self._used + len(part)] = part
            self._used += len(part)
            self.tokens += len(part)
            if self._used == SHARD:
                self.close()
            ids = ids[len(part) :]

    def close(self) -> None:
        """Write what is left."""
        if self._used:
            file = f"{self.name}-{len(self.files):05d}.npy"
            np.save(self.folder / file, self._buffer[: self._used])
            self.files.append(file)
            self._used = 0


class Tokens:
    """Shards end to end, as one long array (n,) that stays on disk.

    >>> tokens = Tokens([np.array([5, 6]), np.array([7], np.uint16)])
    >>> len(tokens), tokens[np.array([[2, 0]])].tolist(), tokens[1:].tolist()
    (3, [[7, 5]], [6, 7])
    """

    def __init__(self, shards: Sequence[np.ndarray]) -> None:
        self.shards = list(shards)
        self._ends = np.cumsum([len(shard) for shard in shards], dtype=np.int64)

    @classmethod
    def open(cls, files: list[Path], n: int) -> Tokens:
        """Shards of n tokens in all."""
        try:  # the format itself: np.load would also open archives and pickles
            shards = [np.lib.format.open_memmap(file, mode="r") for file in files]
        except (OSError, ValueError, ArithmeticError, SyntaxError, EOFError,
                RecursionError, MemoryError, tokenize.TokenError) as error:  # fmt: skip
            raise DataError(
                "wanted shards of tokens, got one that cannot be read: "
                f"{error or type(error).__name__!s:.200}"
            ) from error
        tokens = cls(shards)
        if len(tokens) != n or any(s.dtype.kind != "u" or s.ndim != 1 for s in shards):
            raise DataError(
                f"wanted {n:,} tokens in {', '.join(f.name for f in files)}, got "
                f"{len(tokens):,}; build the corpus again"
            )
        return tokens

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, at: np.ndarray | slice) -> np.ndarray:
        """The tokens at these places, int64, in the shape of `at`."""
        if isinstance(at, slice):
            at = np.arange(*at.indices(len(self)))
        out = np.empty(at.shape, np.int64)
        shard_of = np.searchsorted(self._ends, at, side="right")
        for i in np.unique(shard_of).tolist():
            here = shard_of == i
            start = int(self._ends[i]) - len(self.shards[i])
            out[here] = self.shards[i][at[here] - start]
        return out
