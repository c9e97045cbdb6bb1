"""The clocks of the benchmarks are fair, and their arithmetic is right."""

from __future__ import annotations

import time

import numpy as np
import pytest

from gptlite.bench import timing
from gptlite.config import GPTConfig, preset
from gptlite.models.gpt import GPT


@pytest.fixture(autouse=True)
def no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "REST", 0.0)


def test_seconds_per_call_is_the_mean_over_calls() -> None:
    seconds = timing.seconds_per_call(lambda: time.sleep(0.01), burst=0.05)
    assert 0.01 <= seconds < 0.05


def test_even_a_slow_call_is_made_once_to_warm_up_and_once_to_measure() -> None:
    calls = []
    timing.seconds_per_call(lambda: calls.append(time.sleep(0.02)), burst=0.01)
    assert len(calls) == 2


def test_a_machine_that_pauses_at_the_wrong_moment_still_measures_a_call() -> None:
    """As if the burst were over before the first call: it is made all the same."""
    assert timing.seconds_per_call(lambda: time.sleep(0.002), burst=0.0) >= 0.002


def test_two_sides_take_turns() -> None:
    order: list[str] = []

    def side(name: str) -> object:
        def work() -> None:
            order.append(name)
            time.sleep(0.002)

        return work

    times = timing.alternate([side("A"), side("B")], rounds=3, burst=0.001)  # type: ignore[list-item]
    assert [len(row) for row in times] == [3, 3]
    assert all(t >= 0.002 for row in times for t in row)
    blocks = [order[0]]
    for name in order[1:]:
        if name != blocks[-1]:
            blocks.append(name)
    assert "".join(blocks) == "ABABABAB"  # one to warm up, then A B A B A B


def test_the_ratio_is_the_median_over_rounds_and_above_one_if_we_are_faster() -> None:
    assert timing.ratio([1.0, 1.0, 1.0], [2.0, 1.5, 9.0]) == 2.0
    assert timing.ratio([2.0], [1.0]) == 0.5
    assert timing.median([3.0, 1.0, 2.0]) == 2.0


def test_the_roofline_s_product_is_what_its_flops_say() -> None:
    calls = []
    real = np.matmul
    work = timing.sgemm(1)
    try:
        np.matmul = lambda a, b, out: (
            calls.append((a.shape, b.shape)) or real(a, b, out=out)
        )
        work()
    finally:
        np.matmul = real
    flops = sum(2 * m * k * n for (m, k), (_, n) in calls)
    assert flops == timing.SGEMM_FLOPS
    assert timing.SGEMM_FLOPS == 24_159_191_040


def test_step_flops_are_those_of_the_products_of_a_step() -> None:
    """Counted by hand: every weight 2 forward, 4 backward; attention as a square."""
    config, training = preset("baby")
    L, C, T, V, B = 4, 128, 64, 65, training.batch_size
    tokens = B * T
    weights = L * 12 * C * C + V * C
    norms = L * 2 * C + C
    attention = L * 3 * (2 * 2 * T * C)  # two products, forward and twice backward
    wanted = 6 * (weights + norms) * tokens + attention * tokens
    found = timing.step_flops(config, B, GPT(config).n_params)
    assert found == wanted


def test_the_device_is_named_with_its_cores() -> None:
    assert "cores" in timing.device() and len(timing.device()) > 10


def test_flops_grow_with_the_batch() -> None:
    config = GPTConfig()
    assert timing.step_flops(config, 4, 1000) == 2 * timing.step_flops(config, 2, 1000)
