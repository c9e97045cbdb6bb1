"""Many workers against one: threads, processes, or the members of an `mpiexec`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from gptlite.bench.timing import alternate, device, median, ratio
from gptlite.bench.train import random_batch
from gptlite.config import preset
from gptlite.models.gpt import GPT
from gptlite.parallel import mpi
from gptlite.parallel.collectives import Collectives
from gptlite.parallel.communicator import Pool
from gptlite.parallel.member import Member
from gptlite.parallel.pool import WorkerPool, available_cores
from gptlite.parallel.processes import ProcessWorkers
from gptlite.training.step import Trainer


def _step(name: str, pool: Pool) -> Callable[[], object]:
    model, training = preset(name)
    batch, trainer = random_batch(model, training), Trainer(GPT(model), training, pool)
    return lambda: trainer.step([batch])


def _seconds(step: Callable[[], object]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def _measured(comm: Collectives, name: str, rounds: int) -> np.ndarray:
    """(2, rounds): seconds of a step of all workers, and then of one alone.

    Every worker calls it; while the first one works alone the others wait.
    """
    with Member(comm) as all_of_them, WorkerPool(1) as alone:
        together = _step(name, all_of_them)
        single = _step(name, alone) if comm.rank == 0 else lambda: None
        times = list[list[float]]()
        for _ in range(rounds + 1):  # the first only warms up
            comm.barrier()
            times.append([_seconds(together)])
            comm.barrier()
            times[-1].append(_seconds(single))
        comm.barrier()
    return np.array(times[1:]).T


def bench_scaling(
    name: str, pool: str = "threads", workers: int = 0, rounds: int = 7
) -> dict[str, Any]:
    """N workers against one, one BLAS thread a worker, on batches of the same size.

    pool: "threads" and "processes" are `workers`, 0 for as many as there are cores;
    "mpi" are the members of the `mpiexec` that started this, of which the first one
    has the result.
    """
    model, training = preset(name)
    workers, reports = workers or available_cores(), True
    if pool == "threads":
        with WorkerPool(1) as one, WorkerPool(workers) as many:
            times = alternate([_step(name, many), _step(name, one)], rounds)
    elif pool == "processes":
        first, *_ = ProcessWorkers(workers).run(_measured, name, rounds)
        assert first is not None
        times = first.tolist()
    else:
        workers, reports, times = mpi.run(
            lambda c: (c.size, c.rank == 0, _measured(c, name, rounds).tolist())
        )
    if not reports:
        return {}
    tokens = training.batch_size * model.context_length
    return {
        "benchmark": "scaling", "preset": name, "device": device(), "pool": pool,
        "workers": workers, "tokens_per_s": round(tokens / median(times[0])),
        "peer_tokens_per_s": round(tokens / median(times[1])),
        "ratio": round(ratio(*times), 3),
    }  # fmt: skip
