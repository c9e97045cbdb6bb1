"""`gptlite reward | ppo | grpo`: from ratings to a policy that is preferred."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gptlite.commands import Commands, add_defaults, given, whole

PROMPTS = 400  # different ones that answers are given to
HELD_OUT = 500  # ratings that a reward model is measured on


def _prompts(args: argparse.Namespace, tokenizer: Any) -> Any:
    from gptlite.alignment.collect import chat_prompts

    return chat_prompts(PROMPTS, tokenizer, args.seed)


def _ratings(args: argparse.Namespace, model: Any, tokenizer: Any) -> list[Any]:
    """From files, or by a programmed rater; the last HELD_OUT without noise."""
    import numpy as np

    from gptlite.alignment.collect import collect
    from gptlite.alignment.raters import ProgrammedRater
    from gptlite.alignment.ratings import merge

    if args.ratings:
        found = merge(args.ratings)
        for said in found.left_out:
            print(said, file=sys.stderr)
        return list(found.ratings)
    prompts = _prompts(args, tokenizer)
    parts = []
    for n, noise, seed in ((args.pairs, args.noise, 0), (HELD_OUT, 0.0, 1)):
        rater = ProgrammedRater(args.rater, noise, np.random.default_rng(args.seed))
        parts += collect(model, tokenizer, prompts, n, rater, seed=args.seed + seed)
    return parts


def _rewarded(args: argparse.Namespace, out: str) -> tuple[Any, dict[str, Any]]:
    """A reward model trained on ratings, and its health."""
    from gptlite.alignment.health import health
    from gptlite.alignment.raters import TRUTHS
    from gptlite.alignment.ratings import pairs
    from gptlite.alignment.reward import pairs_of
    from gptlite.alignment.train_reward import train_reward
    from gptlite.config import TrainConfig
    from gptlite.text.chat import conversation
    from gptlite.training.run import open_run

    start = time.perf_counter()
    model, tokenizer = open_run(args.run_folder).load()
    both = []
    for prompt, *texts in pairs(_ratings(args, model, tokenizer)):
        better, worse = (
            conversation(("user", prompt), ("assistant", text)) for text in texts
        )
        both.append((better, worse))
    cut = max(1, len(both) - min(HELD_OUT, len(both) // 5))
    train, held_out = both[:cut], both[cut:]
    T = model.config.context_length
    config = TrainConfig(
        steps=args.steps, batch_size=32, learning_rate=args.learning_rate,
        warmup_steps=20, eval_every=50, sample_every=0, checkpoint_every=0,
        patience=4, seed=args.seed,
    )  # fmt: skip
    found, summary = train_reward(
        args.run_folder, out, pairs_of(train, tokenizer, T),
        pairs_of(held_out, tokenizer, T), config, [c for pair in train for c in pair],
    )  # fmt: skip
    truth = None
    if not args.ratings and args.rater in TRUTHS:
        truth = lambda c: TRUTHS[args.rater](c[-1].content)  # noqa: E731
    report = health(found.rate, held_out, truth, found.spread)
    seconds = round(time.perf_counter() - start, 1)
    return found, {"out": out, "ratings": len(train), "steps": summary.steps,
                   "seconds": seconds, **report}  # fmt: skip


def command_reward(args: argparse.Namespace) -> dict[str, Any]:
    found, report = _rewarded(args, args.out or "runs/reward")
    del found
    if args.report:
        Path(args.report).write_text(json.dumps(report, indent=1), encoding="utf-8")
    return report


def _aligned(method: str) -> Callable[[argparse.Namespace], dict[str, Any]]:
    def command(args: argparse.Namespace) -> dict[str, Any]:
        import numpy as np

        from gptlite.alignment.align import align
        from gptlite.alignment.grpo import GRPO
        from gptlite.alignment.ppo import PPO
        from gptlite.alignment.raters import TRUTHS
        from gptlite.alignment.settings import Alignment, PPOConfig
        from gptlite.alignment.train_reward import RewardModel
        from gptlite.training.run import open_run

        _, tokenizer = open_run(args.run_folder).load()
        out = args.out or f"runs/{method}"
        if args.reward:
            reward, health = RewardModel.load(args.reward), dict[str, Any]()
            reward.check_tokenizer(tokenizer)
        else:
            reward, health = _rewarded(args, f"{out}-reward")

        def truth(conversations: Sequence[Any]) -> Any:
            if args.rater not in TRUTHS:
                return reward.rate(conversations)
            judge = TRUTHS[args.rater]
            return np.array([judge(c[-1].content) for c in conversations])

        found = align(
            args.run_folder, out, _prompts(args, tokenizer), reward.rate, truth,
            given(args, PPOConfig), given(args, Alignment),
            {"ppo": PPO, "grpo": GRPO}[method],
            lambda text: print(text, file=sys.stderr, flush=True),
        )  # fmt: skip
        accuracy = {"reward_accuracy": health["accuracy"]} if health else {}
        return found | accuracy

    return command


def _flags(parser: argparse.ArgumentParser) -> None:
    """What all of these commands need to know of ratings."""
    parser.add_argument("run_folder", metavar="RUN", nargs="?", default="mini")
    parser.add_argument("--out", metavar="RUN")
    parser.add_argument("--rater", default="politeness", metavar="NAME",
                        help="a programmed rater: politeness, sentiment, brevity, "
                        "vocabulary")  # fmt: skip
    parser.add_argument("--ratings", nargs="*", default=[], metavar="FILE",
                        help="people's ratings instead (`gptlite rate`)")  # fmt: skip
    parser.add_argument("--pairs", type=whole, default=2000, metavar="N",
                        help="ratings of the programmed rater")  # fmt: skip
    parser.add_argument("--noise", type=float, default=0.0, metavar="X",
                        help="share of them that name the wrong one")  # fmt: skip
    parser.add_argument("--steps", type=whole, default=300, metavar="N",
                        help="of the reward model")  # fmt: skip


def add(commands: Commands) -> None:
    """Enter these commands."""
    from gptlite.alignment.settings import Alignment, PPOConfig

    reward = commands.add("reward", command_reward, "a reward model from ratings")
    _flags(reward)
    reward.add_argument("--learning-rate", type=float, default=3e-4, metavar="X")
    reward.add_argument("--seed", type=whole, default=0, metavar="N")
    reward.add_argument("--report", metavar="FILE", help="its health as JSON")
    for name in ("ppo", "grpo"):
        parser = commands.add(
            name, _aligned(name), f"train a policy on rewards: {name}"
        )
        _flags(parser)
        parser.add_argument(
            "--reward", metavar="RUN", help="a reward model that is there"
        )
        add_defaults(parser, PPOConfig)
        add_defaults(parser, Alignment)
