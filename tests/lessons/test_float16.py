"""float16 loses small gradients, a scaled loss keeps them, the scale can be found."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gptlite.batch import Batch
from gptlite.config import GPTConfig, TrainConfig
from gptlite.lessons.float16 import EXPONENTS, Result, train_in_float16
from gptlite.models.gpt import GPT
from gptlite.parallel.pool import WorkerPool
from gptlite.training.step import Trainer

SHAPE = GPTConfig(n_layer=2, n_head=2, n_embd=32, context_length=32, vocab_size=50)
PLAIN = TrainConfig(grad_clip=0.0, learning_rate=3e-3)


def counting() -> Callable[[], Batch]:
    """After n comes n + 1, with some noise; 1,024 tokens a batch."""
    rng = np.random.default_rng(0)

    def next_batch() -> Batch:
        ids = (rng.integers(0, 50, (32, 1)) + np.arange(33)) % 50
        ids = np.where(rng.random(ids.shape) < 0.1, rng.integers(0, 50, ids.shape), ids)
        return Batch.of(ids[:, :-1], ids[:, 1:])

    return next_batch


def train(steps: int, **options: float) -> Result:
    return train_in_float16(SHAPE, counting(), steps, config=PLAIN, **options)  # type: ignore[arg-type]


def test_without_a_scale_gradients_underflow_and_with_one_they_do_not() -> None:
    small, scaled = train(30), train(30, scale=1024.0)
    assert small.lost > 0.02 > 0.005 > scaled.lost
    assert not any(small.skipped + scaled.skipped)
    assert abs(small.histogram.sum() - scaled.histogram.sum()) < 0.1 * (
        scaled.histogram.sum()
    )

    def middle(found: Result) -> float:
        cumulated = found.histogram.cumsum() / found.histogram.sum()
        return float(EXPONENTS[np.searchsorted(cumulated, 0.5)])

    assert abs(middle(scaled) - middle(small) - 10) <= 2  # 1024 is 2^10


def test_a_good_scale_trains_as_float32_does() -> None:
    next_batch = counting()
    with WorkerPool(1) as pool:
        trainer = Trainer(GPT(SHAPE), PLAIN, pool)
        wanted = [trainer.step([next_batch()]).loss for _ in range(60)]
    got = train(60, scale=1024.0).losses
    assert wanted[-1] < 0.75 * wanted[0]
    assert abs(got[-1] - wanted[-1]) < 0.02 * wanted[-1]


def test_a_scale_that_overflows_is_halved_until_it_does_not() -> None:
    found = train(40, scale=2.0**36, patience=10)
    first = found.skipped.index(False)
    assert 5 < first < 25 and all(found.skipped[:first])
    assert found.scales[first] == 2.0 ** (36 - first)
    assert len({round(loss, 6) for loss in found.losses[:first]}) > 1  # batches differ
    assert max(found.scales[first:]) > found.scales[first] or any(found.skipped[first:])
    assert found.losses[-1] < found.losses[0]


def test_without_patience_too_large_a_scale_learns_nothing() -> None:
    found = train(10, scale=2.0**30)
    assert all(found.skipped) and set(found.scales) == {2.0**30}
