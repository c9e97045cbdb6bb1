"""A language model by counting: n-grams with interpolated Kneser-Ney smoothing.

Kneser and Ney 1995; in the form of Chen and Goodman 1998. What a neural model has to
beat: it knows every run of five tokens that it has seen, and nothing else.

    p(w|h) = (max(c(hw) − D, 0) + D · N(h·) · p(w|h')) / c(h)

c: how often; N(h·): how many different tokens followed h; h': h without its first one.
In the lower orders c counts how many different tokens came *before*: "Francisco" is
frequent, but only after "San", so it is unlikely after anything else.
"""

from __future__ import annotations

import numpy as np

from gptlite.errors import ConfigError


class KneserNey:
    """An n-gram model of token ids, of `order` at most ⌊63 / bits of an id⌋.

    >>> model = KneserNey(np.array([0, 1, 2, 0, 1, 2, 0, 1]), V=3, order=2)
    >>> p = np.exp(model.log_probabilities(np.array([0, 1, 2])))
    >>> p.round(2).tolist()
    [0.33, 0.89, 0.83]
    """

    def __init__(self, ids: np.ndarray, V: int, order: int = 5) -> None:
        self.V, self.order = V, order
        self._bits = max(1, (V - 1).bit_length())
        if order < 1 or self._bits * order > 63:
            raise ConfigError(
                f"wanted an order of 1 … {63 // self._bits} for {V} tokens, got {order}"
            )
        # of each order: its n-grams and their counts, the contexts with the sum of
        # the counts after each, and how many different tokens came after it
        self._tables: list[tuple[np.ndarray, ...]] = []
        self._discounts: list[float] = []
        keys, counts = np.unique(self._keys(ids, order), return_counts=True)
        for n in range(order, 0, -1):
            self._add(keys, counts)
            # shorter by the first token: each different longer one counts once
            short = keys & np.uint64((1 << self._bits * (n - 1)) - 1)
            keys, counts = np.unique(short, return_counts=True)
        self._tables.reverse()
        self._discounts.reverse()

    def _keys(self, ids: np.ndarray, n: int) -> np.ndarray:
        """(len(ids) − n + 1,) uint64: each run of n ids as one number."""
        ids = np.asarray(ids).astype(np.uint64)
        keys = np.zeros(max(0, len(ids) - n + 1), np.uint64)
        for i in range(n):
            keys = keys << np.uint64(self._bits) | ids[i : len(ids) - n + 1 + i]
        return keys

    def _add(self, keys: np.ndarray, counts: np.ndarray) -> None:
        contexts, where, followers = np.unique(
            keys >> np.uint64(self._bits), return_inverse=True, return_counts=True
        )
        sums = np.bincount(where, weights=counts)
        self._tables.append((keys, counts, contexts, sums, followers))
        once, twice = np.sum(counts == 1), np.sum(counts == 2)
        self._discounts.append(float(once / (once + 2 * twice)) if once else 0.5)

    def log_probabilities(self, ids: np.ndarray) -> np.ndarray:
        """(len(ids),): of each token after those before it, in nats."""
        p = np.full(len(ids), 1 / self.V)
        for n in range(1, self.order + 1):
            keys, counts, contexts, sums, followers = self._tables[n - 1]
            D = self._discounts[n - 1]
            wanted = self._keys(ids, n)
            at, known = _find(keys, wanted)
            c = np.where(known, counts[at], 0)
            at, known = _find(contexts, wanted >> np.uint64(self._bits))
            # a context that was never seen says nothing: the shorter one stays
            shorter = p[n - 1 :]
            longer = np.maximum(c - D, 0) + D * followers[at] * shorter
            p[n - 1 :] = np.where(known, longer / sums[at], shorter)
        return np.log(p)


def _find(keys: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each of `wanted` is among the sorted keys, and whether it is there."""
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return at, keys[at] == wanted
