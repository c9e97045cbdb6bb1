"""A ring all-reduce watched step by step, for a picture of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from gptlite.parallel.collectives import (
    Collectives,
    ring_all_gather,
    ring_reduce_scatter,
)
from gptlite.parallel.threads import ThreadWorkers


class _Watched:
    """A `Post` that keeps a copy of the chunks before each message."""

    def __init__(self, post: Any, chunks: list[np.ndarray]) -> None:
        self.rank, self.size = post.rank, post.size
        self._post, self._chunks = post, chunks
        self.seen: list[np.ndarray] = []

    def look(self) -> None:
        self.seen.append(np.concatenate(self._chunks))

    def exchange(self, *arguments: Any) -> np.ndarray:
        self.look()
        return self._post.exchange(*arguments)


def ring_history(size: int) -> np.ndarray:
    """(2N − 1, N, N): whose numbers are in [step][worker][chunk], as a mask of bits.

    Worker r begins with the number 2^r in each of its N chunks, so a sum tells who is
    in it: 5 = 1 + 4 is of workers 0 and 2. Step 0 is the beginning.

    >>> ring_history(2).tolist()
    [[[1, 1], [2, 2]], [[3, 1], [2, 3]], [[3, 3], [3, 3]]]
    """

    def work(comm: Collectives) -> np.ndarray:
        chunks = list(np.full((size, 1), 2**comm.rank))
        post = comm.post
        with post.collective("ring all-reduce", chunks[0].dtype, size):
            watched: Any = _Watched(post, chunks)
            ring_reduce_scatter(watched, chunks)
            ring_all_gather(watched, chunks)
            watched.look()
        return np.stack(watched.seen)

    return np.stack(ThreadWorkers(size).run(work), axis=1)
