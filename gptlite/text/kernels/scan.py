"""The patterns of patterns.py as scanners over UTF-8 bytes, in Numba.

A scanner stands at the start of a piece and returns where it ends. It decodes a
character at a time and looks up its classes in a table; regular expressions are only
the specification (tests compare the two on every kind of text).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from gptlite.ops.kernels.jit import OPTIONS, kernel
from gptlite.text.patterns import (
    LETTER,
    LOWER,
    NUMBER,
    PATTERNS,
    SPACE,
    UPPER,
    character_classes,
    check_pattern,
)

INLINE = {**OPTIONS, "forceinline": True}
WORD = LETTER | NUMBER
KNOWN = LETTER | NUMBER | SPACE
PATTERN_IDS = {name: i for i, name in enumerate(PATTERNS)}
_CL100K, _O200K = PATTERN_IDS["cl100k"], PATTERN_IDS["o200k"]
_LONG_S = 0x17F  # ſ, which is an s where upper and lower case are the same


@njit(**INLINE)
def _character(data, i):
    """(code point, bytes) of the character at i; a byte that is no UTF-8: itself."""
    first, left = np.int64(data[i]), data.size - i
    if first < 0x80:
        return first, 1
    if first >= 0xF0 and left > 3:
        low = (np.int64(data[i + 1]) & 63) << 12 | (np.int64(data[i + 2]) & 63) << 6
        code = (first & 7) << 18 | low | (np.int64(data[i + 3]) & 63)
        return min(code, np.int64(0x10FFFF)), 4
    if first >= 0xE0 and left > 2:
        low = (np.int64(data[i + 1]) & 63) << 6 | (np.int64(data[i + 2]) & 63)
        return (first & 15) << 12 | low, 3
    if first >= 0xC0 and left > 1:
        return (first & 31) << 6 | (np.int64(data[i + 1]) & 63), 2
    return np.int64(0xD800), 1  # in no class


@njit(**INLINE)
def _run(data, i, classes, wanted, limit):
    """The end of the run of characters with one of the classes `wanted`."""
    while i < data.size and limit > 0:
        code, size = _character(data, i)
        if not classes[code] & wanted:
            break
        i, limit = i + size, limit - 1
    return i


@njit(**INLINE)
def _run_of_others(data, i, classes):
    """The end of the run of characters that are no letter, number or space."""
    while i < data.size:
        code, size = _character(data, i)
        if classes[code] & KNOWN:
            break
        i += size
    return i


@njit(**INLINE)
def _contraction(data, i, any_case):
    """The end of 's, 'd, 'm, 't, 'll, 've or 're at i; i itself if there is none."""
    if i + 1 >= data.size or data[i] != 39:
        return i
    bit = 32 if any_case else 0
    a = np.int64(data[i + 1])
    if any_case:
        code, size = _character(data, i + 1)
        if code == _LONG_S:
            return i + 1 + size
    a = a | bit if a >= 65 else a
    if a == 115 or a == 100 or a == 109 or a == 116:  # s d m t
        return i + 2
    if i + 2 < data.size:
        b = np.int64(data[i + 2])
        b = b | bit if b >= 65 else b
        if (a == 108 and b == 108) or ((a == 118 or a == 114) and b == 101):
            return i + 3
    return i


@njit(**INLINE)
def _spaces(data, i, classes, pattern):
    """The end of the piece of white space at i."""
    end, last, newline = i, i, -1
    while end < data.size:
        code, size = _character(data, end)
        if not classes[code] & SPACE:
            break
        last, end = end, end + size
        if code == 10 or code == 13:
            newline = end
    if pattern == _O200K and newline >= 0:
        return newline
    if end == data.size:
        return end
    if pattern == _CL100K and newline >= 0:
        return newline
    return last if last > i else end  # the last one belongs to the word after it


@njit(**INLINE)
def _newlines(data, i, slash):
    while i < data.size and (
        data[i] == 10 or data[i] == 13 or (slash and data[i] == 47)
    ):
        i += 1
    return i


