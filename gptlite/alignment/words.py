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

LEAST = 5  # answers that a word has to occur in
STEPS = 300  # of gradient descent
STRENGTHS = (1.0, 1e-1, 1e-2, 1e-3, 1e-4)  # of the L2 penalty; the first if equal
HELD_OUT_ONE_IN = 5  # of the training pairs, to choose it


def answer(c: Conversation) -> str:
    """What is rated, if nothing else is said."""
    return c[-1].content


@dataclass(frozen=True, slots=True)
class WordScores:
    """weights: of each known word, as it adds to the log-odds of being preferred."""

    weights: dict[str, float]

    def rate(self, talks: Sequence[Conversation], text: Text = answer) -> np.ndarray:
        """(R,): the sum of the weights of the different words in each text.

        >>> from gptlite.text.chat import conversation
        >>> talk = conversation(("user", "Tea?"), ("assistant", "Thanks, thanks!"))
        >>> WordScores({"thanks": 0.5, "no": -1.0}).rate([talk]).tolist()
        [0.5]
        """
        known = self.weights
        return np.array(
            [sum(known.get(w, 0.0) for w in {*words(text(c))}) for c in talks], float
        )

    def scaled(self, factor: float) -> WordScores:
        return WordScores({word: w * factor for word, w in self.weights.items()})


def learned_words(train: Sequence[Pair], text: Text = answer) -> WordScores:
    """Logistic regression on which words the better text of a pair has and the worse
    one has not, with an L2 penalty whose strength is chosen on a part of the pairs.

    text: what of a conversation is looked at.
    """
    texts = [text(c) for pair in train for c in pair]
    occurs = Counter(word for one in texts for word in set(words(one)))
    known = {w: i for i, w in enumerate(w for w, n in occurs.items() if n >= LEAST)}
    table = occurring(texts, known)
    x = table[::2] - table[1::2]
    weights = fitted(x, strength_for(x, train))
    return WordScores(dict(zip(known, weights.tolist(), strict=True)))


def occurring(texts: Sequence[str], known: dict[str, int]) -> np.ndarray:
    """(N, V) float32: 1 where a known word is in a text. How often says less: whoever
    likes a word does not like it twice as much if it comes twice.

    >>> occurring(["No, no!", "Yes"], {"no": 0, "yes": 1}).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    table = np.zeros((len(texts), len(known)), np.float32)
    for row, text in zip(table, texts, strict=True):
        row[[known[word] for word in {*words(text)} if word in known]] = 1
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
    """Which of STRENGTHS does best on pairs that share nothing with those learned from;
    the strongest, if all share theirs.

    x: (N, V), a row for each of the pairs.
    """
    own = np.arange(len(pairs)) % HELD_OUT_ONE_IN == 0
    seen = {c for pair, out in zip(pairs, own, strict=True) if out for c in pair}
    others = np.array([not seen & {*pair} for pair in pairs])
    if not others.any():
        return STRENGTHS[0]

    def loss(strength: float) -> float:
        margins = x[own] @ fitted(x[others], strength)
        return float(pairwise(margins, np.zeros_like(margins))[0].mean())

    return min(STRENGTHS, key=loss)
