"""The formulas against what was measured: fitted on one table, tested on the others."""

from __future__ import annotations

import dataclasses

import pytest

from gptlite.cluster.hardware import DEVICES
from gptlite.cluster.layout import Layout
from gptlite.cluster.models import PRESETS
from gptlite.cluster.plan import PlanConfig
from gptlite.cluster.published import OTHERS, TABLE_1, comparison, fit, mean_error
from gptlite.cluster.search import best_plan
from gptlite.cluster.step import FITTED, step_time
from tests.helpers import REPOSITORY


def test_the_constants_are_those_that_fit_table_1_alone() -> None:
    found = dataclasses.astuple(fit())
    assert found == pytest.approx(dataclasses.astuple(FITTED), abs=6e-4)
    assert all(0 < share < 1 for share in found)  # they could have come out absurd


def test_the_mean_error_is_within_the_bar() -> None:
    assert len(TABLE_1) == 10 and mean_error(TABLE_1) < 0.03
    assert len(OTHERS) >= 10 and mean_error(OTHERS) <= 0.15
    runs = {row.model for row in OTHERS}
    assert runs >= {"gpt3-175b", "opt-175b", "bloom-176b", "mt-nlg-530b"}


def test_a_row_that_was_not_fitted_is_predicted() -> None:
    """Leave one out: no row of Table 1 carries the fit."""
    for i, row in enumerate(TABLE_1):
        others = fit(TABLE_1[:i] + TABLE_1[i + 1 :])
        assert abs(row.error(others)) < 0.07, row.name


@pytest.mark.parametrize("row", TABLE_1 + OTHERS, ids=lambda row: row.name)
def test_what_was_run_is_possible(row) -> None:  # type: ignore[no-untyped-def]
    row.layout.check(PRESETS[row.model], row.batch, row.device.server)
    assert row.source and 0 < row.tflops < row.device.peak / 1e12


def test_the_table_in_the_docs_is_this_one() -> None:
    page = (REPOSITORY / "docs/cluster/planner.md").read_text(encoding="utf-8")
    for row in comparison(TABLE_1 + OTHERS):
        assert f"| {' | '.join(str(cell) for cell in row.values())} |" in page


def test_gpt3_on_1024_gpus_takes_about_the_published_34_days() -> None:
    """Narayanan et al. 2021, section 5.1: 300e9 tokens, batch 1536, recomputing."""
    config = PlanConfig("gpt3-175b", 1024, "a100", recompute="yes")
    assert best_plan(config)[0].days == pytest.approx(34, rel=0.15)


def test_gpt3_on_10000_v100_takes_about_the_published_14_8_days() -> None:
    """Patterson et al. 2021, Table 4: 14.8 days, 24.6 TFLOP/s a GPU, 1,287 MWh."""
    best = best_plan(PlanConfig("gpt3-175b", 10_000, "v100"))[0]
    assert best.days == pytest.approx(14.8, rel=0.15)
    assert best.mfu * 125 == pytest.approx(24.6, rel=0.15)
    assert best.kwh == pytest.approx(1_287_000, rel=0.15)


def test_parts_of_a_step_follow_what_they_depend_on() -> None:
    model, a100 = PRESETS["gpt3-175b"], DEVICES["a100"]
    slow = step_time(model, Layout(8, 8, 12), 1536, a100.with_link("ethernet"))
    fast = step_time(model, Layout(8, 8, 12), 1536, a100)
    assert slow.data == pytest.approx(20 * fast.data)
    assert slow.matmul == fast.matmul and slow.tensor == fast.tensor
    alone = step_time(model, Layout(), 1536, a100)
    assert alone.tensor == alone.pipeline == alone.bubble == alone.data == 0
    assert fast.bubble == pytest.approx(
        11 / 192 * (fast.matmul + fast.memory + fast.tensor + fast.pipeline)
    )
