"""Processes: the same bits as threads, clear errors, nothing left behind."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gptlite.errors import ConfigError, WorkerError
from gptlite.parallel.processes import ProcessWorkers, pack_result, unpack_result
from gptlite.parallel.threads import ThreadWorkers
from tests.helpers import assert_same_bits
from tests.parallel import jobs

SHARED = Path("/dev/shm")


def left_behind() -> set[str]:
    return set(os.listdir(SHARED)) if SHARED.exists() else set()


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    before = {n for n in left_behind() if n.startswith("psm_")}
    yield
    assert {n for n in left_behind() if n.startswith("psm_")} <= before
    assert not multiprocessing.active_children()


def test_processes_give_the_bits_and_the_ledger_of_threads() -> None:
    threads, processes = ThreadWorkers(3), ProcessWorkers(3, capacity=50)
    wanted = threads.run(jobs.everything)
    for found, want in zip(processes.run(jobs.everything), wanted, strict=True):
        assert found is not None
        assert_same_bits(found, want)
    assert_same_bits(processes.ledger.counts, threads.ledger.counts)


def test_messages_longer_than_the_mailbox_flow_through() -> None:
    processes = ProcessWorkers(2, capacity=1000)
    one, other = processes.run(jobs.sum_of_many, 50_000)
    assert one is not None and other is not None
    assert_same_bits(one, other)
    total = jobs.values_of(0, 50_000) + jobs.values_of(1, 50_000)
    assert_same_bits(one, total[:5])
    assert processes.ledger.bytes_sent(0) == 200_000


def test_an_error_names_the_worker_and_the_cause() -> None:
    with pytest.raises(WorkerError, match="worker 1 died: ZeroDivisionError: on purp"):
        ProcessWorkers(3).run(jobs.fails, 1)
    with pytest.raises(WorkerError, match=r"array of 1[12] float32"):
        ProcessWorkers(2).run(jobs.different_lengths)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_process_killed_in_the_middle_releases_the_others() -> None:
    began = time.monotonic()
    with pytest.raises(WorkerError, match="worker 2 died: it ended with exit code -9"):
        ProcessWorkers(3).run(jobs.is_killed, 2)
    assert time.monotonic() - began < 40  # of a timeout of 60 s


def test_a_process_that_hangs_is_ended() -> None:
    began = time.monotonic()
    with pytest.raises(WorkerError, match=r"waited 0\.5 s for worker 1"):
        ProcessWorkers(2, timeout=0.5).run(jobs.hangs, 1)
    assert time.monotonic() - began < 40


def test_a_process_that_went_early_is_named() -> None:
    with pytest.raises(WorkerError, match="worker 0 has finished"):
        ProcessWorkers(2).run(jobs.goes_early)


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1 worker, got 0"):
        ProcessWorkers(0)
    with pytest.raises(ConfigError, match="'star'"):
        ProcessWorkers(2, algorithm="star")
    with pytest.raises(ConfigError, match="got 0; some 100,000"):
        ProcessWorkers(2, capacity=0)
    with pytest.raises(ConfigError, match=r"another Python can import, got .*lambda"):
        ProcessWorkers(2).run(lambda comm: None)


SHAPES = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0)


@given(arrays.arrays(st.sampled_from(["f4", "i8", "?", "c16"]), SHAPES))
def test_results_survive_as_bytes(values: np.ndarray) -> None:
    back = unpack_result(pack_result(values))
    assert back is not None
    assert_same_bits(back, values)


def test_a_result_that_is_no_array_of_numbers_is_refused() -> None:
    assert unpack_result(pack_result(None)) is None
    with pytest.raises(ConfigError, match="got dict"):
        pack_result({})  # type: ignore[arg-type]
