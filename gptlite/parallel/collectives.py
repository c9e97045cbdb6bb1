"""The collectives, by hand, from messages between two workers.

Each algorithm is written once, over `Post`, and runs wherever there is a `Channel`.
Sources: the ring, P. Patarasuk, X. Yuan 2009; binomial trees, R. Thakur et al. 2005;
the barrier, D. Hensgen et al. 1988. Derivations: docs/parallel/collectives.md.
"""

from __future__ import annotations

import itertools

import numpy as np

from gptlite.errors import ConfigError, DataError
from gptlite.parallel.channel import Channel
from gptlite.parallel.communicator import Shard
from gptlite.parallel.ledger import Ledger
from gptlite.parallel.messages import Post

ALGORITHMS = ("ring", "tree", "naive")


def ring_reduce_scatter(post: Post, chunks: list[np.ndarray]) -> None:
    """Afterwards `chunks[rank]` is the sum of everyone's; the others are half-done.

    N − 1 steps to the right. The sum of chunk c sets out at worker c + 1, and everyone
    whom it passes adds: x_{c+1} + x_{c+2} + … + x_c, the same order in every run.
    """
    rank, size = post.rank, post.size
    right, left = (rank + 1) % size, (rank - 1) % size
    for step in range(size - 1):
        leaving, coming = (rank - step - 1) % size, (rank - step - 2) % size
        chunks[coming] += post.exchange(
            right, chunks[leaving], left, chunks[coming].size
        )


def ring_all_gather(post: Post, chunks: list[np.ndarray]) -> None:
    """Everyone's `chunks[rank]` goes round: N − 1 steps to the right."""
    rank, size = post.rank, post.size
    right, left = (rank + 1) % size, (rank - 1) % size
    for step in range(size - 1):
        leaving, coming = (rank - step) % size, (rank - step - 1) % size
        chunks[coming][:] = post.exchange(
            right, chunks[leaving], left, chunks[coming].size
        )


def tree_rounds(size: int) -> list[int]:
    """The distances 1, 2, 4, … of a binomial tree of `size` workers."""
    return [2**k for k in range((size - 1).bit_length())]


def tree_broadcast(post: Post, values: np.ndarray, root: int) -> None:
    """`values` becomes the root's. In every round all who know tell one more each."""
    place = (post.rank - root) % post.size  # as if the root were worker 0
    for distance in tree_rounds(post.size):
        if place < distance and place + distance < post.size:
            post.send((post.rank + distance) % post.size, values)
        elif distance <= place < 2 * distance:
            values[:] = post.receive((post.rank - distance) % post.size, values.size)


def tree_reduce(post: Post, values: np.ndarray, root: int) -> None:
    """At the root `values` becomes the sum: the broadcast, played backwards."""
    place = (post.rank - root) % post.size
    for distance in reversed(tree_rounds(post.size)):
        if place < distance and place + distance < post.size:
            values += post.receive((post.rank + distance) % post.size, values.size)
        elif distance <= place < 2 * distance:
            post.send((post.rank - distance) % post.size, values)


def naive_broadcast(post: Post, values: np.ndarray, root: int) -> None:
    """The root tells everyone, one after another."""
    if post.rank != root:
        values[:] = post.receive(root, values.size)
        return
    for other in range(post.size):
        if other != root:
            post.send(other, values)


def naive_reduce(post: Post, values: np.ndarray, root: int) -> None:
    """Everyone tells the root, which adds in order of rank: x_0 + x_1 + x_2 + …"""
    if post.rank != root:
        post.send(root, values)
        return
    total = np.zeros(0)
    for other in range(post.size):
        part = values if other == root else post.receive(other, values.size)
        total = part.copy() if other == 0 else total + part
    values[:] = total


