"""The search: every layout of a model on a machine, and the fastest that fits."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from gptlite.cluster.hardware import GIB
from gptlite.cluster.layout import Layout
from gptlite.cluster.models import Transformer, model
from gptlite.cluster.plan import Plan, PlanConfig, judge
from gptlite.errors import ConfigError

MOST = 2**20  # GPUs that are looked at, when asking how many would do


def divisors(number: int) -> list[int]:
    """All of them, ascending.

    >>> divisors(12)
    [1, 2, 3, 4, 6, 12]
    """
    small = [d for d in range(1, int(number**0.5) + 1) if number % d == 0]
    return sorted({*small, *(number // d for d in small)})


def layouts(shape: Transformer, batch: int, config: PlanConfig) -> Iterator[Layout]:
    """Layouts to look at: tensor groups within a server, pipelines of whole layers.

    As many data-parallel copies as the GPUs allow and the batch divides among.
    """
    server = config.machine.server
    tensors = [config.tensor] if config.tensor else [
        t for t in divisors(shape.n_head) if t <= server and server % t == 0
    ]  # fmt: skip
    deep = divisors(shape.n_layer // config.interleave or 1)
    for t in tensors:
        for p in [config.pipeline] if config.pipeline else deep:
            for b in [config.micro_batch] if config.micro_batch else (1, 2, 4, 8, 16):
                copies = [d for d in divisors(batch // b) if d * t * p <= config.gpus]
                if not copies or (batch % b and not config.micro_batch):
                    continue
                d = config.data or copies[-1]
                for again in {"yes": [True], "no": [False]}.get(
                    config.recompute, [True, False]
                ):
                    for zero in [config.zero] if config.zero >= 0 else range(4):
                        yield Layout(d, t, p, zero, b, again, config.interleave,
                                     config.flash)  # fmt: skip


def _fixed(config: PlanConfig) -> bool:
    """Did somebody say how the GPUs are to be laid out?"""
    return bool(config.data or config.tensor or config.pipeline)


def shape_and_batch(
    config: PlanConfig, shape: Transformer | None
) -> tuple[Transformer, int]:
    found = shape or model(config.model)
    return found, config.batch or found.batch


def all_plans(config: PlanConfig, shape: Transformer | None = None) -> list[Plan]:
    """Every possible layout: those that fit first, the fastest of them first.

    >>> best = all_plans(PlanConfig("megatron-1t", 3072, tensor=8, pipeline=64))[0]
    >>> best.layout.data, best.fits
    (6, True)
    """
    shape, batch = shape_and_batch(config, shape)
    found, wrong = [], ""
    for layout in layouts(shape, batch, config):
        try:
            layout.check(shape, batch, config.machine.server)
        except ConfigError as error:
            wrong = wrong or str(error)
            continue
        if layout.gpus > config.gpus:
            wrong = wrong or (
                f"wanted a layout of at most {config.gpus} GPUs, got {layout}: "
                f"{layout.gpus}; lower one of them, or raise --gpus"
            )
            continue
        found.append(judge(shape, layout, batch, config))
    if not found:
        if not wrong and _fixed(config):
            wrong = (
                f"wanted a layout of at most {config.gpus} GPUs whose copies divide a "
                f"batch of {batch}, got none with tensor {config.tensor or 'any'}, "
                f"pipeline {config.pipeline or 'any'}; raise --gpus"
            )
        raise ConfigError(wrong or f"wanted a layout of {config.gpus} GPUs, got none; "
                          "leave out --micro-batch or --interleave")  # fmt: skip
    return sorted(
        found,
        key=lambda p: (not p.fits, p.step.total if p.fits else p.memory, p.memory),
    )


def best_plan(config: PlanConfig, shape: Transformer | None = None) -> list[Plan]:
    """`all_plans`, or an error that says what is short, and what would do."""
    plans = all_plans(config, shape)
    if plans[0].fits:
        return plans
    least, room = plans[0], config.room
    raise ConfigError(
        f"wanted a layout of {config.model} within {room / GIB:.1f} GiB of each of "
        f"{config.gpus} × {config.device}, got {least.memory / GIB:.1f} GiB at least "
        f"({least.layout}), {(least.memory - room) / GIB:.1f} GiB too much; "
        + _what_would_do(config, shape)
    )


def _what_would_do(config: PlanConfig, shape: Transformer | None) -> str:
    """The next power of two of GPUs on which it fits, or other memory."""
    more = 1 << config.gpus.bit_length()
    while more <= MOST and not _fixed(config):
        plans = all_plans(dataclasses.replace(config, gpus=more), shape)
        if plans[0].fits:
            return f"{more} of them would do ({plans[0].layout})"
        more *= 2
    need = all_plans(config, shape)[0].memory / GIB / (1 - config.reserve)
    return (
        f"devices of {need:.0f} GiB would do, or a layout that shares out more: raise "
        "--pipeline, --tensor or --zero, or leave them to the search"
    )
