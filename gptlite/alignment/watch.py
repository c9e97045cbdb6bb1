"""What goes wrong in reinforcement learning, by name: the cause, and what to turn.

Each rule looks at the rounds so far. An alarm does not stop the training; numbers that
are no numbers do, and the caller goes back to the last good checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

Round = dict[str, Any]  # what PPO.update returns

FAR = 25.0  # nats an answer: beyond, the reward model has seen nothing like it
LEAST_VARIED = 0.5  # of the first rounds' share of different pairs of words
BEYOND = 6.0  # spreads of the rewards at the start
ENOUGH = 5  # rounds that are compared


class Alarm(NamedTuple):
    """name, what is likely the cause, and the parameter to turn."""

    name: str
    cause: str
    turn: str


def _mean(rounds: Sequence[Round], name: str) -> float:
    return sum(r[name] for r in rounds) / len(rounds)


def _diversity(rounds: Sequence[Round]) -> bool:
    return _mean(rounds[-ENOUGH:], "distinct_2") < LEAST_VARIED * _mean(
        rounds[:ENOUGH], "distinct_2"
    )


def _explosion(rounds: Sequence[Round]) -> bool:
    return _mean(rounds[-ENOUGH:], "kl") > FAR


def _negative(rounds: Sequence[Round]) -> bool:
    return _mean(rounds[-ENOUGH:], "kl") < -1.0


def _collapse(rounds: Sequence[Round]) -> bool:
    """Of what an answer's worth varies, the values explain less than nothing."""
    return _mean(rounds[-ENOUGH:], "explained") < -0.5


def _range(rounds: Sequence[Round]) -> bool:
    first = rounds[:ENOUGH]
    spread = max(_mean(first, "reward_spread"), 1e-6)
    return abs(rounds[-1]["reward"] - _mean(first, "reward")) > BEYOND * spread


def _silence(rounds: Sequence[Round]) -> bool:
    return _mean(rounds[-ENOUGH:], "length") < 2.0


RULES: tuple[tuple[Callable[[Sequence[Round]], bool], Alarm], ...] = (
    (_diversity, Alarm(
        "diversity is lost: answers become alike",
        "one way of answering pays so well that nothing holds the others",
        "raise kl_weight or entropy_weight, or stop earlier")),
    (_explosion, Alarm(
        f"the policy is more than {FAR:g} nats an answer from the reference",
        "the reward is worth more than the distance costs",
        "lower kl_target, or raise kl_weight; lower learning_rate")),
    (_negative, Alarm(
        "the distance to the reference is negative",
        "answers are not drawn from the policy as it is (temperature, top-p), or are "
        "cut off by their length",
        "sample at temperature 1; raise longest")),
    (_collapse, Alarm(
        "the values explain nothing of what answers are worth",
        "the value head learns too slowly, or rewards changed under it",
        "raise value_weight, or learning_rate for some rounds")),
    (_range, Alarm(
        f"rewards are {BEYOND:g} spreads away from where they began",
        "the policy has found answers that the reward model has never seen",
        "read samples; raise kl_weight; rate such answers and train it again")),
    (_silence, Alarm(
        "answers of less than two tokens",
        "saying nothing is what pays most",
        "lower unfinished; look at what the rater prefers")),
)  # fmt: skip


def alarms(rounds: Sequence[Round]) -> list[Alarm]:
    """What is wrong now; nothing in the first rounds, which are the measure.

    >>> row = {"distinct_2": 0.9, "kl": 1.0, "explained": 0.1, "reward": 0.0,
    ...        "reward_spread": 1.0, "length": 9.0}
    >>> alarms([row] * 9)
    []
    >>> [w.name for w in alarms([row] * 9 + [{**row, "distinct_2": 0.1}] * 5)]
    ['diversity is lost: answers become alike']
    """
    if len(rounds) < 2 * ENOUGH:
        return []
    return [alarm for is_wrong, alarm in RULES if is_wrong(rounds)]


def damaged(row: Round) -> list[str]:
    """Names of the numbers that are none."""
    return [k for k, v in row.items() if isinstance(v, float) and not math.isfinite(v)]
