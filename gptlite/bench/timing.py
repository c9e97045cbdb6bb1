"""Fair clocks: two sides in turn in one process, medians, and the machine's limit."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from gptlite.config import GPTConfig
from gptlite.ops import kernels
from gptlite.parallel.communicator import SharedMemory
from gptlite.parallel.pool import WorkerPool, available_cores

REST = 0.1  # seconds; threads of one library spin a while and would slow the other


def seconds_per_call(work: Callable[[], object], burst: float) -> float:
    """Mean seconds of one call, over calls that fill at least `burst` seconds."""
    work()  # wakes the threads and fills the caches
    start, calls = time.perf_counter(), 0
    while not calls or time.perf_counter() - start < burst:
        work()
        calls += 1
    return (time.perf_counter() - start) / calls


def alternate(
    sides: list[Callable[[], object]], rounds: int = 7, burst: float = 0.5
) -> list[list[float]]:
    """Seconds per call of each side, round by round: A B A B …, resting between."""
    for work in sides:
        work()
    times: list[list[float]] = [[] for _ in sides]
    for _ in range(rounds):
        for work, row in zip(sides, times, strict=True):
            time.sleep(REST)
            row.append(seconds_per_call(work, burst))
    return times


def median(values: list[float]) -> float:
    return float(np.median(values))


def ratio(ours: list[float], peers: list[float]) -> float:
    """The median over the rounds of peer time / our time: above 1 is faster."""
    return median([p / o for o, p in zip(ours, peers, strict=True)])


def _roofline_product() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(2048, 384)).astype(np.float32)
    b = rng.normal(size=(384, 1536)).astype(np.float32)
    return np.empty((2048, 1536), np.float32), a, b


def sgemm(threads: int) -> Callable[[], None]:
    """NumPy's product (2048, 384) @ (384, 1536) in float32, the roofline's shape."""
    out, a, b = _roofline_product()

    def work() -> None:
        with threadpool_limits(threads, user_api="blas"):
            for _ in range(10):
                np.matmul(a, b, out=out)

    return work


def own_sgemm(pool: WorkerPool) -> Callable[[], object]:
    """The same product by our kernel, its rows shared out over the workers.

    What the processor can do where its BLAS is held to an older one's instructions.
    """
    out, a, b = _roofline_product()
    weight = kernels.Packed(b).pack()

    def work(comm: SharedMemory) -> None:
        mine = slice(2048 * comm.rank // comm.size, 2048 * (comm.rank + 1) // comm.size)
        for _ in range(10):
            kernels.matmul(out[mine], a[mine], weight)

    return lambda: pool.run(work)


SGEMM_FLOPS = 10 * 2 * 2048 * 384 * 1536


def step_flops(config: GPTConfig, batch_size: int, n_params: int) -> float:
    """Nominal FLOPs of a training step: 6·N·tokens + 12·L·C·T·tokens.

    N leaves out the position table, whose rows are only read. The second term is
    attention's, counted in full although the masked half is skipped.
    """
    L, C, T = config.n_layer, config.n_embd, config.context_length
    tokens = batch_size * T
    return (6 * (n_params - T * C) + 12 * L * C * T) * tokens


def device() -> str:
    """The processor's name and the number of cores in use."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(errors="replace").splitlines()
        names = [
            l.split(":", 1)[1].strip() for l in lines if l.startswith("model name")
        ]
        name = names[0] if names else name
    return f"{name}, {available_cores()} cores"
