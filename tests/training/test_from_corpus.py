"""A run on the shards of a built corpus, and on standard input."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from gptlite.cli import main
from gptlite.training.run import Run
from tests.helpers import assert_same_bits

FLAGS = ["--n-layer", "1", "--n-head", "2", "--n-embd", "16", "--context-length", "12",
         "--workers", "1", "--eval-every", "2", "--json",
         "--final-learning-rate", "1e-3"]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With texts of one's own, and a corpus that the command line built of them."""
    texts = tmp_path / "texts"
    texts.mkdir()
    for i in range(30):
        words = " ".join(f"the {i}th cat has {i * j} mice" for j in range(8))
        (texts / f"{i}.txt").write_text(words)
    row = json.dumps({"text": "a story of its own, in a line"})
    (texts / "more.jsonl").write_text(f"{row}\n{{broken\n{row}\n")
    return tmp_path


def build(folder: Path, *flags: str) -> int:
    return main(["data", "build", "--text", str(folder / "texts"), "--out",
                 str(folder / "corpus"), "--vocab-size", "280", *flags])  # fmt: skip


def last_json(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return dict(json.loads(capsys.readouterr().out.splitlines()[-1]))


def test_from_texts_to_a_resumed_run(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(folder) == 1
    error = capsys.readouterr().err
    assert "line 2 of" in error and "--bad-lines skip" in error
    assert build(folder, "--bad-lines", "skip", "--json") == 0
    found = last_json(capsys)
    row, total = found["sources"]
    assert row["source"] == "texts" and total["source"] == "all"
    assert row["documents"] == 33 and row["broken lines"] == 1
    assert row["exact repeats"] == 1
    assert (folder / "corpus" / "corpus.png").read_bytes().startswith(b"\x89PNG")

    corpus = str(folder / "corpus")
    for out, steps in (("whole", "4"), ("parts", "2")):
        assert main(["pretrain", "--text", corpus, "--out", str(folder / out),
                     "--steps", steps, *FLAGS]) == 0  # fmt: skip
    result = last_json(capsys)
    assert 0 < result["bits_per_byte"] < 16
    again = ["pretrain", "--resume", "--out", str(folder / "parts"), "--json"]
    assert main([*again, "--steps", "4"]) == 0
    whole, parts = (Run(folder / name).load()[0].params for name in ("whole", "parts"))
    assert_same_bits(whole.flat, parts.flat)

    capsys.readouterr()
    texts = folder / "texts" / "new.txt"
    texts.write_text("zebras quite unlike anything else; zebras, zebras! " * 20)
    assert build(folder, "--bad-lines", "skip") == 0
    assert (folder / "corpus.1" / "corpus.json").exists()
    assert main([*again, "--steps", "5"]) == 1
    assert "wanted the corpus that the run in" in capsys.readouterr().err


def test_a_run_reads_standard_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = b"a line of text, and then another one\n" * 40
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    out = str(tmp_path / "run")
    assert main(["pretrain", "--text", "-", "--out", out, "--steps", "2", *FLAGS]) == 0
    assert last_json(capsys)["steps"] == 2
    assert Run(out).read_config()[0] == "-"


def test_bad_requests_to_build_are_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(folder / "c")]
    for flags, message in (
        (["boks"], "wanted a source of text among"),
        (["sample", "--weight", "books"], "wanted weights such as books=2"),
        (["sample", "--languages", "english"], "wanted languages among ar, cs"),
        (["sample", "--validation", "1.5"], "0 < validation < 1"),
        (["sample", "--vocab-size", "100"], "vocabulary of at least 264"),
        (["sample", "--tokenizer", "nothing.json"], "nothing.json"),
        (["sample", "--bad-lines", "maybe"], "bad_lines in"),
        (["--text", str(folder / "nowhere")], "No such file"),
    ):
        assert main(["data", "build", *flags, *out]) == 1, flags
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1, error
    assert not (folder / "c").exists()
