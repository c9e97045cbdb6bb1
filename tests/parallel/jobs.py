"""What workers do in tests: functions that another process can import."""

from __future__ import annotations

import itertools
import os
import signal
import time

import numpy as np

from gptlite.parallel.channel import Channel
from gptlite.parallel.collectives import Collectives


def values_of(rank: int, count: int, dtype: str = "f4") -> np.ndarray:
    """Whatever worker `rank` starts with; sums of them round, and so tell orders."""
    rng = np.random.default_rng([rank, count])
    return (rng.standard_normal(count) * 1000).astype(dtype)


def equal_shards(count: int, size: int) -> list[list[slice]]:
    """Each worker's shard in two slices, as the optimizer's, where decay ends."""
    ends = np.linspace(0, count, size + 1).astype(int).tolist()
    return [[slice(a, (a + b) // 2), slice((a + b) // 2, b)]
            for a, b in itertools.pairwise(ends)]  # fmt: skip


def everything(comm: Collectives, count: int = 23) -> np.ndarray:
    """All that the collectives give this worker, end to end."""
    mine, found = values_of(comm.rank, count), []
    for algorithm in ("ring", "tree", "naive"):
        comm.algorithm = algorithm
        root = comm.size - 1
        found += [comm.all_reduce(mine), comm.broadcast(mine, root)]
        total = comm.reduce(mine, root)
        assert (total is None) == (comm.rank != root)
        found += [total] if total is not None else []
        comm.barrier()
    shards = equal_shards(count, comm.size)
    found += comm.reduce_scatter(mine, shards)
    comm.all_gather(mine, shards)
    return np.concatenate([*found, mine])


def sum_of_many(comm: Collectives, count: int) -> np.ndarray:
    return comm.all_reduce(values_of(comm.rank, count))[:5]


def different_lengths(comm: Collectives) -> None:
    comm.all_reduce(np.zeros(11 + comm.rank, np.float32))


def fails(comm: Collectives, who: int) -> None:
    comm.all_reduce(np.zeros(3))
    if comm.rank == who:
        raise ZeroDivisionError("on purpose")
    comm.all_reduce(np.zeros(3))


class DiesInside(Channel):
    """A channel whose process is killed in the middle of its third message."""

    def __init__(self, channel: Channel) -> None:
        self.channel, self.rank, self.size = channel, channel.rank, channel.size
        self.calls = 0

    def exchange(self, to, data, source, into):
        self.calls += 1
        if self.calls == 6:  # a header, then the payload: of the third message
            os.kill(os.getpid(), signal.SIGKILL)
        self.channel.exchange(to, data, source, into)


def is_killed(comm: Collectives, who: int) -> None:
    if comm.rank == who:
        comm.post._channel = DiesInside(comm.post._channel)
    comm.all_reduce(np.zeros(300_000))


def hangs(comm: Collectives, who: int) -> None:
    if comm.rank == who:
        time.sleep(600)
    comm.barrier()


def goes_early(comm: Collectives) -> None:
    if comm.rank:
        comm.barrier()
