"""`gptlite reward | ppo | grpo | dpo`: from ratings to a policy that is preferred."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from gptlite.alignment.settings import (
    IN_TIME,
    Alignment,
    DPOConfig,
    PPOConfig,
    RewardConfig,
)
from gptlite.commands import Commands, add_defaults, given, whole
from gptlite.errors import ConfigError


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _ratings(args: argparse.Namespace, out: str) -> Any:
    """The ratings that the flags name, for the reward model `out`. Flags that cannot
    work are errors before any work."""
    from gptlite.alignment.examples import rated_by_people
    from gptlite.alignment.learn import rated_by_program, truth_of
    from gptlite.training.run import Run, open_run

    config = given(args, RewardConfig)
    Run(out).check_apart(open_run(args.base))
    if args.rater or not args.ratings:
        truth_of(args.rater)
    if not args.ratings:
        _say(f"answers in pairs, compared by the rater {args.rater} …")
        return rated_by_program(args.base, config, args.seed)
    ratings, left_out = rated_by_people(args.ratings)
    for sentence in left_out:
        _say(f"left out: {sentence}")
    return ratings


def _learning(args: argparse.Namespace) -> RewardConfig:
    """How a reward model learns: people's ratings have no programmed rater, even if it
    is known what they meant."""
    config: RewardConfig = given(args, RewardConfig)
    return replace(config, rater="") if args.ratings else config


def _learned(
    args: argparse.Namespace, out: str, ratings: Any
) -> tuple[Any, dict[str, Any]]:
    """A reward model as the run `out`, and its health."""
    from gptlite.alignment.learn import learn_reward

    _say(f"a reward model from {len(ratings.learned):,} ratings …")
    config = _learning(args)
    reward, found = learn_reward(args.base, out, ratings, config, args.seed, args.rater)
    if found["interrupted"]:
        _say(f"stopped at step {found['steps']} of {config.reward_steps}: {out} is no "
             "reward model yet; begin again")  # fmt: skip
    return reward, found


def command_reward(args: argparse.Namespace) -> dict[str, Any]:
    from gptlite.alignment.examples import as_pairs
    from gptlite.alignment.learn import curve_of
    from gptlite.alignment.report import write_report

    out, curve = args.out or "runs/reward", list[dict[str, Any]]()
    ratings = _ratings(args, out)
    if args.curve:
        as_pairs(ratings.learned)  # grades have no curve: an error before any work
    _, found = _learned(args, out, ratings)
    report = args.report or str(Path(out) / "report.html")
    write_report(report, f"gptlite reward {args.base}", found)
    if args.curve and not found["interrupted"]:
        _say("the same from fewer ratings …")
        curve = curve_of(args.base, out, _learning(args), args.seed, args.rater)
        write_report(report, f"gptlite reward {args.base}", found, curve)
    return found | {"curve": curve, "report": report}


def _reported(out: str, title: str, found: dict[str, Any]) -> str:
    """The path of a policy's report."""
    from gptlite.alignment.report import write_policy_report
    from gptlite.alignment.rounds import read_rounds

    return str(write_policy_report(out, title, found, read_rounds(out)))


def _align(args: argparse.Namespace, method: str) -> dict[str, Any]:
    from gptlite.alignment.align import align
    from gptlite.alignment.grpo import GRPO
    from gptlite.alignment.learn import judged_by, judges_of, prompts_for, renewal
    from gptlite.alignment.ppo import PPO
    from gptlite.alignment.train_reward import RewardModel
    from gptlite.training.run import Run, open_run

    out, start = args.out or f"runs/{method}", time.perf_counter()
    if args.reward and args.ratings:
        raise ConfigError(
            "wanted a reward model or ratings to make one of, got both; leave out "
            "--reward or --ratings"
        )
    given(args, PPOConfig), given(args, Alignment)  # wrong numbers: before any work
    accuracy: dict[str, Any] = {}
    name = args.reward or f"{out}-reward"
    for other in (args.base, name):
        Run(out).check_apart(open_run(other))
    if args.reward or args.resume:
        reward = RewardModel.load(name)
    else:
        reward, health = _learned(args, name, _ratings(args, name))
        if health["interrupted"]:
            return health
        accuracy = {"reward_accuracy": health["accuracy"],
                    "reward_seconds": health["seconds"]}  # fmt: skip
    model, tokenizer = open_run(args.base).load()
    reward.check_tokenizer(tokenizer)
    prompts = prompts_for(model, tokenizer, args.seed)
    what, config, renew = given(args, Alignment), given(args, RewardConfig), None
    if what.again and args.rater:
        renew = renewal(name, f"{out}-reward-again", config, what.again, args.seed)
    found = align(
        args.base, out, prompts.learned, prompts.asked,
        judges_of(reward, args.rater), given(args, PPOConfig), what,
        {"ppo": PPO, "grpo": GRPO}[method], args.resume,
        renew, _say, judged_by(name, reward, args.rater),
    )  # fmt: skip
    if found["interrupted"]:
        _say(f"stopped after {found['rounds']} rounds; go on with --resume")
    found |= accuracy | {
        "training_seconds": found["seconds"], "seconds": time.perf_counter() - start,
    }  # fmt: skip
    return found | {"report": _reported(out, f"gptlite {method} {args.base}", found)}


