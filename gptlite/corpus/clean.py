"""Cleaning: the same characters for the same text, and nothing that is not the text."""

from __future__ import annotations

import unicodedata

import regex

# control characters but tab and newline; marks of byte order, direction and joining
# that show nothing (the joiners of U+200C and U+200D belong to scripts and emoji)
_INVISIBLE = regex.compile(
    r"[\p{Cc}--\t\n]|[\uFEFF\u00AD\u200B\u200E\u200F\p{Cs}]", regex.V1
)
_LINE_END = regex.compile(r"\r\n?|[\v\f\u0085\u2028\u2029]")
# no letter has more marks than 30 (Unicode's UAX 15, stream-safe text)
_MARKS = regex.compile(r"(\p{M}{30})\p{M}++")
# from the beginning of a run of blanks, so that a long one is gone through once
_BLANK_END = regex.compile(r"(?<![ \t\u00A0])[ \t\u00A0]++$", regex.MULTILINE)
_BLANK_LINES = regex.compile(r"\n{4,}")

# headers and footers that Project Gutenberg puts around a book
_MARK = regex.compile(
    r"^.{0,80}?(?:\*\*\* ?(?P<start>START|END) OF (?:THE|THIS) PROJECT GUTENBERG"
    r"|End of (?:the )?Project Gutenberg).*+$",
    regex.MULTILINE,
)
# lines of web pages and of front matter that are about the page
_NOTICE = regex.compile(
    r"^[^\w\n©]*+(?:all rights reserved|copyright (?:©|\(c\)|[12]\d\d\d)|©"
    r"|(?:we|this (?:web)?site) uses? cookies|accept (?:all )?cookies"
    r"|cookie (?:policy|settings)|privacy policy|terms of (?:use|service)"
    r"|subscribe to our newsletter|skip to (?:main )?content"
    r"|share this (?:article|page)|isbn[\s:-]*+[\dx-]+$).{0,160}$\n?",
    regex.MULTILINE | regex.IGNORECASE,
)


def _books(text: str) -> str:
    """What stands between marks of a start and an end; all of it if none starts."""
    found, start = [], None
    for mark in _MARK.finditer(text):
        if start is not None:
            found.append(text[start : mark.start()])
        start = mark.end() if mark["start"] == "START" else None
    if start is not None:
        found.append(text[start:])
    return "\n\n".join(found) if found else text


def clean(text: str) -> str:
    """`text` in Unicode's NFC, lines ended by newlines, without boilerplate.

    Control characters and invisible marks go, but for the joiners that scripts and
    emoji need; so do blanks at the ends of lines, and more than two empty lines in a
    row. Takes time in proportion to the length of the text.

    >>> clean("cafe\\u0301\\r\\nAll rights reserved.\\r\\nbon\\x00jour  ")
    'café\\nbonjour'
    """
    text = _INVISIBLE.sub("", _LINE_END.sub("\n", text))
    if not text.isascii():
        text = unicodedata.normalize("NFC", _MARKS.sub(r"\1", text))
    text = _BLANK_END.sub("", text)
    if "GUTENBERG" in text:
        text = _books(text)
    text = _NOTICE.sub("", text)
    return _BLANK_LINES.sub("\n\n\n", text).strip()