class Collectives:
    """One worker's `Communicator` over a channel, with a ledger.

    algorithm: of ALGORITHMS, for all-reduce; broadcast and reduce have a root, and use
    the tree unless it is "naive". Reduce-scatter and all-gather go round the ring.
    Arrays have any shape and a numeric dtype, the same for every worker. What is given
    is not changed, except by `all_gather`.

    >>> from gptlite.parallel.threads import ThreadWorkers
    >>> workers = ThreadWorkers(4)
    >>> workers.run(lambda comm: comm.all_reduce(np.arange(8) * comm.rank)[1].item())
    [6, 6, 6, 6]
    >>> workers.ledger.bytes_sent(0, "ring all-reduce")  # 2 · 3/4 · 64
    96
    """

    def __init__(
        self, channel: Channel, ledger: Ledger | None = None, algorithm: str = "ring"
    ) -> None:
        if algorithm not in ALGORITHMS:
            raise ConfigError(
                f"wanted an algorithm among {ALGORITHMS}, got {algorithm!r}"
            )
        self.rank, self.size, self.algorithm = channel.rank, channel.size, algorithm
        self.ledger = Ledger(channel.size) if ledger is None else ledger
        self.post = Post(channel, self.ledger)

    def barrier(self) -> None:
        """Return when every worker has come this far.

        Dissemination: in round k everyone tells the one 2^k to the right all it knows,
        and after ⌈log₂ N⌉ rounds has heard, at second hand, of all.
        """
        with self.post.collective("barrier", np.dtype(np.uint8), 0):
            for distance in tree_rounds(self.size):
                to, source = self.rank + distance, self.rank - distance
                nothing = np.empty(0, np.uint8)
                self.post.exchange(to % self.size, nothing, source % self.size, 0)

    def broadcast(self, values: np.ndarray, root: int = 0) -> np.ndarray:
        """The root's `values`. The others' only say which shape and dtype to expect."""
        return self._rooted("broadcast", values, root)

    def reduce(self, values: np.ndarray, root: int = 0) -> np.ndarray | None:
        """The sum of all workers' `values` at the root, `None` elsewhere."""
        total = self._rooted("reduce", values, root)
        return total if self.rank == root else None

    def _rooted(self, what: str, values: np.ndarray, root: int) -> np.ndarray:
        if not 0 <= root < self.size:
            raise ConfigError(
                f"wanted a root among 0 … {self.size - 1}, got {root}; "
                "pass the rank of a worker"
            )
        name = "naive" if self.algorithm == "naive" else "tree"
        result = np.array(values)
        algorithms = {
            "naive broadcast": naive_broadcast, "tree broadcast": tree_broadcast,
            "naive reduce": naive_reduce, "tree reduce": tree_reduce,
        }  # fmt: skip
        with self.post.collective(f"{name} {what}", result.dtype, result.size):
            algorithms[f"{name} {what}"](self.post, result.reshape(-1), root)
        return result

    def all_reduce(self, values: np.ndarray) -> np.ndarray:
        """The sum of all workers' `values`, the same bits for everyone."""
        values = np.asarray(values)
        post, count = self.post, values.size
        with post.collective(f"{self.algorithm} all-reduce", values.dtype, count):
            if self.algorithm == "ring":
                chunk = -(-count // self.size)  # padded, so that all chunks are equal
                total = np.zeros(self.size * chunk, values.dtype)
                total[:count] = values.reshape(-1)
                chunks = list(total.reshape(self.size, chunk))
                ring_reduce_scatter(post, chunks)
                ring_all_gather(post, chunks)
            else:
                total = values.flatten()
                naive = self.algorithm == "naive"
                (naive_reduce if naive else tree_reduce)(post, total, 0)
                (naive_broadcast if naive else tree_broadcast)(post, total, 0)
        return total[:count].reshape(values.shape)

    def reduce_scatter(self, flat: np.ndarray, shards: list[Shard]) -> list[np.ndarray]:
        """The sum of all workers' `flat`, (n,), only this worker's shard of it."""
        self._check_shards(flat, shards)
        chunks = [np.concatenate([flat[:0], *(flat[s] for s in sh)]) for sh in shards]
        with self.post.collective("ring reduce-scatter", flat.dtype, flat.size):
            ring_reduce_scatter(self.post, chunks)
        sizes = [len(flat[part]) for part in shards[self.rank]]
        ends = [0, *itertools.accumulate(sizes)]
        return [chunks[self.rank][a:b] for a, b in itertools.pairwise(ends)]

    def all_gather(self, flat: np.ndarray, shards: list[Shard]) -> None:
        """Every worker's shard of `flat`, (n,), is in everyone's `flat` on return."""
        self._check_shards(flat, shards)
        chunks = [np.concatenate([flat[:0], *(flat[s] for s in sh)]) for sh in shards]
        with self.post.collective("ring all-gather", flat.dtype, flat.size):
            ring_all_gather(self.post, chunks)
        for other, (chunk, shard) in enumerate(zip(chunks, shards, strict=True)):
            start = 0
            for part in shard if other != self.rank else []:
                stop = start + len(flat[part])
                flat[part] = chunk[start:stop]
                start = stop

    def _check_shards(self, flat: np.ndarray, shards: list[Shard]) -> None:
        if flat.ndim != 1 or len(shards) != self.size:
            raise DataError(
                f"wanted a flat array and {self.size} shards, one a worker, got shape "
                f"{flat.shape} and {len(shards)}; cut it with one shard for each worker"
            )
