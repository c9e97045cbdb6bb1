"""Fine-tuning: the loop of pretraining, on what an assistant says."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gptlite.config import CorpusConfig, FinetuneConfig, GPTConfig, TrainConfig
from gptlite.corpus.build import build_corpus
from gptlite.corpus.documents import Document
from gptlite.errors import ConfigError, DataError
from gptlite.models.answer import answers
from gptlite.text.chat import SPECIAL, Conversation, conversation, pack, render
from gptlite.text.learn import train_bpe
from gptlite.training import conversations
from gptlite.training import finetune as finetuning
from gptlite.training.conversations import (
    MOST,
    assistant_task,
    chained,
    draw_conversations,
    joined,
    mixture,
    rows_of,
)
from gptlite.training.finetune import finetune
from gptlite.training.pretrain import pretrain
from gptlite.training.run import Run
from tests.helpers import FAST, assert_same_bits

WORDS = ["owl", "fox", "cat", "dog"]
MODEL = GPTConfig(n_layer=2, n_head=2, n_embd=32, context_length=48)


class Echo:
    """Say a word again: a task for tests."""

    name, source, metric = "echo", "made up", "the same word"

    def draw(self, rng: np.random.Generator) -> Conversation:
        word = WORDS[int(rng.integers(len(WORDS)))]
        return conversation(("user", f"say {word}"), ("assistant", word))

    def test(self, n: int) -> list[Conversation]:
        return [self.draw(np.random.default_rng(i)) for i in range(n)]

    def score(self, asked: Conversation, answer: str) -> float:
        return float(answer == asked[-1].content)

    def baseline(self, asked: Conversation, rng: np.random.Generator) -> str:
        return "owl"


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run on a corpus whose tokenizer has the tokens of a chat."""
    monkeypatch.setattr(conversations, "TASKS", {"echo": ("", "")})
    monkeypatch.setattr(finetuning, "load_task", lambda name: Echo())
    documents = [Document(f"say {w} {w} {i}: the {w} is {i * i}")
                 for i in range(30) for w in WORDS]  # fmt: skip
    build_corpus(tmp_path / "corpus", {"x": documents}, CorpusConfig(vocab_size=300))
    pretrain(str(tmp_path / "base"), str(tmp_path / "corpus"), MODEL, FAST)
    return tmp_path / "base"


def training(**changes: Any) -> TrainConfig:
    return dataclasses.replace(FAST, sample_every=0, **changes)


WHAT = FinetuneConfig(tasks="echo", conversations=200)


def test_it_learns_to_answer(base: Path) -> None:
    config = training(steps=120, learning_rate=1e-2, batch_size=8, eval_every=0)
    result = finetune(str(base), str(base.parent / "tuned"), config, WHAT)
    asked = [(c[0],) for c in Echo().test(8)]
    found = answers(result.model, result.tokenizer, asked, lambda call, so_far: "",
                    rng=np.random.default_rng(0))  # fmt: skip
    right = [a.text == c[1].content for a, c in zip(found, Echo().test(8), strict=True)]
    assert all(right)
    assert all(a.finished for a in found)
    described = json.loads(Run(base.parent / "tuned").config_file.read_text())
    assert described["base"] == str(base)
    assert described["finetune"]["tasks"] == "echo"


def test_some_conversations_follow_one_another_and_none_is_lost() -> None:
    rng = np.random.default_rng(0)
    tokenizer = train_bpe(["say owl"], 270, special=SPECIAL)
    each = [render(Echo().draw(rng), tokenizer) for _ in range(200)]
    longest = 3 * max(map(len, each))
    rows = chained(each, 0.5, longest, rng=rng)
    for name in ("ids", "learned"):  # the same turns in the same order
        before, after = (np.concatenate([getattr(one, name) for one in some])
                         for some in (each, rows))  # fmt: skip
        np.testing.assert_array_equal(before, after)
    sizes = [len(row) for row in rows]
    assert max(sizes) <= longest and len(each) / MOST < len(rows) < 0.8 * len(each)
    assert len(chained(each, 0.0, longest, rng=rng)) == len(each)


def test_a_run_without_text_of_its_own_takes_its_bases(base: Path) -> None:
    """Fine-tuned twice, there is still the pretraining's text to be replayed."""
    what = dataclasses.replace(WHAT, replay=0.5)
    config = training(steps=2, batch_size=4, eval_every=0)
    finetune(str(base), str(base.parent / "once"), config, what)
    finetune(str(base.parent / "once"), str(base.parent / "twice"), config, what)
    line = [run.folder.name for run in Run(base.parent / "twice").lineage()]
    assert line == ["twice", "once", "base"]
    Run(base.parent / "once").export(base.parent / "alone", finetune={})
    with pytest.raises(ConfigError, match="--replay 0"):
        finetune(str(base.parent / "alone"), str(base.parent / "x"), config, what)


