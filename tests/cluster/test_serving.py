"""Answering: rooflines, a simulation that adds up, and SemiAnalysis' estimate."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from gptlite.cluster.bill import by_roofline, by_utilization
from gptlite.cluster.hardware import DEVICES
from gptlite.cluster.models import PRESETS
from gptlite.cluster.serving import Replica, ServeConfig, replica
from gptlite.cluster.traffic import Request, arrivals, simulate
from gptlite.errors import ConfigError
from tests.test_cli import Shell

SMALL = ServeConfig("gpt3-13b", "a100", 1, prompt=100, output=100)
ONE = replica(SMALL)


def tight(tokens: int) -> Replica:
    """The same replica with room for so many tokens only."""
    need = ONE.weight_bytes + (tokens + 0.5) * ONE.kv_bytes
    found = dataclasses.replace(ONE, reserve=1 - need / (80 * 2**30))
    assert found.room == tokens
    return found


def ran(machine: Replica, rate: float, count: int = 200, seed: int = 0):  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(seed)
    return simulate(machine, arrivals(count, rate, 100, 100, rng=rng))


def test_the_estimate_of_semianalysis_is_reproduced() -> None:
    found = by_utilization(ServeConfig())
    assert (found.gpus, found.servers) == (28_936, 3_617)
    assert found.dollars_per_day == pytest.approx(694_444, rel=1e-4)
    assert round(found.cents_per_query, 2) == 0.36


@pytest.mark.parametrize(
    ("changes", "factor"),
    [({"users": 26e6}, 2), ({"output": 1000}, 0.5), ({"utilization": 0.0873}, 2),
     ({"dollars_per_hour": 2.0}, 2)],
)  # fmt: skip
def test_each_assumption_is_a_parameter(
    changes: dict[str, float], factor: float
) -> None:
    before = by_utilization(ServeConfig()).dollars_per_day
    after = by_utilization(ServeConfig(**changes)).dollars_per_day  # type: ignore[arg-type]
    assert after == pytest.approx(factor * before, rel=1e-3)


def test_keys_and_values_are_counted() -> None:
    gpt3 = replica(ServeConfig())
    assert gpt3.kv_bytes == 2 * 96 * 12288 * 2
    llama = replica(ServeConfig("llama2-70b"))
    assert llama.kv_bytes == 2 * 80 * (8192 // 8) * 2  # 8 of 64 heads have keys


def test_decoding_is_bound_by_memory_and_then_by_products() -> None:
    model = dataclasses.replace(ONE, shape=PRESETS["gpt3-13b"])
    one, few, many = (model.decode(batch, 0) for batch in (1, 8, 1024))
    assert one == pytest.approx(few)
    assert many == pytest.approx(one * 1024 / model.ridge, rel=0.03)


def test_reading_a_prompt_is_faster_than_writing_it() -> None:
    assert ONE.prefill(500) < 500 * ONE.decode(1, 250) / 20


def test_one_query_alone_takes_its_prefill_and_its_tokens() -> None:
    found = simulate(ONE, [Request(5.0, 50, 3)])
    wanted = ONE.prefill(50) + sum(ONE.decode(1, 50 + i) for i in range(3))
    assert found.requests[0].done - 5.0 == pytest.approx(wanted)
    assert found.tokens == 3


@pytest.mark.parametrize("room", [100_000, 1200])
def test_everybody_gets_all_tokens_whatever_the_room(room: int) -> None:
    found = ran(tight(room) if room < 2000 else ONE, rate=20)
    assert len(found.requests) == 200
    assert found.tokens == sum(request.output for request in found.requests)
    assert all(r.arrived < r.first <= r.done for r in found.requests)
    assert (found.sent_back > 0) == (room < 2000)


def test_more_load_is_longer_waiting_and_fuller_batches() -> None:
    calm, busy = ran(ONE, 1), ran(ONE, 10)
    assert (
        busy.percentiles("total", (95,))["p95"]
        > calm.percentiles("total", (95,))["p95"]
    )
    assert busy.mean_batch > 3 * calm.mean_batch
    found = list(busy.percentiles("first", (50, 95, 99)).values())
    assert found == sorted(found)


def test_a_flood_is_answered_at_the_capacity_that_was_computed() -> None:
    machine = tight(4000)  # 20 sequences
    found = ran(machine, rate=1000, count=1500)
    capacity = machine.capacity(100, 100)
    assert len(found.requests) / found.seconds == pytest.approx(capacity, rel=0.2)


def test_the_same_seed_gives_the_same_times() -> None:
    assert ran(ONE, 5, 50).requests == ran(ONE, 5, 50).requests
    assert ran(ONE, 5, 50).requests != ran(ONE, 5, 50, seed=1).requests


def test_the_roofline_gives_gpus_for_a_load() -> None:
    found = by_roofline(SMALL)
    rate = SMALL.queries_per_day / 86_400
    assert found.gpus * ONE.capacity(100, 100) * SMALL.busy >= rate
    assert (found.gpus - 8) * ONE.capacity(100, 100) * SMALL.busy < rate
    assert found.servers == found.gpus / DEVICES["a100"].server


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"users": 0}, "wanted users > 0"),
        ({"output": -1}, "wanted output > 0"),
        ({"utilization": 1.5}, "wanted utilization ≤ 1"),
        ({"busy": 0}, "wanted busy > 0"),
        ({"tensor": 3}, "wanted tensor to divide"),
        ({"tensor": 1}, "wanted .* GiB for gpt3-175b .* GiB too little"),
        ({"output": 60_000}, "GiB too little"),
        ({"device": "v100x"}, "wanted a device"),
    ],
)
def test_bad_input_is_one_clear_error(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        replica(ServeConfig(**changes))  # type: ignore[arg-type]


def test_the_command_prints_the_keys_that_were_promised(shell: Shell) -> None:
    found = shell.json("cluster", "serve", "--requests", 20)
    assert found["gpus"] == 28_936 and found["servers"] == 3_617
    assert found["cents_per_query"] == pytest.approx(0.36, abs=0.005)
    assert found["dollars_per_day"] == pytest.approx(694_444, rel=1e-4)
    assert found["latency_p50_s"] <= found["latency_p99_s"]
    by_itself = shell.json("cluster", "serve", "--requests", 20, "--utilization", 0)
    assert by_itself["gpus"] == found["roofline_gpus"]


def test_the_command_fails_with_one_line(shell: Shell) -> None:
    assert "too little" in shell.error("cluster", "serve", "--tensor", "1")
