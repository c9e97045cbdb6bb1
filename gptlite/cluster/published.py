"""Published throughputs, the fit to one table of them, and how far off the rest is.

The throughputs count recomputed forwards (hardware FLOPs), as their papers do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gptlite.cluster.hardware import DEVICES, Device
from gptlite.cluster.layout import Layout
from gptlite.cluster.models import PRESETS
from gptlite.cluster.step import FITTED, Efficiency, step_time

A100 = DEVICES["a100"]
JEAN_ZAY = A100.with_link("omnipath")


@dataclass(frozen=True, slots=True)
class Row:
    """A run on record: TFLOP/s a GPU of `model`, laid out so, on `device`."""

    name: str
    model: str
    layout: Layout
    batch: int
    tflops: float
    source: str
    device: Device = A100

    def predicted(self, reached: Efficiency = FITTED) -> float:
        """TFLOP/s a GPU by the formulas of step.py."""
        model = PRESETS[self.model]
        step = step_time(
            model, self.layout, self.batch, self.device, reached=reached
        ).total
        flops = model.flops(self.batch * model.context_length, self.layout.recompute)
        return flops / step / self.layout.gpus / 1e12

    def error(self, reached: Efficiency = FITTED) -> float:
        """Predicted ÷ published − 1."""
        return self.predicted(reached) / self.tflops - 1


def _rows(source: str, model: str, tensor: int, pipeline: int, batch: int,
          found: dict[int, float], name: str = "", zero: int = 0,
          device: Device = A100, micro_batch: int = 1) -> list[Row]:  # fmt: skip
    """Rows of one model on different numbers of GPUs, `found`: {GPUs: TFLOP/s}."""
    return [
        Row(f"{name or model}, {gpus} GPUs", model,
            Layout(gpus // tensor // pipeline, tensor, pipeline, zero,
                   micro_batch=micro_batch),
            batch, tflops, source, device)
        for gpus, tflops in found.items()
    ]  # fmt: skip


_M = "Narayanan et al. 2021, arXiv:2104.04473, Table "
# Table 1 does not say which micro-batches and schedule: 1 and plain 1F1B are assumed
TABLE_1 = [
    row
    for model, tensor, pipeline, gpus, tflops in (
        ("megatron-1.7b", 1, 1, 32, 137),
        ("megatron-3.6b", 2, 1, 64, 138),
        ("megatron-7.5b", 4, 1, 128, 142),
        ("megatron-18b", 8, 1, 256, 135),
        ("megatron-39b", 8, 2, 512, 138),
        ("megatron-76b", 8, 4, 1024, 140),
        ("megatron-145b", 8, 8, 1536, 148),
        ("megatron-310b", 8, 16, 1920, 155),
        ("megatron-530b", 8, 35, 2520, 163),
        ("megatron-1t", 8, 64, 3072, 163),
    )
    for row in _rows(_M + "1", model, tensor, pipeline, PRESETS[model].batch,
                     {gpus: tflops})
]  # fmt: skip

OTHERS = [
    *_rows(_M + "2", "gpt3-175b", 8, 12, 1536, {384: 153, 768: 149, 1536: 141}),
    *_rows(_M + "2", "megatron-530b", 8, 35, 2240, {560: 171, 1120: 167, 2240: 159}),
    *[row for gpus, micro, tflops in ((384, 4, 144), (768, 2, 88), (1536, 1, 44))
      for row in _rows(_M + "2", "gpt3-175b", 1, 1, 1536, {gpus: tflops},
                       "gpt3-175b by ZeRO-3", 3, micro_batch=micro)],
    *_rows("Smith et al. 2022, arXiv:2201.11990, section 2.4", "mt-nlg-530b", 8, 35,
           1920, {2240: 126, 2800: 121, 3360: 113}),
    *_rows("BigScience 2022, 'BigScience 176B Model': about 150", "bloom-176b", 4, 12,
           2048, {384: 150}, zero=1, device=JEAN_ZAY, micro_batch=2),
    *_rows("Zhang et al. 2022, arXiv:2205.01068, section 2: up to 147", "opt-175b", 8,
           1, 992, {992: 147}, zero=3, micro_batch=8),
]  # fmt: skip


def mean_error(rows: list[Row], reached: Efficiency = FITTED) -> float:
    """Mean of |predicted ÷ published − 1|.

    >>> mean_error(TABLE_1) < 0.03, mean_error(OTHERS) < 0.15
    (True, True)
    """
    return sum(abs(row.error(reached)) for row in rows) / len(rows)


def fit(rows: list[Row] | None = None) -> Efficiency:
    """The three efficiencies that fit `rows` best; without rows: Table 1.

    A step's time is linear in 1 / efficiency, so this is linear least squares of
    predicted ÷ published time, against 1.
    """
    import numpy as np

    table = []
    for row in TABLE_1 if rows is None else rows:
        model, parts = PRESETS[row.model], []
        flops = model.flops(row.batch * model.context_length, row.layout.recompute)
        published = flops / row.layout.gpus / row.tflops / 1e12
        for one in range(3):  # all time that goes to this peak, at an efficiency of 1
            only = Efficiency(*(1.0 if i == one else float("inf") for i in range(3)))
            step = step_time(model, row.layout, row.batch, row.device, reached=only)
            parts.append(step.total / published)
        table.append(parts)
    inverse = np.linalg.lstsq(np.array(table), np.ones(len(table)), rcond=None)[0]
    return Efficiency(*(1 / inverse).tolist())


def comparison(rows: list[Row]) -> list[dict[str, Any]]:
    """The table of docs/cluster/planner.md: predicted against published."""
    return [
        {"run": row.name, "published": row.tflops,
         "predicted": round(row.predicted()), "error": f"{row.error():+.0%}"}
        for row in rows
    ]  # fmt: skip
