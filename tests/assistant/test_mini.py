"""The model in the package keeps what its card promises."""

from __future__ import annotations

import dataclasses
import gzip
import lzma
from pathlib import Path

import pytest

import gptlite as gl
from gptlite import recipe
from gptlite.assistant.evaluate import evaluate_task
from gptlite.assistant.stages import bits_per_byte, held_out_text, record
from gptlite.config import configs_from
from gptlite.models.gpt import GPT
from gptlite.tasks.registry import TASKS, load_task
from gptlite.text.chat import SPECIAL
from gptlite.text.tokenizer import Tokenizer
from gptlite.training.run import BOXED, open_run

FOLDER = BOXED["mini"]


@pytest.fixture(scope="module")
def mini() -> tuple[GPT, Tokenizer]:
    model, tokenizer = gl.load("mini")
    return model, tokenizer


def test_it_is_small_and_named_nowhere_by_a_path(mini: tuple[GPT, Tokenizer]) -> None:
    model, tokenizer = mini
    size = sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file())
    assert size < 16 * 2**20
    assert 3e6 <= model.n_params <= 8e6
    assert set(SPECIAL) <= set(getattr(tokenizer, "special", {}))
    for path in FOLDER.glob("*.*"):
        if path.suffix in (".json", ".md"):
            text = path.read_text(encoding="utf-8")
            assert "/tmp" not in text and str(Path.home()) not in text, path.name


def test_its_configuration_is_the_recipes() -> None:
    found = open_run("mini").described()
    model, training = configs_from({**found["model"], **found["training"]})
    V = recipe.CORPUS.vocab_size
    assert model == dataclasses.replace(recipe.MODEL, vocab_size=V)
    assert training == recipe.TALKING
    assert found["finetune"]["tasks"] == recipe.TALKING_WEIGHTS.tasks


def test_its_card_names_data_licences_compute_and_limits() -> None:
    card = (FOLDER / "CARD.md").read_text(encoding="utf-8")
    for part in ("encyclopedia", "CC BY-SA 4.0", "chitchat", "MIT", "public domain",
                 "minutes", "cannot do", *TASKS):  # fmt: skip
        assert part in card


def test_every_task_became_better_by_more_than_the_intervals() -> None:
    rows = record(open_run("mini"))["tasks"]
    assert set(rows) == set(TASKS)
    for name, row in rows.items():
        (low, high), (before, after) = row["interval"], row["pretrained_interval"]
        better = high < before if name == "chat" else low > after
        assert better, name


@pytest.mark.parametrize(
    ("name", "part", "least"),
    [("facts", "known", 0.6), ("facts", "refused", 0.7), ("translate", "", 0.6),
     ("numbers", "", 0.8), ("rewrite", "", 0.7), ("code", "", 0.5)],
)  # fmt: skip
@pytest.mark.slow  # 300 answers each
def test_held_out_questions_are_answered(
    name: str, part: str, least: float, mini: tuple[GPT, Tokenizer]
) -> None:
    found = evaluate_task(load_task(name), *mini, n=300)
    assert (found["parts"][part] if part else found["score"]) >= least


def test_a_few_held_out_tables_are_read_with_the_tool(
    mini: tuple[GPT, Tokenizer],
) -> None:
    assert evaluate_task(load_task("numbers"), *mini, n=24)["score"] > 0.7


def test_held_out_articles_cost_fewer_bits_than_packed(
    mini: tuple[GPT, Tokenizer],
) -> None:
    model, tokenizer = mini
    ids = held_out_text("", tokenizer)["encyclopedia"]
    text = tokenizer.decode_bytes(ids)
    packed = min(len(gzip.compress(text, 9)), len(lzma.compress(text, preset=9)))
    assert bits_per_byte(model, tokenizer, ids) < 8 * packed / len(text)
