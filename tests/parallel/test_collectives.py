"""The collectives: right sums, the same bits everywhere, errors instead of waiting."""

from __future__ import annotations

import itertools
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptlite.config import TrainConfig
from gptlite.errors import ConfigError, DataError, WorkerError
from gptlite.models.gpt import GPT
from gptlite.parallel.channel import Channel
from gptlite.parallel.collectives import ALGORITHMS, Collectives
from gptlite.parallel.history import ring_history
from gptlite.parallel.pool import WorkerPool
from gptlite.parallel.threads import ThreadWorkers
from gptlite.training.step import Trainer
from tests.helpers import TINY, assert_near, assert_same_bits, random_batch
from tests.parallel import jobs
from tests.parallel.jobs import equal_shards, values_of

EACH = pytest.mark.parametrize("algorithm", ALGORITHMS)
SIZES, COUNTS = st.integers(1, 9), st.integers(0, 40)


@EACH
@given(size=SIZES, count=COUNTS, dtype=st.sampled_from(["f4", "f8", "i8", "c16"]))
def test_an_all_reduce_is_the_sum(
    algorithm: str, size: int, count: int, dtype: str
) -> None:
    parts = [values_of(rank, count, dtype) for rank in range(size)]
    before = [part.copy() for part in parts]
    sums = ThreadWorkers(size, algorithm=algorithm).run(
        lambda comm: comm.all_reduce(parts[comm.rank])
    )
    wanted = np.sum(parts, axis=0)
    for part, given_, total in zip(parts, before, sums, strict=True):
        assert total.dtype == part.dtype and total.shape == part.shape
        assert_same_bits(part, given_)
        assert_same_bits(total, sums[0])
        np.testing.assert_allclose(total, wanted, rtol=1e-5, atol=1e-2)


@EACH
@given(size=SIZES, count=COUNTS, data=st.data())
def test_a_root_tells_all_and_hears_of_all(
    algorithm: str, size: int, count: int, data: st.DataObject
) -> None:
    root = data.draw(st.integers(0, size - 1))
    parts = [values_of(rank, count, "i8") for rank in range(size)]

    def work(comm: Collectives) -> tuple[np.ndarray, np.ndarray | None]:
        mine = parts[comm.rank]
        return comm.broadcast(mine, root), comm.reduce(mine, root)

    found = ThreadWorkers(size, algorithm=algorithm).run(work)
    for rank, (told, total) in enumerate(found):
        assert_same_bits(told, parts[root])
        assert (total is None) == (rank != root)
    total = found[root][1]
    assert total is not None
    assert_same_bits(total, np.sum(parts, axis=0))


@given(size=SIZES, count=COUNTS, data=st.data())
def test_shards_of_any_size_are_summed_and_gathered(
    size: int, count: int, data: st.DataObject
) -> None:
    cuts = data.draw(st.lists(st.integers(0, count), min_size=0, max_size=12))
    ends = [0, *sorted(cuts), count]
    shards: list[list[slice]] = [[] for _ in range(size)]
    for a, b in itertools.pairwise(ends):  # whoever: some have none
        shards[data.draw(st.integers(0, size - 1))].append(slice(a, b))
    parts = [values_of(rank, count, "i8") for rank in range(size)]

    def work(comm: Collectives) -> np.ndarray:
        flat = np.zeros(count, "i8")
        mine = comm.reduce_scatter(parts[comm.rank], shards)
        for part, total in zip(shards[comm.rank], mine, strict=True):
            flat[part] = total
        comm.all_gather(flat, shards)
        return flat

    for flat in ThreadWorkers(size).run(work):
        assert_same_bits(flat, np.sum(parts, axis=0))


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_one_after_another_is_the_same_bits(size: int) -> None:
    at_once = ThreadWorkers(size)
    in_turn = ThreadWorkers(size, backend="sequential")
    pairs = zip(at_once.run(jobs.everything), in_turn.run(jobs.everything), strict=True)
    for one, other in pairs:
        assert_same_bits(one, other)
    assert_same_bits(at_once.ledger.counts, in_turn.ledger.counts)


