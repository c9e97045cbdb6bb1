"""The reward model: a GPT that reads a prompt with its answer and gives it a number.

It begins as the fine-tuned assistant, with a head of one number (models/head.py), which
is read at the end of the answer. It learns from pairs (which of two answers is better;
Stiennon et al. 2020, arXiv:2009.01325) or from grades.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

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
GROUP = 8  # answers to a prompt that are compared with each other


@dataclass(frozen=True, slots=True)
class Judged:
    """Conversations as rows, padded on the right, with what was said of them.

    Rows are in groups, such as answers to one prompt: a step takes whole ones, so that
    an answer is read once, however many others it was compared with (Ouyang et al.
    2022). ids: (R, T) int64. last: (R,), where the answer's last token is. starts:
    (G + 1,), which row is each group's first, and R. orders: for each group (P, 2),
    which of its rows is better than which. grades: (R,), or None; with them, groups
    are of one row and have no orders.
    """

    ids: np.ndarray
    last: np.ndarray
    starts: np.ndarray
    orders: tuple[np.ndarray, ...] = ()
    grades: np.ndarray | None = None

    @property
    def segments(self) -> None:
        """None: padding comes after all that counts, and nothing looks ahead."""

    @property
    def rows_each(self) -> int:
        """Rows of a group, on average."""
        return -(-len(self.ids) // max(1, len(self)))

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each group's longest row."""
        return np.maximum.reduceat(self.last, self.starts[:-1]) + 1

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def n_tokens(self) -> int:
        """What the mean of the loss is taken over: pairs, or graded answers."""
        return len(self.pairs) if self.grades is None else len(self.ids)

    @property
    def pairs(self) -> np.ndarray:
        """(P, 2): which row is better than which."""
        found = [at + two for at, two in zip(self.starts, self.orders, strict=False)]
        return np.concatenate([np.empty((0, 2), np.int64), *found])

    def take(self, which: np.ndarray) -> Judged:
        """These groups, without columns that are padding in all."""
        sizes = np.diff(self.starts)[which]
        starts = np.append(0, np.cumsum(sizes))
        at = np.arange(starts[-1]) + np.repeat(self.starts[which] - starts[:-1], sizes)
        last = self.last[at]
        orders = tuple(self.orders[i] for i in which) if self.orders else ()
        grades = None if self.grades is None else self.grades[at]
        ids = self.ids[at, : last.max(initial=0) + 1]
        return Judged(ids, last, starts, orders, grades)

    def thinned(
        self, share: float, kept: Sequence[int], rng: np.random.Generator
    ) -> Judged:
        """The same rows without about this share of their tokens, those in `kept`
        excepted (word dropout: Iyyer et al. 2015, doi:10.3115/v1/P15-1162).

        A row is another one each time that it is read, and so hard to learn by heart;
        what many answers with a word have in common is left.
        """
        stays = (rng.random(self.ids.shape) >= share) | np.isin(self.ids, kept)
        stays &= np.arange(self.ids.shape[1]) <= self.last[:, None]
        stays[np.arange(len(stays)), self.last] = True  # where it is read
        order = np.argsort(~stays, axis=1, kind="stable")  # those that stay come first
        last = stays.sum(axis=1) - 1
        ids = np.take_along_axis(self.ids, order, axis=1)[:, : last.max() + 1]
        return replace(self, ids=ids, last=last)

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
    """(better, worse) conversations as a batch; its groups are answers to one prompt,
    at most GROUP of them."""
    groups = list[tuple[dict[Conversation, int], list[list[int]]]]()
    of_prompts: dict[tuple[Conversation, Conversation], int] = {}
    for two in pairs:
        prompts = two[0][:-1], two[1][:-1]
        i = of_prompts.get(prompts, -1)
        if i < 0 or len({*groups[i][0], *two}) > GROUP:
            i = of_prompts[prompts] = len(groups)
            groups.append(({}, []))
        talks, order = groups[i]
        order.append([talks.setdefault(talk, len(talks)) for talk in two])
    rows = [talk for talks, _ in groups for talk in talks]
    starts = np.append(0, np.cumsum([len(talks) for talks, _ in groups], dtype=int))
    orders = tuple(np.array(order) for _, order in groups)
    return Judged(*as_rows(rows, tokenizer, T), starts, orders)


def graded(
    conversations: Sequence[Conversation], grades: Sequence[float],
    tokenizer: Tokenizer, T: int,
) -> Judged:  # fmt: skip
    """Conversations with a grade each as a batch."""
    ids, last = as_rows(conversations, tokenizer, T)
    starts = np.arange(len(ids) + 1)
    return Judged(ids, last, starts, grades=np.asarray(grades, np.float32))


def _last_hidden(
    model: GPT, a: Arena, ids: np.ndarray, last: np.ndarray,
    weights: PackedWeights | None = None,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Run the model; what it thinks at the end of each answer (R, C), and where."""
    at = np.arange(len(ids)) * ids.shape[1] + last
    return model.hidden(a, ids, weights=weights, where=at), at


def _losses(scores: np.ndarray, batch: Judged) -> tuple[np.ndarray, np.ndarray]:
    """(losses (n,), d scores (R,)) of scores (R,)."""
    if batch.grades is not None:
        return squared(scores, batch.grades)
    better, worse = batch.pairs.T
    losses, *slopes = pairwise(scores[better], scores[worse])
    dscores = np.zeros_like(scores, np.float64)
    for pair_rows, slope in zip((better, worse), slopes, strict=True):
        np.add.at(dscores, pair_rows, slope)  # a row may be in many pairs
    return losses, dscores


def judge(
    model: GPT, g: Arena, a: Arena, batch: Judged, weights: PackedWeights | None = None
) -> tuple[float, float]:
    """Sums over the batch of the loss and of pairs in the right order; adds into g."""
    last, at = _last_hidden(model, a, batch.ids, batch.last, weights)
    scores = head_forward(model.params, last)
    losses, dscores = _losses(scores, batch)
    dlast = rows(a.dnorm)[: len(at)]
    dlast.fill(0)
    head_backward(dlast, g, dscores.astype(last.dtype), last, model.params)
    model.backward(g, a, batch, weights, at)
    better, worse = batch.pairs.T
    return float(losses.sum()), float((scores[better] > scores[worse]).sum())


def judge_loss(
    model: GPT, a: Arena, batch: Judged, weights: PackedWeights | None = None
) -> float:
    """The loss's sum alone."""
    last, _ = _last_hidden(model, a, batch.ids, batch.last, weights)
    return float(_losses(head_forward(model.params, last), batch)[0].sum())


REWARD = Objective(("loss", "right"), judge, judge_loss)


def scores_of(
    model: GPT, tokenizer: Tokenizer, conversations: Sequence[Conversation]
) -> np.ndarray:
    """(R,) float64: the rewards of whole conversations, on all cores."""
    known = {c: i for i, c in enumerate(dict.fromkeys(conversations))}
    different = list(known)  # each is read once
    lengths = [sum(len(m.content) for m in c) for c in different]
    found, T = np.zeros(len(lengths)), model.config.context_length

    def work(rank: int, some: np.ndarray) -> None:
        ids, last = as_rows([different[i] for i in some], tokenizer, T)
        a = model.activations(len(ids), ids.shape[1], for_backward=False)
        hidden, _ = _last_hidden(model, a, ids, last)
        found[some] = head_forward(model.params, hidden)

    with WorkerPool(available_cores()) as pool:
        pool.map(work, alike(lengths, AT_A_TIME))
    return found[[known[c] for c in conversations]]


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
