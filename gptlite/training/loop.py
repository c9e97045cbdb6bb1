"""The training loop: steps, a schedule, evaluation, samples, checkpoints."""

from __future__ import annotations

import json
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, TextIO

import numpy as np
from tqdm import tqdm

from gptlite.config import TrainConfig
from gptlite.errors import CheckpointError, TrainingError
from gptlite.training.run import Run
from gptlite.training.schedule import cosine_schedule, warmup
from gptlite.training.step import StepResult, Trainer


@dataclass(frozen=True, slots=True)
class Task:
    """What is learned: where batches come from, what is measured, what is shown."""

    next_batch: Callable[[np.random.Generator], Any]
    validation: Callable[[int], Iterator[Any]]  # at most n windows, 0: all
    bytes_per_token: float  # NaN where the loss is not that of a text
    sample: Callable[[np.random.Generator], str]
    split: Callable[[Any], list[Any]] = lambda batch: [batch]  # to be summed


@dataclass(frozen=True, slots=True)
class Summary:
    """How a run ended. Losses in nats per token."""

    steps: int
    seconds: float  # wall time of the training, evaluation at the end not included
    tokens_per_s: float  # since the start or the last resume
    train_loss: float  # mean of the last 100 steps
    val_loss: float  # over the whole validation split
    bits_per_byte: float
    interrupted: bool


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Ctrl-C sets the event instead of raising; a second Ctrl-C raises as usual."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def ask(number: int, frame: FrameType | None) -> None:
        asked.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


