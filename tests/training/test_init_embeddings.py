"""A run may begin from a tokenizer that is there, and from vectors of its tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gptlite.cli import main
from gptlite.config import GPTConfig, TrainConfig
from gptlite.errors import ConfigError, DataError
from gptlite.models import checkpoint
from gptlite.models.gpt import GPT
from gptlite.text.learn import train_bpe
from gptlite.text.token_vectors import set_rows, token_names
from gptlite.text.tokenizer import Tokenizer
from gptlite.text.word_vectors import WordVectors
from gptlite.training.loop import Loop
from gptlite.training.pretrain import pretrain
from gptlite.training.run import Run
from tests.helpers import FAST, assert_same_bits, normal

TEXT = "".join(f"line {i}: the cat sat on the mat, {i * i}\n" for i in range(80))
SMALL = GPTConfig(n_layer=1, n_head=2, n_embd=16, context_length=12)
FLAGS = ["--n-layer", "1", "--n-head", "2", "--n-embd", "16", "--context-length", "12",
         "--steps", "2", "--workers", "1", "--json"]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a text, a tokenizer for it, and vectors of all its tokens but ten."""
    tokenizer = train_bpe([TEXT], 280)
    (tmp_path / "text.txt").write_text(TEXT, "utf-8")
    (tmp_path / "t.json").write_text(json.dumps(tokenizer.to_json()), "utf-8")
    names = list(token_names(tokenizer).values())[10:]
    rows = normal(np.random.default_rng(1), len(names), 16)
    WordVectors(names, rows).save(tmp_path / "v", binary=True)
    return tmp_path


def config(folder: Path, **changes: Any) -> TrainConfig:
    fields = {name: getattr(FAST, name) for name in FAST.__slots__}
    return TrainConfig(**{**fields, "tokenizer": str(folder / "t.json"), **changes})


def test_a_run_uses_the_tokenizer_of_a_file_and_needs_it_no_more(folder: Path) -> None:
    file, out = folder / "t.json", folder / "run"
    result = pretrain(str(out), str(folder / "text.txt"), SMALL, config(folder))
    assert result.rows_set == 0
    assert result.model.config.vocab_size == result.tokenizer.vocab_size == 280
    assert Run(out).read_config()[2].tokenizer == str(file)
    assert json.loads(Run(out).tokenizer_file.read_text()) == json.loads(
        file.read_text("utf-8")
    )
    file.unlink()
    longer = ["pretrain", "--resume", "--out", str(out), "--steps", "9", "--json"]
    assert main(longer) == 0
    with pytest.raises(DataError, match=r"t\.json"):
        pretrain(str(out), str(folder / "text.txt"), SMALL, config(folder))


@pytest.mark.parametrize("workers", [1, 2])
def test_the_first_step_begins_from_the_vectors(
    folder: Path, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stop(Exception):
        """Before any training."""

    def stop(self: Loop) -> None:
        raise Stop

    monkeypatch.setattr(Loop, "train", stop)
    with pytest.raises(Stop):
        pretrain(
            str(folder / "run"), str(folder / "text.txt"), SMALL,
            config(folder, workers=workers, seed=5), init_embeddings=str(folder / "v"),
        )  # fmt: skip
    found = checkpoint.load_model(Run(folder / "run").checkpoint_file)
    tokenizer: Tokenizer = Run(folder / "run").load()[1]
    wanted = GPT(found.config, rng=np.random.default_rng(5))
    table = wanted.params.token_embedding
    random = table.copy()
    vectors = WordVectors.load(folder / "v", binary=True)
    assert set_rows(table, vectors, tokenizer) == 270
    assert_same_bits(found.params.flat, wanted.params.flat)
    assert (table != random).any(axis=1).sum() == 270


def test_the_command_says_how_many_rows_were_set(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["pretrain", "--text", str(folder / "text.txt"), *FLAGS,
               "--tokenizer", str(folder / "t.json")]  # fmt: skip
    start = ["--init-embeddings", str(folder / "v")]
    assert main([*command, "--out", str(folder / "a"), *start]) == 0
    assert json.loads(capsys.readouterr().out)["embedding_rows_set"] == 270
    assert main([*command, "--out", str(folder / "b")]) == 0
    assert "embedding_rows_set" not in json.loads(capsys.readouterr().out)
    losses = [Run(folder / name).metrics()[0]["loss"] for name in "ab"]
    assert losses[0] != losses[1]
    assert main(["pretrain", "--resume", "--out", str(folder / "a"), *start]) == 1
    assert "leave out --init-embeddings" in capsys.readouterr().err


def test_vectors_that_do_not_fit_destroy_nothing(folder: Path) -> None:
    out, text = str(folder / "run"), str(folder / "text.txt")
    pretrain(out, text, SMALL, config(folder))
    before = {p: p.read_bytes() for p in Path(out).rglob("*") if p.is_file()}
    WordVectors(["a", "b"], np.ones((2, 5))).save(folder / "narrow")
    WordVectors(["two words"], np.ones((1, 16))).save(folder / "foreign")
    for name, error, wanted in (
        ("narrow", ConfigError, "n_embd = 16 numbers, got vectors of 5"),
        ("foreign", DataError, "none among 1: two_words"),
        ("absent", DataError, "No such file"),
    ):
        with pytest.raises(error, match=wanted):
            pretrain(
                out, text, SMALL, config(folder), init_embeddings=str(folder / name)
            )
    assert {p: p.read_bytes() for p in Path(out).rglob("*") if p.is_file()} == before
    assert not list(folder.glob("run.*"))
