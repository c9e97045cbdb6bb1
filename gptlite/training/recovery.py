"""Training that goes on after a fault: from the last checkpoint, by whoever is left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gptlite.errors import CheckpointError, WorkerError
from gptlite.parallel.collectives import Collectives
from gptlite.parallel.threads import ThreadWorkers
from gptlite.training.shards import load_shards, save_shards
from gptlite.training.zero import ZeroWorker


@dataclass
class Recovered:
    """parameters: (Ψ,), at the end. faults: what was said of each. taken: steps, those
    too that were lost and taken again."""

    parameters: np.ndarray
    faults: list[str] = field(default_factory=list)
    taken: int = 0


def train_through_faults(
    workers: Callable[[int], ThreadWorkers], build: Callable[[Collectives], ZeroWorker],
    batches: Callable[[int], list[Any]], steps: int, folder: Path, every: int,
    attempts: int = 10,
) -> Recovered:  # fmt: skip
    """Take `steps` steps, with a checkpoint after each `every`; whenever a worker
    fails, begin again from the last one.

    workers: for attempt 0, 1, …; another number of them, if some are gone. build: a
    worker at its start. batches: of step n, 0 …; the same each time, so that a step
    which is taken again is the same step.
    """
    found = Recovered(np.zeros(0))

    def work(comm: Collectives) -> np.ndarray:
        worker = build(comm)
        for step in range(load_shards(worker, folder), steps):
            worker.step(batches(step))
            if comm.rank == 0:
                found.taken += 1
            if (step + 1) % every == 0:
                save_shards(worker, folder)
        return worker.parameters()

    for attempt in range(attempts):
        try:
            found.parameters = workers(attempt).run(work)[0]
            return found
        except CheckpointError:
            raise  # it would be the same the next time
        except WorkerError as error:
            found.faults.append(str(error))
    raise WorkerError(
        f"wanted to get through in {attempts} attempts, got faults in each, the last "
        f"being: {found.faults[-1]}"
    )
