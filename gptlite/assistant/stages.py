"""One table for a run: every task and every source of text, stage by stage.

The stages of a fine-tuned run are random weights, the pretrained model that it came
from (by way of others, perhaps), and itself. Where the pretrained model is not at hand
(the model in the package comes without), its figures are those that were written down
when the run was made.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from gptlite import plots
from gptlite.assistant.evaluate import evaluate_task
from gptlite.batch import Batch
from gptlite.config import CorpusConfig
from gptlite.corpus.corpus import is_corpus, validation_tokens
from gptlite.corpus.gather import in_validation
from gptlite.corpus.readers import sample_documents
from gptlite.errors import CheckpointError
from gptlite.models.gpt import GPT
from gptlite.tasks.registry import load_task
from gptlite.text.tokenizer import Tokenizer
from gptlite.training.run import Run, open_run

STAGES = ("random", "pretrained", "fine-tuned")
LATER = 100  # questions that are also asked after another one
WINDOWS = 32  # that are measured at a time
RECORD = "evaluation.json"  # what was measured when a run was made


def bits_per_byte(model: GPT, tokenizer: Tokenizer, ids: np.ndarray) -> float:
    """What the model needs for the tokens ids (n,), in windows of its context.

    A window knows nothing of the one before; the very first token is not counted.
    """
    T, bits = model.config.context_length, 0.0
    starts = np.arange(0, len(ids) - 1, T)
    for i in range(0, len(starts), WINDOWS):
        at = starts[i : i + WINDOWS, None] + np.arange(T)  # (B, T)
        inside = at + 1 < len(ids)
        at = np.minimum(at, len(ids) - 2)
        batch = Batch(ids[at], ids[at + 1], inside)
        bits += model.loss(model.activations(*batch.ids.shape), batch) / math.log(2)
    return bits / len(tokenizer.decode_bytes(ids[1:]))


def held_out_text(text: str, tokenizer: Tokenizer) -> dict[str, np.ndarray]:
    """Tokens by source that no training saw: of a run's corpus `text`, if it is there.

    Else those of the package's texts that any corpus sets aside for validation.
    """
    if text and is_corpus(text):
        return validation_tokens(Path(text))
    found = {}
    for name, documents in sample_documents().items():
        texts = [d.text for d in documents if in_validation(d, CorpusConfig())]
        if texts:
            found[name] = tokenizer.encode("\n\n".join(texts))
    return found


def stages_of(run: Run) -> dict[str, GPT]:
    """The models to compare, from random weights to the run itself."""
    model, _ = run.load()
    *_, first = run.lineage()
    found = {"random": GPT(model.config)}
    if "finetune" not in first.described():
        found["pretrained"] = first.load()[0]
        if first is run:
            return found
    return found | {"fine-tuned": model}


def evaluate_run(name: str, tasks: Iterable[str], n: int) -> dict[str, Any]:
    """Scores of a run and of the stages before it, on n conversations of each task.

    tasks.NAME: score, interval, baseline, metric, n, samples; and the score and
    interval of each earlier stage. bits_per_byte.SOURCE: of the run; with the stages'.
    """
    run = open_run(name)
    models, line = stages_of(run), list(run.lineage())
    _, tokenizer = run.load()
    last, found = list(models)[-1], record(line[-1])
    rows: dict[str, dict[str, Any]] = {}
    for task in tasks:
        one = load_task(task)
        scores = {
            stage: evaluate_task(one, model, tokenizer, n, later=LATER)
            for stage, model in models.items()
        }
        rows[task] = scores[last]
        for stage in STAGES[: STAGES.index(last)]:
            known = found.get("tasks", {}).get(task, {})
            if stage in scores:
                known = {stage: scores[stage]["score"],
                         f"{stage}_interval": scores[stage]["interval"]}  # fmt: skip
            for key in (stage, f"{stage}_interval"):
                rows[task][key] = known.get(key)
    text = next(filter(None, (one.read_config()[0] for one in line)), "")
    held_out = held_out_text(text, tokenizer)
    bits = {stage: {source: bits_per_byte(model, tokenizer, ids)
                    for source, ids in held_out.items()}
            for stage, model in models.items()}  # fmt: skip
    return {"run": name, "stage": last, "tasks": rows, "bits_per_byte": bits[last],
            "bits_per_byte_stages": bits}  # fmt: skip


def record(run: Run) -> dict[str, Any]:
    """What was measured when the run was made; nothing if nothing was."""
    path = run.folder / RECORD
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read {path}: {error}; remove it") from error


def picture(found: dict[str, Any], path: Path) -> None:
    """The scores of all tasks by stage, with their intervals, as a PNG."""
    plots.save(plots.task_scores(found["tasks"], found["stage"]), path, close=True)
