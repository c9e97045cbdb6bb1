"""Pretraining by processes: the run that threads would have made."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from gptlite.config import GPTConfig, TrainConfig
from gptlite.errors import ConfigError, GptliteError
from gptlite.parallel.threads import ThreadWorkers
from gptlite.training.pretrain import pretrain
from gptlite.training.run import Run
from tests.helpers import child_environment
from tests.parallel.test_mpi import mpiexec

MODEL = GPTConfig(n_layer=1, n_head=2, n_embd=16, context_length=16)
TRAINING = TrainConfig(steps=6, batch_size=4, workers=2, eval_every=3, sample_every=3,
                       checkpoint_every=3, warmup_steps=2)  # fmt: skip


def assert_same_run(one: Path, other: Path) -> None:
    """Weights, moments and numbers, to the bit; two workers have one order of sums."""
    a, b = (load_file(Run(out).checkpoint_file) for out in (one, other))
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    assert Run(one).metrics() == Run(other).metrics()
    assert Run(one).samples_file.read_text() == Run(other).samples_file.read_text()


def test_two_processes_make_the_run_of_two_threads(tmp_path: Path) -> None:
    threads, processes = tmp_path / "threads", tmp_path / "processes"
    first = dataclasses.replace(TRAINING, steps=3)
    pretrain(str(threads), model=MODEL, config=first)
    wanted = pretrain(str(threads), model=MODEL, config=TRAINING, resume=True)
    config = dataclasses.replace(TRAINING, pool="processes")
    first = dataclasses.replace(config, steps=3)
    pretrain(str(processes), model=MODEL, config=first)
    found = pretrain(str(processes), model=MODEL, config=config, resume=True)
    assert_same_run(threads, processes)
    assert found.summary.steps == 6
    assert found.summary.val_loss == wanted.summary.val_loss
    assert not found.summary.interrupted
    again = pretrain(str(processes), model=MODEL, config=first)
    assert again.set_aside is not None  # the earlier run is kept


def test_workers_with_different_settings_are_told(tmp_path: Path) -> None:
    def work(comm: Any) -> None:
        config = dataclasses.replace(TRAINING, seed=comm.rank)
        pretrain(str(tmp_path / "never"), model=MODEL, config=config, comm=comm)

    with pytest.raises(GptliteError, match="settings and the text of worker 0"):
        ThreadWorkers(2).run(work)


def test_standard_input_is_of_one_process_only(tmp_path: Path) -> None:
    config = dataclasses.replace(TRAINING, pool="processes")
    with pytest.raises(ConfigError, match="standard input"):
        pretrain(str(tmp_path), "-", MODEL, config)


@pytest.mark.slow
def test_an_mpiexec_makes_the_run_of_threads(tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "gptlite", "pretrain", "--n-layer", "1", "--n-head", "2",
        "--n-embd", "16", "--context-length", "16", "--steps", "6", "--batch-size",
        "4", "--sample-every", "3", "--checkpoint-every", "3", "--eval-every", "3",
        "--json",
    ]  # fmt: skip
    start = [mpiexec(), "-n", "2"]
    for how, out, more in (
        (start, "mpi", ["--pool", "mpi"]), ([], "threads", ["--workers", "2"]),
    ):  # fmt: skip
        done = subprocess.run(
            [*how, *command, "--out", str(tmp_path / out), *more],
            env=child_environment(), capture_output=True, encoding="utf-8",
            timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("{") == 1  # one worker speaks
    assert_same_run(tmp_path / "mpi", tmp_path / "threads")
