"""How many ratings are enough, and what would a ruler or a list of words reach?

Each result is a row: n (pairs learned from), accuracy and interval on pairs that were
held out, and where a truth is known truth and truth_interval, as in `health`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gptlite.alignment.health import Pair, Rate, Truth, health
from gptlite.alignment.reward import pairs_of
from gptlite.alignment.train_reward import train_reward
from gptlite.alignment.words import Text, answer, learned_words
from gptlite.config import TrainConfig
from gptlite.errors import DataError
from gptlite.training.run import open_run

Row = dict[str, Any]


def measured(
    n: int, rate: Rate, held_out: Sequence[Pair], truth: Truth | None = None
) -> Row:
    """A row on a rater that has learned from n pairs."""
    found = health(rate, held_out, truth)
    kept = "accuracy", "interval", "truth", "truth_interval"
    return {"n": n} | {name: found[name] for name in kept if name in found}


def learning_curve(
    base: str, folder: str | Path, train: Sequence[Pair], held_out: Sequence[Pair],
    numbers: Sequence[int], config: TrainConfig, truth: Truth | None = None,
    dropout: float = 0.0, words: bool = False,
) -> list[Row]:  # fmt: skip
    """Rows of reward models that learned from the first n pairs, for each n of numbers.

    base: the run that all begin as; they become the runs `folder`/n. config is the same
    for all: with few pairs, each is seen more often. Nothing is chosen by the held-out
    pairs, unless config.patience asks for it. dropout, words: what is left out and
    added, as in `train_reward`.
    """
    if not numbers or not 1 <= min(numbers) <= max(numbers) <= len(train):
        raise DataError(
            f"wanted numbers of 1 … {len(train)} training pairs, got "
            f"{list(numbers)!r:.60}; choose others, or give more pairs"
        )
    model, tokenizer = open_run(base).load()
    T, rows = model.config.context_length, []
    others = pairs_of(held_out, tokenizer, T)
    for n in numbers:
        out, some = str(Path(folder) / str(n)), pairs_of(train[:n], tokenizer, T)
        learned, summary = train_reward(
            base, out, some, others, config, dropout=dropout,
            words=learned_words(train[:n]) if words else None,
        )  # fmt: skip
        if summary.interrupted:  # its row would be of fewer steps than the others'
            raise KeyboardInterrupt
        rows.append(measured(n, learned.rate, held_out, truth))
    return rows


def length_only(
    train: Sequence[Pair], held_out: Sequence[Pair], truth: Truth | None = None,
    text: Text = answer,
) -> Row:  # fmt: skip
    """The row of a ruler: the longer is better, or the shorter, as in most of `train`.

    text: what of a conversation is looked at.
    """
    longer = [np.sign(len(text(a)) - len(text(b))) for a, b in train]
    direction = 1 if sum(longer) >= 0 else -1
    return measured(
        len(train), lambda cs: np.array([direction * len(text(c)) for c in cs]),
        held_out, truth,
    )  # fmt: skip


def bag_of_words(
    train: Sequence[Pair], held_out: Sequence[Pair], truth: Truth | None = None,
    text: Text = answer,
) -> Row:  # fmt: skip
    """The row of a sum of weights of words, which knows no order and no prompt.

    Each counts as often as it occurs, and so this baseline knows the length too.
    """
    learned = learned_words(train, text, once=False)
    return measured(len(train), lambda cs: learned.rate(cs, text), held_out, truth)
