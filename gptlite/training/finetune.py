"""Supervised fine-tuning: the same loop as pretraining, with another mask.

Conversations of the tasks are packed into rows; only the assistant's words count.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from gptlite.config import FinetuneConfig, TrainConfig
from gptlite.corpus.corpus import is_corpus, open_corpus
from gptlite.errors import ConfigError
from gptlite.models.lora import LoRA, fingerprint
from gptlite.parallel.pool import WorkerPool, available_cores
from gptlite.tasks.registry import load_task
from gptlite.text.chat import special_ids
from gptlite.text.dataset import Dataset, read_text
from gptlite.text.tokenizer import Tokenizer
from gptlite.training.conversations import assistant_task, draw_conversations, mixture
from gptlite.training.loop import Loop, Task
from gptlite.training.pretrain import Result
from gptlite.training.run import Run, open_run
from gptlite.training.step import Trainer


def pretraining_text(base: Run, T: int, tokenizer: Tokenizer) -> Dataset:
    """The tokens that the run `base`, or one that it came from, was pretrained on."""
    texts = (run.read_config()[0] for run in base.lineage())
    text = next(filter(None, texts), "")
    if not text:
        raise ConfigError(
            f"wanted a run that knows the text of its pretraining, got {base.folder}; "
            "fine-tune with --replay 0"
        )
    if is_corpus(text):
        dataset, its_own = open_corpus(text, T)
        if its_own.to_json() == tokenizer.to_json():
            return dataset
        raise ConfigError(
            f"wanted the corpus that {base.folder} was trained on, got {text} with "
            "another tokenizer; fine-tune with --replay 0"
        )
    return Dataset.of(read_text(text), tokenizer, T)


def task_of(
    base: Run, tokenizer: Tokenizer, T: int, config: TrainConfig, what: FinetuneConfig
) -> Task:
    """The conversations that are drawn for a run, and text of `base` among them."""
    weights = mixture(what.tasks)
    rng = np.random.default_rng(config.seed)
    rendered = draw_conversations(
        {name: load_task(name) for name in weights}, weights, what.conversations,
        tokenizer, T + 1, what.several, rng=rng,
    )  # fmt: skip
    text = pretraining_text(base, T, tokenizer) if what.replay else None
    return assistant_task(rendered, tokenizer, config, T, what.replay, text)


def finetune(
    base: str,
    out: str,
    config: TrainConfig,
    what: FinetuneConfig = FinetuneConfig(),  # noqa: B008 - frozen
    resume: bool = False,
    replace: bool = False,
) -> Result:
    """Fine-tune the run `base` on tasks, as the run `out`.

    The model, its tokenizer and its context are those of `base`, which stays as it is;
    with `what.rank`, the run holds an adapter alone, and is loaded from both.
    resume: go on with the run in `out`, to the same bits.
    """
    source, run = open_run(base), Run(out)
    run.check_apart(source)
    model, tokenizer = source.load()
    known = fingerprint(model)
    special_ids(tokenizer)  # without them: an error before any work
    T = model.config.context_length
    task = task_of(source, tokenizer, T, config, what)
    if what.rank:
        rng = np.random.default_rng(config.seed)
        model = LoRA(model, what.rank, what.alpha, rng=rng)
    described = {
        "base": str(source.folder.absolute()),
        "base_sha256": known,
        "finetune": dataclasses.asdict(what),
    }
    with WorkerPool(config.workers or available_cores(), config.pool) as pool:
        loop = Loop(run, Trainer(model, config, pool), task, config)
        earlier = run.begin(
            resume, loop.resume, loop.save, "", model.config, config, tokenizer,
            replace, **described,
        )  # fmt: skip
        summary = loop.train()
    return Result(model, tokenizer, run, summary, earlier)
