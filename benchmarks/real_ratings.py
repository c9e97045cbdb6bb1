"""What students thought of their conversations: can a reward model tell?

    gptlite data fetch dialogue
    python benchmarks/real_ratings.py RUN [--out DIR] [--picture PNG] [--json]

RUN is the run that all reward models begin as. One learns from pairs, one from the
grades of the same conversations; a ruler and a bag of words say what can be had for
less, and the model's and the words' sum whether it knows anything that they do not. A
model reads the newest tokens of a conversation only, as many as its context holds. So
rulers and words are measured on whole conversations, and on what the model sees.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gptlite import plots
from gptlite.alignment import chitchat
from gptlite.alignment.chitchat import Row
from gptlite.alignment.health import Pair, Rate
from gptlite.alignment.learn import training_of
from gptlite.alignment.report import share
from gptlite.alignment.reward import graded
from gptlite.alignment.settings import RewardConfig
from gptlite.alignment.study import (
    bag_of_words,
    learning_curve,
    length_only,
    measured,
)
from gptlite.alignment.train_reward import RewardModel, train_reward
from gptlite.alignment.words import Text, learned_words
from gptlite.config import TrainConfig
from gptlite.output import print_result
from gptlite.text.chat import Conversation, render
from gptlite.text.tokenizer import Tokenizer
from gptlite.training.run import open_run

HALVINGS = (4, 3, 2, 1, 0)  # of the training pairs, for the learning curve
PEOPLES = RewardConfig()  # labels that may be wrong


class Data(NamedTuple):
    """Pairs to learn from and to be measured on, and the rows behind both."""

    train: list[Pair]
    held_out: list[Pair]
    rows: list[Row]
    held_out_rows: list[Row]


def data(n: int, seed: int) -> Data:
    """n pairs of each kind, of conversations that the other kind does not have."""
    found = [
        chitchat.pairs(rows, n, np.random.default_rng(seed)) for rows in chitchat.load()
    ]
    rows = [list(dict.fromkeys(r for pair in some for r in pair)) for some in found]
    train, held_out = (
        [(a.conversation, b.conversation) for a, b in some] for some in found
    )
    return Data(train, held_out, *rows)


def whole(c: Conversation) -> str:
    return "\n".join(message.content for message in c)


def seen_by(tokenizer: Tokenizer, T: int) -> Text:
    """What a model with a context of T tokens reads of a conversation."""
    return lambda c: tokenizer.decode(render(c, tokenizer).ids[-T:])


def from_grades(
    base: str, out: str, found: Data, config: TrainConfig
) -> dict[str, Any]:
    """The row of a reward model that learned from grades instead of pairs."""
    model, tokenizer = open_run(base).load()
    train, held_out = (
        graded([r.conversation for r in rows], [r.grade for r in rows], tokenizer,
               model.config.context_length)
        for rows in (found.rows, found.held_out_rows)
    )  # fmt: skip
    learned, _ = train_reward(
        base, out, train, held_out, config, dropout=PEOPLES.dropout
    )
    return measured(len(found.rows), learned.rate, found.held_out)


def both(model: Rate, found: Data, text: Text) -> dict[str, Any]:
    """The row of the sum of what a model from pairs says, and what the words do."""
    words = learned_words(found.train, text)
    return measured(
        len(found.train), lambda cs: model(cs) + words.rate(cs, text), found.held_out
    )


def study(base: str, out: Path, n: int, steps: int, seed: int) -> dict[str, Any]:
    """All rows: by rater, and the learning curve."""
    found = data(n, seed)
    config = dataclasses.replace(
        training_of(dataclasses.replace(PEOPLES, reward_steps=steps), seed),
        eval_every=0,
    )
    numbers = [len(found.train) >> k for k in HALVINGS]
    curve = learning_curve(
        base, out, found.train, found.held_out, numbers, config,
        dropout=PEOPLES.dropout,
    )  # fmt: skip
    model, tokenizer = open_run(base).load()
    T = model.config.context_length
    rows = {
        "reward model, pairs": curve[-1],
        "reward model, grades": from_grades(base, str(out / "grades"), found, config),
    }
    model_alone = RewardModel.load(str(out / str(numbers[-1]))).rate
    texts = {"whole": whole, f"newest {T} tokens": seen_by(tokenizer, T)}
    for what, text in texts.items():
        for name, rater in ("length", length_only), ("bag of words", bag_of_words):
            rows[f"{name}, {what}"] = rater(found.train, found.held_out, text=text)
        rows[f"model and words, {what}"] = both(model_alone, found, text)
    return {
        "held_out_pairs": len(found.held_out),
        "conversations": len(found.rows),
        "held_out_conversations": len(found.held_out_rows),
        "rows": [{"rater": name, **row} for name, row in rows.items()],
        "curve": curve,
    }


def table(first: str, rows: Sequence[tuple[str, dict[str, Any]]]) -> None:
    print(f"\n| {first} | learned from | held-out pairs in the right order |")
    print("| --- | ---: | ---: |")
    for name, row in rows:
        print(f"| {name} | {row['n']:,} | {share(row['accuracy'], row['interval'])} |")


def draw(found: dict[str, Any], path: str) -> None:
    """The learning curve, and how far the baselines come on whole conversations."""
    points = [(row["accuracy"], *row["interval"]) for row in found["curve"]]
    ax = plots.learning_from_ratings([row["n"] for row in found["curve"]], points)
    for dash, name in ((":", "length, whole"), ("-.", "bag of words, whole")):
        [level] = [r["accuracy"] for r in found["rows"] if r["rater"] == name]
        ax.axhline(level, color=plots.ORANGE, linestyle=dash, label=name)
    ax.legend(frameon=False, loc="upper left", fontsize=14)
    plots.save(ax, path)


def show(found: dict[str, Any]) -> None:
    print(f"{found['conversations']:,} conversations to learn from; "
          f"{found['held_out_pairs']:,} pairs of {found['held_out_conversations']:,} "
          "others to be measured on. 95 % intervals know that pairs share "
          "conversations. What is learned from are pairs, or grades.")  # fmt: skip
    table("rater", [(row["rater"], row) for row in found["rows"]])
    table("learning curve", [("reward model, pairs", row) for row in found["curve"]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", metavar="RUN", help="where all reward models begin")
    parser.add_argument("--out", default="runs/real_ratings", metavar="DIR")
    parser.add_argument("--picture", default="real_ratings.png", metavar="PNG")
    parser.add_argument("--pairs", type=int, default=2000, help="of each kind, at most")
    parser.add_argument("--steps", type=int, default=100, help="of each training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found = study(args.run, Path(args.out), args.pairs, args.steps, args.seed)
    draw(found, args.picture)
    if args.json:
        print_result(found, as_json=True)
    else:
        show(found)


if __name__ == "__main__":
    main()
