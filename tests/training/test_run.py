"""A run: learns, stops and goes on to the same bits, survives whatever kills it."""

from __future__ import annotations

import dataclasses
import errno
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gptlite import files
from gptlite.config import GPTConfig, TrainConfig, preset
from gptlite.errors import CheckpointError, GptliteError, TrainingError
from gptlite.models import checkpoint
from gptlite.models.gpt import GPT
from gptlite.parallel.pool import WorkerPool
from gptlite.text.dataset import Dataset
from gptlite.text.tokenizer import CharTokenizer
from gptlite.training import loop as loop_module
from gptlite.training.loop import Loop, Task
from gptlite.training.pretrain import Result, continuation_task, pretrain
from gptlite.training.run import Run
from gptlite.training.step import Trainer
from tests.helpers import FAST, assert_same_bits, child_environment, run_cli

TEXT = "".join(f"line {i}: the cat sat on the mat, {i * i}\n" for i in range(80))
SMALL = GPTConfig(n_layer=2, n_head=2, n_embd=16, context_length=12)


@pytest.fixture
def text(tmp_path: Path) -> str:
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return str(path)


def state(folder: Path) -> dict[str, Any]:
    """All that a checkpoint holds but the wall time."""
    file = Run(folder).checkpoint_file
    found = checkpoint.metadata(file)
    model = GPT(GPTConfig(**found["model"]))
    m, v = np.empty(model.n_params, np.float32), np.empty(model.n_params, np.float32)
    wanted = {**checkpoint.model_tensors(model.params), "optimizer.m": m}
    checkpoint.load_into(file, {**wanted, "optimizer.v": v})
    return {"params": model.params.flat, "m": m, "v": v,
            "steps": found["steps"], "rng": found["rng"]}  # fmt: skip


def assert_same_state(one: Path, other: Path) -> None:
    a, b = state(one), state(other)
    assert (a["steps"], a["rng"]) == (b["steps"], b["rng"])
    for name in ("params", "m", "v"):
        assert_same_bits(a[name], b[name])
    assert Run(one).metrics() == Run(other).metrics()


class Stop(Exception):
    """Stands for whatever ends a process."""


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("stop_at", [4, 6])
def test_resumed_equals_never_stopped_to_the_last_bit(
    tmp_path: Path,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    workers: int,
    optimizer: str,
    stop_at: int,
) -> None:
    """At step 6 the last checkpoint is two steps old: those are done again."""
    config = dataclasses.replace(
        FAST, workers=workers, optimizer=optimizer, accumulation=2
    )
    pretrain(str(tmp_path / "whole"), text, SMALL, config)
    real = Loop._now_and_then

    def stopping(self: Loop, metrics: Any) -> None:
        real(self, metrics)
        if self.step == stop_at:
            raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_now_and_then", stopping)
        with pytest.raises(Stop):
            pretrain(str(tmp_path / "parts"), text, SMALL, config)
    assert state(tmp_path / "parts")["steps"] == 4
    pretrain(str(tmp_path / "parts"), text, SMALL, config, resume=True)
    assert state(tmp_path / "parts")["steps"] == 8
    assert_same_state(tmp_path / "whole", tmp_path / "parts")


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(
    tmp_path: Path, text: str
) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        config = dataclasses.replace(FAST, seed=seed, workers=2)
        pretrain(str(tmp_path / name), text, SMALL, config)
    assert_same_state(tmp_path / "a", tmp_path / "b")
    samples = [Run(tmp_path / name).samples_file.read_bytes() for name in "abc"]
    assert samples[0] == samples[1]
    assert (state(tmp_path / "a")["params"] != state(tmp_path / "c")["params"]).any()


def test_a_run_folder_holds_what_is_needed_to_use_it(tmp_path: Path, text: str) -> None:
    result = pretrain(str(tmp_path / "run"), text, SMALL, FAST)
    run = Run(tmp_path / "run")
    model, tokenizer = run.load()
    assert_same_bits(model.params.flat, result.model.params.flat)
    assert tokenizer.encode("the cat").tolist() == (
        result.tokenizer.encode("the cat").tolist()
    )
    stored_text, stored_model, stored_training = run.read_config()
    assert (stored_text, stored_training) == (text, FAST)
    assert stored_model == model.config
    rows = run.metrics()
    assert [r["step"] for r in rows if "loss" in r] == list(range(1, 9))
    assert [r["step"] for r in rows if "val_loss" in r] == [4, 8]
    assert run.samples_file.read_text(encoding="utf-8").count("── step ") == 2
    assert not list((tmp_path / "run").rglob("*.tmp"))


