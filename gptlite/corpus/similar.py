"""Which texts are nearly the same: shingles, MinHash, and bands of it.

A text's shingles are the runs of five words in it. How alike two texts are is the
share of shingles that they have in common, the Jaccard index J of two sets. Under a
random order of all shingles, the first one of either set is a common one with
probability J; so of K orders, about K·J have the same first shingle for both texts
(Broder 1997, "On the resemblance and containment of documents"). These K numbers are
the signature. Cut into bands of R numbers, two signatures agree in a whole band with
probability J^R: texts that share a band are looked at, others never meet.
"""

from __future__ import annotations

import numpy as np

from gptlite.corpus.kernels import minhash

WORDS = 5  # of a shingle
BANDS, ROWS = 16, 8
K = BANDS * ROWS  # numbers of a signature


def hash_functions(seed: int) -> np.ndarray:
    """(2, K) uint64: x → (a·x + b) mod 2^64, upper half; its order is a random one."""
    numbers = np.random.default_rng(seed).integers(0, 2**64, (2, K), np.uint64)
    numbers[0] |= np.uint64(1)  # odd: no two x have the same product
    return numbers


def signature(text: str, functions: np.ndarray) -> np.ndarray:
    """(K,) uint32: for each function, the smallest hash of the text's shingles.

    Case and the commonest signs do not count. A text of fewer than five words is one
    shingle, a text without words none, and its signature all ones.

    >>> f = hash_functions(0)
    >>> a = signature("The cat sat on the mat and slept.", f)
    >>> similarity(a, signature("the cat sat on the mat, and slept", f))
    1.0
    """
    data = np.frombuffer(text.lower().encode("utf-8", "replace"), np.uint8)
    out = np.empty(K, np.uint32)
    minhash.signature(out, data, *functions, np.empty(WORDS, np.uint64))
    return out


def similarity(a: np.ndarray, b: np.ndarray) -> float:
    """The Jaccard index that two signatures suggest, ± √(J(1 − J)/K)."""
    return float(np.mean(a == b))


def band_keys(signature: np.ndarray) -> np.ndarray:
    """(BANDS,) uint64: a hash of each band and its number; equal where bands are."""
    out = np.empty(BANDS, np.uint64)
    minhash.band_keys(out, signature)
    return out


def chance_to_meet(jaccard: np.ndarray | float) -> np.ndarray | float:
    """The probability that two texts of this similarity share a band.

    >>> [round(float(chance_to_meet(j)), 3) for j in (0.5, 0.7, 0.8, 0.9)]
    [0.061, 0.613, 0.947, 1.0]
    """
    return 1 - (1 - np.asarray(jaccard) ** ROWS) ** BANDS
