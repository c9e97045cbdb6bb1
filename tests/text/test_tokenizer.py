"""Tokenizers: text comes back as it was, and what is unknown is said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptlite.errors import CheckpointError, DataError
from gptlite.text.tokenizer import (
    ByteTokenizer,
    CharTokenizer,
    Tokenizer,
    load_tokenizer,
    tokenizer_from_json,
    train_tokenizer,
)

KINDS = pytest.mark.parametrize("kind", ["char", "byte", "bpe"])


@KINDS
@given(text=st.text(min_size=1))
def test_decode_undoes_encode(kind: str, text: str) -> None:
    tokenizer = train_tokenizer(kind, text)
    ids = tokenizer.encode(text)
    assert ids.dtype == np.int64 and ids.ndim == 1
    assert 0 <= ids.min() <= ids.max() < tokenizer.vocab_size
    assert tokenizer.decode(ids) == tokenizer.decode(ids.tolist()) == text


@KINDS
def test_nothing_is_no_tokens(kind: str) -> None:
    tokenizer = train_tokenizer(kind, "abc")
    assert tokenizer.encode("").tolist() == [] and tokenizer.decode([]) == ""


@given(st.text(min_size=1))
def test_a_character_is_a_token_of_the_sorted_vocabulary(text: str) -> None:
    tokenizer = CharTokenizer.train(text)
    assert tokenizer.characters == "".join(sorted(set(text)))
    assert len(tokenizer.encode(text)) == len(text)


def test_the_vocabulary_does_not_depend_on_the_order_of_the_text() -> None:
    assert (
        CharTokenizer.train("héllo").to_json() == CharTokenizer.train("olléh").to_json()
    )


@pytest.mark.parametrize("text", ["aΩb", "a\U0001f600", "a!", "a~"])
def test_an_unknown_character_is_named_with_its_place(text: str) -> None:
    """Below, between and above the known ones; also outside the basic plane."""
    with pytest.raises(DataError, match="position 1") as caught:
        CharTokenizer("(ab").encode(text)
    assert repr(text[1]) in str(caught.value)


@KINDS
@pytest.mark.parametrize("ids", [[-1], [0, 4096], [2**40]])
def test_ids_outside_the_vocabulary_are_refused(kind: str, ids: list[int]) -> None:
    with pytest.raises(DataError, match="wanted token ids in 0"):
        train_tokenizer(kind, "abc").decode(ids)


@pytest.mark.parametrize("characters", ["", "ba", "aa"])
def test_a_vocabulary_that_is_none_is_refused(characters: str) -> None:
    with pytest.raises(DataError, match="ascending"):
        CharTokenizer(characters)


@KINDS
def test_a_tokenizer_comes_back_from_its_file(kind: str, tmp_path: Path) -> None:
    text = "to be\n“or not” \U0001f600"
    tokenizer = train_tokenizer(kind, text)
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(tokenizer.to_json()), encoding="utf-8")
    again: Tokenizer = load_tokenizer(path)
    assert again.kind == kind and again.to_json() == tokenizer.to_json()
    assert again.encode(text).tolist() == tokenizer.encode(text).tolist()


def test_a_missing_file_and_an_unknown_kind_are_said(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no\.json"):
        load_tokenizer(tmp_path / "no.json")
    with pytest.raises(DataError, match="char or byte"):
        tokenizer_from_json({"kind": "word"})


@given(st.binary())
def test_bytes_that_are_no_text_decode_without_an_error(data: bytes) -> None:
    assert ByteTokenizer().decode(list(data)) == data.decode("utf-8", "replace")
