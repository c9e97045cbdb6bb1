"""The virtual clock and the failures, against what can be worked out by hand."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptlite.cluster.clock import Layer, Network, simulate_step
from gptlite.cluster.goodput import (
    Machine,
    daly,
    expected_goodput,
    run_with_failures,
    young,
)
from gptlite.cluster.models import PRESETS
from gptlite.cluster.plan import Imperfect, PlanConfig
from gptlite.cluster.search import best_plan
from gptlite.cluster.simulate import simulate
from gptlite.errors import ConfigError

seconds = st.floats(0, 10)


def ring_by_hand(starts: np.ndarray, step: float) -> float:
    """When the last worker has everything: every message of every worker."""
    now = starts.copy()
    for _ in range(2 * (len(starts) - 1)):
        now = np.maximum(now, np.roll(now, 1)) + step
    return float(now.max())


@given(st.lists(st.floats(0.5, 3), min_size=1, max_size=7),
       st.lists(st.tuples(seconds, seconds, seconds), min_size=1, max_size=4),
       st.floats(0, 0.1), st.booleans())  # fmt: skip
def test_a_step_is_all_its_messages(slowness, layers, latency, overlap) -> None:  # type: ignore[no-untyped-def]
    slow, N = np.array(slowness), len(slowness)
    network, built = Network(latency, 2.0), [Layer(*layer) for layer in layers]
    found = simulate_step(built, N, network, 0.5, slow, overlap)
    now = slow * sum(layer.forward_s for layer in built)
    ready = []
    for layer in reversed(built):
        now = now + slow * layer.backward_s
        ready.append(now)
    free = 0.0
    for layer, at in zip(reversed(built), ready, strict=True):
        begin = np.maximum(at if overlap else ready[-1].max(), free)
        begin = np.full(N, begin.max())  # a ring begins when all have their part
        free = ring_by_hand(begin, latency + layer.gradient_bytes / N / 2.0)
    wanted = max(free, float(now.max())) + 0.5
    assert found.seconds == pytest.approx(wanted)
    assert 0 <= found.exposed_s <= found.sending_s + 1e-9
    assert 0 <= found.idle < 1


def test_overlap_hides_what_is_sent_and_a_slow_worker_delays_all() -> None:
    layers, fast = [Layer(0.1, 0.2, 1e6)] * 10, Network(0.0, 1e8)
    times = {o: simulate_step(layers, 8, fast, overlap=o) for o in (True, False)}
    assert times[False].exposed_s == pytest.approx(times[False].sending_s)
    assert times[True].exposed_s == pytest.approx(times[True].sending_s / 10)
    slow = np.ones(8)
    slow[3] = 2.0
    delayed = simulate_step(layers, 8, fast, slowness=slow, shown=[3, 4])
    assert delayed.seconds == pytest.approx(6.0 + times[True].exposed_s)
    assert delayed.idle > 0.4
    assert {span.worker for span in delayed.spans} == {3, 4}
    assert max(span.stop for span in delayed.spans) == delayed.seconds


def test_a_hundred_thousand_workers_cost_a_hundred_thousand_operations() -> None:
    """Ten times as many take ten times as long, or less; 10,000 take no second."""
    layers, took = [Layer(0.01, 0.02, 1e8)] * 96, []
    for N in (10_000, 100_000):
        slow = np.random.default_rng(0).uniform(1, 1.1, N)
        start = time.perf_counter()
        simulate_step(layers, N, Network(5e-6, 1e10), slowness=slow)
        took.append(time.perf_counter() - start)
    assert took[0] < 1 and took[1] < 5


def test_goodput_by_simulation_is_that_of_the_formula() -> None:
    machine = Machine(1000, 1000 * 40_000.0, 100, 500)
    for interval in (600, young(machine), 30_000):
        runs = [
            run_with_failures(machine, 3e6, interval, rng=np.random.default_rng(seed))
            for seed in range(5)
        ]
        mean = np.mean([run.goodput for run in runs])
        assert mean == pytest.approx(expected_goodput(machine, interval), rel=0.03)
        for run in runs:
            parts = run.work + run.saving + run.lost + run.restarting
            assert run.finished and parts == pytest.approx(run.seconds)


def test_youngs_interval_is_the_best_one_where_failures_are_rare() -> None:
    machine = Machine(10_000, 5e8, 60, 0)
    best = max(range(100, 10_000, 10), key=lambda t: expected_goodput(machine, t))
    assert young(machine) == pytest.approx(best, rel=0.02)
    assert daly(machine) == pytest.approx(best, rel=0.005)
    often = Machine(10_000, 5e6, 400, 0)  # a failure each 500 s
    best = max(range(50, 2000, 5), key=lambda t: expected_goodput(often, t))
    assert abs(daly(often) - best) < abs(young(often) - best)
    assert daly(Machine(10_000, 1e6, 400, 0)) == 100  # saving takes longer than M


def test_a_machine_that_never_gets_through_is_given_up() -> None:
    machine = Machine(10_000, 1e6, 60, 600)  # every 100 s a failure
    run = run_with_failures(machine, 1e5, 3600, rng=np.random.default_rng(0))
    assert not run.finished and run.goodput < 0.01
    assert expected_goodput(machine, 1e6) == 0


def test_a_whole_training_with_stragglers_and_failures() -> None:
    config, shape = PlanConfig("gpt3-175b", 1024), PRESETS["gpt3-175b"]
    plan = best_plan(config, shape)[0]
    perfect = simulate(shape, plan, config, Imperfect(0.0, mtbf_hours=1e9))
    assert perfect.step.seconds == perfect.perfect.seconds
    assert perfect.step.seconds == pytest.approx(plan.step.total, rel=0.05)
    assert perfect.run.failures == 0 and perfect.run.goodput > 0.99
    real = simulate(shape, plan, config, Imperfect(slow=1.5))
    assert real.step.seconds > 1.4 * perfect.step.seconds
    assert real.run.failures > 10 and real.run.goodput < perfect.run.goodput
    again = simulate(shape, plan, config, Imperfect(slow=1.5))
    assert again == real


def test_what_cannot_be_is_said() -> None:
    layers, network = [Layer(1, 1, 1)], Network(0, 1)
    for wrong in (
        lambda: simulate_step([], 2, network),
        lambda: simulate_step(layers, 0, network),
        lambda: simulate_step(layers, 2, network, slowness=np.ones(3)),
        lambda: simulate_step(layers, 2, network, slowness=np.array([1, -1.0])),
        lambda: Machine(0, 1, 1, 1),
        lambda: Machine(1, math.nan, 1, 1),
        lambda: Network(0, 0),
        lambda: Layer(-1, 1, 1),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match="wanted"):
            wrong()
