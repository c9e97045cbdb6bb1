"""Continuous batching on random arrivals, simulated: who waits how long.

After every token the batch is made anew (Yu et al. 2022, "Orca"): who has finished
leaves, who waits is read in, if there is room for the keys and values.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from gptlite.cluster.serving import Replica

WARM_UP = 0.1  # share of the requests, the first ones, that is not counted


@dataclass(slots=True)
class Request:
    """One query on its way. Times in seconds, lengths in tokens."""

    arrived: float
    prompt: int
    output: int
    made: int = 0
    first: float = 0.0  # when its first token was there
    done: float = 0.0

    @property
    def length(self) -> int:
        """Of its keys and values, now."""
        return self.prompt + self.made


def arrivals(
    count: int, rate: float, prompt: int, output: int, *, rng: np.random.Generator
) -> list[Request]:
    """A Poisson process; lengths are geometric: they vary as much as their mean.

    >>> some = arrivals(1000, 2.0, 100, 300, rng=np.random.default_rng(0))
    >>> round(some[-1].arrived), round(sum(r.output for r in some) / 1000)
    (511, 304)
    """
    times = np.cumsum(rng.exponential(1 / rate, count))
    prompts = rng.geometric(1 / prompt, count)
    outputs = rng.geometric(1 / output, count)
    return [
        Request(float(time), int(p), int(o))
        for time, p, o in zip(times, prompts, outputs, strict=True)
    ]


@dataclass(slots=True)
class Simulation:
    """What happened: requests in the order of their ends, and how full it was."""

    requests: list[Request] = field(default_factory=list)
    seconds: float = 0.0
    tokens: int = 0
    batch_seconds: float = 0.0  # sequences in the batch × seconds
    sent_back: int = 0  # times that somebody had to leave before the end

    @property
    def mean_batch(self) -> float:
        return self.batch_seconds / self.seconds

    def percentiles(self, what: str, shares: tuple[int, ...]) -> dict[str, float]:
        """Of `first` (time to first token), `total`, or seconds a `token`."""
        of = sorted(self.requests, key=lambda r: r.arrived)
        of = of[int(WARM_UP * len(of)) :]
        found = {
            "first": [r.first - r.arrived for r in of],
            "total": [r.done - r.arrived for r in of],
            "token": [(r.done - r.first) / max(r.output - 1, 1) for r in of],
        }[what]
        return {f"p{p}": float(np.percentile(found, p)) for p in shares}


def simulate(replica: Replica, requests: list[Request]) -> Simulation:
    """Run them all through one replica.

    Keys and values get room as they come (pages: Kwon et al. 2023, arXiv:2309.06180).
    Whoever is first in the queue is admitted as soon as there is room for the prompt;
    prompts are read before the next token of the others, who wait meanwhile. If there
    is no room for that token, who came last goes back to the queue, to be read again.
    """
    queue, running, now = deque(requests), list[Request](), 0.0
    found = Simulation()
    while queue or running:
        before = now = now if running else max(now, queue[0].arrived)
        used = sum(request.length for request in running)
        while used + len(running) > replica.room and len(running) > 1:
            queue.appendleft(running.pop())
            used -= queue[0].length
            found.sent_back += 1
        new = list[Request]()
        while queue and queue[0].arrived <= now:
            together = len(running) + len(new) + 1
            if used + queue[0].length + together > replica.room and together > 1:
                break
            new.append(queue.popleft())
            used += new[-1].length
        now += replica.prefill(sum(request.length for request in new))
        running += new
        now += replica.decode(len(running), used / len(running))
        found.tokens += len(running)
        found.batch_seconds += len(running) * (now - before)
        for request in running:
            request.made += 1
            request.first = request.first or now
            if request.made >= request.output:
                request.done = now
                found.requests.append(request)
        running = [request for request in running if not request.done]
    found.seconds = now
    return found
