"""What a source's files say, as plain documents: one reader for each source."""

from __future__ import annotations

import contextlib
import html.parser
import itertools
import json
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from gptlite.corpus.documents import Document, cut, read_documents
from gptlite.data.fetch import data_folder, is_fetched
from gptlite.data.sample import sample_file, sample_files
from gptlite.data.sources import source
from gptlite.errors import DataError

Reader = Callable[[Path], Iterator[str]]


def article(title: str, extract: str) -> str:
    """An encyclopedia's entry as text: the title, an empty line, what it says."""
    return f"{title}\n\n{extract}"


def encyclopedia(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("summaries_*.json")):
        for entry in json.loads(path.read_text(encoding="utf-8")).values():
            yield article(entry["title"], entry["extract"])


def play(markdown: str) -> str:
    """A play without Markdown: stage directions in brackets, speakers with a colon."""
    text = re.sub(r"^#+ ", "", markdown, flags=re.MULTILINE)
    text = re.sub(r"\*\*(.+?)\*\*", r"\1:", text)
    text = re.sub(r"(?<!\w)_(.+?)_(?!\w)", r"[\1]", text, flags=re.DOTALL)
    return re.sub(r" +$", "", text, flags=re.MULTILINE).strip() + "\n"


def books(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*.md")):
        yield play(path.read_text(encoding="utf-8"))


def conversation(prompt: str, turns: list[tuple[str, str]]) -> str:
    """What two people said: the topic they were given, then a line for each turn.

    turns: (who, what); whoever speaks first is A, the other B.

    >>> print(conversation("Seen a film?", [("x7", "Yes!"), ("y2", "Which one?")]))
    Seen a film?
    <BLANKLINE>
    A: Yes!
    B: Which one?
    """
    first = turns[0][0] if turns else ""
    lines = [f"{'A' if who == first else 'B'}: {text}" for who, text in turns]
    return "\n".join([prompt, "", *lines])


def dialogue(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("dataset.json")):
        for found in json.loads(path.read_text(encoding="utf-8")).values():
            turns = [
                (group[0]["sender"], " ".join(m["text"] for m in group))
                for group in found["messages"] if group
            ]  # fmt: skip
            yield conversation(found.get("prompt") or "", turns)


class _Paragraphs(html.parser.HTMLParser):
    """The text of headings, paragraphs and list items."""

    BLOCKS = frozenset({"h1", "h2", "h3", "h4", "p", "li"})

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._open: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag in self.BLOCKS:
            self._open = []

    def handle_endtag(self, tag: str) -> None:
        if tag in self.BLOCKS and self._open is not None:
            self.lines.append(" ".join("".join(self._open).split()))
            self._open = None

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self._open.append(data)


def paragraphs(page: str) -> str:
    """The text of a simple web page, a line for each paragraph."""
    parser = _Paragraphs()
    parser.feed(page)
    return "\n".join(line for line in parser.lines if line)


def rights(folder: Path) -> Iterator[str]:
    for path in sorted((folder / "package" / "declaration").glob("*.html")):
        yield paragraphs(path.read_text(encoding="utf-8"))


FREE_BIBLES = ("k", "4", "l", "o", "e", "v", "d")  # the translations in public domain


def verses(folder: Path) -> Iterator[str]:
    """A document a chapter and translation, a line a verse."""
    address = next(folder.rglob("bible.db")).absolute().as_uri() + "?mode=ro"
    with contextlib.closing(sqlite3.connect(address, uri=True)) as db:
        for name in FREE_BIBLES:
            rows = db.execute(
                "select bNumber, cNumber, vText from bible where bbName = ? "
                "order by bNumber, cNumber, vNumber", (name,),
            )  # fmt: skip
            for _, chapter in itertools.groupby(rows, lambda row: row[:2]):
                yield "\n".join(text for _, _, text in chapter)


def definitions(folder: Path) -> Iterator[str]:
    """WordNet's entries: the words that mean the same, and what they mean."""
    for path in sorted(folder.rglob("dict/data.*")):
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                if not line.startswith("  "):  # the licence
                    fields, _, gloss = line.partition(" | ")
                    _, _, _, n, *words = fields.split(" ")
                    names = [w.replace("_", " ") for w in words[: 2 * int(n, 16) : 2]]
                    yield f"{', '.join(names)}: {gloss.strip()}"


def smalltalk(folder: Path) -> Iterator[str]:
    """English questions with their answers, from YAML of one simple shape."""
    for path in sorted(folder.rglob("english/*.yml")):
        turns: list[str] = []
        _, _, lines = path.read_text(encoding="utf-8").partition("conversations:\n")
        for line in [*lines.splitlines(), "- - "]:
            if line.startswith("- - ") and turns:
                speakers = zip(itertools.cycle("AB"), turns, strict=False)
                yield "\n".join(f"{who}: {said}" for who, said in speakers)
                turns = []
            if line.startswith(("- - ", "  - ")):
                turns.append(line[4:].strip().strip("'\"|"))
            elif turns:  # a turn goes on
                turns[-1] = f"{turns[-1]} {line.strip()}".strip()


def python(folder: Path) -> Iterator[str]:
    """The standard library's source files, without its tests and what is installed."""
    left_out = {"site-packages", "dist-packages", "test", "tests", "lib2to3"}
    for path in sorted(folder.rglob("*.py")):
        if not left_out & set(path.relative_to(folder).parts):
            with contextlib.suppress(UnicodeDecodeError):  # a few say so in a comment
                yield path.read_text(encoding="utf-8")


READERS: dict[str, Reader] = {
    "encyclopedia": encyclopedia, "books": books, "dialogue": dialogue,
    "rights": rights, "verses": verses, "definitions": definitions,
    "smalltalk": smalltalk, "python": python,
}  # fmt: skip


def source_documents(name: str) -> Iterator[Document]:
    """The documents of a source of the catalogue; it must have been fetched."""
    if name not in READERS:
        known = ", ".join(READERS)
        raise DataError(f"wanted a source of text among {known}, got {name!r}")
    found = source(name)
    if not is_fetched(found):
        raise DataError(
            f"wanted the source {name}, which is not here yet; run `gptlite data fetch "
            f"{name}`, or build from the texts in the package: `gptlite data build "
            "sample`"
        )
    texts = enumerate(READERS[name](data_folder(found)))
    return (part for i, text in texts for part in cut(text, f"{name} {i}"))


def sample_documents() -> dict[str, Iterator[Document]]:
    """The texts in the package, by kind."""

    def texts(kind: str) -> Iterator[str]:
        return map(sample_file, sample_files(kind))

    def rows(kind: str) -> Iterator[Any]:
        return (json.loads(x) for text in texts(kind) for x in text.splitlines())

    articles = (article(row["title"], row["extract"]) for row in rows("encyclopedia"))
    chats = (conversation(row["prompt"], list(zip(itertools.cycle("AB"), row["turns"])))
             for row in rows("dialogue"))  # fmt: skip
    found = {
        "books": texts("shakespeare"), "encyclopedia": articles, "dialogue": chats,
        "documents": texts("documents"), "rights": texts("rights"),
    }  # fmt: skip
    return {name: map(Document, some) for name, some in found.items()}


def named_documents(
    names: list[str], paths: list[str], bad_lines: str = "stop"
) -> dict[str, Iterable[Document]]:
    """Documents of sources by name, of the sample, and of files of one's own."""
    pairs: list[tuple[str, Iterable[Document]]] = []
    for name in names:
        if name == "sample":
            pairs += sample_documents().items()
        else:
            pairs.append((name, source_documents(name)))
    for path in paths:
        name = "text" if path == "-" else Path(path).absolute().stem or "text"
        pairs.append((name, read_documents(path, bad_lines)))
    found = dict(pairs)
    if len(found) < len(pairs):
        given = [name for name, _ in pairs]
        twice = next(name for name in given if given.count(name) > 1)
        raise DataError(
            f"wanted sources of different names, got {twice!r} twice; leave one out, "
            "or rename the file"
        )
    return found
