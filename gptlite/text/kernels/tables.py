"""Hash tables in flat arrays: pairs of tokens, and pieces of text.

Open addressing: a key's hash says where to look, and the next free place is taken.
Sizes are powers of two and at least twice the number of keys.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from gptlite.ops.kernels.jit import OPTIONS, kernel

INLINE = {**OPTIONS, "forceinline": True}
EMPTY = np.int64(-1)
NO_RANK = np.int32(2**31 - 1)
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: spreads all bits
FNV_START, FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)


def table_size(keys: int) -> int:
    """The power of two that holds `keys` keys with room to spare."""
    return 1 << max(4, (2 * keys + 1).bit_length())


@njit(**INLINE)
def pair_key(a, b):
    """Two token ids in one number."""
    return np.int64(a) << 32 | np.int64(b)


@njit(**INLINE)
def pair_place(keys, key):
    """Where `key` is, or the free place where it would go."""
    mask = np.uint64(keys.size - 1)
    at = (np.uint64(key) * MULTIPLIER >> np.uint64(32)) & mask
    while keys[at] != key and keys[at] != EMPTY:
        at = (at + np.uint64(1)) & mask
    return at


@kernel
def put_pairs(keys, values, new_keys, new_values):
    """Set the (n, 2) int32 values of many pairs; the first of equal keys stays."""
    for i in range(new_keys.size):
        at = pair_place(keys, new_keys[i])
        if keys[at] == EMPTY:
            keys[at] = new_keys[i]
            values[at, 0] = new_values[i, 0]
            values[at, 1] = new_values[i, 1]


@njit(**INLINE)
def hash_bytes(data, start, end):
    """FNV-1a (Fowler, Noll, Vo), 64 bits."""
    h = FNV_START
    for i in range(start, end):
        h = (h ^ np.uint64(data[i])) * FNV_PRIME
    return h ^ (h >> np.uint64(29))


@njit(**INLINE)
def piece_place(places, hashes, spans, text, data, start, end, h):
    """(place, entry or −1) of the bytes data[start:end] among the entries.

    places: entry numbers or −1; hashes, spans: of each entry, its hash, and where its
    bytes start and end in `text`.
    """
    mask = np.uint64(places.size - 1)
    at = h & mask
    while places[at] >= 0:
        entry = places[at]
        if hashes[entry] == h and spans[entry, 1] - spans[entry, 0] == end - start:
            at_text, same = spans[entry, 0], True
            for i in range(end - start):
                if text[at_text + i] != data[start + i]:
                    same = False
                    break
            if same:
                return at, entry
        at = (at + np.uint64(1)) & mask
    return at, np.int64(-1)


@kernel
def put_pieces(places, hashes, spans, text):
    """Enter all the pieces of `spans` (the first of equal ones stays)."""
    for entry in range(len(spans)):
        start, end = spans[entry, 0], spans[entry, 1]
        hashes[entry] = hash_bytes(text, start, end)
        at, found = piece_place(
            places, hashes, spans, text, text, start, end, hashes[entry]
        )
        if found < 0:
            places[at] = entry


@kernel
def splits(pairs, places, hashes, spans, text, count):
    """All ways to put one of the first `count` pieces together from two others.

    pairs: (n, 3) entries left, right, whole; with n = 0 they are only counted.
    """
    n = 0
    for entry in range(count):
        start, end = spans[entry, 0], spans[entry, 1]
        for cut in range(start + 1, end):
            h = hash_bytes(text, start, cut)
            _, a = piece_place(places, hashes, spans, text, text, start, cut, h)
            if a < 0:
                continue
            h = hash_bytes(text, cut, end)
            _, b = piece_place(places, hashes, spans, text, text, cut, end, h)
            if b < 0:
                continue
            if n < len(pairs):
                pairs[n, 0], pairs[n, 1], pairs[n, 2] = a, b, entry
            n += 1
    return n
