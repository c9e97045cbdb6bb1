"""Learning a BPE vocabulary: counting pieces, then merging the commonest pair, again
and again, with the counts of pairs kept up to date (never counted anew)."""

from __future__ import annotations

import numpy as np
from numba import njit

from gptlite.ops.kernels.jit import OPTIONS, kernel
from gptlite.text.kernels.scan import next_end
from gptlite.text.kernels.tables import (
    EMPTY,
    INLINE,
    hash_bytes,
    pair_key,
    pair_place,
    piece_place,
)

POSITION, ENTRIES, TEXT_USED, NEEDED = range(4)  # `state` of counting
MERGES, USED, HEAPED, PAIRS = range(4)  # `state` of learning
NONE = np.int32(-1)


@kernel
def count_pieces(
    data, classes, pattern, places, hashes, spans, text, counts, state
):  # fmt: skip
    """Count the pieces of data from state[POSITION] on.

    Stops where there is no room for another entry; state[NEEDED] is then the bytes
    that `text` lacks, or 0 if entries are what is lacking.
    """
    i = state[POSITION]
    while i < data.size:
        end = next_end(data, i, classes, pattern)
        h = hash_bytes(data, i, end)
        at, entry = piece_place(places, hashes, spans, text, data, i, end, h)
        if entry < 0:
            entry, begin = state[ENTRIES], state[TEXT_USED]
            if entry == hashes.size or begin + end - i > text.size:
                state[NEEDED] = max(0, begin + end - i - text.size)
                break
            places[at], hashes[entry], counts[entry] = entry, h, 0
            spans[entry, 0], spans[entry, 1] = begin, begin + end - i
            for j in range(end - i):
                text[begin + j] = data[i + j]
            state[ENTRIES], state[TEXT_USED] = entry + 1, begin + end - i
        counts[entry] += 1
        i = end
    state[POSITION] = i


@njit(**INLINE)
def _before(count_a, key_a, count_b, key_b):
    """Whether pair a is merged before pair b: commoner, or as common and older."""
    return count_a > count_b or (count_a == count_b and key_a < key_b)


@njit(**OPTIONS)
def _push(heap, size, count, key):
    i = size
    while i > 0:
        parent = (i - 1) // 2
        if not _before(count, key, heap[parent, 0], heap[parent, 1]):
            break
        heap[i, 0], heap[i, 1] = heap[parent, 0], heap[parent, 1]
        i = parent
    heap[i, 0], heap[i, 1] = count, key
    return size + 1


@njit(**OPTIONS)
def _pop(heap, size):
    size -= 1
    count, key, i = heap[size, 0], heap[size, 1], 0
    while 2 * i + 1 < size:
        child = 2 * i + 1
        right = child + 1
        if right < size and _before(
            heap[right, 0], heap[right, 1], heap[child, 0], heap[child, 1]
        ):
            child = right
        if not _before(heap[child, 0], heap[child, 1], count, key):
            break
        heap[i, 0], heap[i, 1] = heap[child, 0], heap[child, 1]
        i = child
    heap[i, 0], heap[i, 1] = count, key
    return size


@njit(**OPTIONS)
def _add(table, lists, state, a, b, at, count):
    """One more place where the pair (a, b) stands; returns the pair's slot."""
    pairs, counts, first, last, _ = table
    places, following = lists
    key, used = pair_key(a, b), np.int32(state[USED])
    slot = pair_place(pairs, key)
    if pairs[slot] == EMPTY:
        pairs[slot], counts[slot], first[slot] = key, 0, NONE
        state[PAIRS] += 1
    counts[slot] += count
    places[used], following[used] = at, NONE
    if first[slot] == NONE:
        first[slot] = used
    else:
        following[last[slot]] = used
    last[slot] = used
    state[USED] += 1
    return slot


