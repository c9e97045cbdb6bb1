"""Sharded checkpoints: each worker writes what it owns; any number of workers reads it.

FOLDER/latest.json                            which checkpoint is whole
FOLDER/step-8/2-of-4/shard.safetensors        params, m and v of worker 2
"""

from __future__ import annotations

import json
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gptlite import files
from gptlite.errors import CheckpointError
from gptlite.models import checkpoint
from gptlite.parallel.units import cut
from gptlite.training.zero import ZeroWorker

NAMES = ("params", "m", "v")


def save_shards(worker: ZeroWorker, folder: Path) -> None:
    """All workers call this after the same step; all together are a checkpoint."""
    rank, size = worker.comm.rank, worker.comm.size
    tensors = {
        name: np.concatenate(parts)
        for name, parts in zip(NAMES, worker.owned(), strict=True)
    }
    sums = {name: zlib.crc32(tensor.data) for name, tensor in tensors.items()}
    described = {
        "rank": rank, "size": size, "steps": worker.steps, "run": worker.fingerprint,
        "checksums": sums,
    }  # fmt: skip
    checkpoint.save(_path(folder, worker.steps, rank, size), tensors, described)
    worker.comm.barrier()
    if rank == 0:
        before = _latest(folder)
        now = {"steps": worker.steps, "size": size}
        files.write_text(folder / "latest.json", json.dumps(now))
        if before and before["steps"] != worker.steps:  # the new one is whole
            shutil.rmtree(folder / f"step-{before['steps']}", ignore_errors=True)
    worker.comm.barrier()


def load_shards(worker: ZeroWorker, folder: Path) -> int:
    """Put the worker where the last whole checkpoint was saved, by however many; its
    number of steps, 0 if there is none. All workers call this."""
    latest = _latest(folder)
    if not latest:
        return 0
    steps, size = latest["steps"], latest["size"]
    stretches = [s for unit in worker.units for s in unit.where]
    shards = Shards(folder, steps, size, worker.fingerprint, stretches)
    for name, parts in zip(NAMES, (worker.own, worker.m, worker.v), strict=True):
        for where, part in zip(worker.updated, parts, strict=True):
            shards.read(name, where, part)
    worker.steps = steps
    worker.publish()
    return steps


def _path(folder: Path, steps: int, rank: int, size: int) -> Path:
    return folder / f"step-{steps}" / f"{rank}-of-{size}" / "shard.safetensors"


def _latest(folder: Path) -> dict[str, int]:
    """Steps and size of the last whole checkpoint; empty if there is none."""
    try:
        found = json.loads((folder / "latest.json").read_text(encoding="utf-8"))
        return {name: int(found[name]) for name in ("steps", "size")}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(
            f"cannot read {folder / 'latest.json'}: {error}; it is damaged: remove it "
            "to begin anew"
        ) from error


@dataclass
class Shards:
    """The files of one checkpoint, of `size` workers, read when they are needed."""

    folder: Path
    steps: int
    size: int
    run: str
    stretches: list[slice]

    def __post_init__(self) -> None:
        self._read: dict[int, dict[str, np.ndarray]] = {}

    def read(self, name: str, where: slice, into: np.ndarray) -> None:
        """The numbers `where` of the flat buffer, all within one stretch."""
        for rank in range(self.size):
            at = 0  # in this worker's file
            for stretch in self.stretches:
                part = cut(stretch, rank, self.size)
                start, stop = max(part.start, where.start), min(part.stop, where.stop)
                if start < stop:
                    first = at + start - part.start
                    numbers = self._shard(rank, into.dtype)[name]
                    into[start - where.start : stop - where.start] = numbers[
                        first : first + stop - start
                    ]
                at += part.stop - part.start

    def _shard(self, rank: int, dtype: np.dtype) -> dict[str, np.ndarray]:
        """Worker `rank`'s file, if it is whole and of this run."""
        if rank in self._read:
            return self._read[rank]
        path = _path(self.folder, self.steps, rank, self.size)
        if not path.exists():
            raise CheckpointError(
                f"wanted the shard of each of {self.size} workers, got none of worker "
                f"{rank}: {path} is missing; copy it here"
            )
        found = checkpoint.metadata(path)
        if (found.get("run"), found.get("steps")) != (self.run, self.steps):
            raise CheckpointError(
                f"wanted step {self.steps} of the run {self.run}, got step "
                f"{found.get('steps')} of {found.get('run')} in {path}; copy the right "
                "shard here"
            )
        parts = (cut(stretch, rank, self.size) for stretch in self.stretches)
        n = sum(part.stop - part.start for part in parts)
        tensors = {name: np.empty(n, dtype) for name in NAMES}
        checkpoint.load_into(path, tensors)
        for name in NAMES:
            if zlib.crc32(tensors[name].data) != found.get("checksums", {}).get(name):
                raise CheckpointError(
                    f"{path} is damaged: the checksum of {name} is wrong; copy it again"
                )
        self._read[rank] = tensors
        return tensors
