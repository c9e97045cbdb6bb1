"""The loop: Ctrl-C, kills, full disks, what is shown and what is written when."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gptlite import files
from gptlite.batch import Batch
from gptlite.config import TrainConfig
from gptlite.errors import CheckpointError
from gptlite.models import checkpoint
from gptlite.parallel.pool import WorkerPool
from gptlite.training.loop import Loop, Summary, interruptible
from gptlite.training.pretrain import pretrain
from gptlite.training.run import Run
from gptlite.training.step import Trainer
from tests.helpers import FAST, child_environment
from tests.training.test_run import SMALL, TEXT, Stop, small_loop, state

POSIX = pytest.mark.skipif(os.name != "posix", reason="signals and limits of POSIX")


@pytest.fixture
def text(tmp_path: Path) -> str:
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return str(path)


def train_with(
    folder: Path, config: TrainConfig, at_step: int, action: Callable[[], None]
) -> tuple[Loop, Summary]:
    """Train; `action` is called once, while the batch of step at_step + 1 is made."""
    with WorkerPool(1) as pool:
        loop = small_loop(folder, pool, config)
        real, done = loop.task.next_batch, []

        def next_batch(rng: np.random.Generator) -> Batch:
            if loop.step == at_step and not done:
                done.append(True)
                action()
            return real(rng)

        loop.task = dataclasses.replace(loop.task, next_batch=next_batch)
        return loop, loop.train()


# --- Ctrl-C -----------------------------------------------------------------------


def ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def test_ctrl_c_ends_the_step_saves_and_says_so(tmp_path: Path) -> None:
    _, summary = train_with(tmp_path / "run", FAST, 5, ctrl_c)
    assert summary.interrupted and summary.steps == 6
    assert state(tmp_path / "run")["steps"] == 6
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_in_the_last_step_is_a_finished_run(tmp_path: Path) -> None:
    _, summary = train_with(tmp_path / "run", FAST, FAST.steps - 1, ctrl_c)
    assert not summary.interrupted and summary.steps == FAST.steps


def test_ctrl_c_shortly_before_the_time_is_over_is_still_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last evaluation takes time too; it is not training."""
    config = dataclasses.replace(FAST, seconds=30.0, eval_every=0)
    with WorkerPool(1) as pool:
        loop = small_loop(tmp_path / "run", pool, config)
        real = loop.task.next_batch

        def next_batch(rng: np.random.Generator) -> Batch:
            if loop.step == 2:
                ctrl_c()
            return real(rng)

        def validation(windows: int) -> Any:
            loop.started -= 60  # as if a minute went by while it is measured
            return iter([next_batch(np.random.default_rng(0))])

        loop.task = dataclasses.replace(
            loop.task, next_batch=next_batch, validation=validation
        )
        summary = loop.train()
    assert summary.steps == 3
    assert summary.interrupted


def test_a_second_ctrl_c_ends_at_once_and_leaves_the_last_checkpoint(
    tmp_path: Path,
) -> None:
    def twice() -> None:
        ctrl_c()
        ctrl_c()

    with pytest.raises(KeyboardInterrupt):
        train_with(tmp_path / "run", FAST, 5, twice)
    assert state(tmp_path / "run")["steps"] == 4
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_that_was_there_comes_back() -> None:
    def mine(number: int, frame: Any) -> None:
        pass

    before = signal.signal(signal.SIGINT, mine)
    try:
        with interruptible() as asked:
            ctrl_c()
            assert asked.is_set()
        assert signal.getsignal(signal.SIGINT) is mine
    finally:
        signal.signal(signal.SIGINT, before)


def test_training_works_in_a_thread_that_cannot_have_signals(tmp_path: Path) -> None:
    found: list[Summary] = []

    def work() -> None:
        with WorkerPool(1) as pool:
            found.append(small_loop(tmp_path / "run", pool, FAST).train())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    assert found[0].steps == FAST.steps


