"""Pretraining: a model learns to continue text."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gptlite.config import GPTConfig, TrainConfig
from gptlite.errors import ConfigError, DataError
from gptlite.models.generate import generate
from gptlite.models.gpt import GPT
from gptlite.models.sampling import Sampling
from gptlite.ops import blas, kernels
from gptlite.parallel.pool import WorkerPool, available_cores
from gptlite.text.dataset import Dataset, read_text
from gptlite.text.tokenizer import Tokenizer, load_tokenizer, train_tokenizer
from gptlite.training.loop import Loop, Summary, Task
from gptlite.training.run import Run
from gptlite.training.step import Trainer


@dataclass(frozen=True, slots=True)
class Result:
    model: GPT
    tokenizer: Tokenizer
    run: Run
    summary: Summary
    set_aside: Path | None = None  # where an earlier run of this name is now


def continuation_task(
    dataset: Dataset, model: GPT, tokenizer: Tokenizer, config: TrainConfig
) -> Task:
    """Random stretches to train on, windows to measure on, samples to look at."""
    T = model.config.context_length
    # the newline begins a sample where the text has one, else its first character
    prompt = tokenizer.decode(dataset.train[:1])
    if "\n" in tokenizer.decode(dataset.train[:10_000]):
        prompt = "\n"

    def sample(rng: np.random.Generator) -> str:
        done = generate(model, tokenizer, [prompt], 200, Sampling(top_p=0.95), rng=rng)
        return done[0].text

    return Task(
        next_batch=lambda rng: dataset.random_batch(config.batch_size, T, rng=rng),
        validation=lambda n: dataset.validation_batches(
            max(16, config.batch_size), T, n
        ),
        bytes_per_token=dataset.bytes_per_token,
        sample=sample,
    )


def fit_vocabulary(
    model: GPTConfig, tokenizer: Tokenizer, asked: int | None
) -> GPTConfig:
    """The model's vocabulary is the tokenizer's, or larger if that is asked for."""
    if asked is not None and asked < tokenizer.vocab_size:
        raise ConfigError(
            f"wanted --vocab-size of at least {tokenizer.vocab_size} (what the "
            f"tokenizer has), got {asked}; leave it out to take just that"
        )
    return dataclasses.replace(model, vocab_size=asked or tokenizer.vocab_size)


def pretrain(
    out: str,
    text: str = "sample",
    model: GPTConfig = GPTConfig(),  # noqa: B008 - frozen
    config: TrainConfig = TrainConfig(),  # noqa: B008 - frozen
    resume: bool = False,
    vocab_size: int | None = None,
    started: float | None = None,
    replace: bool = False,
) -> Result:
    """Train a model on a text and keep everything in the run folder `out`.

    text: a file, a folder, or "sample" for the plays in the package.
    A trained run that is already in `out` is renamed, unless `replace` is set.
    resume: go on with the run in `out`, to the same bits as if it had never stopped.
    started: when the clock of `config.seconds` began (`time.perf_counter`); now.
    """
    run = Run(out)
    if not text:  # as a path it would be the current folder
        raise DataError("wanted the path of a text, got an empty one; check --text")
    text = text if text == "sample" else str(Path(text).absolute())
    content = read_text(text)
    if resume:
        tokenizer = load_tokenizer(run.tokenizer_file)
    else:
        tokenizer = train_tokenizer(config.tokenizer, content, vocab_size)
    model = fit_vocabulary(model, tokenizer, vocab_size)
    dataset = Dataset.of(content, tokenizer, model.context_length)
    ops = {"numba": kernels, "blas": blas}[config.matmul]
    gpt = GPT(model, ops=ops, rng=np.random.default_rng(config.seed))
    with WorkerPool(config.workers or available_cores(), config.pool) as pool:
        trainer = Trainer(gpt, config, pool)
        task = continuation_task(dataset, gpt, tokenizer, config)
        loop = Loop(run, trainer, task, config, started)
        earlier = None
        if resume:
            loop.resume()
            run.write_config(text, model, config)
        else:
            earlier = None if replace else run.set_aside()
            run.clear()
            loop.save()  # step 0: killed at any moment, a run can be resumed
            run.describe(text, model, config, tokenizer)
        summary = loop.train()
    return Result(gpt, tokenizer, run, summary, earlier)
