"""One optimizer step: any split over workers and batches is the same step."""

from __future__ import annotations

import dataclasses
from types import ModuleType

import numpy as np
import pytest

from gptlite.batch import Batch
from gptlite.config import TrainConfig
from gptlite.models.gpt import GPT
from gptlite.models.lora import LoRA
from gptlite.ops import blas, kernels
from gptlite.parallel.pool import WorkerPool
from gptlite.training.step import StepResult, Trainer
from tests.helpers import TINY, assert_near, assert_same_bits, random_batch

OPTIMIZERS = pytest.mark.parametrize("optimizer", ["adamw", "muon"])
# eps far above the noise: AdamW's first step is the sign of each gradient, and the
# sign of a sum of almost nothing depends on the order of the sum
CONFIG = TrainConfig(learning_rate=3e-3, eps=1e-3, grad_clip=0.5, weight_decay=0.1)


def uneven_batch(rows: int = 6, seed: int = 1) -> Batch:
    """Rows with 1, 3, 5 … tokens that count: no even split is the right one."""
    rng = np.random.default_rng(seed)
    batch = random_batch(rng, TINY, rows, 12)
    mask = np.arange(12) < (1 + 2 * np.arange(rows)[:, None])
    return dataclasses.replace(batch, mask=mask)


def train(
    optimizer: str,
    steps: list[list[Batch]],
    workers: int = 1,
    backend: str = "threads",
    bias: bool = False,
    ops: ModuleType = kernels,
    dtype: str = "float32",
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[StepResult]]:
    """(parameters, m, v, results) after a few steps from the same start."""
    shape, rng = dataclasses.replace(TINY, bias=bias), np.random.default_rng(0)
    model = GPT(shape, rng=rng, ops=ops)
    config = dataclasses.replace(CONFIG, optimizer=optimizer, dtype=dtype)
    with WorkerPool(workers, backend) as pool:
        trainer = Trainer(model, config, pool)
        results = [trainer.step(batches) for batches in steps]
        found = model.params.flat, trainer.optimizer.m.flat, trainer.optimizer.v.flat
        return *found, results


STEPS = [[uneven_batch(seed=s)] for s in (1, 2, 3)]


def assert_same_training(one: tuple, other: tuple) -> None:
    start = GPT(TINY, rng=np.random.default_rng(0)).params.flat
    if one[0].size == start.size:
        assert not np.allclose(one[0], start, atol=1e-3), "nothing was learned"
    assert_near(other[0], one[0], 2e-5, "parameters")
    assert_near(other[1], one[1], 1e-4, "m")
    assert_near(other[2], one[2], 1e-4, "v")
    for a, b in zip(one[3], other[3], strict=True):
        assert a.n_tokens == b.n_tokens
        assert b.loss == pytest.approx(a.loss, rel=1e-5)
        assert b.grad_norm == pytest.approx(a.grad_norm, rel=1e-4)


@OPTIMIZERS
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("workers", [2, 3, 4])
def test_many_workers_equal_one(optimizer: str, workers: int, bias: bool) -> None:
    one = train(optimizer, STEPS, bias=bias)
    assert_same_training(one, train(optimizer, STEPS, workers, bias=bias))


@OPTIMIZERS
@pytest.mark.parametrize("workers", [1, 2])
def test_blas_gives_the_same_training(optimizer: str, workers: int) -> None:
    one = train(optimizer, STEPS)
    assert_same_training(one, train(optimizer, STEPS, workers, ops=blas))


def test_many_workers_equal_one_in_bfloat16() -> None:
    """What is rounded are products' factors, row by row: no split changes them."""
    one = train("adamw", STEPS[:1], dtype="bfloat16")
    assert_same_training(one, train("adamw", STEPS[:1], 3, dtype="bfloat16"))
    exact = train("adamw", STEPS[:1])
    assert one[3][0].loss != exact[3][0].loss
    assert one[3][0].loss == pytest.approx(exact[3][0].loss, rel=1e-3)