# --- killed at any moment -----------------------------------------------------------


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """The process dies right after everything of `step` was written."""
    real = Loop._now_and_then

    def stopping(self: Loop, metrics: Any) -> None:
        real(self, metrics)
        if self.step == step:
            raise Stop

    monkeypatch.setattr(Loop, "_now_and_then", stopping)


def test_killed_before_its_first_checkpoint_a_run_can_be_resumed(
    tmp_path: Path, text: str
) -> None:
    config = dataclasses.replace(FAST, checkpoint_every=0)
    pretrain(str(tmp_path / "whole"), text, SMALL, config)
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, 3)
        with pytest.raises(Stop):
            pretrain(str(tmp_path / "parts"), text, SMALL, config)
    pretrain(str(tmp_path / "parts"), text, SMALL, config, resume=True)
    a, b = state(tmp_path / "whole"), state(tmp_path / "parts")
    assert a["steps"] == b["steps"] == 8
    assert np.array_equal(a["params"], b["params"])
    assert Run(tmp_path / "whole").metrics() == Run(tmp_path / "parts").metrics()


def test_a_resumed_run_has_each_sample_once(tmp_path: Path, text: str) -> None:
    """Steps after the last checkpoint are done again; their samples are not new."""
    config = dataclasses.replace(FAST, sample_every=1, checkpoint_every=4)
    pretrain(str(tmp_path / "whole"), text, SMALL, config)
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, 6)
        with pytest.raises(Stop):
            pretrain(str(tmp_path / "parts"), text, SMALL, config)
    pretrain(str(tmp_path / "parts"), text, SMALL, config, resume=True)
    whole, parts = (
        Run(tmp_path / name).samples_file.read_text(encoding="utf-8")
        for name in ("whole", "parts")
    )
    assert whole.count("── step 5 ──") == 1
    assert parts == whole


def test_a_run_resumed_twice_equals_one_that_never_stopped(
    tmp_path: Path, text: str
) -> None:
    pretrain(str(tmp_path / "whole"), text, SMALL, FAST)
    folder = str(tmp_path / "parts")
    for step in (5, 7):
        with pytest.MonkeyPatch.context() as patch:
            stop_at(patch, step)
            with pytest.raises(Stop):
                pretrain(folder, text, SMALL, FAST, resume=step > 5)
    pretrain(folder, text, SMALL, FAST, resume=True)
    a, b = state(tmp_path / "whole"), state(tmp_path / "parts")
    assert np.array_equal(a["params"], b["params"]) and a["rng"] == b["rng"]
    assert Run(tmp_path / "whole").metrics() == Run(tmp_path / "parts").metrics()


def test_a_run_can_be_resumed_with_another_number_of_workers(
    tmp_path: Path, text: str
) -> None:
    """The checkpoint knows nothing of shards."""
    config = dataclasses.replace(FAST, workers=1, eps=1e-3)
    pretrain(str(tmp_path / "one"), text, SMALL, config)
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, 4)
        with pytest.raises(Stop):
            pretrain(str(tmp_path / "two"), text, SMALL, config)
    more = dataclasses.replace(config, workers=3)
    pretrain(str(tmp_path / "two"), text, SMALL, more, resume=True)
    a, b = state(tmp_path / "one"), state(tmp_path / "two")
    np.testing.assert_allclose(a["params"], b["params"], atol=1e-5)


def test_time_spent_before_a_stop_counts(tmp_path: Path, text: str) -> None:
    config = dataclasses.replace(FAST, checkpoint_every=1)
    pretrain(str(tmp_path / "run"), text, SMALL, config)
    file = Run(tmp_path / "run").checkpoint_file
    before = checkpoint.metadata(file)["seconds"]
    longer = dataclasses.replace(config, steps=10)
    time.sleep(0.3)  # a pause between two sessions does not
    result = pretrain(str(tmp_path / "run"), text, SMALL, longer, resume=True)
    assert before < result.summary.seconds
    assert result.summary.seconds == pytest.approx(
        checkpoint.metadata(file)["seconds"], abs=0.25
    )


