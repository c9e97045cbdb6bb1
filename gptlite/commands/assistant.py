"""`gptlite finetune`, `eval` and `chat`: from a model to an assistant."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from typing import Any

from gptlite.commands import Commands, add_defaults, given
from gptlite.config import FinetuneConfig, TrainConfig

# what fine-tuning does otherwise than pretraining
FINETUNING = {
    "steps": 1000, "batch_size": 16, "learning_rate": 1e-3,
    "final_learning_rate": 1e-4, "warmup_steps": 50, "sample_every": 0,
}  # fmt: skip


def command_finetune(args: argparse.Namespace) -> dict[str, Any]:
    from gptlite.training.finetune import finetune
    from gptlite.training.report import write_report

    config, what = given(args, TrainConfig), given(args, FinetuneConfig)
    out = args.out or f"{args.base.rstrip('/')}-finetuned"
    result = finetune(args.base, out, config, what, args.resume)
    write_report(result.run, result.summary, result.model.n_params, f"gptlite {out}")
    if result.set_aside:
        print(f"the earlier run is now {result.set_aside}", file=sys.stderr)
    return {"out": out, "base": args.base} | dataclasses.asdict(result.summary)


def command_eval(args: argparse.Namespace) -> dict[str, Any]:
    from gptlite.assistant.evaluate import evaluate_task
    from gptlite.tasks.registry import load_task
    from gptlite.training.conversations import mixture
    from gptlite.training.run import Run

    model, tokenizer = Run(args.run_folder).load()
    found = {}
    for name in mixture(args.tasks):
        found[name] = evaluate_task(load_task(name), model, tokenizer, args.n)
    if args.json:
        return {"run": args.run_folder, "tasks": found}
    rows = [
        {"task": name, "score": f"{row['score']:.3f}",
         "95 %": "{:.3f} … {:.3f}".format(*row["interval"]),
         "baseline": f"{row['baseline']:.3f}", "n": row["n"], "best": row["metric"]}
        for name, row in found.items()
    ]  # fmt: skip
    samples = [{"task": name, **sample} for name, row in found.items()
               for sample in row["samples"]]  # fmt: skip
    return {"run": args.run_folder, "tasks": rows, "samples": samples}


def command_chat(args: argparse.Namespace) -> dict[str, Any]:
    import numpy as np

    from gptlite.assistant.chat import Chat
    from gptlite.assistant.terminal import talk
    from gptlite.models.sampling import Sampling
    from gptlite.tools import run
    from gptlite.training.run import Run

    model, tokenizer = Run(args.run_folder).load()
    sampling = Sampling(temperature=args.temperature, top_p=0.9)
    chat = Chat(model, tokenizer, run, sampling, rng=np.random.default_rng(args.seed))
    talk(chat)
    return {}


def add(commands: Commands) -> None:
    """Enter these commands."""
    tune = commands.add("finetune", command_finetune, "teach a trained model tasks")
    tune.add_argument("base", metavar="RUN")
    tune.add_argument("--out", metavar="RUN", help="default: RUN-finetuned")
    tune.add_argument("--resume", action="store_true", help="go on with --out")
    add_defaults(tune, FinetuneConfig)
    add_defaults(tune, TrainConfig)
    tune.set_defaults(**FINETUNING)
    test = commands.add("eval", command_eval, "how good a model is at the tasks")
    test.add_argument("run_folder", metavar="RUN")
    test.add_argument("--tasks", default="", metavar="NAMES", help="default: all")
    test.add_argument("-n", type=int, default=200, help="conversations of each task")
    chat = commands.add("chat", command_chat, "talk with a fine-tuned model")
    chat.add_argument("run_folder", metavar="RUN")
    chat.add_argument("--temperature", type=float, default=0.7, metavar="X")
    chat.add_argument("--seed", type=int, metavar="N")
