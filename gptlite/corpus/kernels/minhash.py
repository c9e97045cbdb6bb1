"""MinHash over the bytes of a text: words, runs of words, the smallest hashes."""

from __future__ import annotations

import numpy as np
from numba import njit

from gptlite.ops.kernels.jit import OPTIONS, kernel

INLINE = {**OPTIONS, "forceinline": True}
FNV_START, FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
SHIFT = np.uint64(32)


@njit(**INLINE)
def _mixed(h, value):
    """FNV-1a's step for a whole number, and its upper bits brought down."""
    h = (h ^ value) * FNV_PRIME
    return h ^ (h >> np.uint64(29))


@njit(**INLINE)
def _in_word(byte):
    """Whether a byte is a small letter, a digit, or of a letter of two bytes.

    0xC2 begins U+0080-00BF, which are signs: «, », the space that does not break.
    """
    return (
        97 <= byte <= 122 or 48 <= byte <= 57 or (128 <= byte < 0xE0 and byte != 0xC2)
    )


@njit(**INLINE)
def _is_large(data, at):
    """Whether a character of three or four bytes begins here that is not a sign.

    U+2000-207F are dashes and quotes, U+3000-303F the same for Chinese and Japanese.
    """
    if data[at] < 0xE0 or at + 1 == data.size:
        return data[at] >= 0xE0
    a, b = data[at], data[at + 1]
    return not ((a == 0xE2 and b <= 0x81) or (a == 0xE3 and b == 0x80))


@njit(**INLINE)
def next_word(data, at):
    """(hash, end) of the next word from `at` on; hash 0 where there is none.

    A word is a run of letters and digits; a character of three or four bytes is one by
    itself, since Chinese, Japanese and Thai put no blanks between words. Signs are not.
    """
    n = data.size
    while at < n and not _in_word(data[at]) and not _is_large(data, at):
        at += 1
        while at < n and data[at] & 0xC0 == 0x80:
            at += 1
    h = np.uint64(0)
    if at < n and data[at] >= 0xE0:
        h, at = _mixed(FNV_START, np.uint64(data[at])), at + 1
        while at < n and data[at] & 0xC0 == 0x80:
            h, at = _mixed(h, np.uint64(data[at])), at + 1
    elif at < n:
        h = FNV_START
        while at < n and _in_word(data[at]):
            h, at = _mixed(h, np.uint64(data[at])), at + 1
    return h, at


@njit(**INLINE)
def _shingle(words, first, count):
    """A hash of `count` words, the oldest of which is `first` in the ring."""
    h = FNV_START
    for i in range(count):
        h = _mixed(h, words[(first + i) % words.size])
    return h


@njit(**INLINE)
def _lower(out, x, a, b):
    for k in range(out.size):
        out[k] = min(out[k], np.uint32((a[k] * x + b[k]) >> SHIFT))


@kernel
def signature(out, data, a, b, words):
    """out (K,) uint32; data: UTF-8, small letters; a, b (K,) uint64; words: a ring."""
    out[:] = np.uint32(0xFFFFFFFF)
    n, at = words.size, 0
    seen = 0
    while True:
        h, at = next_word(data, at)
        if h == 0:
            break
        words[seen % n] = h
        seen += 1
        if seen >= n:
            _lower(out, _shingle(words, seen % n, n), a, b)
    if 0 < seen < n:
        _lower(out, _shingle(words, 0, seen), a, b)


@kernel
def band_keys(out, signature):
    """out: (BANDS,) uint64; signature: (BANDS·ROWS,) uint32."""
    rows = signature.size // out.size
    for band in range(out.size):
        h = _mixed(FNV_START, np.uint64(band))
        for i in range(band * rows, (band + 1) * rows):
            h = _mixed(h, np.uint64(signature[i]))
        out[band] = h