def test_a_new_run_in_an_old_folder_keeps_nothing_of_the_old(
    tmp_path: Path, text: str
) -> None:
    for _ in range(2):
        pretrain(str(tmp_path / "run"), text, SMALL, FAST)
    rows = Run(tmp_path / "run").metrics()
    assert [r["step"] for r in rows if "loss" in r] == list(range(1, 9))


def test_a_row_of_metrics_cut_short_by_a_kill_is_left_out(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.metrics_file.write_text('{"step": 1, "loss": 2.5}\n{"step": 2, "lo')
    assert run.metrics() == [{"step": 1, "loss": 2.5}]
    run.keep_metrics_until(1)
    assert run.metrics_file.read_text() == '{"step": 1, "loss": 2.5}\n'


def small_loop(folder: Path, pool: WorkerPool, config: TrainConfig) -> Loop:
    """A loop over TEXT whose task a test can replace a part of."""
    tokenizer = CharTokenizer.train(TEXT)
    model = dataclasses.replace(SMALL, vocab_size=tokenizer.vocab_size)
    gpt = GPT(model, rng=np.random.default_rng(0))
    task = continuation_task(
        Dataset.of(TEXT, tokenizer, 12), gpt, tokenizer, config
    )  # fmt: skip
    run = Run(folder)
    run.describe("sample", model, config, tokenizer)
    return Loop(run, Trainer(gpt, config, pool), task, config)


def test_a_loss_that_is_not_a_number_stops_and_keeps_the_earlier_checkpoint(
    tmp_path: Path,
) -> None:
    with WorkerPool(2) as pool:
        loop = small_loop(tmp_path / "run", pool, FAST)
        real = loop.task.next_batch

        def poisoned(rng: np.random.Generator) -> Any:
            if loop.step == 5:
                loop.trainer.model.params.layers[0].qkv_weight[0, 0] = np.nan
            return real(rng)

        loop.task = dataclasses.replace(loop.task, next_batch=poisoned)
        with pytest.raises(
            TrainingError, match=r"nan.*step 6.*Lower the learning rate"
        ):
            loop.train()
    found = state(tmp_path / "run")
    assert found["steps"] == 4
    assert np.isfinite(found["params"]).all()
    assert [r["step"] for r in Run(tmp_path / "run").metrics()][-1] == 5
    Run(tmp_path / "run").load()


def test_a_full_disk_is_said_and_the_earlier_checkpoint_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, real = [], checkpoint.save_file

    def full(tensors: Any, path: Path, metadata: Any) -> None:
        calls.append(path)
        if len(calls) == 2:
            path.write_bytes(b"the beginning of a chec")
            raise OSError(errno.ENOSPC, "No space left on device")
        real(tensors, path, metadata)

    monkeypatch.setattr(checkpoint, "save_file", full)
    with WorkerPool(1) as pool:
        loop = small_loop(tmp_path / "run", pool, FAST)
        with pytest.raises(CheckpointError, match="No space left on device"):
            loop.train()
    assert len(calls) == 2
    assert state(tmp_path / "run")["steps"] == 4
    assert not list((tmp_path / "run").rglob("*.tmp"))


def test_a_full_disk_while_the_metrics_are_written_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: Any, row: Any) -> None:
        if row["step"] == 5:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(loop_module, "_write_row", full)
    with WorkerPool(1) as pool:
        loop = small_loop(tmp_path / "run", pool, FAST)
        with pytest.raises(CheckpointError, match="No space left on device"):
            loop.train()
    assert state(tmp_path / "run")["steps"] == 4


def test_resume_without_a_checkpoint_says_so(tmp_path: Path, text: str) -> None:
    pretrain(str(tmp_path / "run"), text, SMALL, FAST)
    Run(tmp_path / "run").checkpoint_file.unlink()
    with pytest.raises(CheckpointError, match=r"last\.safetensors"):
        pretrain(str(tmp_path / "run"), text, SMALL, FAST, resume=True)