# --- disks ---------------------------------------------------------------------------


@POSIX
def test_a_disk_that_is_really_full_is_one_line_and_costs_nothing(
    tmp_path: Path, text: str
) -> None:
    """The system refuses to write files larger than 20 kB, like a full disk."""
    import resource

    pretrain(str(tmp_path / "run"), text, SMALL, FAST)
    run = Run(tmp_path / "run")
    before = run.checkpoint_file.read_bytes()
    assert len(before) > 50_000

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    done = subprocess.run(
        [sys.executable, "-m", "gptlite", "pretrain", "--out", str(run.folder),
         "--resume", "--steps", "12", "--checkpoint-every", "1"],
        env=child_environment(), capture_output=True, text=True, timeout=120,
        check=False, preexec_fn=limit,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "too large" in done.stderr.lower()
    assert run.checkpoint_file.read_bytes() == before
    assert not list(run.folder.rglob("*.tmp"))


def test_a_small_file_that_cannot_be_written_leaves_no_half_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "config.json"
    files.write_text(path, "the old one")
    monkeypatch.setattr(files, "flush", full)
    with pytest.raises(CheckpointError, match="No space left on device"):
        files.write_text(path, "the new one")
    assert path.read_text(encoding="utf-8") == "the old one"
    assert [p.name for p in tmp_path.iterdir()] == ["config.json"]


def test_the_file_that_cannot_be_written_is_the_one_that_is_named(
    tmp_path: Path,
) -> None:
    with WorkerPool(1) as pool:
        loop = small_loop(tmp_path / "run", pool, FAST)
        loop.run.samples_file.mkdir()  # in the way
        with pytest.raises(CheckpointError, match=r"samples\.txt"):
            loop.train()


@POSIX
def test_a_checkpoint_can_be_read_by_whoever_reads_the_other_files(
    tmp_path: Path, text: str
) -> None:
    """An instructor's run on a shared disk: the system's umask decides, not we."""
    pretrain(str(tmp_path / "run"), text, SMALL, FAST)
    run = Run(tmp_path / "run")
    modes = [stat.S_IMODE(file.stat().st_mode)
             for file in (run.config_file, run.checkpoint_file)]  # fmt: skip
    assert oct(modes[0]) == oct(modes[1])


def test_a_new_run_in_an_old_folder_cannot_be_resumed_into_the_old(
    tmp_path: Path, text: str
) -> None:
    """Killed before its own first checkpoint it must not go on from the old one."""
    folder = tmp_path / "run"
    pretrain(str(folder), text, SMALL, FAST)
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, 2)
        with pytest.raises(Stop):
            pretrain(str(folder), text, SMALL, dataclasses.replace(FAST, seed=9))
    file = Run(folder).checkpoint_file
    assert not file.exists() or checkpoint.metadata(file)["steps"] < 2
    assert all(row["step"] <= 2 for row in Run(folder).metrics())


# --- intervals and the terminal -------------------------------------------------------


@pytest.mark.parametrize("every", [0, 1, 3])
def test_each_thing_has_its_own_interval(tmp_path: Path, every: int) -> None:
    config = dataclasses.replace(
        FAST, eval_every=every, sample_every=every, checkpoint_every=every
    )
    saved = []
    with WorkerPool(1) as pool:
        loop = small_loop(tmp_path / "run", pool, config)
        real = loop.run.save_state

        def save_state(trainer: Trainer, rng: Any, seconds: float) -> None:
            saved.append(trainer.optimizer.steps)
            real(trainer, rng, seconds)

        loop.run.save_state = save_state  # type: ignore[method-assign]
        loop.train()
    due = [s for s in range(1, 9) if every and s % every == 0]
    rows = loop.run.metrics()
    assert [r["step"] for r in rows if "val_loss" in r] == due
    assert [s for s in saved if s] == [*due, 8]  # and once more at the end
    shown = 0
    if loop.run.samples_file.exists():
        shown = loop.run.samples_file.read_text(encoding="utf-8").count("── step ")
    assert shown == len(due)


