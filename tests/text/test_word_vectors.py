"""Word vectors: the gradient is the slope, the kernel takes its step."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptlite.cli import main
from gptlite.config import SkipGram
from gptlite.errors import ConfigError, DataError
from gptlite.text.kernels import skipgram as kernels
from gptlite.text.skipgram import (
    count_word_vectors,
    keep_probability,
    learn_word_vectors,
    noise_table,
    pair_loss_and_gradients,
    vocabulary,
    word_ids,
    words_of,
)
from gptlite.text.word_vectors import WordVectors
from tests.helpers import assert_is_slope, assert_near, assert_same_bits, normal

# three worlds that share no words: words of one should be near one another
WORLDS = ["cat dog horse sheep cow", "red green blue black", "one two three four"]


def worlds(n: int = 1500) -> list[list[str]]:
    rng = np.random.default_rng(0)
    names = [world.split() for world in WORLDS]
    return [rng.permutation(names[i]).tolist() for i in rng.integers(0, 3, n)]


@given(st.integers(1, 20), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_the_gradients_of_a_pair_are_slopes(D: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vector, outputs = rng.normal(size=D), rng.normal(size=(1 + n, D))
    _, dvector, doutputs = pair_loss_and_gradients(vector, outputs)
    assert_is_slope(
        lambda: pair_loss_and_gradients(vector, outputs)[0],
        {"vector": vector, "outputs": outputs},
        {"vector": dvector, "outputs": doutputs},
    )


def test_the_kernel_takes_the_step_of_the_reference() -> None:
    """Two words, no negatives: each is the other's only neighbour."""
    rng = np.random.default_rng(0)
    vectors, outputs = normal(rng, 2, 7), normal(rng, 2, 7)
    wanted_v, wanted_o = vectors.astype(np.float64), outputs.astype(np.float64)
    losses = 0.0
    for center, other in ((0, 1), (1, 0)):
        loss, dv, do = pair_loss_and_gradients(wanted_v[other], wanted_o[[center]])
        wanted_v[other] -= 0.1 * dv
        wanted_o[center] -= 0.1 * do[0]
        losses += loss
    found = kernels.train(
        vectors, outputs, np.array([0, 1], np.int32), np.ones(2, np.float32),
        np.zeros(1, np.int32), 1, 0, np.full(2, 0.1, np.float32),
        np.array([1], np.uint64), np.empty(9, np.int32), np.empty(7, np.float32),
    )  # fmt: skip
    assert found == (pytest.approx(losses, rel=1e-5), 2)
    assert_near(vectors, wanted_v, 1e-5)
    assert_near(outputs, wanted_o, 1e-5)


def test_no_window_crosses_the_end_of_a_sentence() -> None:
    vectors, outputs = np.ones((2, 4, 3), np.float32)
    words = word_ids([["a"], ["b"], ["c"]], {"a": 9, "b": 8, "c": 7})
    loss, pairs = kernels.train(
        vectors, outputs, words, np.ones(4, np.float32), np.zeros(1, np.int32), 5, 5,
        np.ones(2, np.float32), np.array([1], np.uint64), np.empty(9, np.int32),
        np.empty(3, np.float32),
    )  # fmt: skip
    assert pairs == 0 and loss == 0 and (vectors == 1).all()


FAST = SkipGram(size=16, epochs=30, subsample=0, learning_rate=0.05)


@pytest.mark.parametrize(
    "learn",
    [
        lambda found: learn_word_vectors(found, FAST),
        lambda found: learn_word_vectors(found, dataclasses.replace(FAST, workers=1)),
        lambda found: count_word_vectors(found, size=3),
    ],
    ids=["workers", "one worker", "counting"],
)
def test_words_of_one_world_are_neighbours(
    learn: Callable[[list[list[str]]], WordVectors],
) -> None:
    vectors = learn(worlds())
    names = [world.split() for world in WORLDS]
    near = [vectors.similarity(a, b) for world in names for a in world for b in world]
    far = [vectors.similarity(a, b) for a in names[0] for b in names[1] + names[2]]
    assert np.mean(near) > np.mean(far) + 0.2


