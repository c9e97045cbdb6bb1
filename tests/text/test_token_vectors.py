"""Vectors of tokens: their names survive files, their rows start an embedding."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptlite.cli import main
from gptlite.config import SkipGram
from gptlite.errors import ConfigError, DataError
from gptlite.text.bpe import BPETokenizer
from gptlite.text.learn import train_bpe
from gptlite.text.skipgram import learn_word_vectors
from gptlite.text.token_vectors import read_vectors, set_rows, token_names, tokens_of
from gptlite.text.tokenizer import ByteTokenizer, CharTokenizer
from gptlite.text.word_vectors import WordVectors
from tests.helpers import assert_near, assert_same_bits, normal

LINE = "the cat sat on the mat, naïve 猫\u00a0\t…\r\n"


def all_bytes(rng: np.random.Generator, size: int = 6) -> WordVectors:
    """A vector for every byte, as the token names of `ByteTokenizer`."""
    return WordVectors(token_names(ByteTokenizer()).values(), normal(rng, 256, size))


@pytest.mark.parametrize("binary", [False, True])
def test_every_byte_survives_a_file(
    binary: bool, tmp_path: Path, rng: np.random.Generator
) -> None:
    one = all_bytes(rng)
    one.save(tmp_path / "v", binary)
    two = read_vectors(tmp_path / "v")  # finds out by itself which format it is
    assert len(set(two.words)) == 256 and two.words == one.words
    assert_near(two.vectors, one.vectors, 0 if binary else 1e-5)


@pytest.mark.parametrize("binary", [False, True])
def test_gensim_reads_every_byte(
    binary: bool, tmp_path: Path, rng: np.random.Generator
) -> None:
    keyed = pytest.importorskip("gensim.models", reason="the peer is optional")
    one = all_bytes(rng)
    one.save(tmp_path / "v", binary)
    two = keyed.KeyedVectors.load_word2vec_format(tmp_path / "v", binary=binary)
    assert two.index_to_key == one.words
    assert_near(two.vectors, one.vectors, 0 if binary else 1e-5)


@given(st.text(max_size=60))
def test_names_stand_for_the_bytes_of_a_text(text: str) -> None:
    tokenizer = train_bpe([LINE * 9], 290)
    [names] = tokens_of(text, tokenizer)
    ids = {name: i for i, name in token_names(tokenizer).items()}
    assert tokenizer.decode([ids[name] for name in names]) == text
    assert not any(c.isspace() for c in "".join(names))


def test_an_id_without_a_token_has_no_name() -> None:
    tokens = [bytes([b]) for b in range(256)]
    tokenizer = BPETokenizer([*tokens, None, b" a"], special={"<|end|>": 259})
    names = token_names(tokenizer)
    assert 256 not in names
    assert (names[257], names[259]) == ("Ġa", "<|end|>")


def test_known_rows_are_set_to_scale_and_all_others_stay(
    rng: np.random.Generator,
) -> None:
    tokenizer = CharTokenizer("abcdé")
    vectors = WordVectors(["Ã©", "b", "d", "unknown"], 7 * normal(rng, 4, 50))
    table = rng.normal(0, 0.02, (8, 50)).astype(np.float32)  # three rows to spare
    before = table.copy()
    assert set_rows(table, vectors, tokenizer) == 3
    assert_same_bits(table[[0, 2, 5, 6, 7]], before[[0, 2, 5, 6, 7]])
    rows, given_ = table[[4, 1, 3]], vectors.vectors[:3]
    assert_near(rows / rows[0, 0], given_ / given_[0, 0], 1e-5)  # one factor for all
    size, wanted = (np.sqrt(np.mean(x[[4, 1, 3]] ** 2)) for x in (table, before))
    assert size == pytest.approx(wanted, rel=1e-5) and rows[0, 0] * given_[0, 0] > 0


@pytest.mark.parametrize(
    ("words", "rows", "error", "wanted"),
    [
        ("ab", np.ones((2, 3)), ConfigError, r"n_embd = 4 .* of 3; .*--size 4.*embd 3"),
        ("xy", np.ones((2, 4)), DataError, r"none among 2: x, y …; .*--tokenizer"),
        ("ab", np.zeros((2, 4)), DataError, "finite vectors, not all 0"),
        ("ab", np.full((2, 4), np.nan), DataError, "finite vectors, got NaN"),
        ("ab", np.full((2, 4), np.inf), DataError, "finite vectors, got NaN"),
    ],
    ids=["size", "no token", "zero", "NaN", "infinity"],
)
def test_what_cannot_start_an_embedding_is_said(
    words: str, rows: np.ndarray, error: type[Exception], wanted: str
) -> None:
    table = np.ones((2, 4), np.float32)
    with pytest.raises(error, match=wanted):
        set_rows(table, WordVectors(words, rows), CharTokenizer("ab"))
    assert (table == 1).all()


@pytest.mark.parametrize(
    "content",
    [b"", b"2 3\n", b"2 3\na 1 2 3\nb 1 2\n", b"2 3\na 1 2 x\nb 1 2 3\n",
     b"2 3\na \x00\x00\x80?"],
    ids=["empty", "a first line only", "a number short", "no number", "cut binary"],
)  # fmt: skip
def test_a_damaged_file_is_said(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "v").write_bytes(content)
    with pytest.raises(DataError, match="wanted word2vec's"):
        read_vectors(tmp_path / "v")
    with pytest.raises(DataError, match="no-such-file"):
        read_vectors(tmp_path / "no-such-file")


def test_the_command_learns_what_python_learns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, tokenizer = LINE * 40, train_bpe([LINE * 40], 290)
    (tmp_path / "t.json").write_text(json.dumps(tokenizer.to_json()), "utf-8")
    (tmp_path / "text.txt").write_bytes(text.encode())
    command = ["vectors", "train", str(tmp_path / "text.txt"), "--tokenizer",
               str(tmp_path / "t.json"), "--out", str(tmp_path / "v"), "--size", "8",
               "--workers", "1", "--json"]  # fmt: skip
    assert main(command) == 0
    said = json.loads(capsys.readouterr().out)
    read = (tmp_path / "text.txt").read_text(
        "utf-8"
    )  # with newlines as Python has them
    found, config = WordVectors.load(tmp_path / "v"), SkipGram(size=8, workers=1)
    wanted = learn_word_vectors(tokens_of(read, tokenizer), config)
    assert said["tokens"] == tokenizer.encode(read).size
    assert said["vocabulary"] == len(found.words) and found.words == wanted.words
    assert_near(found.vectors, wanted.vectors, 1e-5)
    assert main(["vectors", "similar", str(tmp_path / "v"), "Ġcat", "--json"]) == 0
