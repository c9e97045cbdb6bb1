"""What each source's files say: on small files of the same form."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from gptlite.corpus import readers
from gptlite.corpus.readers import READERS, named_documents, source_documents
from gptlite.data import fetch
from gptlite.data.sources import SOURCES
from gptlite.errors import DataError


def write(folder: Path, name: str, content: object) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, encoding="utf-8")


def test_encyclopedia(tmp_path: Path) -> None:
    entry = {"title": "Owl", "extract": "A bird.", "description": "-", "topic": "-"}
    write(tmp_path, "x/data/summaries_en-us.json", {"1": entry})
    assert list(readers.encyclopedia(tmp_path)) == ["Owl\n\nA bird."]


def test_books(tmp_path: Path) -> None:
    write(tmp_path, "plays/b/second.md", "# B\n\n**ANN**  \nHo!")
    write(tmp_path, "plays/a/first.md", "# A")
    assert list(readers.books(tmp_path)) == ["A\n", "B\n\nANN:\nHo!\n"]


def test_dialogue(tmp_path: Path) -> None:
    def said(who: str, *texts: str) -> list[dict[str, str]]:
        return [{"sender": who, "text": text, "timestamp": "-"} for text in texts]

    chats = {
        "1": {
            "prompt": "Films?",
            "messages": [said("x", "Hi", "there"), said("y", "Yo")],
        },
        "2": {"messages": []},
    }  # fmt: skip
    write(tmp_path, "d/dataset.json", chats)
    assert list(readers.dialogue(tmp_path)) == ["Films?\n\nA: Hi there\nB: Yo", "\n"]


def test_rights(tmp_path: Path) -> None:
    page = "<title>x</title><body><h1>Rights</h1><p>All are\n free.</p></body>"
    write(tmp_path, "package/declaration/eng.html", page)
    assert list(readers.rights(tmp_path)) == ["Rights\nAll are free."]


def test_verses_are_of_the_free_translations_only(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "bible.db") as db:
        db.execute("create table bible (id, bbName, bNumber, cNumber, vNumber, vText)")
        rows = [("k", 1, 1, 2, "And"), ("k", 1, 1, 1, "In"), ("k", 1, 2, 1, "Thus"),
                ("2", 1, 1, 1, "not free"), ("l", 1, 1, 1, "Au")]  # fmt: skip
        db.executemany("insert into bible values (0, ?, ?, ?, ?, ?)", rows)
    db.close()
    assert list(readers.verses(tmp_path)) == ["In\nAnd", "Thus", "Au"]


def test_definitions(tmp_path: Path) -> None:
    line = '02 03 n 02 barn_owl 0 Tyto 0 001 @ 01 n 0000 | a pale owl; "it flew"  '
    write(tmp_path, "package/dict/data.noun", f"  1 licence | here\n{line}\n")
    assert list(readers.definitions(tmp_path)) == [
        'barn owl, Tyto: a pale owl; "it flew"'
    ]


def test_smalltalk(tmp_path: Path) -> None:
    text = (
        "categories:\n- AI\nconversations:\n- - What is AI?\n  - 'A field.'\n"
        "- - Tell me\n  - |\n    more\n    of it\n  - No"
    )
    write(tmp_path, "c/data/english/ai.yml", text)
    write(tmp_path, "c/data/french/ai.yml", "conversations:\n- - Non\n")
    assert list(readers.smalltalk(tmp_path)) == [
        "A: What is AI?\nB: A field.", "A: Tell me\nB: more of it\nA: No",
    ]  # fmt: skip


def test_python_is_read_without_what_is_installed(tmp_path: Path) -> None:
    for name in ("b.py", "email/a.py", "site-packages/x.py", "test/t.py", "notes.txt"):
        write(tmp_path, name, f"# {name}")
    (tmp_path / "latin.py").write_bytes(b"# -*- coding: latin-1 -*- \xe9")
    assert list(readers.python(tmp_path)) == ["# b.py", "# email/a.py"]


def test_every_source_of_text_has_a_reader() -> None:
    kinds = {
        "encyclopedia",
        "books",
        "dialogue",
        "parallel text",
        "definitions",
        "code",
    }
    assert {s.name for s in SOURCES if s.kind in kinds} == set(READERS)


def test_unknown_sources_and_those_not_here_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "user_cache_folder", lambda: tmp_path)
    with pytest.raises(
        DataError, match=r"run `gptlite data fetch books`.*build sample"
    ):
        source_documents("books")
    with pytest.raises(DataError, match=r"among encyclopedia, .* got 'boks'"):
        named_documents(["boks"], [])
    with pytest.raises(DataError, match=r"different names, got 'books' twice"):
        named_documents(["sample"], ["elsewhere/books.txt"])
    monkeypatch.undo()
    with pytest.raises(DataError, match=r"different names, got 'text' twice"):
        named_documents([], ["-", "elsewhere/text.txt"])
    assert list(named_documents([], ["."])) == [Path.cwd().stem]
