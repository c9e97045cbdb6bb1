"""AdamW and Muon over the flat parameters, sharded over the workers (ZeRO-1).

Each worker updates only its shard: Rajbhandari et al. 2019, arXiv:1910.02054.
AdamW treats every number alone, so its shard may be cut anywhere. Muon needs whole
matrices, so it is cut between them.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from gptlite.arena import Arena
from gptlite.config import TrainConfig
from gptlite.models.gpt import GPT
from gptlite.parallel.communicator import Shard


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the flat parameters that one rule updates.

    shape: of the matrix, for Muon; `None` for AdamW.
    """

    where: slice
    decays: bool
    shape: tuple[int, int] | None = None


def _cut(start: int, stop: int, size: int) -> list[slice]:
    """The stretch start … stop in `size` nearly equal slices."""
    ends = [start + (stop - start) * i // size for i in range(size + 1)]
    return [slice(a, b) for a, b in itertools.pairwise(ends)]


def _elementwise(start: int, stop: int, decay_end: int, size: int) -> list[list[Piece]]:
    """AdamW's pieces for each worker: one slice each, cut again where decay ends."""
    pieces: list[list[Piece]] = []
    for part in _cut(start, stop, size):
        middle = min(max(decay_end, part.start), part.stop)
        both = (slice(part.start, middle), True), (slice(middle, part.stop), False)
        pieces.append([Piece(s, decays) for s, decays in both if s.stop > s.start])
    return pieces


def _newton_schulz_work(shape: tuple[int, int]) -> int:
    small, large = sorted(shape)
    return small * small * (2 * large + small)


def plan(model: GPT, optimizer: str, size: int) -> list[list[Piece]]:
    """Who updates what: the pieces of each of `size` workers.

    >>> from gptlite.config import GPTConfig
    >>> pieces = plan(GPT(GPTConfig(n_layer=1, n_head=1, n_embd=4)), "muon", 2)
    >>> sorted(p.shape for worker in pieces for p in worker if p.shape)
    [(4, 4), (4, 12), (4, 16), (16, 4)]
    """
    params, end = model.params, model.n_params
    if optimizer == "adamw":
        return _elementwise(0, end, model.decay_end, size)
    first = params.slice_of(model.hidden_matrices[0]).start
    last = params.slice_of(model.hidden_matrices[-1]).stop
    pieces = [
        a + b
        for a, b in zip(
            _elementwise(0, first, model.decay_end, size),
            _elementwise(last, end, model.decay_end, size),
            strict=True,
        )
    ]
    # the largest job first, each to the worker with the least work so far
    matrices = [Piece(params.slice_of(n), True, params[n].shape) for n in
                model.hidden_matrices]  # fmt: skip
    load = [0] * size
    for piece in sorted(matrices, key=lambda p: -_newton_schulz_work(p.shape)):  # type: ignore[arg-type]
        worker = load.index(min(load))
        load[worker] += _newton_schulz_work(piece.shape)  # type: ignore[arg-type]
        pieces[worker].append(piece)
    return pieces


class Optimizer:
    """The moments of a model's parameters, and the update of one worker's shard.

    `m` is AdamW's first moment, and Muon's momentum; `v` is AdamW's second moment.
    """

    def __init__(self, model: GPT, config: TrainConfig, size: int) -> None:
        self.model, self.config = model, config
        self.m: Arena = model.params.like()
        self.v: Arena = model.params.like()
        self.pieces = plan(model, config.optimizer, size)
        self.shards: list[Shard] = [[p.where for p in part] for part in self.pieces]
        self.steps = 0  # updates done so far

    def update(
        self, rank: int, grads: list[np.ndarray], rate: float, grad_scale: float
    ) -> None:
        """Update worker `rank`'s shard; `rate` is the schedule's share of the peak.

        grads: the gradient of each slice of `shards[rank]`, before `grad_scale`.
        """
        c, ops, params = self.config, self.model.ops, self.model.params.flat
        for piece, grad in zip(self.pieces[rank], grads, strict=True):
            where, decay = piece.where, c.weight_decay if piece.decays else 0.0
            m, v = self.m.flat[where], self.v.flat[where]
            if piece.shape is None:
                ops.adamw(
                    params[where], grad, m, v, rate * c.learning_rate,
                    c.beta1, c.beta2, c.eps, decay, self.steps + 1, grad_scale,
                )  # fmt: skip
            else:
                ops.muon(
                    params[where].reshape(piece.shape), grad.reshape(piece.shape),
                    m.reshape(piece.shape), rate * c.muon_learning_rate,
                    c.muon_momentum, decay, grad_scale,
                )  # fmt: skip


def clip_factor(norm: float, limit: float) -> float:
    """What to multiply a gradient by so that its norm is at most `limit` (0: none).

    >>> clip_factor(4.0, 1.0), clip_factor(0.5, 1.0), clip_factor(4.0, 0.0)
    (0.25, 1.0, 1.0)
    """
    if limit == 0 or not math.isfinite(norm) or norm <= limit:
        return 1.0
    return limit / norm