class Loop:
    """Trains `trainer` on `task`, with everything written to `run`.

    `started` is when the clock of `config.seconds` began, on `time.perf_counter`.
    """

    def __init__(
        self,
        run: Run,
        trainer: Trainer,
        task: Task,
        config: TrainConfig,
        started: float | None = None,
    ) -> None:
        self.run, self.trainer, self.task, self.config = run, trainer, task, config
        self.rng = np.random.default_rng(config.seed)
        self.started = time.perf_counter() if started is None else started
        self.seconds_before = 0.0
        self.losses: list[float] = []
        self.val_losses: list[float] = []
        sequences = config.batch_size * config.accumulation
        self.tokens_per_step = sequences * trainer.model.config.context_length
        self.saved = 0  # the step that the last checkpoint is of
        self.bar: Any = None

    @property
    def step(self) -> int:
        return self.trainer.optimizer.steps

    @property
    def seconds(self) -> float:
        return self.seconds_before + time.perf_counter() - self.started

    def resume(self) -> None:
        """Go on from the run's last checkpoint, to the same bits."""
        self.seconds_before = self.run.load_state(self.trainer, self.rng)
        self.saved = self.step
        self.run.keep_metrics_until(self.step)
        rows = self.run.metrics()
        self.val_losses = [row["val_loss"] for row in rows if "val_loss" in row]
        self.run.keep_samples_until(self.step)

    @property
    def progress(self) -> float:
        """How much of the run is done, 0 … 1, by steps or by time if that is set."""
        if self.config.seconds:
            return self.seconds / self.config.seconds
        return self.step / self.config.steps

    @property
    def stale(self) -> bool:
        """Whether the last `patience` evaluations were no better than one before."""
        n = self.config.patience
        return 0 < n < len(self.val_losses) and min(self.val_losses[-n:]) >= min(
            self.val_losses[:-n]
        )

    def train(self) -> Summary:
        """Train to the end, or until Ctrl-C; both leave a checkpoint."""
        first, loop_start = self.step, time.perf_counter()
        with interruptible() as asked, self._metrics() as metrics, self._progress_bar():
            while True:
                now = [self.progress, asked.is_set(), self.stale]
                progress, stop, stale = self.trainer.agreed(now)
                if progress >= 1 or stop or stale:
                    break
                rate = self._rate(progress)
                result = self._one_step(rate)
                row = {"step": self.step, "loss": result.loss}
                row["lr"] = rate * self.config.learning_rate
                row["grad_norm"] = result.grad_norm
                _write_row(metrics, row)
                self._show(result)
                self._now_and_then(metrics)
            trained = self.step > first
            seconds = self.seconds if trained else self.seconds_before
            elapsed = time.perf_counter() - loop_start
            interrupted = bool(stop) and progress < 1 and not stale
        if trained:
            self.save()
        val_loss = self.evaluate(windows=0)
        return Summary(
            steps=self.step,
            seconds=seconds,
            tokens_per_s=(self.step - first) * self.tokens_per_step / elapsed,
            train_loss=float(np.mean(self.losses[-100:])) if self.losses else math.nan,
            val_loss=val_loss,
            bits_per_byte=self._bits_per_byte(val_loss),
            interrupted=interrupted,
        )

    def _rate(self, progress: float) -> float:
        c = self.config
        lowest = c.final_learning_rate / c.learning_rate
        return warmup(self.step, c.warmup_steps) * cosine_schedule(progress, lowest)

    def _one_step(self, rate: float) -> StepResult:
        batches = [
            piece
            for _ in range(self.config.accumulation)
            for piece in self.task.split(self.task.next_batch(self.rng))
        ]
        result = self.trainer.step(batches, rate)
        if not result.finite:
            raise TrainingError(
                f"wanted a finite loss, got {result.loss} (gradient norm "
                f"{result.grad_norm}) at step {self.step + 1}; no parameter was "
                "changed by it. Lower the learning rate, or look for damaged data; "
                f"the last checkpoint is of step {self.saved}"
            )
        self.losses.append(result.loss)
        return result

    def _now_and_then(self, metrics: TextIO) -> None:
        """Evaluate, sample and save, each at its own interval (0: only at the end)."""
        c, step = self.config, self.step
        if c.eval_every and step % c.eval_every == 0:
            loss = self.evaluate(c.eval_windows)
            self.val_losses.append(loss)
            row = {"step": step, "val_loss": loss}
            said = f"step {step}: validation {loss:.4f}"
            bits = self._bits_per_byte(loss)
            if not math.isnan(bits):
                row["bits_per_byte"] = bits
                said += f" nats a token, {bits:.4f} bits a byte"
            _write_row(metrics, row)
            self._say(said)
        if c.sample_every and step % c.sample_every == 0:
            text = self.task.sample(np.random.default_rng([c.seed, step]))
            self.run.add_sample(step, text)
            self._say(f"── a sample at step {step} ──\n{text}\n")
        if c.checkpoint_every and step % c.checkpoint_every == 0:
            metrics.flush()
            self.save()

    def save(self) -> None:
        self.trainer.collect()
        self.run.save_state(self.trainer, self.rng, self.seconds)
        self.saved = self.step

    def evaluate(self, windows: int) -> float:
        """Mean validation loss in nats per token."""
        return self.trainer.evaluate(list(self.task.validation(windows)))

    def _bits_per_byte(self, nats_per_token: float) -> float:
        return nats_per_token / math.log(2) / self.task.bytes_per_token

    @contextmanager
    def _metrics(self) -> Iterator[TextIO]:
        try:
            with open(self.run.metrics_file, "a", encoding="utf-8") as file:
                yield file
        except OSError as error:
            raise CheckpointError(
                f"cannot write {self.run.metrics_file}: {error.strerror}; the last "
                "checkpoint is untouched: free some space, then --resume"
            ) from error

    @contextmanager
    def _progress_bar(self) -> Iterator[None]:
        """On a terminal: tokens/s, loss, time left. Elsewhere: silence."""
        timed = self.config.seconds > 0
        total = self.config.seconds if timed else self.config.steps
        layout = "{desc} {percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} {unit}{postfix}"
        with tqdm(
            total=total, desc="training", unit="s" if timed else "steps",
            initial=self.seconds if timed else self.step, bar_format=layout,
            mininterval=0.5, dynamic_ncols=True,
            disable=self.run.silent or not sys.stderr.isatty(),
        ) as self.bar:  # fmt: skip
            self._bar_start: tuple[float, float, int] | None = None
            yield

    def _show(self, result: StepResult) -> None:
        bar = self.bar
        if bar.disable:
            return
        if self._bar_start is None:  # the first step also compiles and warms up
            self._bar_start = (time.perf_counter(), self.progress, self.step)
            return
        start, progress, step = self._bar_start
        spent = time.perf_counter() - start
        done = max(self.progress - progress, 1e-9)
        left = spent / done * max(0.0, 1 - self.progress)
        rate = (self.step - step) * self.tokens_per_step
        bar.set_postfix_str(
            f"{rate / spent:,.0f} tokens/s, loss {result.loss:.3f}, "
            f"{int(left) // 60}:{int(left) % 60:02d} left",
            refresh=False,
        )
        now = self.seconds if bar.unit == "s" else self.step
        bar.update(min(now, bar.total) - bar.n)

    def _say(self, text: str) -> None:
        if not self.bar.disable:
            self.bar.write(text, file=sys.stderr)


def _write_row(file: TextIO, row: dict[str, Any]) -> None:
    file.write(json.dumps(row) + "\n")
