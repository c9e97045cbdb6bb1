"""A training on a machine that is not perfect: slow GPUs, and GPUs that fail.

The planner's layout says what each GPU computes and sends; the clock, what becomes of a
step when some are slower; goodput, what becomes of the days when some fail.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gptlite.cluster.clock import Layer, Network, Step, simulate_step
from gptlite.cluster.goodput import Machine, Ran, run_with_failures, young
from gptlite.cluster.layout import PRECISIONS, local_params, stage_layers
from gptlite.cluster.models import Transformer
from gptlite.cluster.plan import DAY, Imperfect, Plan, PlanConfig
from gptlite.cluster.step import FITTED, data_bandwidth

BACKWARD = {True: 3 / 4, False: 2 / 3}  # share of the products; True: recomputing
HOUR = 3600.0  # seconds


@dataclass(frozen=True, slots=True)
class Simulated:
    """perfect, step: with GPUs all alike, and as they are. run: of the whole training,
    `interval_s` of work between checkpoints."""

    perfect: Step
    step: Step
    machine: Machine
    interval_s: float
    run: Ran


def simulate(
    shape: Transformer, plan: Plan, config: PlanConfig, what: Imperfect
) -> Simulated:
    """Simulate a step of this plan, and all its days."""
    layout, rng = plan.layout, np.random.default_rng(what.seed)
    speeds = np.exp(what.stragglers * rng.standard_normal(layout.gpus))
    speeds[0] *= what.slow
    # a copy of the model is as slow as the slowest of its GPUs
    copies = speeds.reshape(layout.data, -1).max(axis=1)
    network = Network(
        what.latency / 1e6, data_bandwidth(layout, config.machine) * FITTED.link
    )
    step, perfect = (
        simulate_step(layers_of(shape, plan, config), layout.data, network,
                      plan.step.optimizer, slow, what.overlap,
                      shown=shown(slow))
        for slow in (copies, np.ones(layout.data))
    )  # fmt: skip
    machine = Machine(
        layout.gpus, what.mtbf_hours * HOUR, what.checkpoint, what.restart
    )
    interval = what.interval or young(machine)
    work = plan.days * DAY * step.seconds / plan.step.total
    ran = run_with_failures(machine, work, interval, rng=rng)
    return Simulated(perfect, step, machine, interval, ran)


def layers_of(shape: Transformer, plan: Plan, config: PlanConfig) -> list[Layer]:
    """What a copy's stage computes, as layers: all micro-batches of one after another,
    gradients at the last. What it waits for within the copy is part of it."""
    layout, count = plan.layout, stage_layers(shape, plan.layout)
    computed = plan.step.total - plan.step.data - plan.step.optimizer
    backward = BACKWARD[layout.recompute]
    width = PRECISIONS[config.number][1]
    each = Layer(
        computed * (1 - backward) / count, computed * backward / count,
        width * local_params(shape, layout) / count,
    )  # fmt: skip
    return [each] * count


def shown(slowness: np.ndarray) -> list[int]:
    """Copies to be drawn: the slowest, the fastest, and one in the middle."""
    order = np.argsort(-slowness, kind="stable").tolist()
    return list(dict.fromkeys([order[0], order[len(order) // 2], order[-1]]))
