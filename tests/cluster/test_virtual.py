"""A real training on a virtual clock: the same numbers, other seconds."""

from __future__ import annotations

import numpy as np
import pytest

import gptlite as gl
from gptlite.cluster.clock import Network
from gptlite.cluster.hardware import DEVICES
from gptlite.cluster.step import Efficiency
from gptlite.cluster.virtual import VirtualClock
from gptlite.errors import ConfigError
from gptlite.models.gpt import GPT
from gptlite.parallel import costs
from gptlite.parallel.collectives import Collectives
from gptlite.parallel.threads import ThreadWorkers
from gptlite.parallel.zero_costs import zero_traffic
from gptlite.training.zero import STAGES, ZeroWorker

CONFIG = gl.GPTConfig(n_layer=2, n_head=2, n_embd=16, vocab_size=32, context_length=8)
IDS = np.arange(64).reshape(8, 8) % 32
BATCH = gl.Batch.of(IDS, (IDS + 1) % 32)
PERFECT = Efficiency(1.0, 1.0, 1.0)


@pytest.mark.parametrize("stage", STAGES)
def test_what_a_stage_sends_takes_what_the_formula_says(stage: int) -> None:
    workers, size = ThreadWorkers(4), GPT(CONFIG).n_params
    clock = VirtualClock(
        workers.ledger, DEVICES["v100"], Network(0.0, 1e9), reached=PERFECT
    )

    def work(comm: Collectives) -> float:
        return ZeroWorker(comm, CONFIG, gl.TrainConfig(), stage).step([BATCH]).loss

    losses = workers.run(work)
    passed = clock.tick(flops=15.7e12)
    assert passed.compute_s == pytest.approx(1.0)
    sent = sum(zero_traffic(stage, size, 4).values())
    # beside it three numbers are summed up: loss, tokens, norm
    assert passed.sending_s * 1e9 == pytest.approx(sent, abs=200)
    assert losses == [losses[0]] * 4 and losses[0] > 3


CALLS = {
    "broadcast": lambda comm, x: comm.broadcast(x),
    "reduce": lambda comm, x: comm.reduce(x),
    "all-reduce": lambda comm, x: comm.all_reduce(x),
}
ROOTED = [(name, call) for name in ("naive", "tree") for call in CALLS]


@pytest.mark.parametrize(("algorithm", "call"), [*ROOTED, ("ring", "all-reduce")])
def test_a_collective_takes_what_its_formula_says(algorithm: str, call: str) -> None:
    workers = ThreadWorkers(8, algorithm=algorithm)
    network = Network(5e-6, 1e9)
    clock = VirtualClock(workers.ledger, DEVICES["v100"], network, reached=PERFECT)
    workers.run(lambda comm: CALLS[call](comm, np.ones(1000, np.float32)))
    wanted = costs.seconds(f"{algorithm} {call}", 8, 4000, 5e-6, 1e9)
    assert clock.tick(0.0).sending_s == pytest.approx(wanted, rel=1e-9)


def test_each_tick_is_of_what_was_sent_since_the_last() -> None:
    workers = ThreadWorkers(2)
    clock = VirtualClock(workers.ledger, DEVICES["a100"], Network(1e-3, 1e9), 2.0)

    def send(comm: Collectives) -> None:
        comm.all_reduce(np.ones(1000, np.float32))

    workers.run(send)
    first = clock.tick(1e12)
    assert first.sending_s > 2e-3  # two messages, each a latency
    assert first.compute_s == pytest.approx(2 * 1e12 / (19.5e12 * 0.659), rel=1e-3)
    assert clock.tick(0.0).seconds == 0.0
    workers.run(send)
    assert clock.tick(0.0).sending_s == pytest.approx(first.sending_s)
    assert clock.seconds == pytest.approx(first.seconds + first.sending_s)


def test_no_time_runs_backwards() -> None:
    ledger, network = ThreadWorkers(2).ledger, Network(0.0, 1e9)
    with pytest.raises(ConfigError, match="slowness"):
        VirtualClock(ledger, DEVICES["v100"], network, 0.5)
    with pytest.raises(ConfigError, match="FLOPs"):
        VirtualClock(ledger, DEVICES["v100"], network).tick(float("nan"))
