"""Evaluation in stages, runs with an adapter, and the recipe of the boxed model."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gptlite import recipe
from gptlite.assistant import stages
from gptlite.cli import main
from gptlite.config import CorpusConfig, FinetuneConfig, GPTConfig
from gptlite.corpus.build import build_corpus
from gptlite.corpus.corpus import validation_tokens
from gptlite.corpus.gather import in_validation
from gptlite.corpus.readers import sample_documents
from gptlite.errors import CheckpointError, ConfigError, DataError
from gptlite.models import checkpoint
from gptlite.models.gpt import GPT
from gptlite.tasks.chat import sample_dialogues, without_tests
from gptlite.tasks.facts import Facts
from gptlite.training.finetune import finetune
from gptlite.training.pretrain import pretrain
from gptlite.training.run import BOXED, Run, open_run
from tests.helpers import FAST, assert_same_bits

TINY = GPTConfig(n_layer=1, n_head=2, n_embd=32, context_length=160)
TUNING = dataclasses.replace(FAST, sample_every=0, steps=4)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the package's dialogues and articles."""
    folder = tmp_path_factory.mktemp("base")
    found = sample_documents()
    texts = {name: found[name] for name in ("encyclopedia", "dialogue")}
    build_corpus(folder / "corpus", texts, CorpusConfig(vocab_size=400))
    pretrain(str(folder / "run"), str(folder / "corpus"), TINY, FAST)
    return folder / "run"


def tuned(base: Path, out: Path, **changes: Any) -> Path:
    what = FinetuneConfig("rewrite,translate", conversations=200, **changes)
    finetune(str(base), str(out), TUNING, what)
    return out


def test_a_run_with_an_adapter_is_small_and_loads_as_the_merged_model(
    base: Path, tmp_path: Path
) -> None:
    what = FinetuneConfig("rewrite", conversations=200, rank=2)
    config = dataclasses.replace(TUNING, learning_rate=0.1)
    result = finetune(str(base), str(tmp_path / "lora"), config, what)
    run, ids = Run(tmp_path / "lora"), np.arange(6)[None]
    model, _ = run.load()
    assert not np.array_equal(model.logits(ids), Run(base).load()[0].logits(ids))
    np.testing.assert_allclose(model.logits(ids), result.model.logits(ids), atol=1e-4)
    stored = run.checkpoint_file.stat().st_size
    assert stored < Run(base).checkpoint_file.stat().st_size / 4


def test_an_adapter_goes_on_to_the_same_bits(base: Path, tmp_path: Path) -> None:
    what = FinetuneConfig("rewrite", conversations=200, rank=2)
    twice = dataclasses.replace(TUNING, steps=8)
    whole = finetune(str(base), str(tmp_path / "a"), twice, what).model
    stopped = dataclasses.replace(twice, seconds=1e-9)  # at once
    finetune(str(base), str(tmp_path / "b"), stopped, what)
    again = finetune(str(base), str(tmp_path / "b"), twice, what, resume=True).model
    assert_same_bits(again.params.flat, whole.params.flat)


def test_an_adapter_for_another_model_is_refused(base: Path, tmp_path: Path) -> None:
    tuned(base, tmp_path / "lora", rank=2)
    run = Run(tmp_path / "lora")
    other = tmp_path / "other"
    corpus = base.parent / "corpus"
    pretrain(str(other), str(corpus), TINY, dataclasses.replace(FAST, seed=1))
    described = run.described() | {"base": str(other)}
    run.config_file.write_text(json.dumps(described))
    with pytest.raises(CheckpointError, match="other weights"):
        run.load()
    with pytest.raises(DataError, match="base_sha256"):
        what = FinetuneConfig("rewrite", conversations=200, rank=2)
        finetune(str(other), str(run.folder), TUNING, what, resume=True)


def test_an_exported_run_is_float16_and_names_no_folder(
    base: Path, tmp_path: Path
) -> None:
    run = Run(base).export(tmp_path / "model", finetune={})
    assert str(base.parent) not in run.config_file.read_text()
    half, whole = run.load()[0], Run(base).load()[0]
    rounded = whole.params.flat.astype(np.float16).astype(np.float32)
    assert_same_bits(half.params.flat, rounded)
    size = run.checkpoint_file.stat().st_size
    assert size < 2.2 * whole.n_params + 10_000


def test_every_stage_is_measured(base: Path, tmp_path: Path) -> None:
    folder = tuned(base, tmp_path / "tuned")
    found = stages.evaluate_run(str(folder), ["rewrite", "chat"], 8)
    assert found["stage"] == "fine-tuned"
    row = found["tasks"]["chat"]
    assert row["score"] < row["pretrained"] < row["random"] < 8.0 == row["baseline"]
    assert len(found["tasks"]["rewrite"]["samples"]) == 5
    bits = found["bits_per_byte_stages"]
    assert bits["pretrained"]["encyclopedia"] < bits["random"]["encyclopedia"]
    assert found["bits_per_byte"] == bits["fine-tuned"]
    stages.picture(found, tmp_path / "scores.png")
    assert (tmp_path / "scores.png").stat().st_size > 5000


