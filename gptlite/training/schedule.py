"""The learning rate over a run: linear warm-up, and half a cosine down."""

from __future__ import annotations

import math


def cosine_schedule(progress: float, final: float) -> float:
    """Half a cosine from 1 at progress 0 down to `final` at progress 1.

    Source: Loshchilov & Hutter 2016, arXiv:1608.03983, without restarts.

    >>> [round(cosine_schedule(p, 0.1), 3) for p in (0.0, 0.5, 1.0)]
    [1.0, 0.55, 0.1]
    """
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def warmup(step: int, warmup_steps: int) -> float:
    """The share of the rate in step 0, 1, 2 …: a straight line up to 1.

    >>> [round(warmup(s, 3), 2) for s in range(4)]
    [0.25, 0.5, 0.75, 1.0]
    """
    return min(1.0, (step + 1) / (warmup_steps + 1))