def test_resume_with_another_shape_is_refused_and_destroys_nothing(
    tmp_path: Path, text: str
) -> None:
    pretrain(str(tmp_path / "run"), text, SMALL, FAST)
    run = Run(tmp_path / "run")
    files = (run.config_file, run.tokenizer_file, run.checkpoint_file, run.metrics_file)
    before = [file.read_bytes() for file in files]
    wider = dataclasses.replace(SMALL, n_embd=32)
    with pytest.raises(CheckpointError, match="shape"):
        pretrain(str(run.folder), text, wider, FAST, resume=True)
    assert [file.read_bytes() for file in files] == before


def test_a_checkpoint_of_weights_only_cannot_be_resumed(
    tmp_path: Path, text: str
) -> None:
    pretrain(str(tmp_path / "run"), text, SMALL, FAST)
    run = Run(tmp_path / "run")
    model, _ = run.load()
    described = {"model": dataclasses.asdict(model.config)}
    checkpoint.save(
        run.checkpoint_file, checkpoint.model_tensors(model.params), described
    )
    run.load()  # good enough to generate with
    with pytest.raises(CheckpointError, match=r"optimizer\.m"):
        pretrain(str(run.folder), text, SMALL, FAST, resume=True)


def test_a_limit_in_seconds_ends_the_run(tmp_path: Path, text: str) -> None:
    config = dataclasses.replace(FAST, seconds=0.5, steps=1)
    result = pretrain(str(tmp_path / "run"), text, SMALL, config)
    assert result.summary.steps > 1
    assert 0.5 <= result.summary.seconds < 5
    assert not result.summary.interrupted


def test_the_final_validation_loss_is_over_the_whole_split(
    tmp_path: Path, text: str
) -> None:
    result = pretrain(str(tmp_path / "run"), text, SMALL, FAST)
    data = Dataset.of(TEXT, result.tokenizer, 12)
    ids = data.validation
    total = 0.0
    for start in range(0, len(ids) - 1, 12):
        window = ids[start : start + 13]
        logits = result.model.logits(window[None, :-1])[0].astype(np.float64)
        log_z = np.log(np.exp(logits).sum(-1))
        total += (log_z - logits[np.arange(len(window) - 1), window[1:]]).sum()
    assert result.summary.val_loss == pytest.approx(total / (len(ids) - 1), rel=1e-5)
    bits = result.summary.val_loss / np.log(2)  # ASCII: a character is a byte
    assert result.summary.bits_per_byte == pytest.approx(bits)


def test_nano_learns_from_the_plays_within_seconds(tmp_path: Path) -> None:
    model, training = preset("nano", steps=1000, eval_every=0, sample_every=0)
    began = time.perf_counter()
    result: Result = pretrain(str(tmp_path / "run"), "sample", model, training)
    spent = time.perf_counter() - began
    first = result.run.metrics()[0]["loss"]
    assert first == pytest.approx(np.log(result.model.config.vocab_size), rel=0.05)
    assert result.summary.val_loss < 2.8 < first - 1.3
    assert spent < 60


# --- other processes ------------------------------------------------------------

ENDLESS = (
    "--n-layer", "1", "--n-head", "2", "--n-embd", "16", "--context-length", "12",
    "--batch-size", "4", "--steps", "1000000", "--eval-every", "0", "--sample-every",
    "0", "--workers", "1", "--checkpoint-every", "1",
)  # fmt: skip


