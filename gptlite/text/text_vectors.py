"""Vectors of texts: a weighted mean of their words' vectors, to search by meaning.

Arora, Liang and Ma 2017, "A Simple but Tough-to-Beat Baseline for Sentence Embeddings":
rare words weigh more, and what all texts have in common is taken away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

from gptlite.errors import DataError
from gptlite.text.skipgram import words_of
from gptlite.text.word_vectors import WordVectors


def _words(text: str) -> list[str]:
    return [word for line in words_of(text) for word in line]


class TextVectors:
    """Smooth inverse frequency: a word of relative frequency p weighs a / (a + p).

    words: vectors of words; texts: what is to be searched, from which frequencies are
    counted and the common direction is found (the first singular vector of all the
    weighted means). a: with 10⁻³, a word that is every thousandth weighs one half.

    >>> words = WordVectors(["cat", "dog", "the"], np.array([[1, 0], [0, 1], [3, 3.1]]))
    >>> vectors = TextVectors(words, ["the cat", "the dog", "the", "cat dog the the"])
    >>> vectors.search("Dog!", n=1)
    [(1, 1.0)]
    """

    def __init__(
        self, words: WordVectors, texts: Iterable[str], a: float = 1e-3
    ) -> None:
        self.words, self.a = words, a
        split = [_words(text) for text in texts]
        counts = Counter(word for text in split for word in text if word in words)
        if not counts:
            raise DataError(
                f"wanted texts with words among the {len(words.words)} that have "
                "vectors, got none; learn the vectors from such texts"
            )
        total = sum(counts.values())
        # what no text has weighs like a word that occurs once
        self._weights = np.array(
            [a / (a + max(1, counts[word]) / total) for word in words.words]
        )
        means = np.stack([self._mean(text) for text in split])  # (n, D)
        # the largest direction of a (D, D) matrix: n may be large
        _, directions = np.linalg.eigh(means.T @ means)
        self.common = directions[:, -1]  # (D,)
        self.vectors = self._finished(means)

    def _mean(self, text: list[str]) -> np.ndarray:
        """(D,): the weighted mean; 0 where no word is known."""
        rows = [self.words.index(word) for word in text if word in self.words]
        if not rows:
            return np.zeros(self.words.vectors.shape[1])
        return np.asarray(self._weights[rows] @ self.words.vectors[rows] / len(rows))

    def _finished(self, means: np.ndarray) -> np.ndarray:
        """(n, D) float32: without the common direction, of length 1 (or 0)."""
        rest = means - np.outer(means @ self.common, self.common)
        lengths = np.linalg.norm(rest, axis=1, keepdims=True)
        return (rest / np.maximum(lengths, 1e-12)).astype(np.float32)

    def embed(self, texts: Iterable[str]) -> np.ndarray:
        """(n, D) float32: directions of any texts; 0 where no word is known."""
        return self._finished(np.stack([self._mean(_words(text)) for text in texts]))

    def search(self, query: str, n: int = 10) -> list[tuple[int, float]]:
        """(number, cosine) of the n texts nearest to `query`, the nearest first."""
        scores = self.vectors @ self.embed([query])[0]
        best = np.argsort(-scores, kind="stable")[:n].tolist()
        return [(i, round(float(scores[i]), 3)) for i in best]