def test_counting_finds_exactly_the_words_of_a_world() -> None:
    vectors = count_word_vectors(worlds(), size=3)
    for world in WORLDS:
        names = world.split()
        for word in names:
            near = {found for found, _ in vectors.most_similar(word, len(names) - 1)}
            assert near == set(names) - {word}


def test_one_worker_gives_the_same_bits_every_time() -> None:
    config = SkipGram(size=16, epochs=2, workers=1, seed=3)
    one, two = (learn_word_vectors(worlds(200), config).vectors for _ in range(2))
    assert_same_bits(one, two)
    other = learn_word_vectors(worlds(200), SkipGram(16, epochs=2, workers=1, seed=4))
    assert (other.vectors != one).any()


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_together_go_through_the_text_as_one_would(
    workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every block once an epoch, in the order of the text, at a falling rate."""
    taken: list[tuple[np.ndarray, np.ndarray]] = []

    def train(*given: Any) -> None:
        words, rates = given[2], given[7]
        taken.append((rates, words))

    monkeypatch.setattr(kernels, "train", train)
    monkeypatch.setattr("gptlite.text.skipgram.BLOCK", 100)
    text, config = worlds(200), SkipGram(epochs=3, workers=workers)
    learn_word_vectors(text, config)
    taken.sort(key=lambda block: -block[0][0])
    rates = np.array([block[0] for block in taken])
    words = word_ids(text, dict.fromkeys(vocabulary(text, config.least), 0))
    found = np.concatenate([block[1] for block in taken])
    assert (found == np.tile(words, config.epochs)).all()
    ends = np.array([config.learning_rate, config.final_learning_rate])
    assert_near(rates[[0, -1], [0, 1]], ends)
    assert (rates[1:, 0] == rates[:-1, 1]).all() and (np.diff(rates) < 0).all()
    assert_near(np.diff(rates[:, 0]), np.full(len(rates) - 1, np.diff(rates)[0]), 1e-3)


def test_negatives_are_drawn_as_the_power_of_their_counts() -> None:
    counts = np.array([1000.0, 100, 10, 1])
    share = np.bincount(noise_table(counts, 0.75), minlength=4) / 2**20
    assert_near(share, counts**0.75 / (counts**0.75).sum(), 1e-5)


def test_frequent_words_are_skipped_by_word2vec_s_rule() -> None:
    counts = np.array([10_000.0, 10])
    keep = keep_probability(counts, 1e-3)
    ratio = 1e-3 * counts.sum() / counts[0]
    assert keep[0] == pytest.approx(np.sqrt(ratio) + ratio, rel=1e-5)
    assert keep[1] == 1 and (keep_probability(counts, 0) == 1).all()


@pytest.mark.parametrize("binary", [False, True])
def test_vectors_are_the_same_after_a_file(binary: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    one = WordVectors(["the", "naïve", "猫"], normal(rng, 3, 5))
    one.save(tmp_path / "vectors", binary)
    two = WordVectors.load(tmp_path / "vectors", binary)
    assert two.words == one.words
    assert_near(two.vectors, one.vectors, 0 if binary else 1e-5)
    data = (tmp_path / "vectors").read_bytes()
    (tmp_path / "vectors").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match="word2vec's"):
        WordVectors.load(tmp_path / "vectors", binary)
    (tmp_path / "vectors").write_bytes(b"9999999999 9999999999\n")
    with pytest.raises(DataError, match="sizes"):
        WordVectors.load(tmp_path / "vectors", binary)


@pytest.mark.slow
@pytest.mark.parametrize("binary", [False, True])
def test_gensim_opens_our_files_and_we_open_gensim_s(
    binary: bool, tmp_path: Path
) -> None:
    models = pytest.importorskip("gensim.models", reason="files of gensim need gensim")
    config = dataclasses.replace(FAST, workers=1)  # the same bits every time
    ours = learn_word_vectors([*worlds(), ["naïve", "猫"] * 9], config)
    ours.save(tmp_path / "ours", binary)
    theirs = models.KeyedVectors.load_word2vec_format(tmp_path / "ours", binary=binary)
    theirs.save_word2vec_format(tmp_path / "theirs", binary=binary)
    back = WordVectors.load(tmp_path / "theirs", binary)
    tolerance = 0 if binary else 1e-5  # six digits
    assert ours.words == theirs.index_to_key == back.words
    assert_near(theirs.vectors, ours.vectors, tolerance)
    assert_near(back.vectors, ours.vectors, tolerance)
    for word in ours.words:
        wanted = theirs.most_similar(word, topn=5)
        names = [name for name, _ in wanted]
        cosines = np.array([cosine for _, cosine in wanted])
        for vectors in (ours, back):
            assert [name for name, _ in vectors.most_similar(word, 5)] == names
            found = np.array([vectors.similarity(word, name) for name in names])
            assert_near(found, cosines, 1e-5, scale=1.0)


def test_analogy_and_plane_are_plain_geometry() -> None:
    corners = np.array([[1, 0, 5], [1, 1, 5], [-1, 0, 5], [-1, 1, 5], [9, 9, -9.0]])
    vectors = WordVectors(["man", "woman", "king", "queen", "far"], corners)
    assert vectors.analogy("man", "woman", "king", 1)[0][0] == "queen"
    flat = vectors.plane(["man", "woman", "king", "queen"])
    assert flat.shape == (4, 2)
    assert_near(flat.mean(axis=0), np.zeros(2), 1e-6, scale=1.0)
    assert flat.var(axis=0)[0] >= flat.var(axis=0)[1]


def test_what_is_wrong_is_said() -> None:
    vectors = WordVectors(["a", "b"], np.eye(2))
    with pytest.raises(DataError, match="'c'"):
        vectors.most_similar("c")
    with pytest.raises(DataError, match="a row for each"):
        WordVectors(["a"], np.eye(2))
    with pytest.raises(DataError, match="at least 2 words"):
        learn_word_vectors(words_of("only rare words here"))
    for wrong in ({"window": 0}, {"size": -1}, {"seed": 0.5}):
        with pytest.raises(ConfigError, match="wanted"):
            SkipGram(**wrong)  # type: ignore[arg-type]


def test_the_command_line_learns_and_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, out = tmp_path / "text.txt", str(tmp_path / "v.txt")
    text.write_text("\n".join(map(" ".join, worlds())), encoding="utf-8")
    train = ["vectors", "train", str(text), "--out", out, "--size", "16", "--json"]
    assert main([*train, "--epochs", "30", "--subsample", "0", "--workers", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["vocabulary"] == 13
    assert main(["vectors", "similar", out, "cat", "-n", "4", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["nearest"]
    assert {row["word"] for row in rows} == set(WORLDS[0].split()) - {"cat"}
    assert main(["vectors", "analogy", out, "cat", "dog", "red", "--json"]) == 0
    png = tmp_path / "v.png"
    assert main(["vectors", "plot", out, *WORLDS[1].split(), "--out", str(png)]) == 0
    assert png.read_bytes()[:4] == b"\x89PNG"
    capsys.readouterr()
    assert main(["vectors", "plot", out, "cat", "--out", str(png)]) == 1
    assert main(["vectors", "similar", out, "unicorn"]) == 1
    assert capsys.readouterr().err.count("\n") == 2


def test_ctrl_c_ends_the_training_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The workers ask before each block whether to go on."""
    blocks: list[int] = []

    def interrupt(*arguments: Any) -> None:
        blocks.append(1)
        if len(blocks) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.001)

    monkeypatch.setattr(kernels, "train", interrupt)
    with pytest.raises(KeyboardInterrupt):
        learn_word_vectors(worlds(200), SkipGram(size=8, epochs=10**4))
    assert len(blocks) < 1000


def test_a_training_that_diverges_is_said() -> None:
    with pytest.raises(DataError, match=r"lower the learning rate \(1e\+30\)"):
        learn_word_vectors(worlds(300), SkipGram(size=8, learning_rate=1e30, workers=1))


def test_rows_that_end_with_a_blank_are_read(tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_bytes(b"2 3\na 1 2 3 \nb 4 5 6 \r\n")
    found = WordVectors.load(tmp_path / "v.txt")
    assert found.words == ["a", "b"]
    assert found.vectors.tolist() == [[1, 2, 3], [4, 5, 6]]
    (tmp_path / "nan.txt").write_bytes(b"1 2\na 1 nan\n")
    with pytest.raises(DataError, match="finite"):
        WordVectors.load(tmp_path / "nan.txt")
