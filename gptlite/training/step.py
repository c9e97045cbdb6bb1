"""One optimizer step, as each worker runs it: the heart of data-parallel training."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gptlite.arena import Arena
from gptlite.config import TrainConfig
from gptlite.errors import ConfigError
from gptlite.models.gpt import GPT
from gptlite.models.weights import PackedWeights
from gptlite.models.workspace import Workspace
from gptlite.parallel.communicator import Communicator, Pool
from gptlite.training.optimizer import Optimizer, clip_factor


@dataclass(frozen=True, slots=True)
class Objective:
    """What a step minimises.

    names: of the sums that `run` returns; the first is the loss. run: (model, gradients
    to add into, room for activations, batch, packed weights) → sums over what counts in
    the batch, which has `ids` (B, T), `n_tokens` (what counts), `part` and a length.
    Those of the layers' matrices come from `model.backward` alone (see `GPT.clear`).
    measure: the same without gradients, the loss alone.
    """

    names: tuple[str, ...]
    run: Callable[[GPT, Arena, Arena, Any, PackedWeights | None], Any]
    measure: Callable[[GPT, Arena, Any, PackedWeights | None], float]


LANGUAGE = Objective(("loss",), GPT.loss_and_gradients, GPT.loss)  # nats, of each token


@dataclass(frozen=True, slots=True)
class StepResult:
    loss: float  # nats per unmasked token, over the whole global batch
    grad_norm: float  # of the mean gradient, before clipping
    n_tokens: int  # unmasked tokens
    means: dict[str, float] = field(default_factory=dict)  # of the objective's sums

    @property
    def finite(self) -> bool:
        return math.isfinite(self.loss) and math.isfinite(self.grad_norm)


def train_step(
    comm: Communicator,
    model: GPT,
    workspace: Workspace,
    weights: PackedWeights,
    optimizer: Optimizer,
    batches: list[Any],
    rate: float,
    objective: Objective = LANGUAGE,
) -> StepResult:
    """What worker `comm.rank` does in one step; every worker returns the same.

    batches: the global batches whose gradients are summed (gradient accumulation).
    rate: the schedule's share of the peak learning rate, 0 … 1.
    The gradients are those of the *sum* of losses. Only at the end one number,
    `grad_scale`, divides them by the real number of tokens of the whole batch and
    clips them: so any split over workers and batches is the same step.
    A loss that is not finite changes no parameter.
    """
    grads = workspace.grads
    model.clear(grads)
    sums, n_tokens = np.zeros(len(objective.names)), 0.0
    for batch in batches:
        mine = batch.part(comm.rank, comm.size)
        if len(mine):
            a = workspace.activations(*mine.ids.shape)
            sums += objective.run(model, grads, a, mine, weights)
            n_tokens += mine.n_tokens
    if not grads.adds:  # no row for this worker: nothing has overwritten the last step
        grads.flat.fill(0)
        grads.adds = True

    shard = comm.reduce_scatter(grads.flat, optimizer.shards)
    result, grad_scale = mean_of(
        comm, objective, sums, n_tokens, shard, optimizer.config.grad_clip
    )
    if result.finite:
        optimizer.update(comm.rank, shard, rate, grad_scale)
    comm.all_gather(model.params.flat, optimizer.shards)
    return result


def mean_of(
    comm: Communicator, objective: Objective, sums: np.ndarray, n_tokens: float,
    shard: list[np.ndarray], grad_clip: float,
) -> tuple[StepResult, float]:  # fmt: skip
    """The step's result, the same for all workers, and what gradients are to be
    multiplied by: the mean over all that counts, clipped.

    sums, n_tokens: of this worker. shard: its part of the sum of all gradients.
    """
    square_norm = sum(float(np.vdot(part, part)) for part in shard)
    *totals, n_tokens, square_norm = comm.all_reduce(
        np.array([*sums, n_tokens, square_norm])
    ).tolist()
    count = max(n_tokens, 1)  # a batch without a token that counts has no gradient
    norm = math.sqrt(square_norm) / count
    means = {k: x / count for k, x in zip(objective.names, totals, strict=True)}
    result = StepResult(means["loss"], norm, int(n_tokens), means)
    return result, clip_factor(norm, grad_clip) / count


class Trainer:
    """A model, its optimizer and a pool of workers: `step(batches)` trains.

    >>> from gptlite.batch import Batch
    >>> from gptlite.config import GPTConfig, TrainConfig
    >>> from gptlite.parallel.pool import WorkerPool
    >>> model = GPT(GPTConfig(n_layer=1, n_head=2, n_embd=8, vocab_size=3))
    >>> ids = np.array([[0, 1, 2, 0], [1, 2, 0, 1]])
    >>> batch = Batch.of(ids, (ids + 1) % 3)  # after n comes n + 1
    >>> with WorkerPool(2) as pool:
    ...     trainer = Trainer(model, TrainConfig(learning_rate=0.03), pool)
    ...     losses = [trainer.step([batch]).loss for _ in range(50)]
    >>> losses[0] > 1.0, losses[-1] < 0.1
    (True, True)
    """

    def __init__(
        self, model: GPT, config: TrainConfig, pool: Pool,
        objective: Objective = LANGUAGE,
    ) -> None:  # fmt: skip
        self.model, self.pool, self.objective = model, pool, objective
        self.optimizer = Optimizer(model, config, pool.size)
        self.workspaces = {rank: Workspace(model) for rank in pool.ranks}
        # shared by the workers of this process
        self.weights = PackedWeights(model, config.dtype)

    def _pack(self, comm: Communicator) -> None:
        """Each worker of this process packs its part of the weights."""
        here = len(self.pool.ranks)
        self.weights.pack(comm.rank % here, here)
        comm.barrier()

    def step(self, batches: list[Any], rate: float = 1.0) -> StepResult:
        """Sum the gradients of the batches and update once, at `rate` of the peak."""

        def work(comm: Communicator) -> StepResult:
            workspace = self.workspaces[comm.rank]
            self._pack(comm)
            return train_step(
                comm, self.model, workspace, self.weights, self.optimizer,
                batches, rate, self.objective,
            )  # fmt: skip

        result = self.pool.run(work)[0]
        if result.finite:
            self.optimizer.steps += 1
        return result

    def evaluate(self, batches: list[Any]) -> float:
        """Mean loss in nats per unmasked token, over all batches."""

        def work(comm: Communicator) -> list[float]:
            self._pack(comm)
            loss, n_tokens = 0.0, 0
            for batch in batches:
                mine = batch.part(comm.rank, comm.size)
                if len(mine):
                    a = self.workspaces[comm.rank].activations(*mine.ids.shape)
                    loss += self.objective.measure(self.model, a, mine, self.weights)
                    n_tokens += mine.n_tokens
            return comm.all_reduce(np.array([loss, n_tokens])).tolist()

        loss, n_tokens = self.pool.run(work)[0]
        return loss / max(1, n_tokens)

    def agreed(self, values: list[float]) -> list[float]:
        """Worker 0's numbers: processes have clocks of their own."""
        if self._all_here:
            return values
        mine = np.array(values) * (0 in self.pool.ranks)
        return self.pool.run(lambda comm: comm.all_reduce(mine).tolist())[0]

    def check_alike(self, what: object) -> None:
        """Whether every worker has the same as worker 0: settings, the text, …"""
        mine = float(zlib.crc32(repr(what).encode()))
        if self.agreed([mine]) != [mine]:
            raise ConfigError(
                f"wanted the settings and the text of worker 0 for all, got others for "
                f"worker {self.pool.ranks[0]}; start all with the same command"
            )

    def collect(self) -> None:
        """Fetch the optimizer's moments, of which a process has its shard alone."""
        if self._all_here:
            return

        def work(comm: Communicator) -> None:
            for moments in (self.optimizer.m, self.optimizer.v):
                comm.all_gather(moments.flat, self.optimizer.shards)

        self.pool.run(work)

    @property
    def _all_here(self) -> bool:
        return len(self.pool.ranks) == self.pool.size
