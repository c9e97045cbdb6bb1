"""A run is a folder: all that is needed to look at it, use it, or go on with it.

config.json  tokenizer.json  checkpoint/last.safetensors
metrics.jsonl  samples.txt  learning_curve.png  report.html
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gptlite import files
from gptlite.config import GPTConfig, TrainConfig, configs_from
from gptlite.errors import CheckpointError, ConfigError, DataError
from gptlite.models import checkpoint
from gptlite.models.gpt import GPT
from gptlite.models.lora import load_adapter
from gptlite.text.tokenizer import Tokenizer, load_tokenizer
from gptlite.training.step import Trainer

# what a run began with, in its config.json
SOURCES = ("corpus", "base_sha256", "method", "reward_sha256", "rater")
BOXED = {"mini": Path(__file__).parents[1] / "mini"}  # models in the package


def open_run(name: str) -> Run:
    """The run in the folder `name`, or else the model in the package that is so called.

    A package need not have it: before a release it is made by `gptlite recipe`.
    """
    run = Run(name)
    if name not in BOXED or run.config_file.exists():
        return run
    if not (BOXED[name] / "config.json").exists():
        raise CheckpointError(
            f"wanted the model {name} of the package, which this one comes without; "
            f"`gptlite recipe {name}` makes it: give the folder of its result"
        )
    return Run(BOXED[name])


class Run:
    """The files of one training run, below `folder`.

    silent: whether its progress is shown by somebody else.
    """

    silent = False

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.config_file = self.folder / "config.json"
        self.tokenizer_file = self.folder / "tokenizer.json"
        self.checkpoint_file = self.folder / "checkpoint" / "last.safetensors"
        self.metrics_file = self.folder / "metrics.jsonl"
        self.samples_file = self.folder / "samples.txt"
        self.curve_file = self.folder / "learning_curve.png"
        self.report_file = self.folder / "report.html"

    def set_aside(self) -> Path | None:
        """Rename a folder that holds a trained run; `None` if it holds none."""
        try:
            steps = checkpoint.metadata(self.checkpoint_file).get("steps", 1)
        except CheckpointError:
            return None
        if not steps:
            return None
        return files.set_aside(self.folder)

    def check_apart(self, base: Run) -> None:
        """Whether this folder can be given a result without losing that of `base`."""
        if str(self.folder) in BOXED:
            raise ConfigError(
                f"wanted another name than {self.folder}, which the model in the "
                "package has; see --out"
            )
        if self.folder.resolve() == base.folder.resolve():
            raise ConfigError(
                f"wanted another folder than {base.folder} for the result; see --out"
            )

    def clear(self) -> None:
        """Drop an earlier run's files; config.json, by which it is known, first."""
        for file in (
            self.config_file, self.checkpoint_file, self.metrics_file,
            self.samples_file,
        ):  # fmt: skip
            try:
                file.unlink(missing_ok=True)
            except OSError as error:
                raise CheckpointError(
                    f"cannot replace {file}: {error.strerror}; choose another --out"
                ) from error

    def begin(
        self, resume: bool, load: Callable[[], object], save: Callable[[], object],
        text: str, model: GPTConfig, training: TrainConfig, tokenizer: Tokenizer,
        replace: bool = False, **more: Any,
    ) -> Path | None:  # fmt: skip
        """Start anew in this folder, or go on; returns where an earlier run is now.

        load, save: of the checkpoint. It is written before config.json: killed at any
        moment, what calls itself a run can be resumed. replace: drop an earlier run.
        more: as in `write_config`; a run goes on only with the SOURCES it began with.
        """
        if resume:
            for name in SOURCES:
                self.check_same(name, more.get(name))
            load()
            self.write_config(text, model, training, **more)
            return None
        earlier = None if replace else self.set_aside()
        self.clear()
        save()
        self.describe(text, model, training, tokenizer, **more)
        return earlier

    def describe(
        self,
        text: str,
        model: GPTConfig,
        training: TrainConfig,
        tokenizer: Tokenizer,
        **more: Any,
    ) -> None:
        """Write tokenizer.json and then config.json: from now on it is a run."""
        files.write_text(self.tokenizer_file, json.dumps(tokenizer.to_json()))
        self.write_config(text, model, training, **more)

    def write_config(
        self, text: str, model: GPTConfig, training: TrainConfig, **more: Any
    ) -> None:
        """config.json; `more` is what only some kinds of runs have."""
        described = {
            "text": text,
            "model": dataclasses.asdict(model),
            "training": dataclasses.asdict(training),
            **more,
        }
        files.write_text(self.config_file, json.dumps(described, indent=2))

    def described(self) -> dict[str, Any]:
        """All that config.json says."""
        try:
            return dict(json.loads(self.config_file.read_text(encoding="utf-8")))
        except OSError as error:
            raise CheckpointError(
                f"wanted a run folder, got {self.folder} without config.json; "
                "`gptlite pretrain --out` makes one"
            ) from error
        except (ValueError, TypeError) as error:
            raise CheckpointError(
                f"cannot read {self.config_file}: {error}; the file is damaged"
            ) from error

    def lineage(self) -> Iterator[Run]:
        """This run, the one that it began with, and so on, down to the first."""
        run = self
        yield run
        while base := run.described().get("base"):
            run = open_run(base)
            yield run

    def check_same(self, name: str, now: str | None) -> None:
        """Whether what config.json says of `name` is still so; else no resuming."""
        then = self.described().get(name)
        if then != now:
            was, got = (str(x)[:12] if x else "none" for x in (then, now))
            raise DataError(
                f"wanted the {name} that the run in {self.folder} was trained with "
                f"({was}), got {got}; give the same, or start a new run"
            )

    def read_config(self) -> tuple[str, GPTConfig, TrainConfig]:
        """(path of the text, model, training) as they were written."""
        found = self.described()
        try:
            model, training = configs_from({**found["model"], **found["training"]})
            return str(found["text"]), model, training
        except (ValueError, KeyError, TypeError) as error:
            if isinstance(error, ConfigError):
                raise
            raise CheckpointError(
                f"cannot read {self.config_file}: {error}; the file is damaged"
            ) from error

    def load(self) -> tuple[GPT, Tokenizer]:
        """The trained model, and the tokenizer that it was trained with."""
        if not self.checkpoint_file.exists():
            raise CheckpointError(
                f"wanted a trained run, got {self.folder} without "
                "checkpoint/last.safetensors; `gptlite pretrain --out` makes one"
            )
        model = self._model()
        tokenizer = load_tokenizer(self.tokenizer_file)
        if tokenizer.vocab_size > model.config.vocab_size:
            raise CheckpointError(
                f"wanted a checkpoint for {tokenizer.vocab_size} tokens (as in "
                f"tokenizer.json), got one for {model.config.vocab_size}"
            )
        return model, tokenizer

    def _model(self) -> GPT:
        """The stored model; an adapter is merged with its base, which is loaded too."""
        if "lora" not in checkpoint.metadata(self.checkpoint_file):
            return checkpoint.load_model(self.checkpoint_file)
        base, _ = open_run(str(self.described().get("base"))).load()
        return load_adapter(self.checkpoint_file, base).merge()

    def export(self, folder: Path, **more: Any) -> Run:
        """A copy in `folder` that is only to be used: float16, without moments.

        more: what else config.json is to say. No path of this machine goes with it.
        """
        out, (model, tokenizer) = Run(folder), self.load()
        _, _, training = self.read_config()
        half = {
            name: tensor.astype(np.float16)
            for name, tensor in checkpoint.model_tensors(model.params).items()
        }
        checkpoint.save(out.checkpoint_file, half, model.described())
        out.describe("", model.config, training, tokenizer, **more)
        return out

    def save_state(
        self, trainer: Trainer, rng: np.random.Generator, seconds: float,
        more: Mapping[str, np.ndarray] = {},
    ) -> None:  # fmt: skip
        """Everything that the next step depends on, as one checkpoint."""
        tensors = checkpoint.model_tensors(trainer.model.params)
        tensors |= {"optimizer.m": trainer.optimizer.m.flat}
        tensors |= {"optimizer.v": trainer.optimizer.v.flat}
        tensors |= more
        described = {
            **trainer.model.described(),
            "steps": trainer.optimizer.steps,
            "rng": rng.bit_generator.state,
            "seconds": seconds,
        }
        checkpoint.save(self.checkpoint_file, tensors, described)

    def load_state(
        self, trainer: Trainer, rng: np.random.Generator,
        more: Mapping[str, np.ndarray] = {},
    ) -> float:  # fmt: skip
        """Put trainer, rng and what `more` there was back where `save_state` left
        them; seconds so far."""
        found = checkpoint.metadata(self.checkpoint_file)
        wanted = dict(checkpoint.model_tensors(trainer.model.params))
        wanted |= {"optimizer.m": trainer.optimizer.m.flat}
        wanted |= {"optimizer.v": trainer.optimizer.v.flat} | dict(more)
        checkpoint.load_into(self.checkpoint_file, wanted)
        try:
            trainer.optimizer.steps = int(found["steps"])
            rng.bit_generator.state = found["rng"]
            return float(found["seconds"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise CheckpointError(
                f"{self.checkpoint_file} cannot be resumed: {error!r} is missing or "
                "damaged; it holds weights only"
            ) from error

    def metrics(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl; a last row cut short by a kill is left out."""
        if not self.metrics_file.exists():
            return []
        rows = []
        for line in self.metrics_file.read_bytes().splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                break
            if not isinstance(row, dict) or not isinstance(row.get("step"), int):
                break
            rows.append(row)
        return rows

    def add_sample(self, step: int, text: str) -> None:
        """Append to samples.txt."""
        try:
            with open(self.samples_file, "a", encoding="utf-8") as file:
                file.write(f"── step {step} ──\n{text}\n\n")
        except OSError as error:
            raise CheckpointError(
                f"cannot write {self.samples_file}: {error.strerror}; the last "
                "checkpoint is untouched: free some space, then --resume"
            ) from error

    def keep_metrics_until(self, step: int) -> None:
        """Drop the rows after `step`: the resumed run writes them again."""
        rows = [row for row in self.metrics() if row["step"] <= step]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        files.write_text(self.metrics_file, text)

    def keep_samples_until(self, step: int) -> None:
        """Drop the samples after `step` too."""
        if not self.samples_file.exists():
            return
        text = self.samples_file.read_text(encoding="utf-8", errors="replace")
        for heading in re.finditer(r"^── step (\d+) ──$", text, re.MULTILINE):
            if int(heading.group(1)) > step:
                files.write_text(self.samples_file, text[: heading.start()])
                return
