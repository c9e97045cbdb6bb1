"""A policy's losses: slopes, workers, and what was sampled is what is read again."""

from __future__ import annotations

import numpy as np
import pytest

from gptlite.alignment.batches import alike
from gptlite.alignment.experience import (
    Experience,
    sample_answers,
    targets_of,
)
from gptlite.alignment.policy import PolicyLoss
from gptlite.alignment.reader import Reader
from gptlite.batch import Batch
from gptlite.config import GPTConfig, TrainConfig
from gptlite.errors import DataError
from gptlite.gradcheck import gradient_check
from gptlite.models.gpt import GPT
from gptlite.models.head import with_head
from gptlite.models.lora import LoRA
from gptlite.ops import reference
from gptlite.parallel.pool import WorkerPool
from gptlite.text.chat import END, SPECIAL, conversation, special_ids
from gptlite.text.learn import train_bpe
from gptlite.training.step import Trainer

TOKENIZER = train_bpe(["owl fox cat dog please thanks"] * 9, 300, special=SPECIAL)
CONFIG = GPTConfig(2, 2, 16, context_length=24, vocab_size=TOKENIZER.vocab_size)
PROMPTS = [conversation(("user", text)) for text in ("owl", "fox cat", "dog", "cat")]


def model_of(adapter: bool = False, exact: bool = False) -> GPT:
    """A policy that is not at its beginning."""
    more = {"ops": reference, "dtype": np.float64} if exact else {}
    base = GPT(CONFIG, **more)  # type: ignore[arg-type]
    model = with_head(LoRA(base, 2) if adapter else base)
    noise = np.random.default_rng(1).normal(size=model.n_params)
    model.params.flat[:] += (0.1 * noise).astype(model.params.flat.dtype)
    return model