@njit(**OPTIONS)
def _gpt2(data, i, classes):
    end = _contraction(data, i, False)
    if end > i:
        return end
    code, _ = _character(data, i)
    start = i
    if code == 32 and i + 1 < data.size:
        start = i + 1
        code, _ = _character(data, start)
    kind = classes[code]
    if kind & LETTER:
        return _run(data, start, classes, LETTER, data.size)
    if kind & NUMBER:
        return _run(data, start, classes, NUMBER, data.size)
    if not kind & SPACE:
        return _run_of_others(data, start, classes)
    return _spaces(data, i, classes, 0)


@njit(**INLINE)
def _number_other_or_space(data, i, classes, pattern):
    """What cl100k and o200k share: three digits, signs, white space."""
    code, _ = _character(data, i)
    kind = classes[code]
    if kind & NUMBER:
        return _run(data, i, classes, NUMBER, 3)
    start = i
    if code == 32 and i + 1 < data.size:
        code, _ = _character(data, i + 1)
        if not classes[code] & KNOWN:
            start, kind = i + 1, classes[code]
    if not kind & KNOWN:
        end = _run_of_others(data, start, classes)
        return _newlines(data, end, pattern == _O200K)
    return _spaces(data, i, classes, pattern)


@njit(**OPTIONS)
def _cl100k(data, i, classes):
    end = _contraction(data, i, True)
    if end > i:
        return end
    code, size = _character(data, i)
    start = i
    if not classes[code] & WORD and code != 10 and code != 13:
        start = i + size
    end = _run(data, start, classes, LETTER, data.size)
    if end > start:
        return end
    return _number_other_or_space(data, i, classes, _CL100K)


@njit(**OPTIONS)
def _word_with_small_letters(data, i, classes):
    """Capitals, then at least one small letter, from i on; i itself if that is not so.

    Some characters are both (a Chinese one, an accent). Where only capitals follow
    the last of these, it ends the word: the pattern's small letter.
    """
    upper, both_end = i, -1
    while upper < data.size:
        code, size = _character(data, upper)
        if not classes[code] & UPPER:
            break
        upper += size
        if classes[code] & LOWER:
            both_end = upper
    end = _run(data, upper, classes, LOWER, data.size)
    if end == upper:
        end = both_end
    return _contraction(data, end, True) if end > i else i


@njit(**OPTIONS)
def _word_of_capitals(data, i, classes):
    end = _run(data, i, classes, UPPER, data.size)
    return _contraction(data, end, True) if end > i else i


@njit(**OPTIONS)
def _o200k(data, i, classes):
    code, size = _character(data, i)
    after = i  # a sign before the word, or none
    if not classes[code] & WORD and code != 10 and code != 13:
        after = i + size
    for start in (after, i):
        end = _word_with_small_letters(data, start, classes)
        if end > start:
            return end
    for start in (after, i):
        end = _word_of_capitals(data, start, classes)
        if end > start:
            return end
    return _number_other_or_space(data, i, classes, _O200K)


@njit(**OPTIONS)
def next_end(data, i, classes, pattern):
    """Where the piece that starts at byte i ends, by the pattern of this number."""
    if pattern == _CL100K:
        return _cl100k(data, i, classes)
    if pattern == _O200K:
        return _o200k(data, i, classes)
    return _gpt2(data, i, classes)


@kernel
def _ends(ends, data, classes, pattern):
    i = n = 0
    while i < data.size:
        i = next_end(data, i, classes, pattern)
        ends[n] = i
        n += 1
    return n


def piece_ends(data: np.ndarray, pattern: str = "gpt2") -> np.ndarray:
    """Where the pieces of UTF-8 text end: data (n,) uint8 gives offsets (pieces,).

    >>> piece_ends(np.frombuffer(b"It's so", np.uint8)).tolist()
    [2, 4, 7]
    """
    ends = np.empty(data.size, np.int64)
    number = PATTERN_IDS[check_pattern(pattern)]
    return ends[: _ends(ends, data, character_classes(), number)].copy()
