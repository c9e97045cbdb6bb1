"""The ledger agrees with the formulas, to the byte and to the step."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptlite.errors import ConfigError, DataError
from gptlite.parallel import costs
from gptlite.parallel.collectives import Collectives
from gptlite.parallel.ledger import COLLECTIVES, Ledger
from gptlite.parallel.messages import HEADER_BYTES
from gptlite.parallel.threads import ThreadWorkers
from tests.parallel.jobs import equal_shards

SIZES = st.integers(1, 17)


def run_one(comm: Collectives, name: str, count: int) -> None:
    values = np.zeros(count, np.float32)
    shards = equal_shards(count, comm.size)
    comm.algorithm, _, what = name.rpartition(" ")
    if what == "barrier":
        comm.barrier()
    elif what in ("reduce-scatter", "all-gather"):
        getattr(comm, what.replace("-", "_"))(values, shards)
    else:
        getattr(comm, what.replace("-", "_"))(values)


@pytest.mark.parametrize("name", COLLECTIVES)
@given(size=SIZES, count=st.integers(0, 50))
def test_bytes_messages_and_steps_are_those_of_the_formulas(
    name: str, size: int, count: int
) -> None:
    if name in ("ring reduce-scatter", "ring all-gather"):
        count -= count % size  # equal shards; others are tested below
    workers = ThreadWorkers(size)
    workers.run(lambda comm: run_one(comm, name, count))
    for rank in range(size):
        found = workers.ledger.bytes_sent(rank, name)
        assert found == costs.bytes_sent(name, size, count, 4, rank)
        assert found == workers.ledger.bytes_sent(rank)  # and nothing under other names
        assert workers.ledger.messages(rank) == costs.messages(name, size, rank)
    assert workers.ledger.steps(name) == costs.steps(name, size)


@given(size=SIZES, chunk=st.integers(1, 9))
def test_the_formulas_are_those_of_the_books(size: int, chunk: int) -> None:
    nbytes = size * chunk * 4
    all_reduce = costs.bytes_sent("ring all-reduce", size, size * chunk, 4)
    assert all_reduce * size == 2 * (size - 1) * nbytes
    for name in ("ring reduce-scatter", "ring all-gather"):
        assert 2 * costs.bytes_sent(name, size, size * chunk, 4) == all_reduce
    for algorithm in ("naive", "tree"):
        for what, copies in (("broadcast", 1), ("reduce", 1), ("all-reduce", 2)):
            sent = [costs.bytes_sent(f"{algorithm} {what}", size, size * chunk, 4, rank)
                    for rank in range(size)]  # fmt: skip
            assert sum(sent) == copies * (size - 1) * nbytes  # everyone once


@given(size=st.integers(1, 6), data=st.data())
def test_with_unequal_shards_all_is_sent_but_one_shard(
    size: int, data: st.DataObject
) -> None:
    sizes = data.draw(st.lists(st.integers(0, 9), min_size=size, max_size=size))
    ends = np.cumsum([0, *sizes]).tolist()
    shards = [[slice(a, b)] for a, b in itertools.pairwise(ends)]
    workers, count = ThreadWorkers(size), ends[-1]

    def work(comm: Collectives) -> None:
        comm.reduce_scatter(np.zeros(count), shards)
        comm.all_gather(np.zeros(count), shards)

    workers.run(work)
    for rank in range(size):
        scattered = workers.ledger.bytes_sent(rank, "ring reduce-scatter")
        assert scattered == 8 * (count - sizes[rank])
        gathered = workers.ledger.bytes_sent(rank, "ring all-gather")
        assert gathered == 8 * (count - sizes[(rank + 1) % size])


@pytest.mark.parametrize("root", range(5))
def test_steps_do_not_depend_on_the_root(root: int) -> None:
    workers = ThreadWorkers(5)
    workers.run(lambda comm: comm.broadcast(np.zeros(3), root))
    workers.run(lambda comm: comm.reduce(np.zeros(3), root))
    assert workers.ledger.steps("tree broadcast") == 3
    assert workers.ledger.steps("tree reduce") == 3
    assert workers.ledger.bytes_sent(root, "tree broadcast") == 3 * 24


def test_calls_add_up_and_are_shown() -> None:
    workers = ThreadWorkers(4)
    for _ in range(3):
        workers.run(lambda comm: comm.all_reduce(np.zeros(10, np.float32)))
    shown = str(workers.ledger).splitlines()
    assert shown[1].split() == ["ring", "all-reduce", "3", "18", "864", "216"]
    assert workers.ledger.messages(2, "ring all-reduce") == 18
    workers.ledger.clear()
    assert not workers.ledger.counts.any() and len(str(workers.ledger).split("\n")) == 1


def test_unknown_names_and_sizes_are_refused() -> None:
    with pytest.raises(DataError, match="'all-reduce'"):
        Ledger(2).bytes_sent(0, "all-reduce")
    with pytest.raises(DataError, match="'star all-reduce'"):
        costs.steps("star all-reduce", 2)
    with pytest.raises(DataError, match="shape"):
        Ledger(2, np.zeros((1, 2, 3), np.int64))
    with pytest.raises(ConfigError, match="at least 1 worker, got 0"):
        costs.steps("barrier", 0)


def test_headers_are_as_long_as_the_documentation_says() -> None:
    assert HEADER_BYTES == 48
