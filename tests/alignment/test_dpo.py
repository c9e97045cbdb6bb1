"""DPO: slopes, the beginning, and that pairs change what is probable."""

from __future__ import annotations

import numpy as np
import pytest

from gptlite.alignment.batches import task_of
from gptlite.alignment.dpo import DPOLoss, Preferences, preferences
from gptlite.alignment.reader import Reader
from gptlite.config import TrainConfig
from gptlite.errors import DataError
from gptlite.gradcheck import gradient_check
from gptlite.models.gpt import GPT
from gptlite.models.lora import LoRA
from gptlite.ops import reference
from gptlite.parallel.pool import WorkerPool
from gptlite.training.step import Trainer
from tests.alignment.test_reward import CONFIG, TOKENIZER, examples

LOSS = DPOLoss(beta=0.5)


def batch_for(model: GPT, n: int = 3, seed: int = 0) -> Preferences:
    with WorkerPool(1) as pool:
        return preferences(examples(n, seed), TOKENIZER, Reader(model, pool))


@pytest.mark.parametrize("adapter", [False, True])
def test_gradients_are_the_slopes(adapter: bool) -> None:
    base = GPT(CONFIG, ops=reference, dtype=np.float64)
    x = batch_for(base)
    model = LoRA(base, 2) if adapter else base
    noise = np.random.default_rng(1).normal(size=model.n_params)
    model.params.flat[:] += 0.1 * noise
    g, a = model.params.like(), model.activations(*x.ids.shape)
    loss, _ = LOSS.run(model, g, a, x)
    assert loss == pytest.approx(LOSS.measure(model, a, x), rel=1e-12)
    check = gradient_check(
        lambda: LOSS.measure(model, a, x), dict(model.params.tensors()),
        dict(g.tensors()), rng=np.random.default_rng(0),
        step=3e-7,  # the slope itself bends quickly, as in test_reward
    )  # fmt: skip
    assert check.passed, check


def test_at_the_beginning_every_pair_costs_log_two() -> None:
    model = GPT(CONFIG)
    x = batch_for(model, 5)
    loss = LOSS.measure(model, model.activations(*x.ids.shape), x)
    assert loss == pytest.approx(5 * np.log(2), rel=1e-4)


def test_the_answer_alone_counts_from_its_first_token_to_its_end() -> None:
    x = batch_for(GPT(CONFIG), 2)
    targets = np.roll(x.ids, -1, axis=1)
    for b, talk in enumerate(c for pair in examples(2) for c in pair):
        said = TOKENIZER.decode(targets[b][x.mask[b]][:-1].tolist())
        assert said == talk[-1].content


@pytest.mark.parametrize("workers", [1, 2])
def test_it_learns_from_pairs_what_new_pairs_ask(workers: int) -> None:
    model, rng = GPT(CONFIG), np.random.default_rng(0)
    train, new = batch_for(model, 200), batch_for(model, 60, seed=1)
    task = task_of(train, new, 32)
    with WorkerPool(workers) as pool:
        config = TrainConfig(learning_rate=3e-3)
        trainer = Trainer(model, config, pool, LOSS.objective())
        for _ in range(40):
            result = trainer.step([task.next_batch(rng)])
        held_out = trainer.evaluate(list(task.validation(0)))
    assert result.means["right"] > 0.9
    assert held_out < 0.4


def test_without_pairs_there_is_an_error() -> None:
    with pytest.raises(DataError, match="got none"), WorkerPool(1) as pool:
        preferences([], TOKENIZER, Reader(GPT(CONFIG), pool))
