"""Faults: detected, recovered from, to the bits of a training without them."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from gptlite.errors import CheckpointError, ConfigError, WorkerError
from gptlite.ops import reference
from gptlite.parallel.channel import Channel
from gptlite.parallel.collectives import Collectives
from gptlite.parallel.faults import Fault, Faulty
from gptlite.parallel.threads import ThreadWorkers
from gptlite.training.recovery import Recovered, train_through_faults
from gptlite.training.zero import STAGES, ZeroWorker
from tests.parallel.test_zero import CONFIG, TRAINING, batch

STEPS, EVERY = 5, 2


def build(stage: int) -> Callable[[Collectives], ZeroWorker]:
    return lambda comm: ZeroWorker(
        comm, CONFIG, TRAINING, stage, ops=reference, dtype=np.float64
    )


def trained(
    folder: Path, stage: int = 3, sizes: tuple[int, ...] = (3,),
    faults: tuple[Fault, ...] = (), steps: int = STEPS,
) -> Recovered:  # fmt: skip
    """Attempt n has `sizes[n]` workers, the last of these if there are no more, and
    `faults[n]`, if there are so many."""

    def workers(attempt: int) -> ThreadWorkers:
        def wrap(channel: Channel) -> Channel:
            if attempt < len(faults):
                return Faulty(channel, faults[attempt])
            return channel

        return ThreadWorkers(sizes[min(attempt, len(sizes) - 1)], timeout=5, wrap=wrap)

    return train_through_faults(
        workers, build(stage), lambda step: [batch(step)], steps, folder, EVERY
    )


def plainly(workers: ThreadWorkers, stage: int) -> np.ndarray:
    def work(comm: Collectives) -> np.ndarray:
        worker = build(stage)(comm)
        for step in range(STEPS):
            worker.step([batch(step)])
        return worker.parameters()

    return workers.run(work)[0]


@cache
def undisturbed(stage: int, size: int) -> np.ndarray:
    return plainly(ThreadWorkers(size), stage)


@cache
def messages(stage: int, size: int) -> int:
    """How many messages, and headers, a worker sends in a training."""
    sent = []

    class Counting(Faulty):
        def exchange(
            self, to: int | None, data: memoryview, source: int | None, into: memoryview
        ) -> None:
            if self.rank == 0 and to is not None and len(data):
                sent.append(to)
            super().exchange(to, data, source, into)

    never = Fault("kill", 0, 10**9)
    workers = ThreadWorkers(size, wrap=lambda channel: Counting(channel, never))
    plainly(workers, stage)
    return len(sent)


def struck(folder: Path, n: int, seed: int) -> None:
    """n trainings, a random fault in each; every one ends in the same bits."""
    rng, noticed = np.random.default_rng(seed), 0
    for i in range(n):
        stage, size = int(rng.choice(STAGES)), int(rng.integers(2, 5))
        fault = Fault.random(size, messages(stage, size), rng)
        found = trained(folder / str(i), stage, (size,), (fault,))
        np.testing.assert_array_equal(found.parameters, undisturbed(stage, size))
        assert len(found.faults) == (fault.kind != "slow"), fault
        if found.faults:
            noticed += 1
            assert STEPS <= found.taken <= STEPS + EVERY + 1
            said = "was killed" if fault.kind == "kill" else "arrived damaged"
            assert said in found.faults[0], (fault, found.faults)
    assert noticed > n // 3


def test_random_faults_end_in_the_same_bits(tmp_path: Path) -> None:
    struck(tmp_path, 8, seed=0)


@pytest.mark.slow
def test_two_hundred_random_faults_end_in_the_same_bits(tmp_path: Path) -> None:
    struck(tmp_path, 200, seed=1)


@pytest.mark.parametrize("stage", STAGES)
def test_other_numbers_of_workers_go_on(tmp_path: Path, stage: int) -> None:
    """Four, of which one dies; three go on, until a message is damaged; then two."""
    half = messages(stage, 4) // 2
    faults = Fault("kill", 1, half), Fault("corrupt", 0, messages(stage, 3) // 3)
    found = trained(tmp_path, stage, (4, 3, 2), faults)
    assert len(found.faults) == 2
    np.testing.assert_allclose(found.parameters, undisturbed(stage, 1), atol=1e-10)


def test_faults_without_end_are_given_up(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="got faults in each, the last being: worker"):
        trained(tmp_path, faults=(Fault("kill", 0, 3),) * 10)


def test_damaged_missing_and_foreign_shards_are_told(tmp_path: Path) -> None:
    trained(tmp_path)
    shard = tmp_path / "step-4" / "1-of-3" / "shard.safetensors"
    whole = shard.read_bytes()
    damaged = bytearray(whole)
    damaged[-100] ^= 4
    trained(tmp_path / "short", steps=2)
    earlier = (tmp_path / "short/step-2/1-of-3/shard.safetensors").read_bytes()
    for content, said in (
        (bytes(damaged), "damaged: the checksum of"),
        (None, "got none of worker 1"),
        (earlier, "wanted step 4 of the run"),
        (whole[:-20], "cannot read the checkpoint"),
    ):  # fmt: skip
        shard.unlink()
        if content is not None:
            shard.write_bytes(content)
        else:
            assert not shard.exists()
        with pytest.raises(CheckpointError, match=said):
            trained(tmp_path)
        shard.write_bytes(whole)
    found = trained(tmp_path)
    np.testing.assert_array_equal(found.parameters, undisturbed(3, 3))
    assert found.taken == 1  # the fifth
    (tmp_path / "latest.json").write_text("[{")
    with pytest.raises(CheckpointError, match="latest"):
        trained(tmp_path)


def test_the_last_whole_checkpoint_is_kept(tmp_path: Path) -> None:
    trained(tmp_path, steps=9)
    assert json.loads((tmp_path / "latest.json").read_text()) == {"steps": 8, "size": 3}
    assert [p.name for p in tmp_path.glob("step-*")] == ["step-8"]


def test_a_fault_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="wanted a fault among"):
        Fault("meteor", 0, 0)
