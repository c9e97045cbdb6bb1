"""The reward model: a GPT that reads a prompt with its answer and gives it a number.

It begins as the fine-tuned assistant, with a head of one number (models/head.py), which
is read at the end of the answer. It learns from pairs (which of two answers is better;
Stiennon et al. 2020, arXiv:2009.01325) or from grades.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gptlite.alignment.batches import alike
from gptlite.alignment.objectives import pairwise, squared
from gptlite.arena import Arena
from gptlite.errors import DataError
from gptlite.models.gpt import GPT
from gptlite.models.head import head_backward, head_forward
from gptlite.models.layout import rows
from gptlite.models.weights import PackedWeights
from gptlite.parallel.pool import WorkerPool, available_cores
from gptlite.text.chat import Conversation, render
from gptlite.text.tokenizer import Tokenizer
from gptlite.training.step import Objective

AT_A_TIME = 16  # conversations that a worker scores


@dataclass(frozen=True, slots=True)
class Judged:
    """Conversations as rows, padded on the right, with what was said of them.

    ids: (R, T) int64. last: (R,), where the answer's last token is. grades: (R,), or
    None: then the rows are pairs, the better one first.
    """

    ids: np.ndarray
    last: np.ndarray
    grades: np.ndarray | None = None

    @property
    def segments(self) -> None:
        """None: padding comes after all that counts, and nothing looks ahead."""

    @property
    def rows_each(self) -> int:
        return 2 if self.grades is None else 1

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each pair's longer answer, or of each graded one."""
        return self.last.reshape(-1, self.rows_each).max(axis=1) + 1

    def __len__(self) -> int:
        return len(self.ids) // self.rows_each

    @property
    def n_tokens(self) -> int:
        """What the mean of the loss is taken over: pairs, or graded answers."""
        return len(self)

    def take(self, which: np.ndarray) -> Judged:
        """These pairs, or graded answers, without columns that are padding in all."""
        n = self.rows_each
        at = (which[:, None] * n + np.arange(n)).reshape(-1)
        last = self.last[at]
        grades = None if self.grades is None else self.grades[at]
        return Judged(self.ids[at, : last.max(initial=0) + 1], last, grades)

    def part(self, rank: int, size: int) -> Judged:
        """Worker `rank`'s share: every size-th, so that all shares are alike."""
        return self.take(np.arange(rank, len(self), size))


def as_rows(
    conversations: Sequence[Conversation], tokenizer: Tokenizer, T: int
) -> tuple[np.ndarray, np.ndarray]:
    """(ids (R, ≤ T), last (R,)); of what is too long, the newest T tokens."""
    ids = [render(c, tokenizer).ids[-T:] for c in conversations]
    if not ids:
        raise DataError("wanted conversations to judge, got none")
    last = np.array([len(row) - 1 for row in ids])
    table = np.zeros((len(ids), last.max() + 1), np.int64)
    for row, found in zip(table, ids, strict=True):
        row[: len(found)] = found
    return table, last


def pairs_of(
    pairs: Sequence[tuple[Conversation, Conversation]], tokenizer: Tokenizer, T: int
) -> Judged:
    """(better, worse) conversations as a batch."""
    both = [conversation for pair in pairs for conversation in pair]
    return Judged(*as_rows(both, tokenizer, T))


def graded(
    conversations: Sequence[Conversation], grades: Sequence[float],
    tokenizer: Tokenizer, T: int,
) -> Judged:  # fmt: skip
    """Conversations with a grade each as a batch."""
    ids, last = as_rows(conversations, tokenizer, T)
    return Judged(ids, last, np.asarray(grades, np.float32))


def _last_hidden(model: GPT, a: Arena, batch: Judged, weights: PackedWeights | None
                 ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Run the model; what it thinks at the end of each answer (R, C), and where."""
    model.hidden(a, batch.ids, weights=weights)
    at = np.arange(len(batch.ids)) * batch.ids.shape[1] + batch.last
    return rows(a.final_norm)[at], at


def _losses(scores: np.ndarray, batch: Judged) -> tuple[np.ndarray, np.ndarray]:
    """(losses (n,), d scores (R,)) of scores (R,)."""
    if batch.grades is not None:
        return squared(scores, batch.grades)
    losses, better, worse = pairwise(scores[::2], scores[1::2])
    return losses, np.stack([better, worse], axis=1).reshape(-1)


def judge(
    model: GPT, g: Arena, a: Arena, batch: Judged, weights: PackedWeights | None = None
) -> tuple[float, float]:
    """Sums over the batch of the loss and of pairs in the right order; adds into g."""
    last, at = _last_hidden(model, a, batch, weights)
    scores = head_forward(model.params, last)
    losses, dscores = _losses(scores, batch)
    dlast = np.zeros_like(last)
    head_backward(dlast, g, dscores.astype(last.dtype), last, model.params)
    a.dnorm.fill(0)
    rows(a.dnorm)[at] = dlast
    model.backward(g, a, batch, weights)
    right = float((scores[::2] > scores[1::2]).sum()) if batch.grades is None else 0.0
    return float(losses.sum()), right


def judge_loss(
    model: GPT, a: Arena, batch: Judged, weights: PackedWeights | None = None
) -> float:
    """The loss's sum alone."""
    last, _ = _last_hidden(model, a, batch, weights)
    return float(_losses(head_forward(model.params, last), batch)[0].sum())


REWARD = Objective(("loss", "right"), judge, judge_loss)


def scores_of(
    model: GPT, tokenizer: Tokenizer, conversations: Sequence[Conversation]
) -> np.ndarray:
    """(R,) float64: the rewards of whole conversations, on all cores."""
    lengths = [sum(len(m.content) for m in c) for c in conversations]
    found, T = np.zeros(len(lengths)), model.config.context_length

    def work(rank: int, some: np.ndarray) -> None:
        ids, last = as_rows([conversations[i] for i in some], tokenizer, T)
        a = model.activations(len(ids), ids.shape[1], for_backward=False)
        hidden, _ = _last_hidden(model, a, Judged(ids, last), None)
        found[some] = head_forward(model.params, hidden)

    with WorkerPool(available_cores()) as pool:
        pool.map(work, alike(lengths, AT_A_TIME))
    return found


def centred(model: GPT, scores: np.ndarray) -> float:
    """Shift and scale the head so that rewards with these scores (R,) have mean 0 and
    spread 1, which what follows takes for granted; returns the spread before.

    Pairs say nothing of the mean. The spread they do tell: it is how sure the model is,
    and whoever asks for probabilities has to multiply by it."""
    spread = max(float(scores.std()), 1e-6)
    model.params["head"][...] /= spread
    model.params["head_bias"][...] -= scores.mean()
    model.params["head_bias"][...] /= spread
    return spread
