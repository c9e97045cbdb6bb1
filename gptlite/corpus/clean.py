"""Cleaning: the same characters for the same text, and nothing that is not the text."""

from __future__ import annotations

import unicodedata

import regex

# control characters but tab and newline; marks of byte order, direction and joining
# that show nothing (the joiners of U+200C and U+200D belong to scripts and emoji)
_INVISIBLE = regex.compile(
    r"[\p{Cc}--\t\n]|[\uFEFF\u00AD\u200B\u200E\u200F\p{Cs}]", regex.V1
)
_LINE_END = regex.compile(r"\r\n?|[\u0085\u2028\u2029]")
_BLANK_END = regex.compile(r"[ \t\u00A0]+$", regex.MULTILINE)
_BLANK_LINES = regex.compile(r"\n{4,}")

# headers and footers that publishers put around a text; what lies between them stays
_START = regex.compile(
    r"^.{0,80}\*\*\* ?START OF (?:THE|THIS) PROJECT GUTENBERG.*$", regex.MULTILINE
)
_END = regex.compile(
    r"^.{0,80}(?:\*\*\* ?END OF (?:THE|THIS) PROJECT GUTENBERG"
    r"|End of (?:the )?Project Gutenberg).*$",
    regex.MULTILINE,
)
# lines of web pages and of front matter that are about the page
_NOTICE = regex.compile(
    r"^\W*(?:all rights reserved|copyright (?:©|\(c\)|[12]\d\d\d)|©"
    r"|(?:we|this (?:web)?site) uses? cookies|accept (?:all )?cookies"
    r"|cookie (?:policy|settings)|privacy policy|terms of (?:use|service)"
    r"|subscribe to our newsletter|skip to (?:main )?content"
    r"|share this (?:article|page)"
    r"|isbn[\s:-]*[\dx-]+\s*$).{0,160}$\n?",
    regex.MULTILINE | regex.IGNORECASE,
)


def _between_marks(text: str) -> str:
    while start := _START.search(text):
        text = text[start.end() :]
    end = _END.search(text)
    return text[: end.start()] if end else text


def clean(text: str) -> str:
    """`text` in Unicode's NFC, lines ended by newlines, without boilerplate.

    Control characters and invisible marks go, but for the joiners that scripts and
    emoji need; so do blanks at the ends of lines, and more than two empty lines in a
    row. Cleaning twice is cleaning once.

    >>> clean("cafe\\u0301\\r\\nAll rights reserved.\\r\\nbon\\x00jour  ")
    'café\\nbonjour'
    """
    text = _LINE_END.sub("\n", text)
    text = _INVISIBLE.sub("", text)
    if "GUTENBERG" in text or "Gutenberg" in text:
        text = _between_marks(text)
    text = _NOTICE.sub("", text)
    text = _BLANK_LINES.sub("\n\n\n", _BLANK_END.sub("", text)).strip()
    return text if text.isascii() else unicodedata.normalize("NFC", text)
