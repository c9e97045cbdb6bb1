"""The reward model: slopes, workers, and that it learns what is preferred."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptlite.alignment.reward import (
    GROUP,
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
from gptlite.text.chat import END, SPECIAL, Conversation, conversation
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


@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=5),
    share=st.floats(0, 0.9), seed=st.integers(0, 99),
)  # fmt: skip
def test_thinned_rows_keep_order_their_end_and_what_is_special(
    lengths: list[int], share: float, seed: int
) -> None:
    special, rng = [0, 1], np.random.default_rng(seed)
    last = np.array(lengths) - 1
    ids = rng.integers(0, 9, (len(last), last.max() + 1))
    found = Judged(ids, last, np.arange(len(last) + 1)).thinned(share, special, rng)
    assert found.ids.shape == (len(last), found.last.max() + 1)
    rows = zip(ids, last, found.ids, found.last, strict=True)
    for row, end, thin, thin_end in rows:
        before, after = row[: end + 1].tolist(), thin[: thin_end + 1].tolist()
        assert after[-1] == before[-1]
        assert all(after.count(i) == before.count(i) for i in special)
        rest = iter(before)
        assert all(token in rest for token in after)  # in the same order
        if share == 0:
            assert after == before


def test_a_share_of_the_tokens_is_left_out() -> None:
    ids = np.full((50, 201), 7)
    rows = Judged(ids, np.full(50, 200), np.arange(51))
    found = rows.thinned(0.3, [], np.random.default_rng(0))
    assert found.last.mean() == pytest.approx(140, abs=2)


def right_after(share: float, labelled: list[tuple[Conversation, Conversation]]
                ) -> list[float]:  # fmt: skip
    """Shares of pairs in the right order after training with so many tokens left out:
    of the labelled ones themselves, and of new ones."""
    model, rng = with_head(GPT(CONFIG)), np.random.default_rng(0)
    batch, kept = pairs_of(labelled, TOKENIZER, 24), [TOKENIZER.special[END]]
    with WorkerPool(1) as pool:
        trainer = Trainer(model, TrainConfig(learning_rate=5e-3), pool, REWARD)
        for _ in range(300):
            drawn = batch.take(rng.integers(0, len(batch), 8))
            trainer.step([drawn.thinned(share, kept, rng)])
    found = []
    for some in labelled, examples(200, seed=100):
        better, worse = (
            scores_of(model, TOKENIZER, [p[i] for p in some]) for i in (0, 1)
        )
        found.append(float((better > worse).mean()))
    return found


def test_with_tokens_left_out_wrong_labels_are_not_learned_by_heart() -> None:
    # one label in four is wrong
    labelled = [
        (worse, better) if i % 4 == 0 else (better, worse)
        for i, (better, worse) in enumerate(examples(60))
    ]
    (heart, new), (heart_without, new_without) = (
        right_after(share, labelled) for share in (0.0, 0.3)
    )
    assert heart > heart_without + 0.1  # of its labels 0.75 are right
    assert new_without > max(0.9, new + 0.1)


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
            trainer.step([batch.take(rng.integers(0, len(batch), 8))])
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


def asked(prompt: str, text: str) -> Conversation:
    return conversation(("user", prompt), ("assistant", text))


def test_answers_to_a_prompt_are_read_once_however_often_compared() -> None:
    rng, model = np.random.default_rng(0), in_float64(adapter=False)
    pairs = []
    for prompt in ("owl", "fox cat", "dog"):
        texts = [" ".join(WORDS[i] for i in rng.integers(0, 6, n)) for n in (1, 2, 3)]
        pairs += [[asked(prompt, texts[i]) for i in two] for two in ((0, 1), (2, 1))]
    pairs = [(pairs[i][0], pairs[i][1]) for i in rng.permutation(6)]
    batch = pairs_of(pairs, TOKENIZER, 24)
    assert (len(batch), len(batch.ids), batch.n_tokens) == (3, 9, 6)
    alone = [pairs_of([pair], TOKENIZER, 24) for pair in pairs]
    found = []
    for some in ([batch], alone):
        g, loss = model.params.like(), 0.0
        for x in some:
            a = model.activations(*x.ids.shape)
            loss += judge(model, g, a, x)[0]
        found.append((loss, g.flat))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-12)
    np.testing.assert_allclose(found[0][1], found[1][1], atol=1e-12)


def test_parts_keep_answers_to_a_prompt_together() -> None:
    pairs = [(asked(WORDS[i], "please"), asked(WORDS[i], "dog")) for i in range(4)]
    pairs += [(asked("cat", "thanks"), asked("cat", "dog"))]
    batch = pairs_of(pairs, TOKENIZER, 24)
    parts = [batch.part(rank, 3) for rank in range(3)]
    assert [len(part) for part in parts] == [2, 1, 1]
    assert [part.n_tokens for part in parts] == [2, 1, 2]
    assert parts[2].pairs.tolist() == [[0, 1], [2, 1]]
    again = batch.take(np.array([3, 2, 2]))  # drawn twice, it counts twice
    assert len(again.ids) == 2 + 3 + 3
    assert again.pairs.tolist() == [[0, 1], [2, 3], [4, 3], [5, 6], [7, 6]]


def test_a_group_has_a_limit_and_other_prompts_have_their_own() -> None:
    many = pairs_of(examples(30), TOKENIZER, 24)  # all of one prompt
    assert max(np.diff(many.starts)) <= GROUP and many.n_tokens == 30
    apart = [(asked("owl", "please"), asked("dog", "please"))] * 2
    assert len(pairs_of(apart, TOKENIZER, 24)) == 1  # both of the same two


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(DataError, match="to judge"):
        pairs_of([], TOKENIZER, 24)
    model: Any = with_head(GPT(CONFIG))
    assert has_head(model) and not has_head(GPT(CONFIG))
    with pytest.raises(ConfigError, match="without a head"):
        with_head(model)