def test_a_run_without_its_base_says_what_was_measured_before(
    base: Path, tmp_path: Path
) -> None:
    run = Run(tuned(base, tmp_path / "tuned")).export(tmp_path / "model", finetune={})
    before = {"tasks": {"chat": {"pretrained": 2.5, "pretrained_interval": [2, 3]}}}
    (run.folder / stages.RECORD).write_text(json.dumps(before))
    found = stages.evaluate_run(str(run.folder), ["chat", "rewrite"], 4)
    assert found["tasks"]["chat"]["pretrained"] == 2.5
    assert found["tasks"]["rewrite"]["pretrained"] is None
    assert set(found["bits_per_byte_stages"]) == {"random", "fine-tuned"}


def test_bits_per_byte_of_a_model_that_knows_nothing(base: Path) -> None:
    _, tokenizer = Run(base).load()
    V = tokenizer.vocab_size
    model = GPT(dataclasses.replace(TINY, vocab_size=V))
    model.params.flat[:] = 0  # all logits are 0
    ids = tokenizer.encode("All human beings are born free and equal. " * 9)
    size = len(tokenizer.decode_bytes(ids[1:]))
    bits = stages.bits_per_byte(model, tokenizer, ids)
    np.testing.assert_allclose(bits, (len(ids) - 1) * np.log2(V) / size, rtol=1e-5)


def test_the_sample_has_texts_that_every_corpus_sets_aside(base: Path) -> None:
    corpus, config = base.parent / "corpus", CorpusConfig()
    kept = validation_tokens(corpus)
    _, tokenizer = Run(base).load()
    text = tokenizer.decode(kept["encyclopedia"])
    held_out = [d.text for d in sample_documents()["encyclopedia"]
                if in_validation(d, config)]  # fmt: skip
    assert 10 < len(held_out) < 100
    assert all(document in text for document in held_out)


def test_facts_tells_known_from_refused() -> None:
    asked = Facts().test(10)
    scores = [1.0 if c[-1].content.startswith(("I don't", "Je ne")) else 0.59
              for c in asked]  # fmt: skip
    assert Facts().parts(asked, scores) == {"known": 0.0, "refused": 1.0}


def test_pretraining_does_not_see_the_dialogues_of_the_test() -> None:
    documents = list(sample_documents()["dialogue"])
    kept = "\n".join(d.text for d in without_tests(documents))
    _, tested = sample_dialogues()
    long = [turn for turns in tested for turn in turns if len(turn) >= 40]
    assert len(long) > 50
    assert not [turn for turn in long if turn in kept]


@pytest.mark.slow  # every task is answered by three models
def test_the_recipe_makes_a_model_and_goes_on_where_it_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["recipe", "mini", "--sample", "--scale", "0.0005",
               "--out", str(tmp_path)]  # fmt: skip
    assert main(command) == 0
    model, _ = Run(tmp_path / "model").load()
    assert model.config.n_layer == recipe.MODEL.n_layer
    card = (tmp_path / "model" / "CARD.md").read_text(encoding="utf-8")
    assert "CC BY-SA 4.0" in card and str(tmp_path) not in card
    made = (tmp_path / "finetuned" / "checkpoint" / "last.safetensors").stat()
    assert main([*command, "--json"]) == 0
    again = (tmp_path / "finetuned" / "checkpoint" / "last.safetensors").stat()
    assert again.st_mtime_ns == made.st_mtime_ns
    capsys.readouterr()
    assert main([*command[:-2], "--scale", "0.1", "--out", str(tmp_path)]) == 1
    assert "another --out" in capsys.readouterr().err


def test_a_scaled_training_warms_up_in_time() -> None:
    short = recipe.scaled(recipe.PRETRAINING, 0.001)
    assert 0 < short.steps < 20 and short.warmup_steps <= short.steps
    with pytest.raises(ConfigError, match="scale"):
        recipe.run_mini("nowhere", scale=float("nan"))


def test_the_model_in_the_box_gives_way_to_a_run_of_its_name(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(BOXED, "mini", tmp_path / "package" / "mini")
    with pytest.raises(CheckpointError, match="gptlite recipe mini"):
        open_run("mini")
    Run(base).export(tmp_path / "package" / "mini")
    assert open_run("mini").folder == BOXED["mini"]
    Run(base).export(tmp_path / "mini")
    assert open_run("mini").folder == Path("mini")
    assert checkpoint.metadata(open_run("mini").checkpoint_file)
