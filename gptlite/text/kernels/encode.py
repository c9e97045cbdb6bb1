"""Byte-pair encoding of text: pieces, a memory for pieces seen before, merges.

In a piece, the adjacent pair with the lowest rank is merged, the leftmost first, until
no pair has a rank (Sennrich et al. 2016, arXiv:1508.07909).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from gptlite.ops.kernels.jit import OPTIONS, kernel
from gptlite.text.kernels.scan import next_end
from gptlite.text.kernels.tables import (
    EMPTY,
    NO_RANK,
    hash_bytes,
    pair_key,
    pair_place,
    piece_place,
)

SHORT = 48  # bytes: up to here the lowest rank is found by looking at all
MEMORABLE = 64  # bytes of the longest piece that is remembered
# what `state` holds
POSITION, WRITTEN, ENTRIES, TEXT_USED, IDS_USED, NEEDED = range(6)


@njit(**OPTIONS)
def _rank(pair_keys, pair_values, a, b):
    key = pair_key(a, b)
    at = pair_place(pair_keys, key)
    return pair_values[at, 0] if pair_keys[at] != EMPTY else NO_RANK


@njit(**OPTIONS)
def _merged(pair_keys, pair_values, a, b):
    return pair_values[pair_place(pair_keys, pair_key(a, b)), 1]


@njit(**OPTIONS)
def _merge_short(ids, ranks, n, pair_keys, pair_values):
    """Merge ids[:n] in place; returns how many are left."""
    for i in range(n - 1):
        ranks[i] = _rank(pair_keys, pair_values, ids[i], ids[i + 1])
    while n > 1:
        best, at = NO_RANK, 0
        for i in range(n - 1):
            if ranks[i] < best:
                best, at = ranks[i], i
        if best == NO_RANK:
            break
        ids[at] = _merged(pair_keys, pair_values, ids[at], ids[at + 1])
        n -= 1
        for i in range(at + 1, n):
            ids[i] = ids[i + 1]
        for i in range(at + 1, n - 1):
            ranks[i] = ranks[i + 1]
        if at > 0:
            ranks[at - 1] = _rank(pair_keys, pair_values, ids[at - 1], ids[at])
        if at < n - 1:
            ranks[at] = _rank(pair_keys, pair_values, ids[at], ids[at + 1])
    return n


@njit(**OPTIONS)
def _push(heap, size, value):
    i = size
    while i > 0 and heap[(i - 1) // 2] > value:
        heap[i] = heap[(i - 1) // 2]
        i = (i - 1) // 2
    heap[i] = value
    return size + 1


@njit(**OPTIONS)
def _pop(heap, size):
    """Remove the smallest, heap[0]."""
    value, i = heap[size - 1], 0
    size -= 1
    while 2 * i + 1 < size:
        child = 2 * i + 1
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= value:
            break
        heap[i] = heap[child]
        i = child
    heap[i] = value
    return size


@njit(**OPTIONS)
def _merge_long(ids, ranks, n, left, right, heap, pair_keys, pair_values):
    """The same by a linked list of what is left, and a heap of (rank, position).

    An entry of the heap whose rank is no longer that of its place is out of date.
    """
    size = 0
    for i in range(n):
        left[i], right[i] = i - 1, i + 1
        ranks[i] = NO_RANK
        if i + 1 < n:
            ranks[i] = _rank(pair_keys, pair_values, ids[i], ids[i + 1])
        if ranks[i] != NO_RANK:
            size = _push(heap, size, np.int64(ranks[i]) << 32 | np.int64(i))
    while size > 0:
        rank, at = np.int32(heap[0] >> 32), heap[0] & 0xFFFFFFFF
        size = _pop(heap, size)
        if ranks[at] != rank:
            continue
        gone = right[at]
        ids[at] = _merged(pair_keys, pair_values, ids[at], ids[gone])
        ranks[gone] = NO_RANK
        right[at] = right[gone]
        if right[at] < n:
            left[right[at]] = at
        for i in (np.int64(left[at]), at):
            if i >= 0:
                ranks[i] = NO_RANK
                if right[i] < n:
                    ranks[i] = _rank(pair_keys, pair_values, ids[i], ids[right[i]])
                if ranks[i] != NO_RANK:
                    size = _push(heap, size, np.int64(ranks[i]) << 32 | np.int64(i))
    kept, i = 0, 0
    while i < n:
        ids[kept] = ids[i]
        kept, i = kept + 1, right[i]
    return kept


@kernel
def encode(
    out, data, classes, pattern, byte_ids, pair_keys, pair_values,
    places, hashes, spans, id_spans, text, text_ids, state,
    ids, ranks, left, right, heap,
):  # fmt: skip
    """Encode data from state[POSITION] on; stops early where room is needed.

    out: at least one id a byte. ids … heap: room for the longest piece (heap: three
    times); state[NEEDED] says how much a longer one needs. places … text_ids: the
    pieces seen before, their bytes in `text`, their ids in `text_ids`.
    """
    i, written = state[POSITION], state[WRITTEN]
    state[NEEDED] = 0
    while i < data.size:
        end = next_end(data, i, classes, pattern)
        n = end - i
        if n > ids.size:
            state[NEEDED] = n
            break
        h, at, entry = np.uint64(0), np.uint64(0), np.int64(-1)
        if n <= MEMORABLE:
            h = hash_bytes(data, i, end)
            at, entry = piece_place(places, hashes, spans, text, data, i, end, h)
        if entry >= 0:
            for j in range(id_spans[entry, 0], id_spans[entry, 1]):
                out[written] = text_ids[j]
                written += 1
            i = end
            continue
        for j in range(n):
            ids[j] = byte_ids[data[i + j]]
        if n <= SHORT:
            n = _merge_short(ids, ranks, n, pair_keys, pair_values)
        else:
            n = _merge_long(ids, ranks, n, left, right, heap, pair_keys, pair_values)
        for j in range(n):
            out[written] = ids[j]
            written += 1
        entry, begin, first = state[ENTRIES], state[TEXT_USED], state[IDS_USED]
        room = entry < hashes.size and begin + MEMORABLE <= text.size
        if end - i <= MEMORABLE and room and first + MEMORABLE <= text_ids.size:
            places[at], hashes[entry] = entry, h
            spans[entry, 0], spans[entry, 1] = begin, begin + end - i
            id_spans[entry, 0], id_spans[entry, 1] = first, first + n
            for j in range(end - i):
                text[begin + j] = data[i + j]
            for j in range(n):
                text_ids[first + j] = ids[j]
            state[ENTRIES], state[TEXT_USED] = entry + 1, begin + end - i
            state[IDS_USED] = first + n
        i = end
    state[POSITION], state[WRITTEN] = i, written
