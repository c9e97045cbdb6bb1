"""`gptlite tokenizer`: learn, encode, decode, compare, from the shell."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path

import pytest

from gptlite.cli import main
from gptlite.text.vocabularies import KNOWN


class Input(io.TextIOWrapper):
    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding="utf-8")


@pytest.fixture
def learned(tmp_path: Path) -> str:
    text = tmp_path / "text.txt"
    text.write_text("the cat sat on the mat, the cats\n" * 20, encoding="utf-8")
    out = tmp_path / "tokenizer.json"
    command = ["tokenizer", "train", str(text), "--vocab-size", "300", "--json"]
    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert main([*command, "--out", str(out)]) == 0
    found = json.loads(said.getvalue())
    assert found["bytes"] == 20 * 33 and found["vocab_size"] <= 300
    assert found["bytes_per_token"] > 2
    return str(out)


def run(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes],
    given: bytes, *arguments: str,
) -> tuple[int, bytes, bytes]:  # fmt: skip
    monkeypatch.setattr(sys, "stdin", Input(given))
    code = main(["tokenizer", *arguments])
    out, err = capsysbinary.readouterr()
    return code, out, err


def test_what_is_encoded_is_decoded(
    learned: str,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    text = "the cats, naïve 猫\n".encode()
    code, ids, _ = run(
        monkeypatch, capsysbinary, text, "encode", "--tokenizer", learned
    )
    assert code == 0 and len(ids.split()) < len(text)
    code, out, _ = run(monkeypatch, capsysbinary, ids, "decode", "--tokenizer", learned)
    assert (code, out) == (0, text)


def test_lines_are_lists(
    learned: str,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    code, out, _ = run(
        monkeypatch, capsysbinary, b"the cat\n\nsat", "encode", "--tokenizer", learned,
        "--lines",
    )  # fmt: skip
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and len(rows) == 3 and rows[1] == []
    code, out, _ = run(
        monkeypatch, capsysbinary, json.dumps(rows[0]).encode(), "decode",
        "--tokenizer", learned,
    )  # fmt: skip
    assert out == b"the cat"


@pytest.mark.parametrize(
    ("given", "arguments", "said"),
    [
        (b"\xff\xfe", ["encode"], b"the byte 0xff at offset 0"),
        (b"1 two", ["decode"], b"whole numbers"),
        (b"99999", ["decode"], b"got 99999"),
    ],
)
def test_bad_input_is_one_clear_line(
    given: bytes,
    arguments: list[str],
    said: bytes,
    learned: str,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    code, _, err = run(
        monkeypatch, capsysbinary, given, *arguments, "--tokenizer", learned
    )
    assert code == 1 and said in err and err.count(b"\n") == 1


def test_tokenizers_are_compared(
    learned: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = str(tmp_path / "text.txt")
    command = ["tokenizer", "compare", text, "--tokenizers", learned, "--json"]
    assert main(command) == 0
    [row] = json.loads(capsys.readouterr().out)["tokenizers"]
    assert row["tokens_per_word"] == pytest.approx(row["tokens"] / 160, abs=0.001)


def test_an_unknown_tokenizer_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["tokenizer", "compare", __file__, "--tokenizers", "nope"]
    assert main(command) == 1
    assert ", ".join(KNOWN) + " or a file, got 'nope'" in capsys.readouterr().err
