"""Vectors of words: what they mean, as far as their neighbours show it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from gptlite import files
from gptlite.errors import DataError

LARGEST = 2**31  # numbers in a file of vectors; one that claims more is damaged


class WordVectors:
    """A vector (D,) for each of V words.

    >>> vectors = WordVectors(["a", "b", "c"], np.array([[1, 0], [1, 0.1], [0, 1]]))
    >>> vectors.most_similar("a", 1)
    [('b', 0.995)]
    """

    def __init__(self, words: Iterable[str], vectors: np.ndarray) -> None:
        self.words = list(words)
        self.vectors = np.ascontiguousarray(vectors, np.float32)
        if self.vectors.shape[:1] != (len(self.words),) or self.vectors.ndim != 2:
            raise DataError(
                f"wanted a row for each of {len(self.words)} words, got an array of "
                f"shape {self.vectors.shape}"
            )
        if not np.isfinite(self.vectors).all():
            raise DataError("wanted finite vectors, got NaN or infinity among them")
        self._index = {word: i for i, word in enumerate(self.words)}
        lengths = np.linalg.norm(self.vectors, axis=1, keepdims=True)
        self._units = self.vectors / np.maximum(lengths, 1e-12)

    def __contains__(self, word: str) -> bool:
        return word in self._index

    def index(self, word: str) -> int:
        if word not in self._index:
            raise DataError(
                f"wanted a word of the vocabulary ({len(self.words)} words), got "
                f"{word!r}; rare words were left out, and case matters"
            )
        return self._index[word]

    def __getitem__(self, word: str) -> np.ndarray:
        return self.vectors[self.index(word)]

    def similarity(self, a: str, b: str) -> float:
        """The cosine of the angle between two words' vectors, −1 … 1."""
        return float(self._units[self.index(a)] @ self._units[self.index(b)])

    def _nearest(
        self, direction: np.ndarray, n: int, without: set[int]
    ) -> list[tuple[str, float]]:
        scores = self._units @ (
            direction / max(float(np.linalg.norm(direction)), 1e-12)
        )
        order = [i for i in np.argsort(-scores).tolist() if i not in without]
        return [(self.words[i], round(float(scores[i]), 3)) for i in order[:n]]

    def most_similar(self, word: str, n: int = 10) -> list[tuple[str, float]]:
        """The n nearest other words, with their cosine."""
        i = self.index(word)
        return self._nearest(self._units[i], n, {i})

    def analogy(self, a: str, b: str, c: str, n: int = 5) -> list[tuple[str, float]]:
        """What is to c as b is to a: the words nearest to b − a + c."""
        rows = [self.index(word) for word in (a, b, c)]
        ua, ub, uc = self._units[rows]
        return self._nearest(ub - ua + uc, n, set(rows))

    def plane(self, words: Iterable[str]) -> np.ndarray:
        """(n, 2): the vectors of `words` along their two main directions (PCA)."""
        chosen = self._units[[self.index(word) for word in words]]
        centred = chosen - chosen.mean(axis=0)
        _, _, directions = np.linalg.svd(centred, full_matrices=False)
        return centred @ directions[:2].T  # [n, D] @ [D, 2]

    def save(self, path: str | Path, binary: bool = False) -> None:
        """Write word2vec's format, as text or binary; the file is whole or absent."""
        V, D = self.vectors.shape
        lines = [f"{V} {D}".encode()]
        for word, row in zip(self.words, self.vectors, strict=True):
            numbers = row.astype("<f4").tobytes()
            if not binary:
                numbers = " ".join(f"{x:.6g}" for x in row.tolist()).encode()
            lines.append(re.sub(r"[ \n]", "_", word).encode() + b" " + numbers)
        files.write_bytes(Path(path), b"\n".join(lines) + b"\n")

    @classmethod
    def load(cls, path: str | Path, binary: bool = False) -> WordVectors:
        """Read word2vec's format."""
        with open(path, "rb") as file:
            try:
                V, D = (int(x) for x in file.readline(100).split())
                if not (V > 0 and D > 0 and V * D < LARGEST):
                    raise ValueError(f"sizes {V} and {D}")
                rows = _binary_rows(file, V, D) if binary else _text_rows(file, V, D)
                words, vectors = zip(*rows, strict=True)
            except (ValueError, UnicodeDecodeError) as error:
                form = "binary" if binary else "text"
                raise DataError(
                    f"wanted word2vec's {form} format in {path}, got {error}"
                ) from error
        return cls(words, np.array(vectors, np.float32))


def _text_rows(file: BinaryIO, V: int, D: int) -> list[tuple[str, np.ndarray]]:
    rows = []
    for number in range(V):
        # word2vec.c ends each row with a blank
        word, *numbers = file.readline().decode("utf-8").rstrip(" \r\n").split(" ")
        if len(numbers) != D:
            raise ValueError(f"{len(numbers)} numbers for word {number + 1}, not {D}")
        rows.append((word, np.array(numbers, np.float32)))
    return rows


def _binary_rows(file: BinaryIO, V: int, D: int) -> list[tuple[str, np.ndarray]]:
    rows = []
    for number in range(V):
        name = bytearray()
        while (byte := file.read(1)) not in (b" ", b""):
            name += byte
        data = file.read(4 * D)
        if len(data) < 4 * D:
            raise ValueError(f"an end within word {number + 1} of {V}")
        word = name.lstrip(b"\n").decode("utf-8")
        rows.append((word, np.frombuffer(data, "<f4")))
    return rows
