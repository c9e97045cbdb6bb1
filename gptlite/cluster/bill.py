"""What answering costs: GPUs for a load, servers, dollars a day, cents a query."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gptlite.cluster.serving import Replica, ServeConfig, replica
from gptlite.config import check_numbers

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


@dataclass(frozen=True, slots=True)
class Electricity:
    """watts: drawn by the computer while it answers, a laptop's by default.
    cents_per_kwh: what a household pays."""

    watts: float = 30.0
    cents_per_kwh: float = 30.0

    def __post_init__(self) -> None:
        check_numbers(self, "", "watts cents_per_kwh")

    def cents(self, seconds: float) -> float:
        """Of so many seconds.

        >>> round(Electricity().cents(3600.0), 9)  # 30 watt-hours at 30 cents a kWh
        0.9
        """
        return seconds / 3600 * self.watts / 1000 * self.cents_per_kwh