@OPTIMIZERS
@pytest.mark.parametrize("workers", [1, 2])
def test_gradient_accumulation_equals_one_big_batch(
    optimizer: str, workers: int
) -> None:
    """Even cut into pieces of unequal size with unequal numbers of tokens."""
    pieces = [[b.rows(0, 1), b.rows(1, 3), b.rows(3, 6)] for [b] in STEPS]
    assert_same_training(train(optimizer, STEPS), train(optimizer, pieces, workers))


def test_the_loss_is_the_mean_over_the_tokens_that_count() -> None:
    [batch] = STEPS[0]
    model = GPT(TINY, rng=np.random.default_rng(0))
    logits = model.logits(batch.ids).astype(np.float64)
    top = logits.max(axis=-1)
    log_z = top + np.log(np.exp(logits - top[..., None]).sum(axis=-1))
    right = np.take_along_axis(logits, batch.targets[..., None], -1)[..., 0]
    wanted = (log_z - right)[batch.mask].mean()
    *_, results = train("adamw", STEPS[:1], 2)
    assert results[0].n_tokens == 1 + 3 + 5 + 7 + 9 + 11
    assert results[0].loss == pytest.approx(wanted, rel=1e-5)


@OPTIMIZERS
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_threads_and_sequential_give_the_same_bits(
    optimizer: str, workers: int
) -> None:
    a = train(optimizer, STEPS, workers, "threads")
    b = train(optimizer, STEPS, workers, "sequential")
    for x, y in zip(a[:3], b[:3], strict=True):
        assert_same_bits(x, y)
    assert a[3] == b[3]


@pytest.mark.parametrize("adapter", [False, True])
@pytest.mark.parametrize("rows", [1, 6])  # with one, a worker has nothing to do
def test_what_an_earlier_step_left_in_the_gradients_does_not_matter(
    rows: int, adapter: bool
) -> None:
    found, batch = [], uneven_batch(rows)
    for left in (0.0, np.nan):
        model = GPT(TINY, rng=np.random.default_rng(0))
        model = LoRA(model, rank=2) if adapter else model
        with WorkerPool(2) as pool:
            trainer = Trainer(model, CONFIG, pool)
            for workspace in trainer.workspaces.values():
                workspace.grads.flat.fill(left)
            trainer.step([batch, batch])
        found.append(model.params.flat)
    assert_same_bits(*found)
    assert np.isfinite(found[0]).all()


@OPTIMIZERS
def test_more_workers_than_rows_change_nothing(optimizer: str) -> None:
    steps = [[batch.rows(2, 4)] for [batch] in STEPS]
    assert_same_training(train(optimizer, steps), train(optimizer, steps, 5))


def test_a_worker_whose_rows_are_all_masked_changes_nothing() -> None:
    [batch] = STEPS[0]
    empty = dataclasses.replace(batch, mask=np.zeros_like(batch.mask))
    joined = Batch(*(np.concatenate([getattr(b, name) for b in (batch, empty)])
                     for name in ("ids", "targets", "mask")))  # fmt: skip
    assert_same_training(train("adamw", [[batch]]), train("adamw", [[joined]], 2))


@OPTIMIZERS
@pytest.mark.parametrize("workers", [1, 2])
def test_a_fully_masked_batch_has_no_loss_and_no_gradient(
    optimizer: str, workers: int
) -> None:
    [batch] = STEPS[0]
    empty = dataclasses.replace(batch, mask=np.zeros_like(batch.mask))
    model = GPT(TINY, rng=np.random.default_rng(0))
    with WorkerPool(workers) as pool:
        trainer = Trainer(model, dataclasses.replace(CONFIG, optimizer=optimizer), pool)
        result = trainer.step([empty])
        assert (result.loss, result.grad_norm, result.n_tokens) == (0.0, 0.0, 0)
        assert all(not w.grads.flat.any() for w in trainer.workspaces.values())
        assert trainer.evaluate([empty]) == 0.0
    assert not trainer.optimizer.m.flat.any()
    assert np.isfinite(model.params.flat).all()


@pytest.mark.parametrize("workers", [1, 2])
def test_targets_that_are_masked_do_not_matter(workers: int) -> None:
    [batch] = STEPS[0]
    other = np.where(batch.mask, batch.targets, -100)  # as other libraries mark them
    changed = dataclasses.replace(batch, targets=other)
    a, b = train("adamw", [[batch]], workers), train("adamw", [[changed]], workers)
    assert_same_bits(a[0], b[0])


