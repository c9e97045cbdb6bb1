"""What is wrong with text or ids is one clear line, and no harm."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gptlite.errors import DataError
from gptlite.text import learn
from gptlite.text.learn import train_bpe
from tests.helpers import child_environment
from tests.text.test_tokenizer_commands import run

Said = tuple[int, bytes, bytes]
Call = Callable[..., Said]
TRAINED = train_bpe(["the cat sat on the mat"] * 3, 300, special=["<|end|>"])
END = TRAINED.special["<|end|>"]
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x20"


@pytest.fixture
def call(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> Call:
    return lambda given, *rest: run(monkeypatch, capsysbinary, given, *rest)


@pytest.fixture
def known(tmp_path: Path) -> str:
    path = tmp_path / "known.json"
    path.write_text(json.dumps(TRAINED.to_json()), encoding="utf-8")
    return str(path)


def assert_refused(found: Said, *said: str) -> None:
    """One line on stderr, for a reader, and nothing else."""
    code, out, err = found
    message = err.decode()
    assert (code, out) == (1, b""), message
    assert message.count("\n") == 1 and message.startswith("gptlite: error: ")
    for words in ("wanted", "got", *said):
        assert words in message
    # it ends with what to do
    assert ";" in message or " or a file, got" in message


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (PNG, "the byte 0x89 at offset 0"),
        (b"\xff\xfet\0h\0e\0", "the byte 0xff at offset 0"),  # UTF-16
        ("café".encode("latin-1"), "the byte 0xe9 at offset 3"),
        ("the 漢".encode()[:-1], "the byte 0xe6 at offset 4"),  # cut
        (b"\xed\xa0\x80", "the byte 0xed at offset 0"),  # half of a UTF-16 pair
    ],
)
def test_bytes_that_are_no_text(
    data: bytes, said: str, call: Call, known: str, tmp_path: Path
) -> None:
    assert_refused(call(data, "encode", "--tokenizer", known), said)
    out, file = tmp_path / "out.json", tmp_path / "file"
    file.write_bytes(data)
    assert_refused(call(data, "train", "-", "--out", str(out)), said)
    offset = said.split()[-1]
    where = call(b"", "train", str(file), "--out", str(out))
    assert_refused(where, "wanted UTF-8 text", str(file), f"position {offset};")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "known.json"]


@pytest.mark.parametrize(
    "text",
    [b"", b"\0", b"a\0\0the\0cat", b"the\r\ncat\r\n", b"\r\n", b"\xef\xbb\xbfthe",
     "a\u2028b\fc\x85\n".encode(), b" \t\n \n\n"],
)  # fmt: skip
def test_odd_text_comes_back_byte_by_byte(text: bytes, call: Call, known: str) -> None:
    code, ids, _ = call(text, "encode", "--tokenizer", known)
    assert code == 0 and ids.count(b"\n") == 1
    assert call(ids, "decode", "--tokenizer", known) == (0, text, b"")


def test_a_line_ends_with_a_newline_and_with_nothing_else(
    call: Call, known: str
) -> None:
    lines = ["the cat", "a\u2028b\fc\x0bd\x85e\rf", "", "\rg", "no end\r"]
    text = "\r\n".join(lines[:3]) + "\n" + "\n".join(lines[3:])
    _, out, _ = call(text.encode(), "encode", "--tokenizer", known, "--lines")
    rows = [json.loads(row) for row in out.splitlines()]
    assert [TRAINED.decode(row) for row in rows] == lines
    assert call(b"", "encode", "--tokenizer", known, "--lines") == (0, b"", b"")


def test_ids_are_written_in_blocks(
    call: Call, known: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gptlite.commands.tokenizer.BLOCK", 3)
    for n in range(8):
        _, out, _ = call(b"\0" * n, "encode", "--tokenizer", known)
        assert out == b" ".join([b"0"] * n) + b"\n"


@pytest.mark.parametrize("text", [b"", b" \n\t\n"])
def test_nothing_is_learned_from_nothing(
    text: bytes, call: Call, tmp_path: Path
) -> None:
    (tmp_path / "empty.txt").write_bytes(text)
    out = tmp_path / "out.json"
    for name in ("-", str(tmp_path / "empty.txt")):
        assert_refused(call(text, "train", name, "--out", str(out)), "some text")
    assert not out.exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--vocab-size", "255"], "at least 256 tokens"),
        (["--vocab-size", "-1"], "got -1; raise vocab_size"),
        (["--vocab-size", "257", "--special", "<a>", "--special", "<b>"], "258"),
        (["--special", ""], "got ''; write one such as"),
        (["--special", "\udcff"], "a text in Unicode"),  # what Python makes of \xff
    ],
)
def test_a_vocabulary_that_cannot_be(
    flags: list[str], said: str, call: Call, tmp_path: Path
) -> None:
    out = tmp_path / "out.json"
    assert_refused(call(b"the cat", "train", "-", "--out", str(out), *flags), said)
    assert not list(tmp_path.iterdir())


def test_a_vocabulary_larger_than_the_text_is_as_large_as_can_be() -> None:
    assert train_bpe(["the the"], 10**12).vocab_size == 256 + 2  # th, the


def test_more_text_than_can_be_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learn, "MOST_PLACES", 3 * len(" cat") - 1)
    train_bpe(["cat"], 300)
    with pytest.raises(DataError, match="at most 3 bytes of distinct pieces, got 4"):
        train_bpe([" cat"], 300)


@pytest.mark.parametrize(
    "given", ["x", "1.5", "1e3", "1_0", "0x1", "\u0661", "9" * 30, "9" * 5000, "--1"]
)
def test_ids_that_are_no_numbers(given: str, call: Call, known: str) -> None:
    found = call(f"[97, {given}]".encode(), "decode", "--tokenizer", known)
    assert_refused(found, f"whole numbers, got '{given[:40]}")


@pytest.mark.parametrize("given", [-1, 10**6, END + 1, -(10**17)])
def test_ids_that_are_no_tokens(given: int, call: Call, known: str) -> None:
    found = call(f"97 {given}".encode(), "decode", "--tokenizer", known)
    assert_refused(found, f"in 0 … {END} that are in use, got {given};")


@pytest.mark.parametrize("name", ["nope", "no.json", "no.tiktoken", ".", "a" * 300])
def test_a_tokenizer_that_is_nowhere(name: str, call: Call, tmp_path: Path) -> None:
    found = call(b"the cat", "encode", "--tokenizer", name)
    assert_refused(found, "gpt2", "cl100k", "o200k or a file, got")


# a child that runs gptlite, and then says how many bytes of memory it had at most
CHILD = """
import resource, sys
from gptlite.cli import main
code = main(sys.argv[1:])
unit = 1 if sys.platform == "darwin" else 1024
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.slow
def test_one_line_of_a_hundred_megabytes(known: str, tmp_path: Path) -> None:
    """Half of it words, half of it one piece of 50 MB: memory is 25 × the text."""
    pytest.importorskip("resource", reason="only POSIX says how much memory was used")
    n, words = 10**8, b"the cat sat on the mat, "
    letters = np.random.default_rng(0).integers(97, 123, n // 2, np.uint8).tobytes()
    line, out = tmp_path / "line", tmp_path / "out"
    line.write_bytes((words * (n // 40))[: n // 2] + letters)

    def run_child(*arguments: str) -> None:
        with line.open("rb") as given, out.open("wb") as written:
            done = subprocess.run(
                [sys.executable, "-c", CHILD, "tokenizer", *arguments],
                env=child_environment(), stdin=given, stdout=written,
                stderr=subprocess.PIPE, timeout=600, check=False,
            )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert int(done.stderr) < 25 * n

    learned = tmp_path / "learned.json"
    run_child("train", "-", "--vocab-size", "300", "--out", str(learned))
    assert len(json.loads(learned.read_text(encoding="utf-8"))["model"]["vocab"]) == 300
    run_child("encode", "--tokenizer", known)
    ids = np.fromstring(out.read_text(), np.int64, sep=" ")
    sizes = np.array([len(token or b"") for token in TRAINED.tokens])
    assert sizes[ids].sum() == n
    first, last = TRAINED.decode_bytes(ids[:1000]), TRAINED.decode_bytes(ids[-1000:])
    assert (words * 1000).startswith(first) and letters.endswith(last)
