"""DPO: learning from pairs without a reward model and without sampling.

The policy itself is the reward model: what it has gained over the reference on the
better answer is to exceed what it has gained on the worse one (Rafailov et al. 2023,
arXiv:2305.18290). It is pretraining's loop on another loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gptlite.alignment.experience import ends, targets_of
from gptlite.alignment.objectives import dpo
from gptlite.alignment.policy import choices, choices_backward
from gptlite.alignment.reader import Reader
from gptlite.alignment.reward import as_rows
from gptlite.arena import Arena
from gptlite.errors import DataError
from gptlite.models.gpt import GPT
from gptlite.models.weights import PackedWeights
from gptlite.text.chat import Conversation, render
from gptlite.text.tokenizer import Tokenizer
from gptlite.training.step import Objective

Pair = tuple[Conversation, Conversation]  # the better one, the worse one


@dataclass(frozen=True, slots=True)
class Preferences:
    """Pairs as rows, the better one first, padded on the right.

    ids, and targets, the next tokens: (2N, T); mask: (2N, T), where that is the last
    answer's; reference: (2N,), log-probability of each answer under the model that all
    began as.
    """

    ids: np.ndarray
    targets: np.ndarray
    mask: np.ndarray
    reference: np.ndarray

    @property
    def segments(self) -> None:
        """None: padding comes after all that counts, and nothing looks ahead."""

    rows_each: ClassVar[int] = 2

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each pair's longer answer, with its prompt."""
        return ends(self.mask).reshape(-1, 2).max(axis=1)

    def __len__(self) -> int:
        return len(self.ids) // 2

    @property
    def n_tokens(self) -> int:
        """What the mean of the loss is taken over: pairs."""
        return len(self)

    def take(self, which: np.ndarray) -> Preferences:
        """These pairs, up to where in any of them a token of an answer follows."""
        at = (which[:, None] * 2 + np.arange(2)).reshape(-1)
        end = ends(self.mask[at]).max(initial=1) - 1
        here = at, slice(end)
        return Preferences(
            self.ids[here], self.targets[here], self.mask[here], self.reference[at]
        )

    def part(self, rank: int, size: int) -> Preferences:
        """Worker `rank`'s share: every size-th, so that all shares are alike."""
        return self.take(np.arange(rank, len(self), size))


def preferences(
    pairs: Sequence[Pair], tokenizer: Tokenizer, reference: Reader
) -> Preferences:
    """Pairs as a batch, read by the reference; those that are too long are an error."""
    if not pairs:
        raise DataError("wanted pairs to learn from, got none")
    room = reference.model.config.context_length
    talks = [c for pair in pairs for c in pair]
    ids, last = as_rows(talks, tokenizer, room + 1)
    if ids.shape[1] > room:
        row = int(last.argmax())
        raise DataError(
            f"wanted conversations of at most {room} tokens, got a longer one in pair "
            f"{row // 2 + 1} of {len(pairs)}, {talks[row][-2].content!r:.40}; leave it "
            "out"
        )
    # from the token that gives the word to the one before the answer's end
    starts = np.array([len(render(c[:-1], tokenizer)) for c in talks])
    at = np.arange(ids.shape[1])
    mask = (at >= starts[:, None]) & (at < last[:, None])
    logp, _ = reference.read(ids, mask)
    return Preferences(ids, targets_of(ids), mask, logp.sum(axis=1))


@dataclass(frozen=True, slots=True)
class DPOLoss:
    """beta: how dear it is to leave the reference; 0.1 is common."""

    beta: float = 0.1

    def _look(
        self, model: GPT, a: Arena, x: Preferences, weights: PackedWeights | None
    ) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
        """(losses (N,), d log-probability (2N,), what `choices` found)."""
        found = choices(model, a, x, weights)
        answer = np.nonzero(x.mask)[0]  # (n,) the row of each token that counts
        sums = np.bincount(answer, found[1], minlength=len(x.ids))
        losses, better, worse = dpo(
            sums[::2], sums[1::2], x.reference[::2], x.reference[1::2], self.beta
        )
        return losses, np.stack([better, worse], axis=1).reshape(-1), found

    def run(
        self, model: GPT, g: Arena, a: Arena, x: Preferences,
        weights: PackedWeights | None = None,
    ) -> np.ndarray:  # fmt: skip
        """Sums of the loss and of pairs in the right order; adds into g."""
        losses, slopes, found = self._look(model, a, x, weights)
        dlogp = slopes[np.nonzero(x.mask)[0]]
        none = np.zeros_like(dlogp), np.zeros_like(found[0])
        choices_backward(model, g, a, x, weights, found, dlogp, *none)
        return np.array([losses.sum(), (losses < np.log(2)).sum()])

    def measure(
        self, model: GPT, a: Arena, x: Preferences, weights: PackedWeights | None = None
    ) -> float:
        """The loss's sum alone."""
        return float(self._look(model, a, x, weights)[0].sum())

    def objective(self) -> Objective:
        return Objective(("loss", "right"), self.run, self.measure)
