"""`gptlite recipe mini`: the model in the package, from texts to weights, one command.

Every stage leaves its result below the folder `out`, and what is there is not done
again: a recipe that was stopped goes on where it was.

out/corpus  out/pretrained  out/finetuned  out/talking  out/mean, and out/model, as it
is in the package
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gptlite import files
from gptlite.assistant import card, stages
from gptlite.config import CorpusConfig, FinetuneConfig, GPTConfig, TrainConfig
from gptlite.corpus.build import build_corpus
from gptlite.corpus.corpus import is_corpus
from gptlite.corpus.documents import Document
from gptlite.corpus.readers import sample_documents, source_documents
from gptlite.data.fetch import fetch
from gptlite.data.sources import source
from gptlite.errors import ConfigError
from gptlite.models import checkpoint
from gptlite.tasks.chat import without_tests
from gptlite.tasks.registry import TASKS
from gptlite.training.finetune import finetune
from gptlite.training.loop import Summary
from gptlite.training.pretrain import pretrain
from gptlite.training.run import Run

SOURCES = ("encyclopedia", "books", "dialogue")
CORPUS = CorpusConfig(vocab_size=4096)
MODEL = GPTConfig(n_layer=6, n_head=8, n_embd=256, context_length=256)
PRETRAINING = TrainConfig(
    tokenizer="bpe", steps=6500, batch_size=16, optimizer="muon", dtype="bfloat16",
    learning_rate=3e-3, final_learning_rate=1e-4, eval_every=500, sample_every=1000,
)  # fmt: skip
FINETUNING = dataclasses.replace(
    PRETRAINING, steps=9000, learning_rate=2e-3, warmup_steps=50, sample_every=0
)
# weights by trial (docs/lab_log.md)
TASK_WEIGHTS = FinetuneConfig(
    tasks="facts=10,rewrite=4,translate=4,chat=1,numbers=0.9,summary=0.9,code=0.6",
    conversations=500_000, several=0.0, replay=0.35,
)  # fmt: skip
# first to answer one question, then several in a row
TALKING = dataclasses.replace(
    FINETUNING, steps=2000, learning_rate=1e-3, muon_learning_rate=0.01
)
TALKING_WEIGHTS = FinetuneConfig(
    tasks="facts=8,rewrite=5,translate=3,chat=1,numbers=3,summary=0.9,code=0.6",
    conversations=150_000, several=0.7, replay=0.35,
)  # fmt: skip
# name, folder, and how: each begins with the one before
ANSWERING = (
    ("fine-tuning", "finetuned", FINETUNING, TASK_WEIGHTS),
    ("several in a row", "talking", TALKING, TALKING_WEIGHTS),
)
KEPT = 0.2  # of the weights before the last stage, in the mean that is taken
TESTED = 400  # conversations of each task, in the evaluation at the end


def scaled(config: TrainConfig, scale: float) -> TrainConfig:
    """The same training in `scale` times the steps.

    >>> scaled(TrainConfig(steps=2000, warmup_steps=100), 0.05).steps
    100
    """
    steps = max(1, round(config.steps * scale))
    return dataclasses.replace(
        config, steps=steps, warmup_steps=min(config.warmup_steps, steps // 10)
    )


def texts(sample: bool) -> dict[str, Iterable[Document]]:
    """The documents by source; dialogues that the tasks are tested on are left out."""
    found: dict[str, Iterable[Document]] = dict(sample_documents())
    if not sample:
        for name in SOURCES:
            fetch(source(name))
        found = {name: source_documents(name) for name in SOURCES}
    return found | {"dialogue": without_tests(found["dialogue"])}


def run_mini(out: str | Path, scale: float = 1.0, sample: bool = False
             ) -> dict[str, Any]:  # fmt: skip
    """Make the model in `out`/model; returns what was measured.

    scale: share of the steps and conversations. sample: with the texts in the package
    alone; nothing is fetched.
    """
    if not 0 < scale <= 100:
        raise ConfigError(f"wanted 0 < scale ≤ 100, got {scale}; 1 is the whole recipe")
    out = Path(out)
    _check_same(out, {"recipe": "mini", "scale": scale, "sample": sample})
    corpus, base = out / "corpus", out / "pretrained"
    if not is_corpus(corpus):
        start = time.perf_counter()
        build_corpus(corpus, texts(sample), CORPUS, quiet=not sys.stderr.isatty())
        _say(f"corpus built in {time.perf_counter() - start:.0f} s")
    first = pretrain(str(base), str(corpus), MODEL, scaled(PRETRAINING, scale),
                     resume=_begun(base), replace=True).summary  # fmt: skip
    _say(f"pretraining: {_told(first)}")
    done = {"pretraining": first}
    for name, folder, config, what in ANSWERING:
        if any(summary.interrupted for summary in done.values()):
            return {"out": str(out), "interrupted": True}
        drawn = max(1000, round(what.conversations * scale))
        tuned = out / folder
        done[name] = finetune(
            str(base), str(tuned), scaled(config, scale),
            dataclasses.replace(what, conversations=drawn), resume=_begun(tuned),
            replace=True,
        ).summary  # fmt: skip
        _say(f"{name}: {_told(done[name])}")
        base = tuned
    if done[name].interrupted:
        return {"out": str(out), "interrupted": True}
    return _pack(out, done, max(20, round(TESTED * min(1.0, scale))))


def _pack(out: Path, done: dict[str, Summary], n: int) -> dict[str, Any]:
    """The model as float16, measured on n conversations a task, with its card."""
    tuned, folder = averaged(out), out / "model"
    what = tuned.described()["finetune"]
    tuned.export(folder, finetune=what)
    found = stages.evaluate_run(str(tuned.folder), TASKS, n)
    found["run"], found["kept"] = "mini", KEPT
    found["training"] = {name: _costs(summary) for name, summary in done.items()}
    for name, where, _, _ in ANSWERING:
        found["training"][name]["finetune"] = Run(out / where).described()["finetune"]
    files.write_text(folder / stages.RECORD, json.dumps(found, indent=1))
    stages.picture(found, folder / "evaluation.png")
    header = json.loads((out / "corpus" / "corpus.json").read_text(encoding="utf-8"))
    files.write_text(folder / "CARD.md", card.model_card(found, header, Run(folder)))
    scores = {name: row["score"] for name, row in found["tasks"].items()}
    return {"out": str(out), "model": str(folder), "interrupted": False,
            "bits_per_byte": found["bits_per_byte"], **scores}  # fmt: skip


def averaged(out: Path) -> Run:
    """out/mean: KEPT of the weights before the last stage, the rest from after it.

    What the last stage costs at first questions, the mean costs half as much, and it
    answers later ones nearly as well (Wortsman et al. 2022, arXiv:2109.01903).
    """
    before, after, mean = (Run(out / name) for name in ("finetuned", "talking", "mean"))
    (old, _), (model, tokenizer) = before.load(), after.load()
    model.params.flat[...] = KEPT * old.params.flat + (1 - KEPT) * model.params.flat
    text, config, training = after.read_config()
    found = after.described()
    more = {name: found[name] for name in ("base", "base_sha256", "finetune")}
    checkpoint.save(
        mean.checkpoint_file, checkpoint.model_tensors(model.params), model.described()
    )
    mean.describe(text, config, training, tokenizer, **more)
    return mean


def _begun(folder: Path) -> bool:
    """Whether a run is there to go on with."""
    run = Run(folder)
    return run.config_file.exists() and run.checkpoint_file.exists()


def _check_same(out: Path, asked: dict[str, Any]) -> None:
    """Whether `out` is empty or was begun with the same recipe; notes it."""
    path = out / "recipe.json"
    if not path.exists():
        files.write_text(path, json.dumps(asked))
    before = json.loads(path.read_text(encoding="utf-8"))
    if before != asked:
        raise ConfigError(
            f"wanted to go on with {before} in {out}, got {asked}; give the same, or "
            "another --out"
        )


def _costs(summary: Summary) -> dict[str, Any]:
    """What a stage took, all its sessions together, and where it ended."""
    tokens = summary.steps * PRETRAINING.batch_size * MODEL.context_length
    return {"steps": summary.steps, "seconds": summary.seconds,
            "tokens_per_s": tokens / max(summary.seconds, 1e-9),
            "val_loss": summary.val_loss}  # fmt: skip


def _told(summary: Summary) -> str:
    return (
        "{steps:,} steps in {seconds:,.0f} s, {tokens_per_s:,.0f} tokens/s, "
        "held-out loss {val_loss:.3f} nats a token"
    ).format(**_costs(summary))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