def command_ppo(args: argparse.Namespace) -> dict[str, Any]:
    return _align(args, "ppo")


def command_grpo(args: argparse.Namespace) -> dict[str, Any]:
    return _align(args, "grpo")


def command_dpo(args: argparse.Namespace) -> dict[str, Any]:
    from gptlite.alignment.examples import as_pairs, read_ratings
    from gptlite.alignment.learn import judged_by, judges_of, prompts_for
    from gptlite.alignment.train_dpo import train_dpo
    from gptlite.alignment.train_reward import RewardModel
    from gptlite.training.run import Run, open_run

    out, config = args.out or "runs/dpo", given(args, DPOConfig)
    for other in (args.base, args.reward):
        Run(out).check_apart(open_run(other))
    reward = RewardModel.load(args.reward)
    train, held_out = (as_pairs(some) for some in read_ratings(args.reward))
    found = train_dpo(
        args.base, out, train, held_out,
        prompts_for(reward.model, reward.tokenizer, args.seed).asked,
        judges_of(reward, args.rater), config, args.resume,
        judged_by(args.reward, reward, args.rater),
    )  # fmt: skip
    if found["interrupted"]:
        _say(f"stopped at step {found['steps']}; go on with --resume")
    return found | {"report": _reported(out, f"gptlite dpo {args.base}", found)}


def _rated(parser: argparse.ArgumentParser) -> None:
    """Where ratings come from."""
    parser.add_argument("--ratings", nargs="+", default=[], metavar="FILE",
                        help="people's choices or grades (`gptlite rate`); a --rater "
                        "beside it is what they meant, where known")  # fmt: skip
    add_defaults(parser, RewardConfig)


def add(commands: Commands) -> None:
    """Enter these commands."""
    texts = {
        "reward": (command_reward, "learn from ratings what is preferred"),
        "ppo": (command_ppo, "train a policy on a learned reward"),
        "grpo": (command_grpo, "the same, with groups of answers and no values"),
        "dpo": (command_dpo, "train a policy on pairs alone"),
    }
    parsers = {name: commands.add(name, *what) for name, what in texts.items()}
    for name, parser in parsers.items():
        parser.add_argument("base", metavar="RUN")
        parser.add_argument("--out", metavar="RUN", help=f"default: runs/{name}")
    _rated(parsers["reward"])
    judge = parsers["reward"]
    judge.add_argument("--seed", type=whole, default=0, metavar="N")
    judge.add_argument("--report", metavar="HTML", help="default: report.html in --out")
    judge.add_argument("--curve", action="store_true",
                       help="also learn from fewer of the ratings")  # fmt: skip
    for name in ("ppo", "grpo"):
        parsers[name].add_argument("--resume", action="store_true",
                                   help="go on with --out")  # fmt: skip
        parsers[name].add_argument("--reward", metavar="RUN",
                                   help="a reward model that is there")  # fmt: skip
        _rated(parsers[name])
        parsers[name].set_defaults(reward_steps=IN_TIME)
        add_defaults(parsers[name], PPOConfig)
        add_defaults(parsers[name], Alignment)
    parser = parsers["dpo"]
    parser.add_argument(
        "--reward", metavar="RUN", required=True,
        help="whose ratings are learned from, and that measures",
    )  # fmt: skip
    parser.add_argument("--rater", default="", metavar="NAME", help="what was meant")
    parser.add_argument("--resume", action="store_true", help="go on with --out")
    add_defaults(parser, DPOConfig)