def test_a_resumed_run_has_the_same_bits(base: Path) -> None:
    folder = base.parent
    flat = {"final_learning_rate": FAST.learning_rate, "warmup_steps": 0}
    for out, steps in (("whole", 6), ("parts", 3)):
        finetune(str(base), str(folder / out), training(steps=steps, **flat), WHAT)
    finetune(str(base), str(folder / "parts"), training(steps=6, **flat), WHAT, True)
    whole, parts = (Run(folder / n).load()[0].params.flat for n in ("whole", "parts"))
    assert_same_bits(whole, parts)


def test_text_of_the_pretraining_can_be_among_the_rows(base: Path) -> None:
    what = dataclasses.replace(WHAT, replay=0.5)
    run, config = Run(base), training(batch_size=4)
    _, tokenizer = run.load()
    task = finetuning.task_of(run, tokenizer, 48, config, what)
    batch = task.next_batch(np.random.default_rng(0))
    assert batch.mask[2:].all() and not batch.mask[:2].all()
    finetune(str(base), str(base.parent / "tuned"), config, what)
    for file in (base.parent / "corpus").glob("*.json"):
        file.unlink()
    with pytest.raises(DataError):
        finetune(str(base), str(base.parent / "again"), config, what)


def test_it_stops_when_the_held_out_loss_no_longer_falls(base: Path) -> None:
    config = training(steps=500, learning_rate=3e-2, eval_every=5, patience=2)
    result = finetune(str(base), str(base.parent / "tuned"), config, WHAT)
    losses = [r["val_loss"] for r in result.run.metrics() if "val_loss" in r]
    assert 10 < result.summary.steps < 500
    assert not result.summary.interrupted
    assert min(losses[-2:]) >= min(losses[:-2])


def test_training_reads_nothing_that_is_held_out(base: Path) -> None:
    from gptlite.tasks.held_out import held_out

    class Peeks(Echo):
        def draw(self, rng: np.random.Generator) -> Conversation:
            held_out("facts")
            return super().draw(rng)

    _, tokenizer = Run(base).load()
    with pytest.raises(DataError, match="while training"):
        draw_conversations({"echo": Peeks()}, {"echo": 1.0}, 3, tokenizer, 40,
                           rng=np.random.default_rng(0))  # fmt: skip


def test_rows_are_chosen_and_joined(base: Path) -> None:
    _, tokenizer = Run(base).load()
    batch = pack([render(c, tokenizer) for c in Echo().test(40)], 24)
    some = rows_of(batch, np.array([3, 0]))
    assert np.array_equal(some.ids, batch.ids[[3, 0]])
    both = joined(some, batch.rows(1, 2))
    assert both.ids.shape == (3, 24)
    assert both.n_tokens == some.n_tokens + batch.rows(1, 2).n_tokens


def test_mixtures(monkeypatch: pytest.MonkeyPatch) -> None:
    assert mixture("facts=2, rewrite") == {"facts": 2.0, "rewrite": 1.0}
    assert set(mixture("").values()) == {1.0}
    for text, message in (
        ("fact", "did you mean 'facts'"), ("facts=many", "a weight such as facts=2"),
        ("facts=0", "a weight > 0"), ("facts=nan", "a weight > 0"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=message):
            mixture(text)


def test_bad_requests_are_named(base: Path) -> None:
    with pytest.raises(ConfigError, match="another folder"):
        finetune(str(base), str(base / "."), training(), WHAT)
    few = dataclasses.replace(WHAT, conversations=1)
    with pytest.raises(DataError, match="at least 2 conversations"):
        finetune(str(base), str(base.parent / "tuned"), training(), few)
    plain = base.parent / "plain"
    pretrain(str(plain), "sample", MODEL, dataclasses.replace(FAST, steps=1))
    with pytest.raises(DataError, match="a tokenizer with the tokens of a chat"):
        finetune(str(plain), str(base.parent / "tuned"), training(), WHAT)


def test_a_part_of_what_is_held_back_stands_for_all_of_it() -> None:
    """Packed, the longest come first; a measure of some rows is not of the longest."""
    tokenizer = train_bpe(["owl fox cat dog"] * 9, 300, special=SPECIAL)
    talks = [conversation(("user", "say"), ("assistant", "owl " * (1 + i % 20)))
             for i in range(4000)]  # fmt: skip
    rendered = [render(talk, tokenizer) for talk in talks]
    task = assistant_task(rendered, tokenizer, TrainConfig(batch_size=4), 100)
    share = [np.mean([b.mask.mean() for b in task.validation(n)]) for n in (8, 0)]
    assert abs(share[0] - share[1]) < 0.05
