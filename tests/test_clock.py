"""The clock of a benchmark begins when its process does."""

from __future__ import annotations

import sys
import time

import pytest

from gptlite.clock import process_started
from tests.helpers import run_python

CHILD = """
import time
time.sleep(0.3)
from gptlite.clock import process_started
print(time.perf_counter() - process_started())
"""


def test_the_start_lies_in_the_past_and_does_not_move() -> None:
    first, second = process_started(), process_started()
    assert first <= time.perf_counter()
    assert first == pytest.approx(second, abs=0.05)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_what_came_before_the_import_counts() -> None:
    began = time.perf_counter()
    done = run_python("-c", CHILD)
    whole = time.perf_counter() - began
    assert done.returncode == 0, done.stderr
    assert 0.3 <= float(done.stdout) <= whole + 0.05


def test_where_the_system_does_not_tell_it_is_the_import(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from gptlite import clock

    def missing(self: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(clock.Path, "read_text", missing)
    assert clock.process_started() == clock._IMPORTED <= time.perf_counter()
