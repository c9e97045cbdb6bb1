"""`gptlite rate`: what people think of a model's answers."""

from __future__ import annotations

import argparse
import io
import sys
from typing import Any

from gptlite.commands import Commands


def command_rate(args: argparse.Namespace) -> dict[str, Any]:
    from gptlite.alignment.rate import PROMPTS, rate, read_prompts

    if isinstance(sys.stdin, io.TextIOWrapper):  # bytes that are no text: no error
        sys.stdin.reconfigure(errors="replace")
    prompts = read_prompts(args.prompts) if args.prompts else PROMPTS
    found = rate(args.run_folder, prompts, args.out, args.rater, args.n, args.seed,
                 grade=args.grade)  # fmt: skip
    return {"out": args.out, "rater": args.rater} | found._asdict()


def add(commands: Commands) -> None:
    """Enter these commands."""
    rate = commands.add("rate", command_rate, "say how good answers are")
    rate.add_argument("run_folder", metavar="RUN", nargs="?", default="mini",
                      help="default: mini, the model in the package")  # fmt: skip
    rate.add_argument("--prompts", metavar="FILE", help="one a line; default: a list")
    rate.add_argument("--out", default="ratings.jsonl", metavar="FILE",
                      help="ratings are added to it")  # fmt: skip
    rate.add_argument("--rater", default="me", metavar="NAME", help="who rates")
    rate.add_argument("--grade", action="store_true",
                      help="one answer at a time, with a grade of 1 … 10, instead of "
                      "two of which one is better")  # fmt: skip
    rate.add_argument("-n", type=int, default=20, help="at most; default: 20")
    rate.add_argument("--seed", type=int, default=0, metavar="N",
                      help="who has the same one sees the same answers")  # fmt: skip
