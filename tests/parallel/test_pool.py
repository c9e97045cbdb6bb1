"""Workers: right sums in any order of arrival, errors that come out, no leftovers."""

from __future__ import annotations

import itertools
import threading
import time

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from gptlite.errors import ConfigError
from gptlite.parallel.communicator import Communicator
from gptlite.parallel.pool import WorkerPool, available_cores

BACKENDS = pytest.mark.parametrize("backend", ["threads", "sequential"])


@pytest.mark.parametrize("n", [0, -1])
def test_less_than_one_worker_is_refused(n: int) -> None:
    with pytest.raises(ConfigError, match=f"at least 1 worker, got {n}"):
        WorkerPool(n)


def test_an_unknown_backend_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="'processes'"):
        WorkerPool(1, "processes")


def test_there_is_at_least_one_core() -> None:
    assert available_cores() >= 1


@BACKENDS
def test_items_are_taken_by_whoever_is_free_and_results_are_in_order(
    backend: str,
) -> None:
    def work(rank: int, x: float) -> tuple[int, float]:
        time.sleep(x)
        return rank, x

    items = [0.2, 0.0, 0.01, 0.02, 0.03]
    with WorkerPool(2, backend) as pool:
        found = pool.map(work, items)
        with pytest.raises(ZeroDivisionError):
            pool.map(lambda rank, x: 1 / x, [1.0, 0.0, 2.0])
        assert pool.map(work, []) == []
    assert [x for _, x in found] == items
    ranks = [rank for rank, _ in found[1:]]
    assert len(set(ranks)) == 1  # the long one keeps the other worker, or: in turn


@BACKENDS
def test_results_come_in_order_of_rank(backend: str) -> None:
    def work(comm: Communicator) -> tuple[int, int]:
        time.sleep(0.01 * (comm.size - comm.rank))  # the first is the last to finish
        return comm.rank, comm.size

    with WorkerPool(3, backend) as pool:
        assert pool.run(work) == [(0, 3), (1, 3), (2, 3)]


def test_sequential_workers_never_compute_at_the_same_time() -> None:
    inside, overlaps = [0], []

    def work(comm: Communicator) -> None:
        for _ in range(5):
            inside[0] += 1
            time.sleep(0.001)
            overlaps.append(inside[0])
            inside[0] -= 1
            comm.all_reduce(np.zeros(1))

    with WorkerPool(3, "sequential") as pool:
        pool.run(work)
    assert set(overlaps) == {1}


@BACKENDS
@pytest.mark.parametrize("failing", [0, 1, 2])
def test_an_error_in_one_worker_is_raised_and_the_pool_goes_on(
    backend: str, failing: int
) -> None:
    def work(comm: Communicator) -> float:
        if comm.rank == failing:
            raise ZeroDivisionError("on purpose")
        return comm.all_reduce(np.ones(1)).item()  # waits for the one that failed

    with WorkerPool(3, backend) as pool:
        for _ in range(3):
            with pytest.raises(ZeroDivisionError, match="on purpose"):
                pool.run(work)
            assert pool.run(lambda c: c.all_reduce(np.ones(1)).item()) == [3.0] * 3


@BACKENDS
def test_an_error_after_a_collective_is_raised_too(backend: str) -> None:
    def work(comm: Communicator) -> float:
        comm.all_reduce(np.ones(1))
        if comm.rank == 1:
            raise ValueError("late")
        return comm.all_reduce(np.ones(1)).item()

    with WorkerPool(2, backend) as pool:
        with pytest.raises(ValueError, match="late"):
            pool.run(work)
        assert pool.run(lambda c: c.all_reduce(np.ones(2)).sum()) == [4.0, 4.0]


