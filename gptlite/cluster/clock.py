"""A virtual clock: one step of N data-parallel workers, in seconds of their time.

Each worker computes its backward layer by layer, and as soon as a layer's gradients
are there at *all* workers, their ring all-reduce may begin: while the next layers are
computed (overlap), or after all of them. The links carry one ring after another.

A ring with chunks of n/N has 2(N − 1) steps, in each of which a worker waits for its
left neighbour: T_i(s) = max(T_i(s−1), T_{i−1}(s−1)) + c. After N − 1 of them everyone
has waited for the last: so all end at max T(0) + 2(N − 1)·c. That is exact, and costs N
operations a ring, not N²: 100,000 workers are simulated as easily as 100.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gptlite.config import check_numbers
from gptlite.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Layer:
    """Seconds that an undisturbed worker needs, and bytes of its gradients."""

    forward_s: float
    backward_s: float
    gradient_bytes: float

    def __post_init__(self) -> None:
        check_numbers(self, "", "forward_s backward_s gradient_bytes")


@dataclass(frozen=True, slots=True)
class Network:
    """What a ring's message costs: latency in seconds, bandwidth in bytes a second."""

    latency_s: float
    bandwidth: float

    def __post_init__(self) -> None:
        check_numbers(self, "bandwidth", "latency_s")

    def ring_step(self, nbytes: float, workers: int) -> float:
        return self.latency_s + nbytes / workers / self.bandwidth


class Span(NamedTuple):
    """worker does `what` from start to stop, in seconds since the step began."""

    worker: int
    what: str  # forward, backward, all-reduce, update
    start: float
    stop: float


@dataclass(frozen=True, slots=True)
class Step:
    """seconds: until the last worker is done. compute_s: of the slowest, alone.
    sending_s: when links carry something. exposed_s: of that, after all computing.
    idle: mean share of the step in which a worker does not compute. spans: of those
    workers that were asked for.
    """

    seconds: float
    compute_s: float
    sending_s: float
    exposed_s: float
    idle: float
    spans: list[Span]


def simulate_step(
    layers: Sequence[Layer], workers: int, network: Network, update_s: float = 0.0,
    slowness: np.ndarray | None = None, overlap: bool = True,
    shown: Sequence[int] = (),
) -> Step:  # fmt: skip
    """Simulate a step. slowness: (N,), how many times as long each worker computes.

    >>> layers = [Layer(1.0, 2.0, 8e9)] * 4
    >>> fast = Network(0.0, 4e9)
    >>> [simulate_step(layers, 2, fast, overlap=o).seconds for o in (True, False)]
    [14.0, 20.0]
    """
    if workers < 1 or not layers:
        raise ConfigError(
            f"wanted workers and layers, at least 1 of each, got {workers} and "
            f"{len(layers)}"
        )
    slow = np.ones(workers) if slowness is None else np.asarray(slowness, float)
    if slow.shape != (workers,) or not (slow > 0).all():
        raise ConfigError(
            f"wanted a slowness > 0 for each of {workers} workers, got {slow.shape}"
        )
    spans: list[Span] = []

    def note(what: str, start: np.ndarray, stop: np.ndarray) -> None:
        spans.extend(Span(w, what, float(start[w]), float(stop[w])) for w in shown)

    now = slow * sum(layer.forward_s for layer in layers)
    note("forward", np.zeros(workers), now)
    ready, sent = [], []  # for each ring: when the last worker has its part; bytes
    for layer in reversed(layers):
        before, now = now, now + slow * layer.backward_s
        note("backward", before, now)
        ready.append(float(now.max()))
        sent.append(layer.gradient_bytes)
    computed, free, sending = float(now.max()), 0.0, 0.0
    for at, nbytes in zip(ready, sent, strict=True):
        start = max(free, at if overlap else computed)
        rounds = 2 * (workers - 1)
        free = start + rounds * network.ring_step(nbytes, workers)
        sending += free - start
        if workers > 1:
            note("all-reduce", np.full(workers, start), np.full(workers, free))
    begin = np.maximum(now, free)
    note("update", begin, begin + update_s)
    seconds = float(begin.max()) + update_s
    busy = float(now.mean()) + update_s
    return Step(seconds, computed + update_s, sending,
                max(0.0, free - computed), 1 - busy / seconds, spans)  # fmt: skip
