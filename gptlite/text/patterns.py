"""How text is cut into pieces before byte-pair encoding: GPT-2's way, and later ones.

A piece is about a word with the space before it; merges never cross its ends. The
patterns are those published with OpenAI's tiktoken. Here they are run by the package
`regex`, which is the reference; scan.py does the same over bytes, much faster.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import regex

from gptlite.errors import ConfigError

_UPPER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}"
_LOWER = r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
_ENDING = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"

PATTERNS = {
    "gpt2": (
        r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
    ),
    "cl100k": (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+\Z|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    "o200k": (
        rf"[^\r\n\p{{L}}\p{{N}}]?[{_UPPER}]*[{_LOWER}]+{_ENDING}"
        rf"|[^\r\n\p{{L}}\p{{N}}]?[{_UPPER}]+[{_LOWER}]*{_ENDING}"
        r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
}

# classes of characters, as bits of one byte
LETTER, NUMBER, SPACE, UPPER, LOWER = 1, 2, 4, 8, 16
_CLASSES = {
    LETTER: r"\p{L}+", NUMBER: r"\p{N}+", SPACE: r"\s+",
    UPPER: rf"[{_UPPER}]+", LOWER: rf"[{_LOWER}]+",
}  # fmt: skip


def check_pattern(name: str) -> str:
    """`name`, if it is a known pattern."""
    if name not in PATTERNS:
        raise ConfigError(f"wanted a pattern among {', '.join(PATTERNS)}, got {name!r}")
    return name


def split(text: str, pattern: str = "gpt2") -> list[str]:
    """The pieces of `text`, one after another and nothing left out.

    >>> split("It's 2,000 words")
    ['It', "'s", ' 2', ',', '000', ' words']
    """
    return regex.findall(PATTERNS[check_pattern(pattern)], text)


@lru_cache(maxsize=1)
def character_classes() -> np.ndarray:
    """The classes of every code point, (0x110000,) uint8, as `regex` knows them."""
    codes = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    text = "".join(map(chr, codes))
    table = np.zeros(len(codes), np.uint8)
    for bit, pattern in _CLASSES.items():
        for found in regex.finditer(pattern, text):
            table[found.start() : found.end()] |= bit
    # surrogates are no characters, and in no class
    return np.insert(table, 0xD800, np.zeros(0x800, np.uint8))
