"""What a policy's answers are worth: before, after, and beside the best of n."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from gptlite.alignment.experience import Answers, sample_answers
from gptlite.alignment.reader import Reader
from gptlite.models.gpt import GPT
from gptlite.parallel.pool import WorkerPool
from gptlite.tasks.metrics import distinct_n
from gptlite.text.chat import Conversation
from gptlite.text.tokenizer import Tokenizer

Rate = Callable[[Sequence[Conversation]], np.ndarray]  # whole conversations → rewards
# answers (B, T) → rewards (B,), and rewards after each of their tokens (B, T)
Read = Callable[[Answers], tuple[np.ndarray, np.ndarray]]

MEASURED = 256  # answers
AT_A_TIME = 128  # of these
SHOWN = 5  # prompts
AROUND = 2.0  # times a distance, and by it: which looks tell what was there


class Judges(NamedTuple):
    """rate: what is learned from, such as a reward model. truth: what was meant; the
    same where nothing else is known. read: the rewards of answers as they were sampled,
    and what these were after each token, if the judge can be asked for that."""

    rate: Rate
    truth: Rate
    read: Read | None = None


def measure(
    model: GPT, tokenizer: Tokenizer, prompts: Sequence[Conversation], judges: Judges,
    longest: int, pool: WorkerPool, reference: Reader | None = None, seed: int = 1,
    n: int = MEASURED,
) -> dict[str, Any]:  # fmt: skip
    """n answers, a multiple of AT_A_TIME, sampled as the policy is.

    mean, p95: of their true reward. learned: mean of the reward that is learned from.
    length: tokens. distinct_2: share of different pairs of words. kl: distance from
    the reference, nats an answer, as estimated from the answers.
    """
    rng = np.random.default_rng(seed)
    found, kl = list[Answers](), list[np.ndarray]()
    for _ in range(n // AT_A_TIME):
        some = [prompts[i] for i in rng.integers(0, len(prompts), AT_A_TIME)]
        answers = sample_answers(model, tokenizer, some, longest, rng=rng, pool=pool)
        found.append(answers)
        if reference:
            logp, _ = reference.read(answers.ids, answers.mask)
            kl.append(((answers.logp - logp) * answers.mask).sum(axis=1))
    talks = [c for answers in found for c in answers.conversations]
    lengths = [answers.mask.sum(axis=1) for answers in found]
    return worth(talks, judges) | {
        "length": float(np.concatenate(lengths).mean()),
        "kl": float(np.concatenate(kl).mean()) if kl else 0.0,
    }


def worth(talks: Sequence[Conversation], judges: Judges) -> dict[str, float]:
    """mean, p95, learned and distinct_2 (see `measure`) of these conversations."""
    true = judges.truth(talks)
    return {
        "mean": float(true.mean()), "p95": float(np.percentile(true, 95)),
        "learned": float(judges.rate(talks).mean()),
        "distinct_2": distinct_n([c[-1].content for c in talks], 2),
    }  # fmt: skip


def samples(
    model: GPT, tokenizer: Tokenizer, prompts: Sequence[Conversation], longest: int
) -> list[dict[str, str]]:
    """Answers to the first SHOWN prompts, with the same dice each time: to see how
    they change."""
    dice = np.random.default_rng(0)
    found = sample_answers(model, tokenizer, prompts[:SHOWN], longest, rng=dice)
    return [{"prompt": c[-2].content, "answer": c[-1].content}
            for c in found.conversations]  # fmt: skip


def best_of(
    model: GPT, tokenizer: Tokenizer, prompts: Sequence[Conversation], judges: Judges,
    longest: int, n: int, pool: WorkerPool, seed: int = 1,
) -> dict[str, float]:  # fmt: skip
    """MEASURED times n answers sampled, and the one kept that is rated best.

    kl: ln n − (n − 1)/n nats (docs/alignment/ppo.md).
    """
    rng, kept = np.random.default_rng(seed), list[Conversation]()
    some = [prompts[i] for i in rng.integers(0, len(prompts), MEASURED)]
    each = max(1, AT_A_TIME // n)  # prompts
    for start in range(0, MEASURED, each):
        asked = [c for c in some[start : start + each] for _ in range(n)]
        talks = sample_answers(
            model, tokenizer, asked, longest, rng=rng, pool=pool
        ).conversations
        best = judges.rate(talks).reshape(-1, n).argmax(axis=1)
        kept += [talks[i * n + k] for i, k in enumerate(best.tolist())]
    return worth(kept, judges) | {"kl": math.log(n) - (n - 1) / n}


def truth_at(looks: Sequence[dict[str, Any]], kl: float) -> float:
    """The true reward of a policy where it was `kl` nats from the reference.

    looks: what `measure` said on the way. A parabola through those that were AROUND
    times as far, or as near, or between, since each of them has its noise; NaN where
    they are fewer than 3, or none of them was as far.

    >>> looks = [{"kl": 0.5 * k, "mean": k**2} for k in range(9)]
    >>> round(truth_at(looks, 1.75), 9), truth_at(looks, 50.0)
    (12.25, nan)
    """
    far, true = (np.array([look[name] for look in looks]) for name in ("kl", "mean"))
    near = (far >= kl / AROUND) & (far <= kl * AROUND)
    if near.sum() < 3 or far.max() < kl:
        return math.nan
    return float(np.polyval(np.polyfit(far[near], true[near], 2), kl))
