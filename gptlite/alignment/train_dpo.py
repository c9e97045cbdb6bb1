"""Training by DPO, as a run like any other, measured as policies of PPO are."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gptlite.alignment.align import compared
from gptlite.alignment.batches import task_of
from gptlite.alignment.dpo import DPOLoss, Pair, preferences
from gptlite.alignment.measure import Judges, measure, samples
from gptlite.alignment.reader import Reader
from gptlite.alignment.rounds import write_rounds
from gptlite.alignment.settings import DPOConfig
from gptlite.config import TrainConfig
from gptlite.models.lora import LoRA, fingerprint
from gptlite.parallel.pool import WorkerPool, available_cores
from gptlite.text.chat import Conversation
from gptlite.training.loop import Loop
from gptlite.training.run import Run, open_run
from gptlite.training.step import Trainer


def train_dpo(
    base: str, out: str, train: Sequence[Pair], held_out: Sequence[Pair],
    asked: Sequence[Conversation], judges: Judges, config: DPOConfig,
    resume: bool = False, known: Mapping[str, Any] = {},
) -> dict[str, Any]:  # fmt: skip
    """Train the run `base` on pairs, as the run `out`, and say what became of it.

    asked: prompts whose answers are measured, as those of other policies are. known:
    as in `align`.
    """
    source, run = open_run(base), Run(out)
    run.check_apart(source)
    policy, tokenizer = source.load()
    model, _ = source.load()  # the reference, which stays as it is
    if config.rank:
        dice = np.random.default_rng(config.seed)
        policy = LoRA(model, config.rank, rng=dice)
    training = TrainConfig(
        steps=config.steps, batch_size=config.rows, learning_rate=config.learning_rate,
        warmup_steps=min(10, config.steps // 5), weight_decay=0.0, eval_every=20,
        sample_every=0, checkpoint_every=20, seed=config.seed,
    )  # fmt: skip
    described: dict[str, Any] = {
        "base": str(source.folder.absolute()), "base_sha256": fingerprint(model),
        "alignment": dataclasses.asdict(config), "method": "dpo", **known,
    }  # fmt: skip
    with WorkerPool(available_cores()) as pool:
        reference = Reader(model, pool)
        learned, measured = (
            preferences(some, tokenizer, reference) for some in (train, held_out)
        )
        task = task_of(learned, measured, config.rows)
        objective = DPOLoss(config.beta).objective()
        loop = Loop(run, Trainer(policy, training, pool, objective), task, training)
        run.begin(
            resume, loop.resume, loop.save, "", model.config, training, tokenizer,
            **described,
        )  # fmt: skip
        summary = loop.train()
        asking = (tokenizer, asked, judges, config.longest)
        first = measure(model, *asking, pool)
        last = measure(policy, *asking, pool, reference)
        write_rounds(out, [
            {"steps": n, "samples": samples(of, tokenizer, asked, config.longest)}
            for n, of in ((0, model), (summary.steps, policy))
        ])  # fmt: skip
    return {"out": out} | compared(first, last) | {
        "pairs": len(train), "steps": summary.steps, "seconds": summary.seconds,
        "held_out_loss": summary.val_loss, "interrupted": summary.interrupted,
    }  # fmt: skip
