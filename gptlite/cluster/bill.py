"""What answering costs: GPUs for a load, servers, dollars a day, cents a query."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gptlite.cluster.serving import Replica, ServeConfig, replica

DAY = 86_400  # seconds


@dataclass(frozen=True, slots=True)
class Bill:
    """Whole servers are rented: gpus is a multiple of a server's."""

    gpus: int
    servers: int
    dollars_per_day: float
    cents_per_query: float


def bill(gpus: float, config: ServeConfig, machine: Replica) -> Bill:
    """The bill of so many GPUs, rounded up to servers."""
    servers = math.ceil(gpus / machine.device.server)
    rented = servers * machine.device.server
    price = config.dollars_per_hour or machine.device.dollars
    dollars = rented * 24 * price
    return Bill(rented, servers, dollars, 100 * dollars / config.queries_per_day)


def by_utilization(config: ServeConfig) -> Bill:
    """GPUs = FLOPs of a day ÷ (a day's seconds × peak × utilization).

    A token costs 2 FLOPs a parameter. With the defaults this is SemiAnalysis' estimate
    of ChatGPT (Patel and Ahmad 2023, "The Inference Cost of Search Disruption"): 3,617
    servers, 28,936 GPUs, $694,444 a day, 0.36 cents a query.

    >>> found = by_utilization(ServeConfig())
    >>> found.servers, found.gpus, round(found.dollars_per_day)
    (3617, 28936, 694464)
    >>> f"{found.cents_per_query:.2f}"
    '0.36'
    """
    machine = replica(config)
    tokens = config.queries_per_day * config.output
    flops = 2 * machine.shape.n_params * tokens
    return bill(
        flops / (DAY * machine.device.peak * config.utilization), config, machine
    )


def by_roofline(config: ServeConfig) -> Bill:
    """GPUs = load ÷ what a replica answers, which is given only its share `busy`."""
    machine = replica(config)
    rate = config.queries_per_day / DAY
    copies = math.ceil(
        rate / (config.busy * machine.capacity(config.prompt, config.output))
    )
    return bill(copies * machine.gpus, config, machine)
