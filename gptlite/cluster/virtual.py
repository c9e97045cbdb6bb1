"""A real training on the clock of another machine.

The workers compute here, as fast as they can. How many bytes they sent, and how many
messages had to wait for one another, is in their ledger; FLOPs are counted. A device's
and a link's rates make seconds of both: what these steps would have taken there.
"""

from __future__ import annotations

from dataclasses import dataclass

from gptlite.cluster.clock import Network
from gptlite.cluster.hardware import Device
from gptlite.cluster.step import FITTED, Efficiency
from gptlite.errors import ConfigError
from gptlite.parallel.ledger import COLLECTIVES, Ledger


@dataclass(frozen=True, slots=True)
class Tick:
    """What has passed on the clock: computing, and then sending, in its seconds."""

    compute_s: float
    sending_s: float

    @property
    def seconds(self) -> float:
        return self.compute_s + self.sending_s


class VirtualClock:
    """The seconds of `device`s, joined by `network`, for workers with this ledger.

    slowness: how many times as long the slowest worker computes; all wait for it.
    reached: shares of the peaks; the planner's. FLOPs are those of float32, as the
    workers' are. Nothing is sent while a worker computes, as in `Trainer` and
    `ZeroWorker`; for overlap see `simulate_step`. Do not clear the ledger meanwhile.

    >>> import numpy as np
    >>> from gptlite.cluster.hardware import DEVICES
    >>> from gptlite.parallel.threads import ThreadWorkers
    >>> workers = ThreadWorkers(4)
    >>> clock = VirtualClock(workers.ledger, DEVICES["v100"], Network(5e-6, 1.25e9))
    >>> _ = workers.run(lambda comm: comm.all_reduce(np.ones(1_000_000, np.float32)))
    >>> round(clock.tick(flops=1e9).sending_s * 1e3, 2)  # 2 · 3/4 · 4 MB; milliseconds
    5.84
    """

    def __init__(
        self, ledger: Ledger, device: Device, network: Network, slowness: float = 1.0,
        reached: Efficiency = FITTED,
    ) -> None:  # fmt: skip
        if not slowness >= 1:
            raise ConfigError(f"wanted a slowness of at least 1, got {slowness}")
        self.device, self.network, self.reached = device, network, reached
        self.slowness, self.seconds = slowness, 0.0
        self._ledger, self._sent = ledger, self._sending(ledger)

    def _sending(self, ledger: Ledger) -> float:
        """Seconds of all that was ever sent, one collective after another: of each the
        messages that waited for one another, as long as its messages are on average."""
        found, bandwidth = 0.0, self.network.bandwidth * self.reached.link
        for name in COLLECTIVES:
            workers = range(ledger.size)
            messages = sum(ledger.messages(rank, name) for rank in workers)
            sent = sum(ledger.bytes_sent(rank, name) for rank in workers)
            each = sent / max(messages, 1) / bandwidth + self.network.latency_s
            found += ledger.steps(name) * each
        return found

    def tick(self, flops: float) -> Tick:
        """All workers have gone on since the last tick, each by so many FLOPs."""
        if not flops >= 0:
            raise ConfigError(f"wanted FLOPs of at least 0, got {flops}")
        before, self._sent = self._sent, self._sending(self._ledger)
        rate = self.device.peak_float32 * self.reached.matmul
        passed = Tick(self.slowness * flops / rate, self._sent - before)
        self.seconds += passed.seconds
        return passed