def test_the_naive_sum_has_the_bits_of_the_worker_pool() -> None:
    """Both add in order of rank."""
    with WorkerPool(4) as pool:
        wanted = pool.run(lambda c: c.all_reduce(values_of(c.rank, 99)))
    found = ThreadWorkers(4, algorithm="naive").run(
        lambda c: c.all_reduce(values_of(c.rank, 99))
    )
    assert_same_bits(found[3], wanted[3])


def test_the_ring_adds_in_the_order_that_its_docstring_says() -> None:
    x = [values_of(rank, 1) for rank in range(3)]  # one number: chunk 0, then padding
    [total, *_] = ThreadWorkers(3).run(lambda c: c.all_reduce(x[c.rank]))
    assert_same_bits(total, (x[1] + x[2]) + x[0])


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_training_step_runs_over_messages(
    size: int, rng: np.random.Generator
) -> None:
    """The step is written against `Communicator`. Two workers: the same bits, since
    a + b = b + a; more: another order of sums."""
    batch = random_batch(rng, TINY, 6, 8, masked=0.3)

    def trained(pool: WorkerPool | ThreadWorkers) -> np.ndarray:
        model = GPT(TINY)
        trainer = Trainer(model, TrainConfig(), pool)
        for _ in range(3):
            trainer.step([batch])
        return model.params.flat

    with WorkerPool(size) as pool:
        wanted = trained(pool)
    found = trained(ThreadWorkers(size))
    if size <= 2:
        assert_same_bits(found, wanted)
    else:
        assert_near(found, wanted)


def test_nobody_leaves_a_barrier_before_the_last_has_come() -> None:
    here: list[int] = []

    def work(comm: Collectives) -> int:
        time.sleep(0.02 * comm.rank)
        here.append(comm.rank)
        comm.barrier()
        return len(here)

    assert ThreadWorkers(5).run(work) == [5] * 5


@pytest.mark.parametrize("n", [0, -3])
def test_less_than_one_worker_is_refused(n: int) -> None:
    with pytest.raises(ConfigError, match=f"at least 1 worker, got {n}"):
        ThreadWorkers(n)


def test_what_cannot_work_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="'processes'"):
        ThreadWorkers(1, "processes")
    workers = ThreadWorkers(2, algorithm="star")
    with pytest.raises(ConfigError, match="'star'"):
        workers.run(lambda comm: comm.rank)
    two = ThreadWorkers(2)
    with pytest.raises(ConfigError, match="root among 0 … 1, got 2"):
        two.run(lambda comm: comm.broadcast(np.zeros(1), root=2))
    with pytest.raises(DataError, match="wanted numbers for ring all-reduce, got dt"):
        two.run(lambda comm: comm.all_reduce(np.array(["a"])))
    with pytest.raises(DataError, match="2 shards"):
        two.run(lambda comm: comm.all_gather(np.zeros(3), [[slice(0, 3)]]))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_arrays_that_differ_are_both_named(algorithm: str) -> None:
    workers = ThreadWorkers(2, algorithm=algorithm)
    # padded for a ring of two, 11 and 12 numbers are both chunks of 6
    with pytest.raises(WorkerError, match=r"of 1[12] float32.* sent .*of 1[12] float"):
        workers.run(jobs.different_lengths)
    with pytest.raises(WorkerError, match=r"float\d\d.* sent .*float\d\d"):
        workers.run(lambda c: c.all_reduce(np.zeros(4, ("f4", "f8")[c.rank])))


def test_workers_in_different_collectives_are_told_which() -> None:
    def work(comm: Collectives) -> None:
        comm.barrier()
        if comm.rank == 0:
            comm.barrier()
        else:
            comm.all_reduce(np.zeros(2))

    with pytest.raises(WorkerError, match=r"call 2, (barrier|ring).*call 2, (b|ring)"):
        ThreadWorkers(2).run(work)


