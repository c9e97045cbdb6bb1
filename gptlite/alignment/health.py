"""Is a reward model to be trusted? What pairs that it has not seen can tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gptlite.alignment.objectives import log_sigmoid
from gptlite.errors import DataError
from gptlite.tasks.metrics import score_interval
from gptlite.text.chat import Conversation

Pair = tuple[Conversation, Conversation]  # the better one, the worse one
Rate = Callable[[Sequence[Conversation]], np.ndarray]
Truth = Callable[[Conversation], float]

BINS = 10  # of the calibration
WORST = 5  # pairs that are shown


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's, and 0 where one of them does not vary."""
    if a.std() == 0 or b.std() == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def calibration(margins: np.ndarray, right: np.ndarray) -> list[dict[str, float]]:
    """How sure the model is, and how often it is right then, from sure to surer.

    margins: (N,) |difference of two rewards|, of which σ is how probable the model
    finds its own choice; right: (N,), 1 or 0, ½ for a tie. In up to BINS classes of as
    many pairs.
    """
    sure = np.exp(log_sigmoid(margins))
    order = np.argsort(sure, kind="stable")
    classes = np.array_split(order, min(BINS, max(1, len(order) // 20)))
    return [
        {"sure": float(sure[some].mean()), "right": float(right[some].mean()),
         "n": len(some)}
        for some in classes
    ]  # fmt: skip


def health(
    rate: Rate, held_out: Sequence[Pair], truth: Truth | None = None,
    spread: float = 1.0,
) -> dict[str, Any]:  # fmt: skip
    """What a reward model is worth, on pairs that it was not trained on.

    accuracy: share of pairs in the right order, with its 95 % interval. calibration:
    see there (spread: what a unit of reward is in units of the loss, as rewards are
    often brought to another scale); calibration_error is the mean distance between how
    sure it is and how often it is right. length_correlation: of the reward with the
    answer's length; longer_preferred: how often the longer answer won in the ratings.
    truth: with a known one, the share of pairs that the model orders as it does.
    """
    if not held_out:
        raise DataError("wanted pairs to measure a reward model on, got none")
    answers = [c for pair in held_out for c in pair]
    rewards = np.asarray(rate(answers), np.float64)
    margins = rewards[::2] - rewards[1::2]
    lengths = np.array([len(c[-1].content) for c in answers], np.float64)
    # a tie is half right: who gives one number to all knows nothing
    scores = np.where(margins == 0, 0.5, margins > 0)
    accuracy = score_interval(scores.tolist())
    classes = calibration(spread * np.abs(margins), scores)
    n = sum(c["n"] for c in classes)
    worst = np.argsort(margins, kind="stable")[:WORST].tolist()
    found: dict[str, Any] = {
        "pairs": len(held_out),
        "accuracy": accuracy.mean, "interval": [accuracy.low, accuracy.high],
        "calibration": classes,
        "calibration_error": sum(abs(c["sure"] - c["right"]) * c["n"] for c in classes)
        / n,
        "length_correlation": correlation(rewards, lengths),
        "longer_preferred": float(np.mean(np.sign(lengths[::2] - lengths[1::2]) / 2
                                          + 0.5)),
        "reward_mean": float(rewards.mean()), "reward_spread": float(rewards.std()),
        "worst": [_shown(held_out[i], margins[i]) for i in worst],
    }  # fmt: skip
    if truth is not None:
        true = np.array([truth(c) for c in answers])
        differ = true[::2] != true[1::2]
        same = np.sign(true[::2] - true[1::2]) == np.sign(margins)
        agreed = np.where(margins == 0, 0.5, same)[differ]
        if agreed.size:
            share = score_interval(agreed.tolist())
            found |= {"truth": share.mean, "truth_interval": [share.low, share.high]}
    return found


def _shown(pair: Pair, margin: float) -> dict[str, Any]:
    better, worse = pair
    return {"prompt": better[-2].content, "better": better[-1].content,
            "worse": worse[-1].content, "margin": round(float(margin), 3)}  # fmt: skip