def start(folder: Path, text: str, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "gptlite", "pretrain", "--out", str(folder), "--text",
         text, "--json", *more],
        env=child_environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def wait_until(process: subprocess.Popen[str], ready: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "the child is too slow"
        time.sleep(0.005)


def steps_in(folder: Path) -> int:
    return int(checkpoint.metadata(Run(folder).checkpoint_file)["steps"])


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for a child there")
def test_ctrl_c_saves_says_so_and_can_be_resumed(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "run"
    process = start(folder, text, *ENDLESS[:-1], "0")  # no checkpoint on the way
    metrics = Run(folder).metrics_file
    try:
        wait_until(process, lambda: metrics.exists() and metrics.stat().st_size > 0)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()  # no child outlives a test that failed
    assert process.returncode == 130, err
    assert "Traceback" not in err and "--resume" in err
    summary = json.loads(out.splitlines()[-1])
    assert summary["interrupted"] is True
    assert summary["steps"] == steps_in(folder) > 0
    goal = str(summary["steps"] + 3)
    done = run_cli("pretrain", "--out", str(folder), "--resume", "--steps", goal)
    assert done.returncode == 0, done.stderr
    assert steps_in(folder) == int(goal)
    steps = [row["step"] for row in Run(folder).metrics()]
    assert steps == list(range(1, int(goal) + 1))


def kill_again_and_again(folder: Path, text: str, kills: int) -> None:
    """kill -9 at random moments of a run that writes a checkpoint a step."""
    rng, before = np.random.default_rng(0), 0
    file = Run(folder).checkpoint_file
    for i in range(kills):
        process = start(folder, text, *(ENDLESS if i == 0 else ["--resume"]))
        metrics = Run(folder).metrics_file
        try:
            if i == 0:
                wait_until(process, file.exists)
            else:
                size = file.stat().st_mtime_ns
                wait_until(process, lambda s=size: file.stat().st_mtime_ns != s)
            time.sleep(rng.random() * 0.2)
        finally:
            process.kill()
            process.communicate()
        steps = steps_in(folder)
        assert steps > before  # went on, not back
        before = steps
        model, _ = Run(folder).load()
        assert np.isfinite(model.params.flat).all()
        Run(folder).read_config()
        assert metrics.exists()
    done = run_cli(
        "pretrain", "--out", str(folder), "--resume", "--steps", str(before + 2)
    )
    assert done.returncode == 0, done.stderr
    assert steps_in(folder) == before + 2
    steps = [row["step"] for row in Run(folder).metrics()]
    assert steps == list(range(1, before + 3))


def test_killed_at_any_moment_a_run_can_be_resumed(tmp_path: Path, text: str) -> None:
    kill_again_and_again(tmp_path / "run", text, 4)


@pytest.mark.slow
def test_killed_fifty_times_a_run_can_be_resumed(tmp_path: Path, text: str) -> None:
    kill_again_and_again(tmp_path / "run", text, 50)


@pytest.mark.parametrize("victim", ["save_file", "flush", "replace"])
def test_a_checkpoint_that_is_cut_off_anywhere_leaves_the_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, victim: str
) -> None:
    path = tmp_path / "last.safetensors"
    checkpoint.save(path, {"x": np.zeros(3, np.float32)}, {"steps": 1})

    def die(*arguments: Any) -> None:
        if victim == "save_file":
            Path(arguments[1]).write_bytes(b"half")
        raise Stop

    target = checkpoint if victim == "save_file" else files
    with monkeypatch.context() as patch:
        patch.setattr(target, victim, die)
        with pytest.raises(Stop):
            checkpoint.save(path, {"x": np.ones(3, np.float32)}, {"steps": 2})
    assert checkpoint.metadata(path) == {"steps": 1}
    checkpoint.save(path, {"x": np.ones(3, np.float32)}, {"steps": 3})  # over the rest
    assert checkpoint.metadata(path) == {"steps": 3}
    assert [p.name for p in tmp_path.iterdir()] == ["last.safetensors"]


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(GptliteError, match=r"cannot write|cannot replace"):
        pretrain(str(tmp_path / "file"), text, SMALL, FAST)


def test_a_task_is_all_the_loop_needs(tmp_path: Path) -> None:
    """The loop knows nothing of text: any source of batches will do."""
    with WorkerPool(1) as pool:
        loop = small_loop(tmp_path / "run", pool, FAST)
        batch = loop.task.next_batch(np.random.default_rng(0))
        loop.task = Task(
            next_batch=lambda rng: batch,
            validation=lambda n: iter([batch]),
            bytes_per_token=2.0,
            sample=lambda rng: "a sample",
        )
        summary = loop.train()
    assert summary.val_loss < loop.losses[0]
    assert summary.bits_per_byte == pytest.approx(summary.val_loss / np.log(2) / 2)
    assert "a sample" in Run(tmp_path / "run").samples_file.read_text(encoding="utf-8")