@OPTIMIZERS
@pytest.mark.parametrize("workers", [1, 2])
def test_a_loss_that_is_not_finite_changes_no_parameter(
    optimizer: str, workers: int
) -> None:
    model = GPT(TINY, rng=np.random.default_rng(0))
    with WorkerPool(workers) as pool:
        trainer = Trainer(model, dataclasses.replace(CONFIG, optimizer=optimizer), pool)
        trainer.step(STEPS[0])
        model.params.layers[1].fc_weight[0, 0] = np.nan
        before = [x.copy() for x in (model.params.flat, trainer.optimizer.m.flat,
                                     trainer.optimizer.v.flat)]  # fmt: skip
        result = trainer.step(STEPS[1])
        assert not result.finite
        assert trainer.optimizer.steps == 1
    after = (model.params.flat, trainer.optimizer.m.flat, trainer.optimizer.v.flat)
    for x, y in zip(before, after, strict=True):
        assert_same_bits(x, y)


def test_every_parameter_has_one_owner() -> None:
    for optimizer in ("adamw", "muon"):
        for workers in (1, 2, 3, 7):
            with WorkerPool(workers) as pool:
                config = dataclasses.replace(CONFIG, optimizer=optimizer)
                shards = Trainer(GPT(TINY), config, pool).optimizer.shards
            owners = np.zeros(GPT(TINY).n_params, int)
            for shard in shards:
                for part in shard:
                    owners[part] += 1
            assert (owners == 1).all()


def test_evaluation_does_not_depend_on_the_number_of_workers() -> None:
    batches = [b for [b] in STEPS]
    losses = []
    for workers in (1, 2, 3):
        with WorkerPool(workers) as pool:
            trainer = Trainer(GPT(TINY), CONFIG, pool)
            losses.append(trainer.evaluate(batches))
            assert losses[-1] == pytest.approx(losses[0], rel=1e-6)
            assert trainer.optimizer.steps == 0


def test_the_gradient_norm_is_reported_before_clipping() -> None:
    """The norm that is reported is that of the mean gradient before clipping."""
    norms = []
    for limit in (0.0, 1e-3, 1e3):
        with WorkerPool(2) as pool:
            config = dataclasses.replace(CONFIG, grad_clip=limit)
            norms.append(Trainer(GPT(TINY), config, pool).step(STEPS[0]).grad_norm)
    assert norms[0] == norms[1] == norms[2] > 1e-2


def test_a_gradient_is_clipped_to_the_limit_exactly() -> None:
    """After one step AdamW's m is (1 - beta1) times the clipped mean gradient."""
    for limit in (1e-3, 1e-2):
        with WorkerPool(2) as pool:
            config = dataclasses.replace(CONFIG, grad_clip=limit, beta1=0.5)
            trainer = Trainer(GPT(TINY), config, pool)
            assert trainer.step(STEPS[0]).grad_norm > limit
            norm = np.linalg.norm(trainer.optimizer.m.flat.astype(np.float64))
            assert norm == pytest.approx(0.5 * limit, rel=1e-5)


@pytest.mark.parametrize("workers", [1, 3])
def test_without_a_gradient_weight_decay_shrinks_the_matrices_alone(
    workers: int,
) -> None:
    [batch] = STEPS[0]
    empty = dataclasses.replace(batch, mask=np.zeros_like(batch.mask))
    model = GPT(dataclasses.replace(TINY, bias=True))
    model.params.flat[model.decay_end :] = 0.5
    before = model.params.flat.copy()
    config = dataclasses.replace(CONFIG, learning_rate=0.1, weight_decay=0.2)
    with WorkerPool(workers) as pool:
        Trainer(model, config, pool).step([empty], rate=0.5)
    end, after = model.decay_end, model.params.flat
    assert_near(after[:end], before[:end] * (1 - 0.5 * 0.1 * 0.2), 1e-6)
    assert_same_bits(after[end:], before[end:])
