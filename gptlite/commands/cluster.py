"""`gptlite cluster plan | serve | simulate | calibrate | question`."""

from __future__ import annotations

import argparse
import dataclasses
from dataclasses import dataclass
from typing import Any

from gptlite.cluster.bill import Electricity
from gptlite.cluster.hardware import DEVICES, GIB, LINKS
from gptlite.cluster.models import PRESETS, Transformer, model
from gptlite.cluster.plan import Imperfect, Plan, PlanConfig, explain
from gptlite.cluster.search import best_plan
from gptlite.cluster.serving import ServeConfig
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


def cluster_serve(args: argparse.Namespace) -> dict[str, Any]:
    import numpy as np

    from gptlite.cluster.bill import DAY, by_roofline, by_utilization
    from gptlite.cluster.serving import replica
    from gptlite.cluster.traffic import arrivals, simulate

    config = given(args, ServeConfig)
    one, rng = replica(config), np.random.default_rng(config.seed)
    prompt, output = config.prompt, config.output
    roofline = by_roofline(config)
    shown = by_utilization(config) if config.utilization else roofline
    rate = config.queries_per_day / DAY
    each = rate / (roofline.gpus / config.tensor)
    batch = one.batch(prompt, output)
    count = config.requests or min(max(10 * batch, 300), 5000)
    ran = simulate(one, arrivals(count, each, prompt, output, rng=rng))
    seconds = {
        f"{name}_{p}_s": round(value, 4)
        for name, what in (("first_token", "first"), ("latency", "total"),
                           ("per_token", "token"))
        for p, value in ran.percentiles(what, (50, 95, 99)).items()
    }  # fmt: skip
    return {
        "model": config.model, "device": config.device,
        "queries_per_day": config.queries_per_day, "queries_per_s": round(rate, 3),
        **_bill(shown),
        "by": f"utilization {config.utilization}" if config.utilization else "roofline",
        **{f"roofline_{name}": value for name, value in _bill(roofline).items()},
        "weights_gib": round(one.weight_bytes / GIB, 2),
        "kv_cache_mib_per_token": round(one.kv_bytes / 2**20, 3),
        "kv_cache_gib": round(batch * (prompt + output) * one.kv_bytes / GIB, 2),
        "batch": batch, "ridge_batch": round(one.ridge, 1),
        "prefill_s": round(one.prefill(prompt), 4),
        "decode_s": round(one.decode(batch, prompt + output), 5),
        "queries_per_s_per_replica": round(one.capacity(prompt, output), 4),
        "simulated_load_per_s": round(each, 4),
        "simulated_requests": count, "simulated_batch": round(ran.mean_batch, 2),
        "simulated_tokens_per_s": round(ran.tokens / ran.seconds, 1), **seconds,
    }  # fmt: skip


CALIBRATED = "baby", "small", "shake"  # presets whose steps are predicted


def cluster_calibrate(args: argparse.Namespace) -> dict[str, Any]:
    from gptlite.bench.timing import device
    from gptlite.cluster.calibrate import check, flops_per_s, measure
    from gptlite.config import preset
    from gptlite.parallel.pool import available_cores

    rows, found = list[dict[str, Any]](), dict[str, Any](device=device())
    for workers in sorted({1, args.workers or available_cores()}):
        rates = measure(workers)
        found[f"gflops_per_worker_of_{workers}"] = round(flops_per_s(rates) / 1e9, 1)
        found[f"barrier_us_of_{workers}"] = round(rates["barrier"] * 1e6, 1)
        if args.json:
            found[f"rates_of_{workers}_s"] = rates
        rows += [check(name, *preset(name), workers, rates) for name in CALIBRATED]
    return found | {
        "worst_off": max(abs(row["off"]) for row in rows), "steps": rows
    }  # fmt: skip


def cluster_question(args: argparse.Namespace) -> dict[str, Any]:
    from gptlite.bench.timing import device
    from gptlite.cluster.question import price_of_a_question
    from gptlite.tools import run

    found = price_of_a_question(args.run_folder, given(args, Electricity), run)
    return {"device": device()} | found


def cluster_simulate(args: argparse.Namespace) -> dict[str, Any]:
    import time

    from gptlite.cluster.goodput import expected_goodput
    from gptlite.cluster.plan import DAY
    from gptlite.cluster.simulate import simulate

    config, shape = given(args, PlanConfig), _shape(args)
    best = best_plan(config, shape)[0]
    start = time.perf_counter()
    found = simulate(shape, best, config, given(args, Imperfect))
    spent, step, ran = time.perf_counter() - start, found.step, found.run
    if args.picture:
        from gptlite import plots

        plots.save(plots.gantt(step.spans), args.picture)
    return {
        "model": config.model, "gpus": best.layout.gpus, "device": config.device,
        "layout": str(best.layout), "perfect_step_s": round(found.perfect.seconds, 4),
        "step_s": round(step.seconds, 4), "compute_s": round(step.compute_s, 4),
        "sending_s": round(step.sending_s, 4), "exposed_s": round(step.exposed_s, 4),
        "idle": round(step.idle, 4),
        "hours_between_failures": round(found.machine.between_failures_s / 3600, 3),
        "interval_s": round(found.interval_s, 1), "failures": ran.failures,
        "goodput": round(ran.goodput, 4), "goodput_by_formula":
        round(expected_goodput(found.machine, found.interval_s), 4),
        "days": round(ran.seconds / DAY, 3), "finished": ran.finished,
        "simulated_in_s": round(spent, 3),
    } | ({"picture": args.picture} if args.picture else {})  # fmt: skip


def _bill(found: Any) -> dict[str, Any]:
    return {
        "gpus": found.gpus, "servers": found.servers,
        "dollars_per_day": round(found.dollars_per_day, 2),
        "cents_per_query": round(found.cents_per_query, 4),
    }  # fmt: skip


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
    serve = cluster.add(
        "serve", cluster_serve, "GPUs, latency and dollars of answering"
    )
    add_defaults(serve, ServeConfig)
    calibrated = cluster.add(
        "calibrate", cluster_calibrate, "measure this machine; predict real steps"
    )
    calibrated.add_argument("--workers", type=positive, metavar="N",
                            help="default: 1, and all cores")  # fmt: skip
    question = cluster.add(
        "question", cluster_question, "the price of one question on this computer"
    )
    question.add_argument("run_folder", metavar="RUN", nargs="?", default="mini")
    add_defaults(question, Electricity)
    simulated = cluster.add(
        "simulate", cluster_simulate, "the best layout with slow and failing GPUs"
    )
    for kind in (PlanConfig, OwnModel, Imperfect):
        add_defaults(simulated, kind)
    simulated.add_argument(
        "--picture",
        metavar="FILE",
        help="a step of the slowest, a usual and the fastest copy",
    )
    simulated.epilog = serve.epilog = plan.epilog = (
        f"models: {', '.join(PRESETS)}. devices: {', '.join(DEVICES)}. "
        f"links: {', '.join(LINKS)}."
    )
