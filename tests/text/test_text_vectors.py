"""Vectors of texts: the formula, the direction that goes, and what is found."""

from __future__ import annotations

import numpy as np
import pytest

from gptlite.errors import DataError
from gptlite.text.text_vectors import TextVectors
from gptlite.text.word_vectors import WordVectors

WORDS = ["the", "owl", "hunts", "ship", "sails", "night", "sea"]
RNG = np.random.default_rng(0)
VECTORS = WordVectors(WORDS, RNG.normal(size=(7, 6)) + 1)
TEXTS = ["The owl hunts the night", "the ship sails the sea", "The sea, the night", ""]


def test_it_is_the_formula_of_the_paper() -> None:
    counts = {
        "the": 6,
        "owl": 1,
        "hunts": 1,
        "ship": 1,
        "sails": 1,
        "night": 2,
        "sea": 2,
    }
    a, total = 0.01, sum(counts.values())
    means = []
    for text in TEXTS:
        words = text.lower().replace(",", "").split()
        weighted = [a / (a + counts[w] / total) * VECTORS[w] for w in words]
        means.append(sum(weighted) / len(words) if words else np.zeros(6))
    left, _, _ = np.linalg.svd(np.array(means).T)  # columns are texts, as in the paper
    common = left[:, :1]
    wanted = np.array(means) - np.array(means) @ common @ common.T
    lengths = np.linalg.norm(wanted[:3], axis=1, keepdims=True)
    found = TextVectors(VECTORS, TEXTS, a).vectors
    assert np.allclose(found[:3], wanted[:3] / lengths, atol=1e-5)
    assert not found[3].any()


def test_the_common_direction_is_gone() -> None:
    vectors = TextVectors(VECTORS, TEXTS)
    assert np.abs(vectors.vectors @ vectors.common).max() < 1e-5
    assert np.abs(vectors.embed(["an owl at sea"]) @ vectors.common).max() < 1e-5


def test_a_text_finds_itself_first_and_unknown_words_find_nothing() -> None:
    vectors = TextVectors(VECTORS, TEXTS)
    for i in range(3):
        assert vectors.search(TEXTS[i], 1) == [(i, 1.0)]
    assert len(vectors.search("owl", 2)) == 2
    assert {score for _, score in vectors.search("xyzzy", 9)} == {0.0}


def test_texts_without_a_known_word_are_an_error() -> None:
    with pytest.raises(DataError, match=r"words among the 7 .* got none"):
        TextVectors(VECTORS, ["nothing", ""])
