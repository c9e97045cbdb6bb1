"""`gptlite finetune`, `eval` and `chat`: from a model to an assistant."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any

from gptlite.commands import Commands, add_defaults, given, positive, whole
from gptlite.config import FinetuneConfig, TrainConfig

STAGES = ("random", "pretrained")  # before the one that is evaluated

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
    from gptlite import files
    from gptlite.assistant.stages import evaluate_run, picture
    from gptlite.training.conversations import mixture

    if args.picture:
        files.check_folder(Path(args.picture))  # before any work
    found = evaluate_run(args.run_folder, mixture(args.tasks), args.n)
    if args.picture:
        picture(found, Path(args.picture))
    if args.json:
        return found
    samples = [{"task": name, **sample} for name, row in found["tasks"].items()
               for sample in row["samples"]]  # fmt: skip
    return {"run": args.run_folder, "stage": found["stage"],
            "tasks": _rows(found["tasks"], found["stage"]),
            "bits per byte of held-out text": _texts(found["bits_per_byte_stages"]),
            "samples": samples}  # fmt: skip


def _rows(tasks: dict[str, Any], last: str) -> list[dict[str, Any]]:
    """A line for each task: the stages' scores, and what else is known of the last."""

    def shown(value: float | None) -> str:
        return "" if value is None else f"{value:.3f}"

    return [
        {"task": name, "guess or copy": shown(row["baseline"]),
         **{stage: shown(row[stage]) for stage in STAGES if stage in row},
         last: shown(row["score"]), "95 %": "{:.3f} … {:.3f}".format(*row["interval"]),
         "n": row["n"], "best is": row["metric"],
         "parts": ", ".join(f"{k} {v:.3f}" for k, v in row["parts"].items())}
        for name, row in tasks.items()
    ]  # fmt: skip


def _texts(stages: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    """A line for each source of text."""
    sources = list(next(iter(stages.values())))
    return [
        {
            "source": source,
            **{name: f"{bits[source]:.3f}" for name, bits in stages.items()},
        }
        for source in sources
    ]


def command_chat(args: argparse.Namespace) -> dict[str, Any]:
    from gptlite.assistant.terminal import chat_with

    chat_with(args.run_folder, args.temperature, args.seed)
    return {}


def command_recipe(args: argparse.Namespace) -> dict[str, Any]:
    from gptlite.recipe import run_mini

    return run_mini(args.out, args.scale, args.sample)


def add(commands: Commands) -> None:
    """Enter these commands."""
    tune = commands.add("finetune", command_finetune, "teach a trained model tasks")
    tune.add_argument("base", metavar="RUN")
    tune.add_argument("--out", metavar="RUN", help="default: RUN-finetuned")
    tune.add_argument("--resume", action="store_true", help="go on with --out")
    add_defaults(tune, FinetuneConfig)
    add_defaults(tune, TrainConfig, but=("tokenizer",))  # the base has one
    tune.set_defaults(**FINETUNING)
    test = commands.add("eval", command_eval, "how good a model is at the tasks")
    test.add_argument("run_folder", metavar="RUN")
    test.add_argument("--tasks", default="", metavar="NAMES", help="default: all")
    test.add_argument(
        "-n", type=positive, default=200, help="conversations of each task"
    )
    test.add_argument("--picture", metavar="PNG", help="draw the scores there")
    chat = commands.add("chat", command_chat, "talk with a fine-tuned model")
    chat.add_argument("run_folder", metavar="RUN", nargs="?", default="mini",
                      help="default: mini, the model in the package")  # fmt: skip
    chat.add_argument("--temperature", type=float, default=0.7, metavar="X")
    chat.add_argument("--seed", type=whole, metavar="N")
    recipe = commands.add("recipe", command_recipe, "make the model in the package")
    recipe.add_argument("name", choices=["mini"])
    recipe.add_argument("--out", default="runs/mini", metavar="DIR",
                        help="folder; a recipe that is there goes on")  # fmt: skip
    recipe.add_argument("--scale", type=float, default=1.0, metavar="X",
                        help="share of the steps, such as 0.01 to try it")  # fmt: skip
    recipe.add_argument("--sample", action="store_true",
                        help="the package's texts; nothing is fetched")  # fmt: skip
