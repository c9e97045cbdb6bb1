"""Documents from files: text, Markdown, JSON lines, a folder of these, standard input.

Files are read in blocks and never held whole, so that their size does not matter.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from gptlite.errors import DataError

LONGEST = 2**20  # bytes of a document; what is longer is cut at the end of a line
LONGEST_LINE = 2**28  # bytes of a line of JSON
SUFFIXES = (".txt", ".md", ".jsonl")
BOM = b"\xef\xbb\xbf"
FEW_CONTROLS = 1 / 500  # a text has fewer bytes that are control characters


@dataclass(frozen=True, slots=True)
class Document:
    """A text, and what it is a part of: the parts of one whole, which follow one
    another, are never split up.

    broken: it is a line that could not be read.
    """

    text: str
    whole: str = ""
    broken: bool = False


def read_documents(path: str | Path, bad_lines: str = "stop") -> Iterator[Document]:
    """The documents of a file or a folder; "-" is standard input.

    A .jsonl file has a document a line, in the field "text"; so has standard input if
    it begins with a brace. bad_lines: "stop" at a line that cannot be read, or "skip"
    it, which leaves an empty document that says so.
    """
    if str(path) == "-":
        source = sys.stdin.buffer
        if source.peek(1)[:1] == b"{":  # type: ignore[union-attr]
            yield from _json_lines(source, "standard input", bad_lines)
        else:
            yield from _parts(source, "standard input")
        return
    path = Path(path)
    files = [path]
    if path.is_dir():
        found = (p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
        files = sorted(p for p in found if p.is_file())  # a pipe would never end
        if not files:
            raise DataError(
                f"wanted files that end in {', '.join(SUFFIXES)}, got none in {path}"
            )
    for file in files:
        try:
            with open(file, "rb") as source:
                if file.suffix.lower() == ".jsonl":
                    yield from _json_lines(source, str(file), bad_lines)
                else:
                    yield from _parts(source, str(file))
        except OSError as error:
            raise DataError(
                f"wanted a file or folder of text, got {file}: {error.strerror}"
            ) from error


def _parts(source: BinaryIO, name: str) -> Iterator[Document]:
    """A file's text, in parts of at most LONGEST bytes that end with a line."""
    rest, at = source.read(len(BOM)), 0
    if rest == BOM:
        rest, at = b"", len(BOM)
    while True:
        block = rest + source.read(LONGEST - len(rest))
        if not block:
            return
        end = len(block) if len(block) < LONGEST else _good_end(block)
        yield Document(_decoded(block[:end], name, at), name)
        rest, at = block[end:], at + end


def _good_end(block: bytes) -> int:
    """After the last line, else after the last blank, else between characters."""
    for mark in (b"\n", b" "):
        end = block.rfind(mark) + 1
        if end:
            return end
    start = len(block) - 1  # of the last character
    while start > len(block) - 4 and block[start] & 0xC0 == 0x80:
        start -= 1
    size = sum(block[start] >= first for first in (0, 0xC0, 0xE0, 0xF0))
    return len(block) if start + size <= len(block) else start


def _decoded(block: bytes, name: str, at: int) -> str:
    controls = sum(map(block.count, (b"\0", b"\1", b"\2", b"\3", b"\4", b"\5")))
    if controls > len(block) * FEW_CONTROLS:
        raise DataError(
            f"wanted text, got {name}, which looks binary ({controls} control "
            f"characters near byte {at:,}); leave it out, or convert it to UTF-8"
        )
    try:
        return block.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"wanted UTF-8 text in {name}, got {block[error.start]:#04x} at byte "
            f"{at + error.start:,}; convert the file first"
        ) from error


def _json_lines(source: BinaryIO, name: str, bad_lines: str) -> Iterator[Document]:
    number = 0
    while line := source.readline(LONGEST_LINE):
        number += 1
        try:
            yield from _of_json(line.removeprefix(BOM), f"{name}:{number}")
        except (ValueError, RecursionError) as error:
            if bad_lines == "stop":
                raise DataError(
                    f'wanted a JSON object with a string "text" in line {number:,} of '
                    f"{name}, got {error}; repair it, or go on with --bad-lines skip"
                ) from error
            yield Document("", broken=True)


def _of_json(line: bytes, name: str) -> Iterator[Document]:
    if not line.strip():
        return
    if len(line) == LONGEST_LINE:
        raise ValueError(f"a line of more than {LONGEST_LINE:,} bytes")
    row = json.loads(line)
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        raise ValueError(str(row)[:60])
    yield from cut(row["text"], name)


def cut(text: str, whole: str = "") -> Iterator[Document]:
    """A text as documents of at most LONGEST bytes."""
    data = text.encode("utf-8", "replace")
    start = 0
    while start < len(data):
        block = data[start : start + LONGEST]
        end = len(block) if len(block) < LONGEST else _good_end(block)
        yield Document(block[:end].decode("utf-8"), whole)
        start += end
