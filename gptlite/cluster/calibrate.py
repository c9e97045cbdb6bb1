"""This machine, measured operation by operation; and a real step predicted from that.

Each kind of operation is timed alone, with as many workers busy as will be: they share
caches, memory and the clock of the processor. A step is then a sum of counts times
rates. What the sum leaves out (caches that are warm or not, tensors of other shapes) is
what the stopwatch shows beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from gptlite.batch import Batch
from gptlite.config import GPTConfig, TrainConfig
from gptlite.models.gpt import GPT
from gptlite.ops import kernels
from gptlite.ops.kernels.flash import QUERIES
from gptlite.parallel.communicator import Communicator
from gptlite.parallel.pool import WorkerPool
from gptlite.training.step import Trainer

ROWS = 512  # of the tensors that are timed
WIDTHS = 128, 384  # of a model: the products' speed depends on it
BURST, ROUNDS = 0.05, 5  # seconds of one timing; the fastest of so many

Rates = dict[str, float]  # kind → seconds of one unit
Probe = tuple[Callable[[], object], float]  # work, and how many units it is


def probes(rank: int) -> dict[str, Probe]:
    """What is timed, forward and backward together, on arrays of this worker's own."""
    rng = np.random.default_rng(rank)

    def new(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    found: dict[str, Probe] = {}
    for C in WIDTHS:
        found[f"product {C}"] = _product(new, C)
    C, T, D = 256, 128, 32
    x, dx, w, dw = new(ROWS, C), new(ROWS, C), new(C), new(C)
    mean, rstd = new(ROWS), np.abs(new(ROWS)) + 1
    wide, dwide = new(ROWS, 4 * C), new(ROWS, 4 * C)
    q, k, v, dq, dk, dv, out, dout = (new(4, T, C // D, D) for _ in range(8))
    lse = new(4, C // D, T)

    def norm() -> None:
        kernels.layernorm_forward(dx, mean, rstd, x, w, None)
        kernels.layernorm_backward(dx, dw, None, x, x, w, mean, rstd)

    def gelu() -> None:
        kernels.gelu_forward(dwide, wide)
        kernels.gelu_backward(dwide, wide, wide)

    def attention() -> None:
        kernels.attention_forward(out, lse, q, k, v, None, None, None)
        kernels.attention_backward(dq, dk, dv, dout, out, lse, q, k, v,
                                   None, None, None)  # fmt: skip

    tiny, tiny_weight = new(1, 8), new(8, 8)

    def call() -> None:
        kernels.linear_forward(tiny, tiny, tiny_weight, None)

    flat, grad, m = (new(2_000_000) for _ in range(3))
    moments = np.abs(new(2_000_000))

    def adamw() -> None:
        kernels.adamw(flat, grad, m, moments, 1e-3, 0.9, 0.99, 1e-8, 0.1, 10, 1.0)

    found |= {
        "norm": (norm, x.size), "gelu": (gelu, wide.size),
        "attention": (attention, attention_units(4 * T, T, C)),
        "update": (adamw, flat.size),
        "stream": (lambda: np.add(grad, flat, out=grad), flat.size),
        "call": (call, 1),
    }  # fmt: skip
    return found


def _product(new: Callable[..., np.ndarray], C: int) -> Probe:
    """The four linear layers of a layer of width C, with three products each."""
    shapes = (C, 3 * C), (C, C), (C, 4 * C), (4 * C, C)
    layers = [
        (kernels.Packed(new(K, N)).pack(), new(K, N), new(ROWS, K), new(ROWS, N))
        for K, N in shapes
    ]

    def work() -> None:
        for weight, _, x, out in layers:
            kernels.linear_forward(out, x, weight, None)
        for weight, dweight, x, out in layers:
            kernels.linear_backward(x, dweight, None, out, x, weight, accumulate=False)

    return work, 6 * ROWS * 12 * C * C


def attention_units(tokens: int, T: int, C: int) -> float:
    """Multiplications of queries with keys: half of T·T, and what of the tiles on the
    diagonal is computed for nothing."""
    return tokens * (T + QUERIES) * C / 2


def measure(workers: int) -> Rates:
    """Seconds of a unit of each kind, for a worker, while all of them do the same."""
    with WorkerPool(workers) as pool:
        own = pool.run(lambda comm: probes(comm.rank))
        found = {}
        for kind in own[0]:

            def work(comm: Communicator, kind: str = kind) -> float:
                call, units = own[comm.rank][kind]
                return _seconds(call, comm) / units

            found[kind] = float(np.mean(pool.run(work)))
        found["barrier"] = pool.run(lambda comm: _seconds(comm.barrier, comm))[0]
    return found


def _seconds(call: Callable[[], object], comm: Communicator) -> float:
    """Seconds of a call, when nothing else disturbs; all workers make as many, and
    begin together."""
    call()
    comm.barrier()
    start = time.perf_counter()
    call()
    spent = comm.all_reduce(np.array([time.perf_counter() - start]))
    once = float(spent[0]) / comm.size  # the same for all
    n, times = max(1, int(BURST / max(once, 1e-7))), []
    for _ in range(ROUNDS):
        comm.barrier()
        start = time.perf_counter()
        for _ in range(n):
            call()
        times.append((time.perf_counter() - start) / n)
    return min(times)


def counts(config: GPTConfig, batch_size: int, workers: int) -> dict[str, float]:
    """Units of each kind that one of the workers has in a step."""
    L, C, T, V = config.n_layer, config.n_embd, config.context_length, config.vocab_size
    tokens = batch_size * T / workers
    params = GPT(config).n_params
    sent = params * (workers - 1) / workers if workers > 1 else 0
    return {
        "product": 6 * tokens * (12 * L * C * C + V * C),
        "attention": L * attention_units(int(tokens), T, C),
        "norm": (2 * L + 1) * tokens * C,
        "gelu": L * tokens * 4 * C,
        # residuals, embeddings and their gradients; softmax of the logits; gradients
        # set to 0, but for those of the layers' matrices; packing; others' gradients
        "stream": tokens * (4 * L * C + 4 * C + 2 * V) + params - 12 * L * C * C
        + 2 * params / workers + sent,
        "update": params / workers,
        # of an operation: what Python takes, its checks included, whatever the size:
        # 4 products, 2 norms, attention, GELU of a layer, forward and backward; packing
        "call": 2 * 8 * L + (4 * L + 1) / workers + 8,
        "barrier": 5.0,
    }  # fmt: skip


def product_rate(rates: Rates, C: int) -> float:
    """Seconds of a FLOP of products for a model of this width: measured at WIDTHS, and
    in between, and beyond, on the straight line through these over 1/C."""
    small, large = WIDTHS
    a, b = rates[f"product {small}"], rates[f"product {large}"]
    share = (1 / C - 1 / large) / (1 / small - 1 / large)
    return max(b + share * (a - b), b / 2)


def predict(rates: Rates, config: GPTConfig, batch_size: int, workers: int
            ) -> dict[str, float]:  # fmt: skip
    """Seconds of a step by what they are spent on."""
    rates = rates | {"product": product_rate(rates, config.n_embd)}
    return {k: n * rates[k] for k, n in counts(config, batch_size, workers).items()}


def stopwatch(config: GPTConfig, training: TrainConfig, workers: int) -> float:
    """Seconds of a real step, on random tokens, when nothing else disturbs."""
    ids = np.random.default_rng(0).integers(
        0, config.vocab_size, (training.batch_size, config.context_length)
    )
    batch = Batch.of(ids, ids)
    with WorkerPool(workers) as pool:
        trainer = Trainer(GPT(config), training, pool)
        trainer.step([batch])
        times: list[float] = []
        while len(times) < 5 or (sum(times) < 1 and len(times) < 100):
            start = time.perf_counter()
            trainer.step([batch])
            times.append(time.perf_counter() - start)
    return min(times)


def check(name: str, config: GPTConfig, training: TrainConfig, workers: int,
          rates: Rates) -> dict[str, Any]:  # fmt: skip
    """A row: predicted, real, and how far off."""
    parts = predict(rates, config, training.batch_size, workers)
    real, predicted = stopwatch(config, training, workers), sum(parts.values())
    most = max(parts, key=lambda kind: parts[kind])
    return {
        "preset": name, "workers": workers, "predicted_s": predicted, "real_s": real,
        "off": predicted / real - 1, "mostly": f"{most} {parts[most] / predicted:.0%}",
    }  # fmt: skip


def flops_per_s(rates: Rates) -> float:
    """Of products, by one worker, at the larger of WIDTHS."""
    return 1 / rates[f"product {WIDTHS[1]}"]