@EACH
@pytest.mark.parametrize("backend", ["threads", "sequential"])
@pytest.mark.parametrize("who", [0, 2])
def test_an_error_in_one_worker_is_raised_and_the_others_go(
    algorithm: str, backend: str, who: int
) -> None:
    before = threading.active_count()
    workers = ThreadWorkers(4, backend, algorithm)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError, match="on purpose"):
            workers.run(lambda comm: jobs.fails(comm, who))
        assert workers.run(lambda c: c.all_reduce(np.ones(1)).item()) == [4.0] * 4
    assert threading.active_count() == before


def test_the_others_learn_who_died_and_of_what() -> None:
    heard = {}

    def work(comm: Collectives) -> None:
        try:
            jobs.fails(comm, 1)
        except WorkerError as error:
            heard[comm.rank] = str(error)
            raise

    with pytest.raises(ZeroDivisionError):
        ThreadWorkers(4).run(work)
    said = "worker 1 died: ZeroDivisionError: on purpose"
    assert heard == {0: said, 2: said, 3: said}


def test_a_worker_that_went_early_or_hangs_is_named() -> None:
    with pytest.raises(WorkerError, match="worker 0 has finished, but another"):
        ThreadWorkers(3).run(jobs.goes_early)
    wake = threading.Event()

    def sleeps(comm: Collectives) -> None:
        if comm.rank == 1:
            wake.wait(20)
        comm.barrier()

    began = time.monotonic()
    with pytest.raises(WorkerError, match=r"waited 0\.2 s for worker 1"):
        ThreadWorkers(2, timeout=0.2).run(sleeps)
    assert time.monotonic() - began < 5
    wake.set()


class Damaging:
    """A channel that flips one bit of the message that this worker sends as `nth`."""

    def __init__(self, channel: Channel, nth: int, bit: int) -> None:
        self.channel, self.rank, self.size = channel, channel.rank, channel.size
        self.left, self.bit = nth, bit

    def exchange(self, to, data, source, into):
        if to is not None and self.rank == 1 and len(data):
            self.left -= 1
            if self.left == 0:
                damaged = bytearray(data)
                damaged[self.bit // 8 % len(data)] ^= 1 << self.bit % 8
                data = memoryview(damaged)
        self.channel.exchange(to, data, source, into)


@given(nth=st.integers(1, 8), bit=st.integers(0, 8 * 48 - 1))
def test_any_damaged_bit_of_header_or_payload_is_noticed(nth: int, bit: int) -> None:
    workers = ThreadWorkers(3, wrap=lambda channel: Damaging(channel, nth, bit))
    with pytest.raises(
        WorkerError, match=r"worker 1 to worker 2 arrived damaged.*all-"
    ):
        workers.run(lambda comm: comm.all_reduce(values_of(comm.rank, 30)))


def test_shards_for_tests_cover_the_array() -> None:
    covered = np.zeros(23, int)
    for shard in equal_shards(23, 4):
        for part in shard:
            covered[part] += 1
    assert (covered == 1).all()


@pytest.mark.parametrize("size", [1, 2, 5])
def test_the_history_of_a_ring_is_what_the_page_says(size: int) -> None:
    """After reduce-scatter worker r has the sum of chunk r, after all-gather of all;
    and in step s chunk c has the numbers of c + 1 … c + 1 + s."""
    history, full = ring_history(size), 2**size - 1
    assert history.shape == (2 * size - 1, size, size)
    assert (history[size - 1].diagonal() == full).all()
    assert (history[-1] == full).all()
    for step, chunk in itertools.product(range(size), range(size)):
        inside = sum(2 ** ((chunk + 1 + k) % size) for k in range(step + 1))
        assert history[step, (chunk + 1 + step) % size, chunk] == inside