@BACKENDS
@pytest.mark.parametrize("size", [1, 2, 5])
def test_collectives_are_right_whoever_comes_late(backend: str, size: int) -> None:
    """Many rounds with random naps: a race would mix the values of two rounds."""
    rounds, n = 60, 23
    cuts = np.linspace(0, n, size + 1).astype(int)
    # each shard in two parts, as the optimizer cuts where weight decay ends
    shards = [[slice(a, (a + b) // 2), slice((a + b) // 2, b)]
              for a, b in itertools.pairwise(cuts)]  # fmt: skip
    shared = np.zeros(n)

    def value(rank: int, turn: int) -> np.ndarray:
        return np.arange(n) * (rank + 1.0) + 1000 * turn

    def work(comm: Communicator) -> list[str]:
        rng, wrong = np.random.default_rng(comm.rank), []

        def nap() -> None:
            if rng.random() < 0.3:
                time.sleep(rng.random() * 1e-3)

        for turn in range(rounds):
            total = sum(value(r, turn) for r in range(comm.size))
            nap()
            if not np.array_equal(comm.all_reduce(value(comm.rank, turn)), total):
                wrong.append(f"all_reduce {turn}")
            nap()
            parts = comm.reduce_scatter(value(comm.rank, turn), shards)
            for part, mine in zip(shards[comm.rank], parts, strict=True):
                if not np.array_equal(mine, total[part]):
                    wrong.append(f"reduce_scatter {turn}")
                nap()
                shared[part] = mine
            comm.all_gather(shared, shards)
            if not np.array_equal(shared, total):
                wrong.append(f"all_gather {turn}")
            comm.all_reduce(np.zeros(1))  # all have looked before the next round
        return wrong

    with WorkerPool(size, backend) as pool:
        assert pool.run(work) == [[]] * size


def test_every_worker_gets_the_same_bits_of_a_sum() -> None:
    values = np.random.default_rng(0).standard_normal((4, 1000)).astype(np.float32)
    with WorkerPool(4) as pool:
        sums = pool.run(lambda c: c.all_reduce(values[c.rank]).tobytes())
    assert len(set(sums)) == 1


def test_a_sum_does_not_change_what_was_given() -> None:
    given = [np.full(3, float(rank)) for rank in range(3)]
    with WorkerPool(3) as pool:
        pool.run(lambda c: c.all_reduce(given[c.rank]))
    assert [g.tolist() for g in given] == [[0.0] * 3, [1.0] * 3, [2.0] * 3]


def blas_threads() -> list[int]:
    libraries = threadpool_info()
    return [lib["num_threads"] for lib in libraries if lib["user_api"] == "blas"]


def test_blas_has_one_thread_while_the_pool_is_open_and_its_own_after() -> None:
    with threadpool_limits(2, user_api="blas"):  # whatever the machine has
        assert set(blas_threads()) == {2}
        with WorkerPool(2):
            assert set(blas_threads()) == {1}
        assert set(blas_threads()) == {2}
        with pytest.raises(ZeroDivisionError), WorkerPool(2):
            raise ZeroDivisionError
        assert set(blas_threads()) == {2}


def test_a_closed_pool_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    with WorkerPool(4) as pool:
        pool.run(lambda c: c.all_reduce(np.zeros(1)))
    assert threading.active_count() == before


@BACKENDS
def test_what_was_given_to_a_sum_may_be_changed_at_once(backend: str) -> None:
    """As with MPI: on return the buffer is the caller's again, also if others still
    add."""
    n, rounds = 200_000, 30

    def work(comm: Communicator) -> int:
        values, wrong = np.empty(n), 0
        for turn in range(rounds):
            values[:] = turn + comm.rank
            total = comm.all_reduce(values)
            values[:] = 1e9
            wrong += int((total != 3 * turn + 3).any())
        return wrong

    with WorkerPool(3, backend) as pool:
        assert pool.run(work) == [0, 0, 0]


@BACKENDS
def test_what_was_given_to_reduce_scatter_stays_until_the_next_collective(
    backend: str,
) -> None:
    """A worker may be late: nobody else's next step may change its sum."""
    n = 30_000
    shards = [[slice(0, n // 2)], [slice(n // 2, n)]]

    def work(comm: Communicator) -> int:
        flat, wrong = np.empty(n), 0
        for turn in range(50):
            flat[:] = turn + comm.rank
            [mine] = comm.reduce_scatter(flat, shards)
            comm.all_reduce(np.zeros(1))
            wrong += int((mine != 2 * turn + 1).any())
            comm.all_reduce(np.zeros(1))
        return wrong

    with WorkerPool(2, backend) as pool:
        assert pool.run(work) == [0, 0]


def test_pools_that_overlap_give_blas_its_threads_back() -> None:
    """The first one closed is not the last one opened: a notebook does that."""
    before = blas_threads()
    one, two = WorkerPool(1), WorkerPool(1)
    one.close()
    assert set(blas_threads()) == {1}, "the second pool is still open"
    two.close()
    assert blas_threads() == before


@BACKENDS
def test_a_pool_of_one_needs_nobody(backend: str) -> None:
    with WorkerPool(1, backend) as pool:
        [total] = pool.run(lambda c: c.all_reduce(np.arange(3.0)))
    assert total.tolist() == [0, 1, 2]


@BACKENDS
def test_workers_that_all_fail_raise_one_error(backend: str) -> None:
    def work(comm: Communicator) -> None:
        raise ValueError(f"worker {comm.rank}")

    with WorkerPool(3, backend) as pool:
        with pytest.raises(ValueError, match="worker 0"):
            pool.run(work)
        assert pool.run(lambda c: c.rank) == [0, 1, 2]
