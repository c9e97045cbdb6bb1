"""Pretraining by many processes: of this machine, or of an `mpiexec`."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from gptlite.config import TrainConfig
from gptlite.errors import ConfigError
from gptlite.parallel import mpi
from gptlite.parallel.collectives import Collectives
from gptlite.parallel.pool import available_cores
from gptlite.parallel.processes import ProcessWorkers
from gptlite.training.loop import Summary, interruptible
from gptlite.training.pretrain import Result, pretrain
from gptlite.training.run import Run


def pretrain_by_processes(
    config: TrainConfig, out: str, text: str, **how: Any
) -> Result:
    """`pretrain` with `config.pool` of "processes" or "mpi"; how: its other arguments.

    Every worker makes all of it, from reading the text on, with a model of its own;
    only the first one writes. With "mpi" this process is one of the workers already.
    """
    if text == "-":
        raise ConfigError(
            f"wanted a file that every worker can read with pool={config.pool!r}, got "
            "standard input; save it as a file"
        )
    how |= {"config": config, "out": out, "text": text}
    if config.pool == "mpi":
        return mpi.run(lambda comm: _member(comm, how))
    run = Run(out)
    aside = not (how["resume"] or how["replace"])
    earlier = run.set_aside() if aside else None
    workers = ProcessWorkers(config.workers or available_cores())
    with interruptible():  # Ctrl-C reaches the workers too, who end well
        first, *_ = workers.run(_worker, how | {"replace": True})
    assert first is not None
    *numbers, rows_set = first.tolist()
    model, tokenizer = run.load()
    summary = dataclasses.replace(
        Summary(*numbers), steps=int(numbers[0]), interrupted=bool(numbers[-1])
    )
    return Result(model, tokenizer, run, summary, earlier, int(rows_set))


def _member(comm: Collectives, how: dict[str, Any]) -> Result:
    workers = how["config"].workers
    if workers not in (0, comm.size):
        raise ConfigError(
            f"wanted {workers} workers, got {comm.size} processes; leave out --workers"
        )
    return pretrain(**how, comm=comm)


def _worker(comm: Collectives, how: dict[str, Any]) -> np.ndarray:
    """What a process of this machine does; its summary as numbers."""
    result = _member(comm, how)
    return np.array([*dataclasses.astuple(result.summary), result.rows_set], float)
