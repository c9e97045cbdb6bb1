"""`gptlite cluster plan | serve`: the supercomputer and its bill, computed."""

from __future__ import annotations

import argparse
import dataclasses
from dataclasses import dataclass
from typing import Any

from gptlite.cluster.hardware import DEVICES, GIB, LINKS
from gptlite.cluster.models import PRESETS, Transformer, model
from gptlite.cluster.plan import Plan, PlanConfig, explain
from gptlite.cluster.search import best_plan
from gptlite.commands import Commands, add_defaults, given, positive

ROWS = 12  # layouts that a reader is shown


@dataclass(frozen=True, slots=True)
class OwnModel:
    """Fields of the model that are not the preset's; 0: as there."""

    n_layer: int = 0
    n_head: int = 0
    n_embd: int = 0
    context_length: int = 0
    vocab_size: int = 0
    n_kv_head: int = 0
    ffn: int = 0


def _shape(args: argparse.Namespace) -> Transformer:
    changes = dataclasses.asdict(given(args, OwnModel))
    return dataclasses.replace(
        model(args.model), **{name: n for name, n in changes.items() if n}
    )


def _row(plan: Plan, as_json: bool) -> dict[str, Any]:
    layout = dataclasses.asdict(plan.layout) if as_json else str(plan.layout)
    return {
        "layout": layout, "memory_gib": round(plan.memory / GIB, 2),
        "float32_gib": round(plan.memory_float32 / GIB, 2),
        "mixed_gib": round(plan.memory_mixed / GIB, 2), "fits": plan.fits,
        "step_s": round(plan.step.total, 4), "mfu": round(plan.mfu, 4),
        "days": round(plan.days, 3), "dollars": round(plan.dollars),
    }  # fmt: skip


def cluster_plan(args: argparse.Namespace) -> dict[str, Any]:
    config, shape = given(args, PlanConfig), _shape(args)
    plans = best_plan(config, shape)
    best, fitting = plans[0], sum(plan.fits for plan in plans)
    shown = plans if args.json else plans[: args.rows]
    why = explain(plans, config)
    found = {
        "model": config.model, "n_params": shape.n_params, "gpus": config.gpus,
        "device": config.device, "precision": config.number,
        "zettaflops": round(shape.flops(config.tokens) / 1e21, 2),
        **_row(best, args.json), "tflops": round(best.tflops, 1),
        "kwh": round(best.kwh), "layouts_tried": len(plans),
        "layouts_that_fit": fitting, "why": why if args.json else _lines(why),
        "layouts": [_row(plan, args.json) for plan in shown],
    }  # fmt: skip
    if args.json:
        parts = dataclasses.asdict(best.step)
        found["step_parts_s"] = {name: round(s, 4) for name, s in parts.items()}
    return found


def _lines(sentences: list[str]) -> str:
    return "".join(f"\n  {sentence}" for sentence in sentences)


def add(commands: Commands) -> None:
    """Enter these commands."""
    cluster = commands.group("cluster", "the supercomputer and its bill, computed")
    plan = cluster.add(
        "plan", cluster_plan, "layouts of a training: memory, time, cost"
    )
    add_defaults(plan, PlanConfig)
    add_defaults(plan, OwnModel)
    plan.add_argument("--rows", type=positive, default=ROWS, metavar="N",
                      help="layouts to show, the fastest first")  # fmt: skip
    plan.epilog = (
        f"models: {', '.join(PRESETS)}. devices: {', '.join(DEVICES)}. "
        f"links: {', '.join(LINKS)}."
    )
