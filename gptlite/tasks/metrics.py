"""How good an answer is: ROUGE-L, chrF, distinct n-grams, and how sure a mean is.

Scores are 0 … 1; the literature often gives them times 100.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from gptlite.errors import DataError

NORMAL_95 = 1.96  # 95 % of a normal distribution lie within so many deviations
RESAMPLES = 1000


def normalised(text: str) -> str:
    """Without what does not make an answer wrong: case, spaces, the final stop.

    >>> normalised("  A  Bird. ")
    'a bird'
    """
    return " ".join(text.lower().split()).removesuffix(".").rstrip()


def words(text: str) -> list[str]:
    """Words in small letters; whatever is neither letter nor digit stands between.

    >>> words("L'État, c'est moi!")
    ['l', 'état', 'c', 'est', 'moi']
    """
    return re.findall(r"[^\W_]+", text.lower())


def common_subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest sequence found in both, in order, with gaps allowed.

    >>> common_subsequence("the cat sat".split(), "the big cat".split())
    2
    """
    row = [0] * (len(b) + 1)
    for x in a:
        before = 0  # row[j - 1] as it was without x
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], before + 1 if x == y else max(row[j], row[j - 1])
    return row[-1]


def rouge_l(answer: str, right: str) -> float:
    """ROUGE-L, 0 … 1: F1 of the words in common, in order.

    The share of the answer's words and of the right ones that their longest common
    subsequence covers, and the harmonic mean of the two. Lin, "ROUGE: A Package for
    Automatic Evaluation of Summaries", 2004, with β = 1 and without stemming.

    >>> rouge_l("police kill the gunman", "police killed the gunman")
    0.75
    """
    ours, theirs = words(answer), words(right)
    total = len(ours) + len(theirs)
    return 2 * common_subsequence(ours, theirs) / total if total else 1.0


def chrf(answer: str, right: str, longest: int = 6, beta: float = 2.0) -> float:
    """chrF, 0 … 1: F-score of the character n-grams in common, n = 1 … longest.

    Precision and recall are averaged over those n of which both texts have n-grams;
    recall counts β times as much. Spaces do not count, case does. Popović, "chrF:
    character n-gram F-score for automatic MT evaluation", 2015; of one sentence, as
    sacreBLEU 2 defines it.

    >>> round(chrf("le chat", "le chien"), 4)
    0.2976
    """
    ours, theirs = "".join(answer.split()), "".join(right.split())
    precision = recall = 0.0
    for n in range(1, min(longest, len(ours), len(theirs)) + 1):
        a, b = Counter(_grams(ours, n)), Counter(_grams(theirs, n))
        common = (a & b).total()
        precision += common / a.total()
        recall += common / b.total()
    if precision + recall == 0:
        return float(ours == theirs)
    f = (1 + beta**2) * precision * recall / (beta**2 * precision + recall)
    return f / min(longest, len(ours), len(theirs))


def _grams(text: str, n: int) -> Iterator[str]:
    return (text[i : i + n] for i in range(len(text) - n + 1))


def distinct_n(texts: Sequence[str], n: int) -> float:
    """Different n-grams of words as a share of all in `texts`; 0 if there are none.

    One who always says the same comes near 0. Li et al., "A Diversity-Promoting
    Objective Function for Neural Conversation Models", 2016.

    >>> distinct_n(["yes I do", "yes I am"], 2)
    0.75
    """
    said = [words(text) for text in texts]
    grams = [tuple(w[i : i + n]) for w in said for i in range(len(w) - n + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0


class Interval(NamedTuple):
    """A mean, and between which values it lies with 95 % confidence."""

    mean: float
    low: float
    high: float


def score_interval(scores: Sequence[float]) -> Interval:
    """The mean of scores, each 0 … 1, with its interval.

    The normal approximation, after two scores of 0 and two of 1 are added to the n that
    were seen: without these, a task never solved would seem to be surely at 0 after the
    first try. Agresti and Coull, "Approximate is better than 'exact' …", 1998.

    >>> round(score_interval([0.0] * 96).high, 3)
    0.047
    """
    values = np.asarray(scores, np.float64)
    if not values.size or not ((values >= 0) & (values <= 1)).all():
        raise DataError(f"wanted scores of 0 … 1, got {list(scores)!r:.60}")
    more = np.concatenate([values, [0, 0, 1, 1]])
    half = NORMAL_95 * more.std() / np.sqrt(more.size)
    low, high = max(more.mean() - half, 0.0), min(more.mean() + half, 1.0)
    return Interval(float(values.mean()), float(low), float(high))


def ratio_interval(tops: Sequence[float], bottoms: Sequence[float]) -> Interval:
    """Σ tops / Σ bottoms with its interval, such as bits per byte of several texts.

    By the bootstrap: of RESAMPLES draws of as many texts with repetition, always the
    same draws, 95 % lie between. Efron, "Bootstrap methods", 1979.

    >>> ratio_interval([2.0, 4.0], [1.0, 2.0])
    Interval(mean=2.0, low=2.0, high=2.0)
    """
    a, b = np.asarray(tops, np.float64), np.asarray(bottoms, np.float64)
    if a.shape != b.shape or a.ndim != 1 or not (b > 0).all() or not a.size:
        raise DataError(
            f"wanted as many numbers as positive numbers to divide by, got {a.size} "
            f"and {int((b > 0).sum())}"
        )
    again = np.random.default_rng(0).integers(a.size, size=(RESAMPLES, a.size))
    ratios = a[again].sum(axis=1) / b[again].sum(axis=1)
    low, high = np.percentile(ratios, [2.5, 97.5])
    return Interval(float(a.sum() / b.sum()), float(low), float(high))
