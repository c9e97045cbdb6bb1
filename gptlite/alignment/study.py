"""How many ratings are enough, and what would a ruler or a list of words reach?

Each result is a row: n (pairs learned from), accuracy and interval on pairs that were
held out, and where a truth is known truth and truth_interval, as in `health`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gptlite.alignment.health import Pair, Rate, Truth, health
from gptlite.alignment.objectives import pairwise
from gptlite.alignment.reward import pairs_of
from gptlite.alignment.train_reward import train_reward
from gptlite.config import TrainConfig
from gptlite.errors import DataError
from gptlite.tasks.metrics import words
from gptlite.text.chat import Conversation
from gptlite.training.run import open_run

Row = dict[str, Any]
Text = Callable[[Conversation], str]

LEAST = 5  # answers that a word has to occur in
STEPS = 300  # of gradient descent
STRENGTHS = (1.0, 1e-1, 1e-2, 1e-3, 1e-4)  # of the L2 penalty; the first if equal
HELD_OUT_ONE_IN = 5  # of the training pairs, to choose it


def answer(c: Conversation) -> str:
    """What is rated, if nothing else is said."""
    return c[-1].content


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
    dropout: float = 0.0,
) -> list[Row]:  # fmt: skip
    """Rows of reward models that learned from the first n pairs, for each n of numbers.

    base: the run that all begin as; they become the runs `folder`/n. config is the same
    for all: with few pairs, each is seen more often. Nothing is chosen by the held-out
    pairs, unless config.patience asks for it.
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
            base, out, some, others, config, dropout=dropout
        )
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

    Logistic regression on the difference of the two answers' counts, with an L2
    penalty whose strength is chosen on a part of the training pairs.
    """
    texts = [text(c) for pair in train for c in pair]
    occurs = Counter(word for one in texts for word in set(words(one)))
    known = {w: i for i, w in enumerate(w for w, n in occurs.items() if n >= LEAST)}
    table = counted(texts, known)
    x = table[::2] - table[1::2]
    weights = fitted(x, strength_for(x, train))
    return measured(
        len(train), lambda cs: counted([text(c) for c in cs], known) @ weights,
        held_out, truth,
    )  # fmt: skip


def counted(texts: Sequence[str], known: dict[str, int]) -> np.ndarray:
    """(N, V) float32: how often each known word is in each text.

    >>> counted(["No, no!", "Yes"], {"no": 0, "yes": 1}).tolist()
    [[2.0, 0.0], [0.0, 1.0]]
    """
    table = np.zeros((len(texts), len(known)), np.float32)
    for row, text in zip(table, texts, strict=True):
        for word, n in Counter(words(text)).items():
            if word in known:
                row[known[word]] = n
    return table


def fitted(x: np.ndarray, strength: float) -> np.ndarray:
    """(V,): the weights of words that the rows x (N, V) speak for.

        mean −log σ(x·w) + ½·strength·size·|w|² is smallest, where size = mean |x|²

    Measured in √size, the loss bends by at most ¼ + strength, which gives the step;
    Nesterov's momentum makes it fast.
    """
    size = max(float(np.mean(np.sum(x * x, axis=1))), 1e-12)
    x = x / np.float32(np.sqrt(size))
    w = before = np.zeros(x.shape[1], np.float32)
    for step in range(STEPS):
        ahead = w + np.float32(step / (step + 3)) * (w - before)
        margins = x @ ahead
        _, slope, _ = pairwise(margins, np.zeros_like(margins))
        gradient = slope @ x / len(x) + strength * ahead
        before, w = w, ahead - gradient / np.float32(0.25 + strength)
    return w / np.float32(np.sqrt(size))


def strength_for(x: np.ndarray, pairs: Sequence[Pair]) -> float:
    """Which of STRENGTHS does best on pairs that share nothing with those learned from.

    x: (N, V), a row for each of the pairs.
    """
    own = np.arange(len(pairs)) % HELD_OUT_ONE_IN == 0
    seen = {c for pair, out in zip(pairs, own, strict=True) if out for c in pair}
    others = np.array([not seen & {*pair} for pair in pairs])
    if not others.any():
        raise DataError(
            f"wanted pairs of different conversations, got {len(pairs)} that share "
            "theirs; give more conversations, or fewer pairs of them"
        )

    def loss(strength: float) -> float:
        margins = x[own] @ fitted(x[others], strength)
        return float(pairwise(margins, np.zeros_like(margins))[0].mean())

    return min(STRENGTHS, key=loss)
