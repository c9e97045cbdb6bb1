"""ZeRO: a training step of workers that each own their memory (stages 0 … 3).

In a `WorkerPool` threads share one copy of the parameters. Here a worker is what a GPU
is: all that it reads it holds, or has just been sent. Each stage holds less, whole:

    stage   parameters   gradients   moments   S. Rajbhandari et al. 2019,
      0       whole        whole      whole    arXiv:1910.02054; shares of N workers
      1       whole        whole      1/N      are cut of every unit (units.py), the
      2       whole        1/N        1/N      same for all stages: so the sums of the
      3       1/N          1/N        1/N      gradients have the same bits in all
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from gptlite.arena import Arena
from gptlite.config import GPTConfig, TrainConfig
from gptlite.errors import ConfigError
from gptlite.models.gpt import GPT
from gptlite.models.workspace import Workspace
from gptlite.ops import kernels
from gptlite.parallel.communicator import Communicator
from gptlite.parallel.memory import Memory
from gptlite.parallel.units import Sharded, cut, units_of
from gptlite.training.step import LANGUAGE, Objective, StepResult, mean_of

STAGES = (0, 1, 2, 3)


class ZeroWorker:
    """One of `comm.size` workers, with its own model; `step(batches)` trains.

    All workers begin with the same weights, drawn with `training.seed`, and make the
    same calls. memory: a book of what each worker holds. AdamW only: Muon needs whole
    matrices, and here they are cut.

    >>> from gptlite.batch import Batch
    >>> from gptlite.parallel.threads import ThreadWorkers
    >>> config = GPTConfig(n_layer=1, n_head=1, n_embd=8, vocab_size=3)
    >>> ids = np.array([[0, 1, 2, 0], [1, 2, 0, 1]])
    >>> def train(comm):
    ...     worker = ZeroWorker(comm, config, TrainConfig(), stage=3)
    ...     return worker.step([Batch.of(ids, (ids + 1) % 3)]).loss
    >>> [round(loss, 2) for loss in ThreadWorkers(2).run(train)]
    [1.1, 1.1]
    """

    def __init__(
        self, comm: Communicator, config: GPTConfig, training: TrainConfig, stage: int,
        memory: Memory | None = None, ops: ModuleType = kernels,
        dtype: np.typing.DTypeLike = np.float32,
    ) -> None:  # fmt: skip
        if stage not in STAGES:
            raise ConfigError(f"wanted a ZeRO stage among {STAGES}, got {stage}")
        if training.optimizer != "adamw":
            raise ConfigError(
                f"wanted AdamW with ZeRO, got {training.optimizer!r}, which needs "
                "whole matrices; optimizer='adamw'"
            )
        self.comm, self.training, self.stage = comm, training, stage
        what = repr((config, training, np.dtype(dtype).name))
        self.fingerprint = f"{zlib.crc32(what.encode()):08x}"  # of what is trained, how
        self.memory = Memory(comm.size) if memory is None else memory
        rng = np.random.default_rng(training.seed)
        self.model = GPT(config, ops=ops, dtype=dtype, rng=rng)
        params, self.units = self.model.params, units_of(self.model.params)
        self.layout, self.decay_end = params.blocks, self.model.decay_end
        self.shards = [
            [cut(s, rank, comm.size) for unit in self.units for s in unit.where]
            for rank in range(comm.size)
        ]
        self.mine = self.shards[comm.rank]
        # the stretches that this worker updates
        self.updated = [s for shard in self.shards for s in shard]
        if stage > 0:
            self.updated = self.mine
        self.own = [params.flat[s] for s in self.updated]
        self.m, self.v = ([np.zeros_like(part) for part in self.own] for _ in "mv")
        self.sums: list[np.ndarray] = []  # of gradients
        self.steps, grads = 0, None
        if stage > 1:
            self.sums = [np.zeros_like(part) for part in self.own]
            # kept: the embeddings, used first, as the output layer, and last
            grads = self._sharded(self._new, self._reduce, kept=(0,))
        if stage > 2:
            self.own = [part.copy() for part in self.own]
            self.model.params = self._sharded(self._gather, self._drop)
        self.workspace = Workspace(self.model, grads)
        self._book()

    def _sharded(
        self, opened: Callable[[int], Arena], closed: Callable[[int, Arena], None],
        kept: tuple[int, ...] = (),
    ) -> Any:  # fmt: skip
        """What stands for the model's arena."""
        dtype = self.own[0].dtype
        return Sharded(self.units, opened, closed, dtype=dtype, kept=kept)

    def _book(self) -> None:
        """Enter what stays."""
        whole = sum(block.size for block in self.layout) * self.m[0].itemsize
        own = sum(part.nbytes for part in self.own) if self.stage == 3 else whole
        rank, hold = self.comm.rank, self.memory.hold
        hold(rank, "parameters", own)
        hold(rank, "moments", sum(x.nbytes for x in (*self.m, *self.v)))
        part = sum(s.stop - s.start for s in self.mine) * self.m[0].itemsize
        hold(rank, "gradients", whole if self.stage < 2 else part)

    def step(
        self, batches: list[Any], rate: float = 1.0, objective: Objective = LANGUAGE
    ) -> StepResult:
        """What `train_step` does, with the memory of the stage; the same for all."""
        sums, n_tokens = np.zeros(len(objective.names)), 0.0
        grads = self.workspace.grads
        if self.stage < 2:
            grads.flat.fill(0)
        for part in self.sums:
            part.fill(0)
        for batch in batches:
            if len(batch) < self.comm.size:
                raise ConfigError(
                    f"wanted at least a row for each of {self.comm.size} workers, got "
                    f"a batch of {len(batch)}; make batches larger, or take fewer"
                )
            mine = batch.part(self.comm.rank, self.comm.size)
            a = self.workspace.activations(*mine.ids.shape)
            sums += objective.run(self.model, grads, a, mine, None)
            n_tokens += mine.n_tokens
        shard = self._reduced(grads)
        result, scale = mean_of(
            self.comm, objective, sums, n_tokens, shard, self.training.grad_clip
        )
        if result.finite:
            self._update(grads, shard, rate, scale)
            self.steps += 1
            self.publish()
        return result

    def publish(self) -> None:
        """Stages 1 and 2: tell all what this worker has updated."""
        if self.stage in (1, 2):
            self.comm.all_gather(self.model.params.flat, self.shards)

    def owned(self) -> tuple[list[np.ndarray], ...]:
        """This worker's shard: parameters, and both moments, in stretches."""
        here = slice(None)
        if self.stage == 0:  # it has all; the shards lie one after another
            n = len(self.mine)
            here = slice(self.comm.rank * n, (self.comm.rank + 1) * n)
        return self.own[here], self.m[here], self.v[here]

    def _reduced(self, grads: Any) -> list[np.ndarray]:
        """The sum of all workers' gradients: this worker's shard of it."""
        if self.stage == 3:
            params: Any = self.model.params
            params.close()  # what is open is soon out of date
        if self.stage >= 2:
            grads.close()
            return self.sums
        shard = self.comm.reduce_scatter(grads.flat, self.shards)
        if self.stage == 0:  # a ring all-reduce is both halves
            for where, part in zip(self.mine, shard, strict=True):
                grads.flat[where] = part
            self.comm.all_gather(grads.flat, self.shards)
        return shard

    def _update(
        self, grads: Any, shard: list[np.ndarray], rate: float, scale: float
    ) -> None:
        c = self.training
        if self.stage == 0:
            shard = [grads.flat[s] for s in self.updated]
        parts = zip(self.updated, self.own, shard, self.m, self.v, strict=True)
        for where, params, grad, m, v in parts:
            decay = c.weight_decay if where.start < self.decay_end else 0.0
            self.model.ops.adamw(
                params, grad, m, v, rate * c.learning_rate, c.beta1, c.beta2, c.eps,
                decay, self.steps + 1, scale,
            )  # fmt: skip

    def _parts(self, i: int) -> slice:
        """Which of `mine` are unit i's."""
        before = sum(len(unit.where) for unit in self.units[:i])
        return slice(before, before + len(self.units[i].where))

    def _new(self, i: int) -> Arena:
        """Room for unit i: zeros."""
        arena = Arena(list(self.units[i].blocks), self.m[0].dtype)
        self.memory.hold(self.comm.rank, "units", arena.flat.nbytes)
        return arena

    def _drop(self, i: int, arena: Arena) -> None:
        self.memory.hold(self.comm.rank, "units", -arena.flat.nbytes)

    def _gather(self, i: int) -> Arena:
        """Stage 3: unit i's parameters, from the workers who own them."""
        arena, shards = self._new(i), self.units[i].shards(self.comm.size)
        own = self.own[self._parts(i)]
        for where, part in zip(shards[self.comm.rank], own, strict=True):
            arena.flat[where] = part
        self.comm.all_gather(arena.flat, shards)
        return arena

    def _reduce(self, i: int, arena: Arena) -> None:
        """Stages 2 and 3: add unit i's gradients up; each keeps its shard."""
        shards = self.units[i].shards(self.comm.size)
        came = self.comm.reduce_scatter(arena.flat, shards)
        for total, part in zip(self.sums[self._parts(i)], came, strict=True):
            total += part
        self._drop(i, arena)

    def parameters(self) -> np.ndarray:
        """All parameters, (Ψ,), in the model's order, for every worker."""
        if self.stage < 3:
            return self.model.params.flat.copy()
        flat = np.empty(sum(block.size for block in self.layout), self.m[0].dtype)
        for where, part in zip(self.mine, self.own, strict=True):
            flat[where] = part
        self.comm.all_gather(flat, self.shards)
        return flat
