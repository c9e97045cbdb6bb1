"""ZeRO: every stage takes the same steps, and holds and sends what the paper says."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from gptlite.batch import Batch
from gptlite.config import GPTConfig, TrainConfig
from gptlite.errors import ConfigError
from gptlite.models.gpt import GPT
from gptlite.ops import reference
from gptlite.parallel.ledger import Ledger
from gptlite.parallel.memory import Memory
from gptlite.parallel.threads import ThreadWorkers
from gptlite.parallel.units import units_of
from gptlite.parallel.zero_costs import (
    FLOAT64,
    MIXED,
    zero_memory,
    zero_traffic,
)
from gptlite.training.zero import STAGES, ZeroWorker

CONFIG = GPTConfig(n_layer=3, n_head=2, n_embd=8, vocab_size=12, context_length=8)
TRAINING = TrainConfig(learning_rate=1e-2)
PSI = GPT(CONFIG).n_params


def batch(seed: int, rows: int = 6) -> Batch:
    """Rows of which different numbers of tokens count."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, 12, (rows, 8))
    return Batch(ids, (ids + 1) % 12, rng.random((rows, 8)) < 0.7)


@cache
def trained(
    size: int, stage: int, each: int = 1, steps: int = 20, dtype: str = "float64"
) -> tuple[np.ndarray, list[float], Ledger, Memory]:
    """Parameters, losses, and the books of so many steps of `each` batches."""
    workers, memory = ThreadWorkers(size, "sequential"), Memory(size)
    losses, sent = list[float](), Ledger(size)

    def work(comm: Any) -> np.ndarray:
        worker = ZeroWorker(comm, CONFIG, TRAINING, stage, memory, reference, dtype)
        for step in range(steps):
            some = [batch(step * each + i) for i in range(each)]
            result = worker.step(some)
            if comm.rank == 0:
                losses.append(result.loss)
        sent.counts[comm.rank] = comm.ledger.counts[comm.rank]
        return worker.parameters()

    whole = workers.run(work)
    for other in whole[1:]:
        np.testing.assert_array_equal(other, whole[0])
    return whole[0], losses, sent, memory


@pytest.mark.parametrize("each", [1, 2])
@pytest.mark.parametrize("size", [2, 3, 4])
def test_every_stage_with_n_workers_is_one_worker(size: int, each: int) -> None:
    alone, alone_losses, *_ = trained(1, 0, each)
    first = trained(size, 0, each)[0]
    for stage in STAGES:
        params, losses, *_ = trained(size, stage, each)
        np.testing.assert_allclose(params, alone, atol=1e-10)
        np.testing.assert_allclose(losses, alone_losses, atol=1e-10)
        if each == 1:  # then sums are in the same order in all stages
            np.testing.assert_array_equal(params, first)
    assert alone_losses[-1] < alone_losses[0]


def test_units_are_all_that_there_is() -> None:
    params = GPT(CONFIG).params
    seen = np.zeros(params.flat.size, int)
    for unit in units_of(params):
        for where in unit.where:
            seen[where] += 1
    assert (seen == 1).all()


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_the_books_agree_with_the_formulas(size: int, stage: int) -> None:
    """To the byte: of all workers together always, of each where N divides."""
    _, _, sent, memory = trained(size, stage, steps=1)
    held = zero_memory(stage, PSI, size, FLOAT64)
    for kind, nbytes in held.items():
        each = [memory.now(rank, kind) for rank in range(size)]
        assert sum(each) == size * nbytes
        if size in (2, 4):
            assert each == [nbytes] * size
    for name, nbytes in zero_traffic(stage, PSI, size, 8).items():
        each = [sent.bytes_sent(rank, name) for rank in range(size)]
        assert sum(each) == size * nbytes
        if size in (2, 4):
            assert each == [nbytes] * size


@pytest.mark.parametrize("stage", [2, 3])
def test_what_is_whole_for_a_while_is_given_back(stage: int) -> None:
    """At most the embeddings, and two units each of gradients and parameters."""
    *_, memory = trained(4, stage, steps=1)
    sizes = [sum(b.size for b in u.blocks) * 8 for u in units_of(GPT(CONFIG).params)]
    most = sizes[0] + 2 * max(sizes[1:]) * (stage - 1)
    for rank in range(4):
        assert memory.now(rank, "units") == 0
        assert 0 < memory.peak(rank, "units") <= most


def test_the_papers_figure_1() -> None:
    """7.5 billion parameters on 64 GPUs: 120, 31.4, 16.6 and 1.9 GB."""
    found = [sum(zero_memory(s, 7_500_000_000, 64, MIXED).values()) for s in STAGES]
    np.testing.assert_allclose([float(x) / 1e9 for x in found],
                               [120, 31.4, 16.6, 1.9], atol=0.05)  # fmt: skip


def test_what_cannot_be_is_said() -> None:
    alone = ThreadWorkers(2, "sequential")
    for stage, training, rows, said in (
        (4, TRAINING, 6, "wanted a ZeRO stage among"),
        (1, TrainConfig(optimizer="muon"), 6, "wanted AdamW with ZeRO"),
        (2, TRAINING, 1, "wanted at least a row for each of 2 workers"),
    ):
        with pytest.raises(ConfigError, match=said):
            alone.run(
                lambda comm, stage=stage, training=training, rows=rows: ZeroWorker(
                    comm, CONFIG, training, stage, ops=reference
                ).step([batch(0, rows)])
            )
