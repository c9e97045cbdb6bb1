"""The planner: it finds the best, it adds up, and it says what is short."""

from __future__ import annotations

import dataclasses
import re

import pytest

from gptlite.cluster.hardware import DEVICES
from gptlite.cluster.models import PRESETS
from gptlite.cluster.plan import PlanConfig, explain
from gptlite.cluster.search import all_plans, best_plan
from gptlite.errors import ConfigError
from tests.test_cli import Shell

KEYS = {"layout", "memory_gib", "fits", "step_s", "mfu", "days", "dollars"}


def test_the_best_plan_is_the_fastest_that_fits() -> None:
    config = PlanConfig("megatron-18b", 64)
    plans = all_plans(config)
    fitting = [plan for plan in plans if plan.fits]
    assert plans[0].step.total == min(plan.step.total for plan in fitting)
    assert all(plan.memory <= config.room for plan in fitting)
    assert all(plan.layout.gpus <= 64 for plan in plans)
    assert fitting == plans[: len(fitting)] and len(fitting) < len(plans)


def test_days_energy_and_dollars_follow_from_the_step() -> None:
    config = PlanConfig("gpt2", 8, "a100", tokens=1e9, dollars_per_hour=3.0, pue=1.2)
    plan = all_plans(config)[0]
    steps = 1e9 / (512 * 1024)
    hours = 8 * steps * plan.step.total / 3600
    assert plan.days == pytest.approx(hours / 8 / 24)
    assert plan.dollars == pytest.approx(3 * hours)
    assert plan.kwh == pytest.approx(hours * DEVICES["a100"].watts / 1000 * 1.2)
    flops = 1e9 * PRESETS["gpt2"].flops(1)
    assert plan.mfu == pytest.approx(flops / (8 * 312e12) / (plan.days * 86400))


def test_what_is_short_and_what_would_do_is_said_and_is_true() -> None:
    with pytest.raises(ConfigError) as caught:
        best_plan(PlanConfig("gpt3-175b", 8))
    said = str(caught.value)
    assert re.search(r"within 72\.0 GiB .* got .* GiB at least .* GiB too much", said)
    enough = int(re.search(r"(\d+) of them would do", said)[1])  # type: ignore[index]
    assert best_plan(PlanConfig("gpt3-175b", enough))[0].fits


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"gpus": 0}, "wanted gpus > 0, got 0"),
        ({"gpus": -4}, "wanted gpus > 0, got -4"),
        ({"data": -1}, "wanted data ≥ 0"),
        ({"data": 7}, "wanted a batch that divides .* try --batch"),
        ({"batch": 1535, "micro_batch": 2}, "wanted a batch that divides"),
        ({"pipeline": 97, "gpus": 97}, "wanted a layer at least for each piece"),
        ({"tensor": 5}, "wanted a tensor size that divides"),
        ({"tensor": 8, "pipeline": 96, "data": 2}, "wanted a layout of at most 64"),
        ({"tensor": 8, "pipeline": 96}, "wanted a layout of at most 64 GPUs"),
        ({"pipeline": 2, "zero": 3}, "wanted ZeRO-2 or 3 without a pipeline"),
        ({"zero": 4}, "wanted zero among"),
        ({"device": "a1000"}, "did you mean 'a100'"),
        ({"link": "infiniband"}, "wanted a link among"),
        ({"model": "gpt-3"}, "wanted a model among .* did you mean"),
        ({"precision": "fp8"}, "wanted precision among"),
        ({"tokens": float("nan")}, "wanted a finite number for tokens"),
        ({"interleave": 97}, "wanted a layer at least for each piece"),
    ],
)
def test_bad_input_is_one_clear_error(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        best_plan(dataclasses.replace(PlanConfig("gpt3-175b", 64), **changes))  # type: ignore[arg-type]


def test_the_explanation_accounts_for_the_whole_step() -> None:
    config = PlanConfig("megatron-18b", 64)
    lines = explain(best_plan(config), config)
    shares = [int(n) for n in re.findall(r"(\d+)% ", lines[1])]
    assert abs(sum(shares) - 100) <= 4  # each is rounded, the least are left out
    assert any(line.startswith("tensor ") for line in lines)


def test_the_command_prints_the_keys_that_were_promised(shell: Shell) -> None:
    found = shell.json("cluster", "plan", "--model", "gpt2", "--gpus", "2",
                       "--device", "cpu", "--n-layer", "6")  # fmt: skip
    assert found.keys() >= KEYS | {"kwh", "why"}
    assert all(row.keys() >= KEYS for row in found["layouts"])
    assert found["layout"] == found["layouts"][0]["layout"]
    assert found["precision"] == "float32"
    assert found["memory_gib"] == found["float32_gib"]
    assert found["n_params"] == PRESETS["gpt2"].n_params - 6 * 7_087_872


def test_the_command_fails_with_one_line(shell: Shell) -> None:
    assert "8192" not in shell.error("cluster", "plan", "--gpus", "0")
    assert "too much" in shell.error("cluster", "plan", "--gpus", "2")
