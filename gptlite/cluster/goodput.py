"""Failures, checkpoints, and what is left of the time: by formula and by simulation.

A training that saves its state every τ seconds of work loses, when one of its workers
fails, what was done since. Young 1974 and Daly 2006 say how often to save; the
simulation lets each worker fail on its own, and counts.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass

import numpy as np

from gptlite.config import check_numbers


@dataclass(frozen=True, slots=True)
class Machine:
    """workers: of which any one's failure stops all. mtbf_s: mean time between failures
    of *one* worker. checkpoint_s: to save the state, meanwhile nothing is computed.
    restart_s: from a failure until all compute again, with a new worker in its place.
    """

    workers: int
    mtbf_s: float
    checkpoint_s: float
    restart_s: float

    def __post_init__(self) -> None:
        check_numbers(self, "workers mtbf_s checkpoint_s", "restart_s")

    @property
    def between_failures_s(self) -> float:
        """Of the whole machine: N workers fail N times as often."""
        return self.mtbf_s / self.workers


def young(machine: Machine) -> float:
    """√(2δM): the interval of work between checkpoints, in seconds (Young 1974).

    >>> round(young(Machine(10_000, 5e8, 60, 300)))
    2449
    """
    return math.sqrt(2 * machine.checkpoint_s * machine.between_failures_s)


def daly(machine: Machine) -> float:
    """The same to a higher order, for checkpoints that take a part of M (Daly 2006)."""
    delta, between = machine.checkpoint_s, machine.between_failures_s
    if delta >= 2 * between:
        return between
    x = delta / (2 * between)
    return young(machine) * (1 + math.sqrt(x) / 3 + x / 9) - delta


def expected_goodput(machine: Machine, interval_s: float) -> float:
    """Share of the time that is work which counts, if failures have no memory.

    A stretch of τ of work and δ of saving has to go by without a failure. With one
    every M seconds on average, its expected time, all attempts together, is
    M·e^(R/M)·(e^((τ+δ)/M) − 1); derived in docs/cluster/simulate.md (Daly 2006).

    >>> machine = Machine(10_000, 5e8, 60, 300)
    >>> [round(expected_goodput(machine, t), 3) for t in (300, young(machine), 36_000)]
    [0.825, 0.946, 0.677]
    """
    between = machine.between_failures_s
    stretch = (interval_s + machine.checkpoint_s) / between
    if max(stretch, machine.restart_s / between) > 700:  # e^700: never
        return 0.0
    expected = between * math.exp(machine.restart_s / between) * math.expm1(stretch)
    return interval_s / expected


@dataclass(frozen=True, slots=True)
class Ran:
    """What a simulated training came to; all but `failures` in seconds of its time."""

    seconds: float
    work: float
    saving: float
    lost: float  # computed, or half saved, and taken again
    restarting: float
    failures: int
    finished: bool

    @property
    def goodput(self) -> float:
        return self.work / self.seconds


def run_with_failures(
    machine: Machine, work_s: float, interval_s: float, *, rng: np.random.Generator,
    longest: float = 100.0,
) -> Ran:  # fmt: skip
    """Simulate a training of `work_s` seconds of work, saved every `interval_s`.

    Each worker fails after an exponential time, and so does the one in its place. Given
    up after `longest` times `work_s`.
    """
    fails = rng.exponential(machine.mtbf_s, machine.workers).tolist()
    heapq.heapify(fails)  # when each worker fails next
    now = work = saving = lost = restarting = 0.0
    failures = 0

    def replaced(at: float) -> None:
        heapq.heapreplace(fails, at + rng.exponential(machine.mtbf_s))

    while work < work_s and now < longest * work_s:
        step = min(interval_s, work_s - work)
        need = step + machine.checkpoint_s
        if now + need <= fails[0]:
            now, work, saving = now + need, work + step, saving + machine.checkpoint_s
            continue
        lost += fails[0] - now
        begun = now = fails[0]
        failures += 1
        replaced(now)
        while fails[0] < now + machine.restart_s:  # and again, before all compute
            now = fails[0]
            failures += 1
            replaced(now)
        now += machine.restart_s
        restarting += now - begun
    return Ran(now, work, saving, lost, restarting, failures, work >= work_s)
