"""Which items are for testing, told from the item itself: training needs no list.

A title, a word or a conversation belongs to the test if its checksum says so. Whoever
draws can leave it out without having read what is held out.
"""

from __future__ import annotations

import zlib


def part(text: str, parts: int) -> int:
    """A number 0 … parts − 1 that depends on the text alone, on every machine.

    >>> [part(word, 8) for word in ("owl", "lion", "fox")]
    [5, 7, 6]
    """
    # half a surrogate pair can be typed, and is a text as well
    return zlib.crc32(text.encode("utf-8", "surrogatepass")) % parts


def is_for_test(text: str, one_in: int) -> bool:
    """Whether a text is one of those, one in so many, that are never drawn."""
    return part(text, one_in) == 0
