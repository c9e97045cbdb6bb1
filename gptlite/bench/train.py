"""Training steps against PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gptlite.batch import Batch
from gptlite.bench.timing import (
    SGEMM_FLOPS,
    alternate,
    device,
    median,
    own_sgemm,
    ratio,
    sgemm,
    step_flops,
)
from gptlite.config import GPTConfig, TrainConfig, preset
from gptlite.models.gpt import GPT
from gptlite.parallel.pool import WorkerPool, available_cores
from gptlite.training.step import Trainer


def random_batch(model: GPTConfig, training: TrainConfig) -> Batch:
    rng = np.random.default_rng(0)
    shape = (training.batch_size, model.context_length)
    ids, targets = rng.integers(0, model.vocab_size, (2, *shape))
    return Batch.of(ids, targets)


def own_step(name: str) -> Callable[[], Any]:
    """One training step of gptlite on a random batch, all cores, ready to be called."""
    model_config, training = preset(name)
    batch = random_batch(model_config, training)
    trainer = Trainer(GPT(model_config), training, WorkerPool(available_cores()))
    return lambda: trainer.step([batch])


def peer_step(name: str, model: GPTConfig, training: TrainConfig) -> Callable[[], Any]:
    """One training step of the peer `name` on a random batch, ready to be called."""
    from gptlite.bench.torch_gpt import TorchTrainer

    batch = random_batch(model, training)
    kind = name.split("-")
    peer = TorchTrainer(
        model, training, compiled="compile" in kind,
        autocast=training.dtype == "bfloat16" and "float32" not in kind,
    )  # fmt: skip
    return lambda: peer.step(batch.ids, batch.targets)


def bench_train(
    name: str,
    against: str | None = None,
    workers: int = 0,
    dtype: str = "float32",
    rounds: int = 7,
) -> dict[str, Any]:
    """Median time of a training step, its share of the roofline, and the ratio.

    Rooflines, in float32 whatever the dtype: NumPy's sgemm, and our own product.
    dtype: of our products; the peer then uses autocast to the same type, if it has
    no `-float32` at its end.
    """
    model_config, training = preset(name, dtype=dtype)
    batch = random_batch(model_config, training)
    cores = available_cores()
    with WorkerPool(workers or cores) as pool:
        trainer = Trainer(GPT(model_config), training, pool)
        sides: list[Callable[[], Any]] = [
            lambda: trainer.step([batch]),
            sgemm(cores),
            own_sgemm(pool),
        ]
        if against:
            sides.append(peer_step(against, model_config, training))
        times = alternate(sides, rounds)
    flops = step_flops(model_config, training.batch_size, trainer.model.n_params)
    roofline, own_roofline = (SGEMM_FLOPS / min(row) for row in times[1:3])
    tokens = batch.ids.size
    result = {
        "benchmark": "train",
        "preset": name,
        "device": device(),
        "workers": workers or cores,
        "dtype": dtype,
        "tokens_per_s": round(tokens / median(times[0])),
        "gflops": round(flops / median(times[0]) / 1e9, 1),
        "roofline_gflops": round(roofline / 1e9, 1),
        "roofline_share": round(flops / median(times[0]) / roofline, 3),
        "own_roofline_gflops": round(own_roofline / 1e9, 1),
        "own_roofline_share": round(flops / median(times[0]) / own_roofline, 3),
    }
    if against:
        result |= {
            "against": against,
            "peer_tokens_per_s": round(tokens / median(times[3])),
            "peer_roofline_share": round(flops / median(times[3]) / roofline, 3),
            "ratio": round(ratio(times[0], times[3]), 3),
        }
    return result