@kernel
def first_pairs(table, lists, heap, state, symbols, right, words, word_counts):
    """Enter the pairs of bytes that stand side by side, and fill the heap."""
    for at in range(symbols.size):
        if right[at] >= 0:
            a, b, count = symbols[at], symbols[right[at]], word_counts[words[at]]
            _add(table, lists, state, a, b, at, count)
    pairs, counts = table[0], table[1]
    for slot in range(pairs.size):
        if pairs[slot] != EMPTY:
            state[HEAPED] = _push(heap, state[HEAPED], counts[slot], pairs[slot])


@njit(**OPTIONS)
def _commonest(table, heap, state, least):
    """The slot of the pair to merge next, or −1. Counts in the heap may be too high."""
    pairs, counts = table[0], table[1]
    while state[HEAPED] > 0:
        count, key = heap[0, 0], heap[0, 1]
        slot = np.int64(pair_place(pairs, key))
        state[HEAPED] = _pop(heap, state[HEAPED])
        if counts[slot] < least:
            continue
        if counts[slot] == count:
            return slot
        state[HEAPED] = _push(heap, state[HEAPED], counts[slot], key)
    return np.int64(-1)


@kernel
def learn_merges(
    merges, fresh, table, lists, heap, state,
    symbols, left, right, words, word_counts, least,
):  # fmt: skip
    """Go on filling merges (n, 3) with (left, right, new id), from state[MERGES] on.

    Returns True at the end; False where the table or the heap has to grow first.
    symbols: all distinct words end to end; left, right: the neighbour's position, −1
    at a word's ends; words: the word of each position. table: pairs, their counts, the
    first and last node of the list of their places, and the merge that saw them last.
    lists: the nodes' places, from left to right, and the nodes that follow. fresh:
    room for the slots of the pairs that one merge makes.
    """
    pairs, counts, first, _, seen = table
    places, following = lists
    for number in range(state[MERGES], len(merges)):
        more = 2 * (257 + number)  # each new pair has the new token on one side
        if 2 * (state[PAIRS] + more) > pairs.size or state[HEAPED] + more > len(heap):
            return False
        slot = _commonest(table, heap, state, least)
        if slot < 0:
            return True
        key, new = pairs[slot], np.int32(256 + number)
        a, b = np.int32(key >> 32), np.int32(key & 0xFFFFFFFF)
        merges[number, 0], merges[number, 1], merges[number, 2] = a, b, new
        state[MERGES] = number + 1
        node, n_fresh = first[slot], 0
        while node != NONE:
            at = places[node]
            node, gone = following[node], right[at]
            if symbols[at] != a or gone < 0 or symbols[gone] != b:
                continue  # merged with another neighbour since
            count, before, after = word_counts[words[at]], left[at], right[gone]
            symbols[at], symbols[gone], right[at] = new, NONE, after
            for side in range(2):
                beside = before if side == 0 else after
                if beside < 0:
                    continue
                other = symbols[beside]
                if side == 0:
                    counts[pair_place(pairs, pair_key(other, a))] -= count
                    made = _add(table, lists, state, other, new, beside, count)
                else:
                    left[after] = at
                    counts[pair_place(pairs, pair_key(b, other))] -= count
                    made = _add(table, lists, state, new, other, at, count)
                if seen[made] != new:
                    seen[made], fresh[n_fresh] = new, made
                    n_fresh += 1
        counts[slot] = 0
        for i in range(n_fresh):
            made = fresh[i]
            state[HEAPED] = _push(heap, state[HEAPED], counts[made], pairs[made])
    return True


@kernel
def move_pairs(table, old):
    """Enter all pairs of the table `old` into the larger, empty one."""
    for slot in range(old[0].size):
        key = old[0][slot]
        if key != EMPTY:
            at = pair_place(table[0], key)
            table[0][at], table[1][at] = key, old[1][slot]
            table[2][at], table[3][at] = old[2][slot], old[3][slot]
            table[4][at] = old[4][slot]
