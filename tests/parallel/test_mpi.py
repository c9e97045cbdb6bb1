"""The collectives over MPI: the same bits as threads; without MPI, what to install."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gptlite.errors import ConfigError
from gptlite.parallel.mpi import MPIChannel
from gptlite.parallel.threads import ThreadWorkers
from tests.helpers import assert_same_bits, child_environment
from tests.parallel import jobs

SCRIPT = """
import sys
import numpy as np
from gptlite.parallel import mpi
from tests.parallel import jobs

def work(comm):
    np.save(f"{sys.argv[1]}/{comm.rank}.npy", jobs.everything(comm))
    np.save(f"{sys.argv[1]}/ledger{comm.rank}.npy", comm.ledger.counts)
    if sys.argv[2] == "fail":
        jobs.fails(comm, 1)

mpi.run(work)
"""


def mpiexec() -> str:
    """The one beside this Python (of `pip install mpich`), or the system's."""
    pytest.importorskip("mpi4py", reason="pip install 'gptlite[mpi]'")
    beside = Path(sys.executable).parent / "mpiexec"
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if not found:
        pytest.skip("no mpiexec; pip install 'gptlite[mpi]'")
    return found


def run(size: int, folder: Path, how: str) -> subprocess.CompletedProcess[str]:
    (folder / "script.py").write_text(SCRIPT, encoding="utf-8")
    return subprocess.run(
        [mpiexec(), "-n", str(size), sys.executable, str(folder / "script.py"),
         str(folder), how],
        env=child_environment(), capture_output=True, encoding="utf-8", timeout=60,
        check=False,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 2, 3])
def test_mpi_gives_the_bits_and_the_ledger_of_threads(
    size: int, tmp_path: Path
) -> None:
    done = run(size, tmp_path, "well")
    assert done.returncode == 0, done.stderr
    threads = ThreadWorkers(size)
    ledger = np.zeros_like(threads.ledger.counts)
    for rank, wanted in enumerate(threads.run(jobs.everything)):
        assert_same_bits(np.load(tmp_path / f"{rank}.npy"), wanted)
        ledger += np.load(tmp_path / f"ledger{rank}.npy")
    assert_same_bits(ledger, threads.ledger.counts)


@pytest.mark.slow
def test_an_error_in_one_process_ends_all(tmp_path: Path) -> None:
    done = run(2, tmp_path, "fail")
    assert done.returncode != 0
    assert "ZeroDivisionError: on purpose" in done.stdout + done.stderr


def test_without_mpi_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(ConfigError, match=r"pip install 'gptlite\[mpi\]'"):
        MPIChannel()