def test_looking_at_a_run_does_not_change_it(tmp_path: Path, text: str) -> None:
    """Samples have dice of their own; evaluation needs none."""
    found = []
    for every in (0, 1):
        config = dataclasses.replace(
            FAST, eval_every=every, sample_every=every, checkpoint_every=every
        )
        pretrain(str(tmp_path / str(every)), text, SMALL, config)
        found.append(state(tmp_path / str(every)))
    assert np.array_equal(found[0]["params"], found[1]["params"])
    assert found[0]["rng"] == found[1]["rng"]


def test_the_rate_follows_warm_up_and_cosine(tmp_path: Path) -> None:
    _, _ = train_with(tmp_path / "run", FAST, -1, lambda: None)
    rows = [r for r in Run(tmp_path / "run").metrics() if "lr" in r]
    low, peak = FAST.final_learning_rate, FAST.learning_rate
    for i, row in enumerate(rows):
        cosine = low / peak + (1 - low / peak) * 0.5 * (1 + np.cos(np.pi * i / 8))
        assert row["lr"] == pytest.approx(peak * min(1, (i + 1) / 3) * cosine)


def test_a_run_says_nothing_where_there_is_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_with(tmp_path / "run", FAST, -1, lambda: None)
    out, err = capsys.readouterr()
    assert (out, err) == ("", "")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("seconds", [0.0, 1.2])
def test_on_a_terminal_it_shows_speed_loss_and_time_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    config = dataclasses.replace(FAST, steps=40, seconds=seconds)
    # the last step ends after the time is over, as it almost always does
    sleep = 0.6 if seconds == 0 else 1.3
    train_with(tmp_path / "run", config, 10, lambda: time.sleep(sleep))
    shown = terminal.getvalue()
    assert "tokens/s" in shown and "loss" in shown and "left" in shown
    assert "validation" in shown and "── a sample at step 4 ──" in shown
    assert "40/40 steps" in shown if seconds == 0 else "1/1 s" in shown


# --- metrics --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [b"", b'{"step": 1, "lo', b"\0\0\0\0", b"\xff\xfe{", b"5\n", b'{"loss": 2}\n'],
)  # fmt: skip
def test_damaged_metrics_do_not_stop_a_run_from_going_on(
    tmp_path: Path, text: str, content: bytes
) -> None:
    """They are for looking at: what cannot be read is dropped, or said in one line."""
    pretrain(str(tmp_path / "run"), text, SMALL, FAST)
    run = Run(tmp_path / "run")
    run.metrics_file.write_bytes(content)
    longer = dataclasses.replace(FAST, steps=9)
    try:
        result = pretrain(str(run.folder), text, SMALL, longer, resume=True)
    except CheckpointError as error:
        assert "metrics.jsonl" in str(error) and "\n" not in str(error)
    else:
        assert result.summary.steps == 9
        assert run.metrics()[-1]["step"] == 9


def test_metrics_hold_numbers_that_any_json_reader_takes(
    tmp_path: Path, text: str
) -> None:
    pretrain(str(tmp_path / "run"), text, SMALL, FAST)

    def refuse(name: str) -> None:
        raise AssertionError(name)

    for line in Run(tmp_path / "run").metrics_file.read_text().splitlines():
        row = json.loads(line, parse_constant=refuse)
        assert all(np.isfinite(v) for v in row.values())


def test_the_loop_counts_tokens_a_step(tmp_path: Path) -> None:
    config = dataclasses.replace(FAST, accumulation=3)
    with WorkerPool(1) as pool:
        loop = small_loop(tmp_path / "run", pool, config)
        assert loop.tokens_per_step == 3 * 4 * SMALL.context_length
        summary = loop.train()
    speed = summary.steps * loop.tokens_per_step / summary.seconds
    assert summary.tokens_per_s == pytest.approx(speed, rel=0.5)
