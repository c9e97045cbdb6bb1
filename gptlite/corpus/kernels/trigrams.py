"""Runs of three bytes: counted, and looked up."""

from __future__ import annotations

import numpy as np
from numba import njit

from gptlite.ops.kernels.jit import OPTIONS, kernel

INLINE = {**OPTIONS, "forceinline": True}
BLANK = np.uint32(32)


@njit(**INLINE)
def _letter(byte):
    """The byte; what is no letter is a blank: digits and signs tell no language."""
    if 97 <= byte <= 122 or byte >= 128:
        return np.uint32(byte)
    return BLANK


@njit(**INLINE)
def _hash(a, b, c, size):
    """A class of trigrams, 0 … size − 1."""
    h = (a * np.uint32(961748941) + b * np.uint32(31415821) + c) * np.uint32(2654435769)
    return (h >> np.uint32(8)) % np.uint32(size)


@kernel
def count(counts, data):
    """counts: (classes,) int64, added to; data: UTF-8 in lower case."""
    a, b = BLANK, BLANK
    for i in range(data.size):
        c = _letter(data[i])
        if b != BLANK or c != BLANK:  # blanks in a row are one
            counts[_hash(a, b, c, counts.size)] += 1
            a, b = b, c


@kernel
def scores(out, data, profiles):
    """Sums of log probabilities: out (L,), profiles (classes, L); returns letters."""
    out[:] = np.float32(0)
    a, b = BLANK, BLANK
    letters = 0
    for i in range(data.size):
        c = _letter(data[i])
        if b != BLANK or c != BLANK:
            row = profiles[_hash(a, b, c, len(profiles))]
            for k in range(out.size):
                out[k] += row[k]
            letters += c != BLANK
            a, b = b, c
    return letters