def experience(model: GPT, spread: float = 0.0, seed: int = 0) -> Experience:
    """What a policy that differs by `spread` nats a token has done."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, CONFIG.vocab_size, (4, 9))
    mask = np.arange(9) >= np.array([2, 3, 4, 2])[:, None]
    mask[:, -1] = False
    mask[0, 6:] = False
    with WorkerPool(1) as pool:
        logp, values = Reader(model, pool).read(ids, mask)
    noise = rng.normal(size=(5, 4, 9))
    return Experience(
        ids, targets_of(ids), mask, logp + spread * noise[0], logp + noise[1],
        values + 2 * noise[2], noise[3], values + 2 * noise[4],
    )  # fmt: skip


LOSS = PolicyLoss(value_weight=0.3, entropy_weight=0.2, kl_weight=0.1)


@pytest.mark.parametrize("adapter", [False, True])
@pytest.mark.parametrize("spread", [0.0, 1.0])  # all inside the clip; many outside
def test_gradients_are_the_slopes(adapter: bool, spread: float) -> None:
    model = model_of(adapter, exact=True)
    x = experience(model, spread)
    g, a = model.params.like(), model.activations(*x.ids.shape)
    sums = LOSS.run(model, g, a, x)
    outside = sums[-1]
    assert (outside > 5) == (spread > 0)
    assert sums[0] == pytest.approx(LOSS.measure(model, a, x), rel=1e-12)
    check = gradient_check(
        lambda: LOSS.measure(model, a, x), dict(model.params.tensors()),
        dict(g.tensors()), rng=np.random.default_rng(0),
        step=3e-7,  # the slope itself bends quickly, as in test_reward
    )  # fmt: skip
    assert check.passed, check


def test_at_ratio_one_it_is_reinforce_with_a_baseline() -> None:
    """Gradients of −Σ A·log p, as weighted cross-entropy gives them, row by row."""
    model = model_of(exact=True)
    x = experience(model)
    loss = PolicyLoss(clip=1e9, value_weight=0.0)
    found, a = model.params.like(), model.activations(*x.ids.shape)
    loss.run(model, found, a, x)
    wanted = model.params.like()
    for b, t in zip(*np.nonzero(x.mask), strict=True):
        one, alone = np.zeros_like(x.mask), model.params.like()
        one[b, t] = True
        targets = np.roll(x.ids, -1, axis=1)
        model.loss_and_gradients(alone, a, Batch(x.ids, targets, one))
        wanted.flat[:] += x.advantages[b, t] * alone.flat
    scale = np.abs(wanted.flat).max()
    np.testing.assert_allclose(found.flat, wanted.flat, atol=1e-12 * max(scale, 1))


@pytest.mark.parametrize("adapter", [False, True])
def test_what_was_sampled_is_what_is_read_again(adapter: bool) -> None:
    model = model_of(adapter)
    found = sample_answers(model, TOKENIZER, PROMPTS, 12, rng=np.random.default_rng(0))
    with WorkerPool(2) as pool:
        again = Reader(model, pool).read(found.ids, found.mask)
    for read, sampled in zip(again, (found.logp, found.values), strict=True):
        np.testing.assert_allclose(read[found.mask], sampled[found.mask], atol=1e-5)
        assert (read[~found.mask] == 0).all() and (sampled[~found.mask] == 0).all()
        assert np.ptp(sampled[found.mask]) > 0.01


def test_an_answer_ends_with_its_end_and_what_follows_does_not_count() -> None:
    model, end = model_of(), special_ids(TOKENIZER)[END]
    model.params.token_embedding[end] *= 12  # ends often
    rng = np.random.default_rng(3)
    found = sample_answers(model, TOKENIZER, PROMPTS * 8, 12, rng=rng)
    assert 0 < found.finished.sum() < 32
    targets = np.roll(found.ids, -1, axis=1)
    for b in range(32):
        chosen = targets[b][found.mask[b]]
        assert (end in chosen) == found.finished[b]
        assert end not in chosen[:-1]
        assert len(chosen) == 12 or found.finished[b]
        text = TOKENIZER.decode([i for i in chosen.tolist() if i != end])
        assert found.conversations[b][-1].content == text


def test_two_workers_equal_one() -> None:
    weights = []
    for workers in (1, 2):
        model = model_of()
        x = experience(model, 0.3)
        config = TrainConfig(learning_rate=1e-3)
        with WorkerPool(workers) as pool:
            trainer = Trainer(model, config, pool, LOSS.objective())
            for _ in range(4):
                result = trainer.step([x])
        assert set(result.means) == {"loss", "policy", "value", "entropy", "kl_old",
                                     "clipped"}  # fmt: skip
        weights.append(model.params.flat.copy())
    np.testing.assert_allclose(*weights, atol=2e-4)


def test_it_learns_to_choose_what_was_good() -> None:
    """A bandit: answers that begin with an even id are good; they become frequent."""
    model, rng = model_of(), np.random.default_rng(0)
    with WorkerPool(1) as pool:
        config = TrainConfig(learning_rate=1e-2)
        trainer = Trainer(model, config, pool, PolicyLoss().objective())
        reader = Reader(model, pool, trainer.weights)
        shares = []
        for _ in range(40):
            got = sample_answers(model, TOKENIZER, PROMPTS * 8, 1, rng=rng)
            logp, values = reader.read(got.ids, got.mask)
            good = (np.roll(got.ids, -1, axis=1) % 2 == 0) & got.mask
            advantages = np.where(got.mask, good - good.sum() / 32, 0)
            x = Experience(got.ids, targets_of(got.ids), got.mask, logp, logp, values,
                           advantages, values)  # fmt: skip
            trainer.step([x])
            shares.append(good.sum() / 32)
    assert np.mean(shares[-5:]) > 0.9 > 0.7 > np.mean(shares[:5])


def test_a_prompt_that_leaves_no_room_is_an_error() -> None:
    with pytest.raises(DataError, match="shorten"):
        sample_answers(model_of(), TOKENIZER, PROMPTS, 24, rng=np.random.default_rng(0))


def test_answers_are_the_same_however_many_workers_sample_them() -> None:
    found = []
    for workers in (1, 2, 3):
        with WorkerPool(workers) as pool:
            found.append(sample_answers(
                model_of(), TOKENIZER, PROMPTS * 30, 12, rng=np.random.default_rng(0),
                pool=pool,
            ))  # fmt: skip
    for other in found[1:]:
        np.testing.assert_array_equal(found[0].ids, other.ids)
        np.testing.assert_array_equal(found[0].logp, other.logp)
        assert found[0].conversations == other.conversations


def test_pieces_of_like_length_are_the_same_step() -> None:
    """Where rows are padded less, nothing else changes."""
    found, sums = [], []
    for cut in (None, 2):
        model = model_of(exact=True)
        x = experience(model)
        batches = [x] if cut is None else [x.take(n) for n in alike(x.lengths, cut)]
        training = TrainConfig(learning_rate=1e-2)
        with WorkerPool(1) as pool:
            trainer = Trainer(model, training, pool, LOSS.objective())
            sums.append(trainer.step(batches).means)
        found.append(model.params.flat)
    assert x.take(np.array([0])).ids.shape[1] == 6  # two less, and what is not read
    np.testing.assert_allclose(*found, rtol=0, atol=1e-12)
    for name, mean in sums[0].items():
        assert mean == pytest.approx(sums[1][name], abs=1e-12)
