"""Shards: each number has one owner, and the owners share the work evenly."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptlite.batch import Batch
from gptlite.config import GPTConfig, TrainConfig, preset
from gptlite.models.gpt import GPT
from gptlite.ops import reference
from gptlite.parallel.pool import WorkerPool
from gptlite.training.optimizer import Optimizer, clip_factor, plan
from gptlite.training.step import Trainer
from tests.helpers import TINY, assert_near, random_batch

OPTIMIZERS = pytest.mark.parametrize("optimizer", ["adamw", "muon"])
CONFIG = TrainConfig(learning_rate=3e-3, grad_clip=0.5, weight_decay=0.1)


@OPTIMIZERS
@given(st.integers(1, 9), st.booleans())
def test_every_number_has_one_owner_and_decays_if_it_is_in_a_matrix(
    optimizer: str, size: int, bias: bool
) -> None:
    model = GPT(dataclasses.replace(TINY, bias=bias))
    owners, decays = np.zeros(model.n_params, int), np.zeros(model.n_params, int)
    for pieces in plan(model, optimizer, size):
        for piece in pieces:
            owners[piece.where] += 1
            decays[piece.where] += piece.decays
    assert (owners == 1).all()
    assert decays[: model.decay_end].all() and not decays[model.decay_end :].any()


@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_muon_s_matrices_are_whole_and_all_there(size: int) -> None:
    model = GPT(TINY)
    found = [
        (p.where, p.shape) for w in plan(model, "muon", size) for p in w if p.shape
    ]
    wanted = [(model.params.slice_of(n), model.params[n].shape)
              for n in model.hidden_matrices]  # fmt: skip
    assert sorted(found, key=str) == sorted(wanted, key=str)
    assert not any(p.shape for w in plan(model, "adamw", size) for p in w)


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("name", ["baby", "small"])
def test_the_owners_share_the_work_evenly(name: str, size: int) -> None:
    model = GPT(preset(name)[0])
    shares = [sum(p.where.stop - p.where.start for p in w)
              for w in plan(model, "adamw", size)]  # fmt: skip
    assert max(shares) - min(shares) <= 1

    def work(shape: tuple[int, int]) -> int:
        small, large = sorted(shape)
        return small * small * (2 * large + small)

    loads = [sum(work(p.shape) for p in w if p.shape)
             for w in plan(model, "muon", size)]  # fmt: skip
    largest = max(work(model.params[n].shape) for n in model.hidden_matrices)
    assert max(loads) - min(loads) <= largest


def exact(optimizer: str, pieces: list[list[Batch]], workers: int) -> list[np.ndarray]:
    """Parameters, m and v after these steps, in float64 on the reference."""
    model = GPT(TINY, ops=reference, dtype=np.float64)
    config = dataclasses.replace(CONFIG, optimizer=optimizer)
    with WorkerPool(workers, "sequential") as pool:
        trainer = Trainer(model, config, pool)
        results = [trainer.step(batches) for batches in pieces]
    assert all(r.finite for r in results)
    optimizer_ = trainer.optimizer
    losses = np.array([[r.loss, r.grad_norm] for r in results])
    return [model.params.flat, optimizer_.m.flat, optimizer_.v.flat, losses]


@OPTIMIZERS
@pytest.mark.parametrize("cuts", [[], [1], [2, 3], [1, 2, 3, 4]], ids=str)
@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_any_split_over_workers_and_batches_is_the_same_step_to_ten_digits(
    optimizer: str, cuts: list[int], workers: int
) -> None:
    """In float64 nothing hides behind rounding, whatever the numbers of tokens."""
    rng = np.random.default_rng(1)
    whole = []
    for _ in range(3):
        batch = random_batch(rng, TINY, 5, 12)
        mask = np.arange(12) < rng.permutation([0, 1, 4, 9, 12])[:, None]
        whole.append(dataclasses.replace(batch, mask=mask))
    ends = [0, *cuts, 5]
    pieces = [
        [batch.rows(a, b) for a, b in itertools.pairwise(ends)] for batch in whole
    ]
    one = exact(optimizer, [[batch] for batch in whole], 1)
    many = exact(optimizer, pieces, workers)
    for name, a, b in zip(("params", "m", "v", "losses"), one, many, strict=True):
        assert_near(b, a, 1e-10, name)


def test_the_first_step_of_adamw_is_the_rate_times_the_sign() -> None:
    model = GPT(TINY, ops=reference, dtype=np.float64)
    config = TrainConfig(learning_rate=1e-3, weight_decay=0.0, eps=1e-15)
    optimizer = Optimizer(model, config, 1)
    before = model.params.flat.copy()
    grads = np.random.default_rng(0).standard_normal(model.n_params)
    parts = [grads[s].copy() for s in optimizer.shards[0]]
    optimizer.update(0, parts, rate=0.5, grad_scale=3.0)
    moved = model.params.flat - before
    np.testing.assert_allclose(moved, -0.5e-3 * np.sign(grads), rtol=1e-5)


def test_weight_decay_pulls_matrices_and_leaves_vectors() -> None:
    model = GPT(TINY, ops=reference, dtype=np.float64)
    config = TrainConfig(learning_rate=0.1, weight_decay=0.5)
    optimizer = Optimizer(model, config, 1)
    before = model.params.flat.copy()
    parts = [np.zeros(s.stop - s.start) for s in optimizer.shards[0]]
    optimizer.update(0, parts, rate=1.0, grad_scale=1.0)
    end = model.decay_end
    np.testing.assert_allclose(model.params.flat[:end], before[:end] * (1 - 0.1 * 0.5))
    np.testing.assert_array_equal(model.params.flat[end:], before[end:])


@OPTIMIZERS
def test_a_worker_changes_its_own_shard_and_nothing_else(optimizer: str) -> None:
    model = GPT(TINY)
    config = TrainConfig(optimizer=optimizer)
    made = Optimizer(model, config, 3)
    before = model.params.flat.copy()
    rng = np.random.default_rng(0)
    parts = [rng.standard_normal(s.stop - s.start).astype(np.float32)
             for s in made.shards[1]]  # fmt: skip
    made.update(1, parts, 1.0, 1.0)
    mine = np.zeros(model.n_params, bool)
    for part in made.shards[1]:
        mine[part] = True
    changed = model.params.flat != before
    assert not changed[~mine].any() and changed[mine].mean() > 0.99


@pytest.mark.parametrize("limit", [1e-3, 0.5, 1e3])
def test_clipping_shortens_a_long_gradient_and_keeps_its_direction(
    limit: float,
) -> None:
    gradient = np.array([3.0, 4.0])
    clipped = gradient * clip_factor(5.0, limit)
    assert np.linalg.norm(clipped) == pytest.approx(min(5.0, limit))
    assert clipped[1] / clipped[0] == pytest.approx(4 / 3)


@pytest.mark.parametrize("norm", [0.0, np.nan, np.inf])
def test_a_norm_that_cannot_be_clipped_changes_nothing(norm: float) -> None:
    assert clip_factor(norm, 1.0) == 1.0


def test_clipping_acts_on_the_mean_gradient_over_all_tokens() -> None:
    """With a limit the update is that of the gradient scaled to the limit."""
    batch = random_batch(np.random.default_rng(2), TINY, 4, 12)
    moments = []
    for limit in (0.0, 0.01):
        model = GPT(TINY, ops=reference, dtype=np.float64)
        config = TrainConfig(grad_clip=limit, beta1=0.0)  # m is then the gradient
        with WorkerPool(2) as pool:
            trainer = Trainer(model, config, pool)
            norm = trainer.step([batch]).grad_norm
        moments.append(trainer.optimizer.m.flat)
    free, limited = moments
    assert norm > 0.01
    assert np.linalg.norm(free) == pytest.approx(norm)
    np.testing.assert_allclose(limited, free * (0.01 / norm), rtol=1e-9, atol=1e-18)


def test_muon_leaves_embeddings_and_norms_to_adamw() -> None:
    batch = random_batch(np.random.default_rng(3), TINY, 4, 12)
    found = {}
    for optimizer in ("adamw", "muon"):
        model = GPT(TINY, ops=reference, dtype=np.float64)
        config = dataclasses.replace(CONFIG, optimizer=optimizer)
        with WorkerPool(1) as pool:
            Trainer(model, config, pool).step([batch])
        found[optimizer] = model.params
    for name, tensor in found["muon"].tensors():
        same = np.allclose(tensor, found["adamw"][name], rtol=1e-12, atol=0)
        assert same == (name not in GPT(TINY).hidden_matrices), name


def test_a_wide_model_on_many_workers_has_no_empty_hands() -> None:
    model = GPT(GPTConfig(1, 1, 4, 4, 4))
    assert all(part for part in plan(model, "adamw", 4))
    assert len(plan(model, "muon", 9)) == 9  # more workers than matrices
