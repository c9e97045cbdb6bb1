"""Datasets: the split, random stretches, and every validation token exactly once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptlite.errors import DataError
from gptlite.text.dataset import Dataset, read_text
from gptlite.text.tokenizer import ByteTokenizer, CharTokenizer


def numbered(train: int, validation: int) -> Dataset:
    """Every token is its own number."""
    ids = np.arange(train + validation)
    return Dataset(ids[:train], ids[train:], 1.0)


@given(st.integers(2, 90), st.integers(1, 12), st.integers(1, 5))
def test_validation_windows_cover_every_token_exactly_once(
    n: int, context_length: int, batch_size: int
) -> None:
    data = numbered(20, n)
    found = []
    for batch in data.validation_batches(batch_size, context_length):
        assert batch.ids.shape == batch.targets.shape == batch.mask.shape
        assert len(batch) <= batch_size and batch.ids.shape[1] == context_length
        assert np.array_equal(batch.targets, batch.ids + 1)  # one ahead
        found += batch.targets[batch.mask].tolist()
    assert found == data.validation[1:].tolist()  # the first has nothing before it


@given(st.integers(2, 90), st.integers(1, 12), st.integers(1, 5), st.integers(1, 20))
def test_a_few_windows_are_spread_over_the_validation_text(
    n: int, context_length: int, batch_size: int, windows: int
) -> None:
    data = numbered(20, n)
    batches = list(data.validation_batches(batch_size, context_length, windows))
    total = -(-(n - 1) // context_length)
    starts = np.concatenate([b.ids[:, 0] for b in batches])
    assert len(starts) == min(windows, total) == len(set(starts.tolist()))
    assert starts[0] == 20
    if windows > 1:
        assert starts[-1] == 20 + (total - 1) * context_length  # the last one too


def test_validation_is_the_same_each_time() -> None:
    data = numbered(20, 50)
    a, b = ([x.ids.tolist() for x in data.validation_batches(3, 7, 4)] for _ in "ab")
    assert a == b


def test_random_stretches_reach_every_training_token_and_no_other() -> None:
    data = numbered(9, 5)
    rng, ids, targets = np.random.default_rng(0), set(), set()
    for _ in range(60):
        batch = data.random_batch(4, 3, rng=rng)
        assert batch.ids.shape == (4, 3) and batch.mask.all()
        assert np.array_equal(batch.targets, batch.ids + 1)
        assert (np.diff(batch.ids) == 1).all()
        ids |= set(batch.ids.flat)
        targets |= set(batch.targets.flat)
    assert ids == set(range(8)) and targets == set(range(1, 9))


def test_the_shortest_training_text_has_one_stretch() -> None:
    batch = numbered(4, 2).random_batch(5, 3, rng=np.random.default_rng(0))
    assert batch.ids.tolist() == [[0, 1, 2]] * 5


def test_the_same_seed_draws_the_same_stretches() -> None:
    data = numbered(100, 5)
    a, b, c = (data.random_batch(4, 3, rng=np.random.default_rng(s)) for s in (1, 1, 2))
    assert np.array_equal(a.ids, b.ids) and not np.array_equal(a.ids, c.ids)


def test_the_last_tenth_is_for_validation_and_nothing_is_lost() -> None:
    text = "the quick brown fox " * 50
    tokenizer = CharTokenizer.train(text)
    data = Dataset.of(text, tokenizer, 8)
    assert (len(data.train), len(data.validation)) == (900, 100)
    assert tokenizer.decode(np.concatenate([data.train, data.validation])) == text
    assert data.bytes_per_token == 1


def test_bytes_per_token_counts_utf8() -> None:
    text = "aé€" * 100
    assert Dataset.of(text, CharTokenizer.train(text), 8).bytes_per_token == 2
    assert Dataset.of(text, ByteTokenizer(), 8).bytes_per_token == 1


@pytest.mark.parametrize("n", [1, 5, 9])
def test_a_text_shorter_than_the_context_is_refused(n: int) -> None:
    tokenizer = CharTokenizer("a")
    with pytest.raises(DataError, match="--context-length"):
        Dataset.of("a" * n, tokenizer, 8)


def test_a_folder_is_read_in_order_of_name(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("two é", encoding="utf-8")
    (tmp_path / "a.md").write_text("one", encoding="utf-8")
    (tmp_path / "c.py").write_text("not text", encoding="utf-8")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "e.txt").write_text("three", encoding="utf-8")
    assert read_text(tmp_path) == "one\ntwo é\nthree"
    assert read_text(str(tmp_path / "b.txt")) == "two é"


def test_the_plays_are_there_and_are_plain_text() -> None:
    text = read_text("sample")
    assert len(text) > 500_000
    assert all(word in text for word in ("HAMLET", "Macbeth", "Romeo", "Ariel"))
    assert text == read_text("sample")
    assert CharTokenizer.train(text).vocab_size < 128 and "\r" not in text


def test_a_byte_is_a_byte_wherever_the_text_is_cut() -> None:
    """The cut may fall into a character; bits a byte must not depend on that."""
    for n in range(80, 90):
        text = "x" * n + "€" * 6
        assert Dataset.of(text, ByteTokenizer(), 8).bytes_per_token == 1
