"""Pretraining: a model learns to continue text."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gptlite.config import THREADS, TOKENIZERS, GPTConfig, TrainConfig
from gptlite.corpus.corpus import file_hash, is_corpus, open_corpus
from gptlite.errors import ConfigError, DataError
from gptlite.models.generate import generate
from gptlite.models.gpt import GPT
from gptlite.models.sampling import Sampling
from gptlite.ops import blas, kernels
from gptlite.parallel.collectives import Collectives
from gptlite.parallel.member import Member
from gptlite.parallel.pool import WorkerPool, available_cores
from gptlite.text import vocabularies
from gptlite.text.dataset import Dataset, read_text
from gptlite.text.token_vectors import read_vectors, set_rows
from gptlite.text.tokenizer import Tokenizer, load_tokenizer, train_tokenizer
from gptlite.training.loop import Loop, Summary, Task
from gptlite.training.run import Run
from gptlite.training.spectator import Spectator
from gptlite.training.step import Trainer


@dataclass(frozen=True, slots=True)
class Result:
    model: GPT
    tokenizer: Tokenizer
    run: Run
    summary: Summary
    set_aside: Path | None = None  # where an earlier run of this name is now
    rows_set: int = 0  # of the token embedding, from `init_embeddings`


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


def _prepare(
    text: str,
    model: GPTConfig,
    config: TrainConfig,
    vocab_size: int | None,
    tokenizer_file: Path | None,
) -> tuple[GPTConfig, TrainConfig, Dataset, Tokenizer]:
    """The tokens to train on, their tokenizer, and the configurations that fit them.

    text: a built corpus, which has a tokenizer, or else texts. tokenizer_file: the one
    that a run had before.
    """
    if is_corpus(text):
        dataset, tokenizer = open_corpus(text, model.context_length)
        model = fit_vocabulary(model, tokenizer, vocab_size)
        config = dataclasses.replace(config, tokenizer=tokenizer.kind)
        return model, config, dataset, tokenizer
    content = read_text(text)
    if tokenizer_file is not None:
        tokenizer = load_tokenizer(tokenizer_file)
    elif config.tokenizer not in TOKENIZERS:
        tokenizer = vocabularies.tokenizer(config.tokenizer)
    else:
        tokenizer = train_tokenizer(config.tokenizer, content, vocab_size)
    model = fit_vocabulary(model, tokenizer, vocab_size)
    dataset = Dataset.of(content, tokenizer, model.context_length)
    return model, config, dataset, tokenizer


def pretrain(
    out: str,
    text: str = "sample",
    model: GPTConfig = GPTConfig(),  # noqa: B008 - frozen
    config: TrainConfig = TrainConfig(),  # noqa: B008 - frozen
    resume: bool = False,
    vocab_size: int | None = None,
    started: float | None = None,
    replace: bool = False,
    init_embeddings: str | None = None,
    comm: Collectives | None = None,
) -> Result:
    """Train a model on a text and keep everything in the run folder `out`.

    text: a file, a folder of texts, a built corpus, "-" for standard input, or "sample"
    for the plays in the package.
    A trained run that is already in `out` is renamed, unless `replace` is set.
    resume: go on with the run in `out`, to the same bits as if it had never stopped.
    init_embeddings: a file of token vectors, from which the embedding starts.
    started: when the clock of `config.seconds` began (`time.perf_counter`); now.
    comm: where this process is one worker of many, its door to the others, all of which
    make this call; the first one writes the run.
    """
    if resume and init_embeddings is not None:
        raise ConfigError(
            "wanted --resume or --init-embeddings, got both; a run that goes on has "
            "its embedding already: leave out --init-embeddings"
        )
    if comm is None and config.pool not in THREADS:
        from gptlite.training.processes import pretrain_by_processes

        return pretrain_by_processes(
            config, out, text, model=model, resume=resume, vocab_size=vocab_size,
            started=started, replace=replace, init_embeddings=init_embeddings,
        )  # fmt: skip
    run = Run(out) if comm is None or comm.rank == 0 else Spectator(out)
    if not text:  # as a path it would be the current folder
        raise DataError("wanted the path of a text, got an empty one; check --text")
    text = text if text in ("sample", "-") else str(Path(text).absolute())
    model, config, dataset, tokenizer = _prepare(
        text, model, config, vocab_size, run.tokenizer_file if resume else None
    )
    ops = {"numba": kernels, "blas": blas}[config.matmul]
    gpt = GPT(model, ops=ops, rng=np.random.default_rng(config.seed))
    rows_set = 0
    if init_embeddings is not None:
        vectors = read_vectors(init_embeddings)
        rows_set = set_rows(gpt.params.token_embedding, vectors, tokenizer)
    with _pool(config, comm) as pool:
        trainer = Trainer(gpt, config, pool)
        some = dataset.train[: model.context_length].tolist()
        trainer.check_alike((model, config, len(dataset.train), some))
        task = continuation_task(dataset, gpt, tokenizer, config)
        loop = Loop(run, trainer, task, config, started)
        more = {}
        if is_corpus(text):
            more["corpus"] = file_hash(Path(text, "corpus.json"))
        earlier = run.begin(
            resume, loop.resume, loop.save, text, model, config, tokenizer, replace,
            **more,
        )  # fmt: skip
        summary = loop.train()
    return Result(gpt, tokenizer, run, summary, earlier, rows_set)


def _pool(config: TrainConfig, comm: Collectives | None) -> WorkerPool | Member:
    if comm is None:
        return WorkerPool(config.workers or available_cores(), config.pool)
    return Member(comm)
