"""What single words are worth: a bag of words, alone or beside a reward model.

A list of weights knows no order and no prompt, and cannot learn an answer by heart. A
model can do both. Where labels are wrong they err in different answers, and their sum
errs less than either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gptlite.alignment.health import Pair
from gptlite.alignment.objectives import pairwise
from gptlite.tasks.metrics import words
from gptlite.text.chat import Conversation

Text = Callable[[Conversation], str]

LEAST, MOST = 5, 2**13  # texts that a word has to occur in; words, the commonest
STEPS = 300  # of gradient descent
STRENGTHS = (1.0, 1e-1, 1e-2, 1e-3, 1e-4)  # of the L2 penalty; the first if equal
FOLDS = 5  # of the training pairs, to choose it


def answer(c: Conversation) -> str:
    """What is rated, if nothing else is said."""
    return c[-1].content


@dataclass(frozen=True, slots=True)
class WordScores:
    """weights: of each known word, as it adds to the log-odds of being preferred; once,
    if it occurs, or else as often as it does."""

    weights: dict[str, float]
    once: bool = True

    def rate(self, talks: Sequence[Conversation], text: Text = answer) -> np.ndarray:
        """(R,): the sum of the weights of the words in each text.

        >>> from gptlite.text.chat import conversation
        >>> talk = conversation(("user", "Tea?"), ("assistant", "Thanks, thanks!"))
        >>> WordScores({"thanks": 0.5, "no": -1.0}).rate([talk]).tolist()
        [0.5]
        """
        worth = [
            sum(n * self.weights.get(w, 0.0) for w, n in counts(text(c), self.once))
            for c in talks
        ]
        return np.array(worth, float)

    def scaled(self, factor: float) -> WordScores:
        scaled = {word: w * factor for word, w in self.weights.items()}
        return WordScores(scaled, self.once)


def counts(text: str, once: bool) -> list[tuple[str, int]]:
    """The words of a text in their order, and how often each occurs (once: 1)."""
    return [(word, 1 if once else n) for word, n in Counter(words(text)).items()]


def learned_words(
    train: Sequence[Pair], text: Text = answer, once: bool = True
) -> WordScores:
    """Logistic regression on the words that the better text of a pair has and the worse
    one has not, with an L2 penalty whose strength is chosen by cross-validation.

    text: what of a conversation is looked at. once: whether a word occurs, and not how
    often. In short answers that says more: whoever likes a word does not like it twice
    as much if it comes twice. In long texts the numbers tell the length as well.
    """
    texts = [text(c) for pair in train for c in pair]
    occurs = Counter(w for one in dict.fromkeys(texts) for w, _ in counts(one, True))
    common = (w for w, n in occurs.most_common(MOST) if n >= LEAST)
    known = {word: i for i, word in enumerate(common)}
    table = counted(texts, known, once)
    x = table[::2] - table[1::2]
    weights = fitted(x, strength_for(x, train)).tolist()
    ranked = sorted(zip(known, weights, strict=True), key=lambda pair: -pair[1])
    return WordScores(dict(ranked), once)


def counted(texts: Sequence[str], known: dict[str, int], once: bool) -> np.ndarray:
    """(N, V) float32: how often each known word is in each text (once: 1 if it is).

    >>> counted(["No, no!", "Yes"], {"no": 0, "yes": 1}, once=False).tolist()
    [[2.0, 0.0], [0.0, 1.0]]
    """
    table = np.zeros((len(texts), len(known)), np.float32)
    for row, text in zip(table, texts, strict=True):
        for word, n in counts(text, once):
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
    """Which of STRENGTHS to take, by cross-validation: the strongest that is no worse
    than the best by more than the chance in their difference (one standard error:
    Breiman et al. 1984). The strongest of all, if none is better than a coin.

    x: (N, V), a row for each of the pairs. They are judged by weights that have seen
    none of their conversations.
    """
    folds, losses = _folds(pairs), [np.zeros((0, len(STRENGTHS)))]
    for fold in range(FOLDS):
        own = folds == fold
        seen = {c for pair, out in zip(pairs, own, strict=True) if out for c in pair}
        others = np.array([not seen & {*pair} for pair in pairs])
        if own.any() and others.any():
            margins = np.stack([x[own] @ fitted(x[others], s) for s in STRENGTHS], 1)
            losses.append(pairwise(margins, np.zeros_like(margins))[0])
    each = np.concatenate(losses)  # (pairs that were judged, strengths)
    if not len(each) or each.mean(axis=0).min() >= np.log(2):
        return STRENGTHS[0]
    worse = each - each[:, [each.mean(axis=0).argmin()]]
    chance = worse.std(axis=0) / np.sqrt(len(each))
    return STRENGTHS[int((worse.mean(axis=0) <= chance).argmax())]


def _folds(pairs: Sequence[Pair]) -> np.ndarray:
    """(N,): the part of each pair. All answers to a prompt are in one, if there are
    prompts enough."""
    prompts = dict.fromkeys(better[:-1] for better, _ in pairs)
    if len(prompts) < FOLDS:
        return np.arange(len(pairs)) % FOLDS
    number = {prompt: i for i, prompt in enumerate(prompts)}
    return np.array([number[better[:-1]] % FOLDS for better, _ in pairs])
