"""The pages on the corpus name what the code has: sources, sample files, flags."""

from __future__ import annotations

import dataclasses
import fnmatch
import re

import pytest

from gptlite.cli import main
from gptlite.config import CorpusConfig
from gptlite.corpus.readers import READERS
from gptlite.corpus.report import LEFT_OUT
from gptlite.data.sample import sample_files
from gptlite.data.sources import SOURCES, Source
from tests.helpers import REPOSITORY

PAGES = REPOSITORY / "docs" / "corpus"


def rows(page: str, header: str) -> list[list[str]]:
    """The cells of the table that begins with `header`."""
    text = (PAGES / page).read_text(encoding="utf-8")
    _, _, below = text.partition(f"{header}\n")
    table = re.match(r"(?:\|.*\n)+", below)
    assert table, f"wanted a table {header!r} in {page}, got none"
    lines = table[0].splitlines()[1:]  # below the rule
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def described(source: Source) -> list[str]:
    """A source as the page must show it."""
    here = source.index == "here"
    package = "none" if here else f"{source.index} `{source.package}` {source.version}"
    return [
        f"`{source.name}`", source.kind, "0" if here else f"{source.megabytes:g}",
        "yes" if source.name in READERS else "no", source.use, package, source.licence,
    ]  # fmt: skip


def test_the_catalogue_is_that_of_the_code() -> None:
    header = (
        "| name | kind | MB | in build | what it is, for what | package | licence |"
    )
    assert rows("catalogue.md", header) == [described(s) for s in SOURCES]


def test_every_reader_and_every_sample_file_is_described() -> None:
    readers = rows("catalogue.md", "| source | a document is |")
    assert {row[0].strip("`") for row in readers} == set(READERS)
    table = rows("catalogue.md", "| files | what | licence | in build, as |")
    patterns = [row[0].strip("`") for row in table]
    files = [n for n in sample_files("") if "." in n and not n.endswith((".md", ".py"))]
    for name in files:
        assert sum(fnmatch.fnmatch(name, p) for p in patterns) == 1, name
    assert all(fnmatch.filter(files, pattern) for pattern in patterns)


def test_every_flag_of_build_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["data", "build", "--help"])
    flags = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help"}
    table = rows("own_corpus.md", "| flag | default | what it does |")
    assert {row[0].strip("`").split(" ")[0] for row in table} - {"NAME"} == flags
    for field in dataclasses.fields(CorpusConfig):
        flag = "--" + field.name.replace("_", "-")
        (found,) = (row for row in table if row[0].startswith(f"`{flag} "))
        assert found[1] == (f"{field.default}" if field.default != "" else "all")


def test_every_reason_to_be_left_out_is_described() -> None:
    table = rows("own_corpus.md", "| column | meaning |")
    named = {name.strip("`") for row in table for name in row[0].split(", ")}
    assert set(LEFT_OUT) < named
