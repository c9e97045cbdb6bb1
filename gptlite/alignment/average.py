"""A mean of a model's weights over many steps, which is steadier than any of them."""

from __future__ import annotations

import numpy as np

from gptlite.parallel.communicator import Pool

PIECE = 2**16  # weights at a time: they and what is made of them stay in the cache


def move_towards(
    mean: np.ndarray, weights: np.ndarray, share: float, pool: Pool
) -> None:
    """mean += share · (weights − mean), on all workers of this process.

    mean, weights: (n,). A share of 1/k makes it the mean of all k so far.

    >>> from gptlite.parallel.pool import WorkerPool
    >>> mean = np.zeros(3)
    >>> with WorkerPool(2) as pool:
    ...     move_towards(mean, np.arange(3.0), 0.5, pool)
    >>> mean.tolist()
    [0.0, 0.5, 1.0]
    """

    def work(rank: int, some: slice) -> None:
        mean[some] += share * (weights[some] - mean[some])

    starts = range(0, mean.size, PIECE)
    pool.map(work, [slice(start, start + PIECE) for start in starts])
