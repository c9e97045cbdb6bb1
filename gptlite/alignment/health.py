"""Is a reward model to be trusted? What pairs that it has not seen can tell."""

from __future__ import annotations

from collections import defaultdict
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

    accuracy: share of pairs in the right order, with its 95 % interval, which is wider
    where pairs share answers. calibration:
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
    wider = widening(scores, held_out)
    accuracy, interval = _share(scores, wider)
    classes = calibration(spread * np.abs(margins), scores)
    n = sum(c["n"] for c in classes)
    worst = np.argsort(margins, kind="stable")[:WORST].tolist()
    found: dict[str, Any] = {
        "pairs": len(held_out),
        "accuracy": accuracy, "interval": interval,
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
            found["truth"], found["truth_interval"] = _share(agreed, wider)
    return found


def widening(right: np.ndarray, pairs: Sequence[Pair]) -> float:
    """How much wider an interval has to be because pairs share conversations.

    With e the distances of right (N,) from their mean, the variance of the mean is the
    sum of e_p·e_q over all p and q with a conversation in common, / N². Returned is the
    root of that over Σ e², which is 1 if none is shared, and never less: Aronow, Samii,
    Assenova, "Cluster-Robust Variance Estimation for Dyadic Data", 2015.
    """
    e = right - np.mean(right)
    own: dict[Conversation, float] = defaultdict(float)
    for pair, distance in zip(pairs, e, strict=True):
        for c in pair:
            own[c] += distance
    alone = float(e @ e)
    together = sum(x * x for x in own.values()) - alone  # each pair has two of them
    return float(np.sqrt(max(1.0, together / alone))) if alone else 1.0


def _share(scores: np.ndarray, factor: float) -> tuple[float, list[float]]:
    """Their mean, and an interval `factor` times as wide as if all were independent."""
    mean, low, high = score_interval(scores.tolist())
    middle, half = (low + high) / 2, factor * (high - low) / 2
    return mean, [max(middle - half, 0.0), min(middle + half, 1.0)]


def _shown(pair: Pair, margin: float) -> dict[str, Any]:
    better, worse = pair
    prompts = dict.fromkeys(c[-2].content for c in pair)  # graded answers have two
    return {"prompt": " / ".join(prompts), "better": better[-1].content,
            "worse": worse[-1].content, "margin": round(float(margin), 3)}  # fmt: skip
