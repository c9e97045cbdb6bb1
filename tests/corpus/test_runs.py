"""Sorted runs on disk are a stable sort in memory."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gptlite.corpus import runs
from gptlite.corpus.runs import Runs

ANY_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@ANY_FOLDER
@given(
    st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=4), max_size=60),
    st.integers(1, 5),
    st.integers(4, 9),
)
def test_merged_runs_are_a_stable_sort_with_equal_keys_together(
    tmp_path_factory: pytest.TempPathFactory,
    documents: list[list[int]],
    block: int,
    run: int,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "BLOCK", block)
        patch.setattr(runs, "RUN", run)
        sorter = Runs(tmp_path_factory.mktemp("runs"))
        for number, keys in enumerate(documents):
            sorter.add(np.array(keys, np.uint64), number)
        found = [block.copy() for block in sorter.merged()]
    keys = [key for keys in documents for key in keys]
    numbers = [i for i, keys in enumerate(documents) for _ in keys]
    order = np.argsort(keys, kind="stable")
    assert [k for b in found for k in b["key"].tolist()] == [keys[i] for i in order]
    got = [d for b in found for d in b["document"].tolist()]
    assert got == [numbers[i] for i in order]
    for before, after in itertools.pairwise(found):
        assert before["key"][-1] < after["key"][0]


def test_merging_holds_a_block_of_each_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "RUN", 1024)
    monkeypatch.setattr(runs, "BLOCK", 16)
    sorter = Runs(tmp_path)
    rng = np.random.default_rng(0)
    for number in range(5_000):
        sorter.add(rng.integers(0, 2**63, 4).astype(np.uint64), number)
    largest = max(len(block) for block in sorter.merged())
    assert len(sorter.files) == 20
    assert largest <= 2 * 16 * len(sorter.files)
