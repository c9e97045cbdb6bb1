"""The reward model: slopes, workers, and that it learns what is preferred."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gptlite.alignment.reward import (
    REWARD,
    Judged,
    centred,
    graded,
    judge,
    judge_loss,
    pairs_of,
    scores_of,
)
from gptlite.config import GPTConfig, TrainConfig
from gptlite.errors import ConfigError, DataError
from gptlite.gradcheck import gradient_check
from gptlite.models.gpt import GPT
from gptlite.models.head import has_head, with_head
from gptlite.models.lora import LoRA
from gptlite.ops import reference
from gptlite.parallel.pool import WorkerPool
from gptlite.text.chat import SPECIAL, Conversation, conversation
from gptlite.text.learn import train_bpe
from gptlite.training.step import Trainer

WORDS = ["owl", "fox", "cat", "dog", "please", "thanks"]
TOKENIZER = train_bpe([" ".join(WORDS)] * 9, 300, special=SPECIAL)
CONFIG = GPTConfig(2, 2, 16, context_length=24, vocab_size=TOKENIZER.vocab_size)


def said(text: str) -> Conversation:
    return conversation(("user", "owl fox"), ("assistant", text))


def examples(n: int, seed: int = 0) -> list[tuple[Conversation, Conversation]]:
    """Polite answers are better."""
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(n):
        words = [WORDS[i] for i in rng.integers(0, 4, 4)]
        polite = list(words)
        polite[int(rng.integers(4))] = WORDS[4 + int(rng.integers(2))]
        pairs.append((said(" ".join(polite)), said(" ".join(words))))
    return pairs


def in_float64(adapter: bool) -> GPT:
    base = GPT(CONFIG, ops=reference, dtype=np.float64)
    model = with_head(LoRA(base, 2) if adapter else base)
    rng = np.random.default_rng(1)
    model.params.flat[:] += 0.03 * rng.normal(size=model.n_params)
    return model


@pytest.mark.parametrize("adapter", [False, True])
@pytest.mark.parametrize("kind", ["pairs", "grades"])
def test_gradients_are_the_slopes(kind: str, adapter: bool) -> None:
    model, pairs = in_float64(adapter), examples(3)
    batch = pairs_of(pairs, TOKENIZER, 24)
    if kind == "grades":
        talks = [c for pair in pairs for c in pair]
        batch = graded(talks, np.arange(6) / 3, TOKENIZER, 24)
    g, a = model.params.like(), model.activations(*batch.ids.shape)
    loss, _ = judge(model, g, a, batch)
    assert loss == pytest.approx(judge_loss(model, a, batch), rel=1e-12)
    check = gradient_check(
        lambda: judge_loss(model, a, batch), dict(model.params.tensors()),
        dict(g.tensors()), rng=np.random.default_rng(0),
        step=1e-6,  # weights of 0.02 under a norm: the slope itself bends quickly
    )  # fmt: skip
    assert check.passed, check


def test_two_workers_equal_one() -> None:
    found = []
    for workers in (1, 2):
        model = with_head(GPT(CONFIG))
        batch = pairs_of(examples(7), TOKENIZER, 24)
        with WorkerPool(workers) as pool:
            trainer = Trainer(model, TrainConfig(learning_rate=1e-2), pool, REWARD)
            results = [trainer.step([batch]) for _ in range(5)]
        found.append(model.params.flat.copy())
    np.testing.assert_allclose(*found, atol=2e-4)
    assert results[-1].n_tokens == 7
    assert 0 <= results[-1].means["right"] <= 1


def test_it_learns_what_is_preferred_and_scores_what_it_has_not_seen() -> None:
    model, rng = with_head(GPT(CONFIG)), np.random.default_rng(0)
    batch = pairs_of(examples(200), TOKENIZER, 24)
    with WorkerPool(1) as pool:
        trainer = Trainer(model, TrainConfig(learning_rate=3e-3), pool, REWARD)
        for _ in range(60):
            trainer.step([batch.take(rng.integers(0, 200, 32))])
    new = examples(100, seed=1)
    better, worse = (scores_of(model, TOKENIZER, [p[i] for p in new]) for i in (0, 1))
    assert (better > worse).mean() > 0.95
    everything = np.concatenate([better, worse])
    spread = centred(model, everything)
    assert spread == pytest.approx(everything.std())
    again = scores_of(model, TOKENIZER, [p[0] for p in new])
    np.testing.assert_allclose(
        again, (better - everything.mean()) / everything.std(), rtol=1e-3, atol=1e-3
    )


def test_scores_do_not_depend_on_the_company() -> None:
    model = with_head(GPT(CONFIG))
    model.params["head"][...] = np.random.default_rng(0).normal(size=16)
    talks = [said(" ".join(WORDS[: 1 + i % 6])) for i in range(9)]
    alone = np.concatenate([scores_of(model, TOKENIZER, [talk]) for talk in talks])
    together = scores_of(model, TOKENIZER, talks)
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_parts_keep_pairs_together() -> None:
    batch = pairs_of(examples(5), TOKENIZER, 24)
    parts = [batch.part(rank, 3) for rank in range(3)]
    assert [len(part) for part in parts] == [2, 2, 1]
    pairs = batch.last.reshape(-1, 2)
    for rank, part in enumerate(parts):
        assert (part.last.reshape(-1, 2) == pairs[rank::3]).all()
    assert Judged(batch.ids, batch.last, np.zeros(10)).rows_each == 1


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(DataError, match="to judge"):
        pairs_of([], TOKENIZER, 24)
    model: Any = with_head(GPT(CONFIG))
    assert has_head(model) and not has_head(GPT(CONFIG))
    with pytest.raises(ConfigError, match="without a head"):
        with_head(model)
