"""What a policy did: answers it sampled, and what is known of each of their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np

from gptlite.alignment.batches import alike
from gptlite.arena import Arena
from gptlite.errors import DataError
from gptlite.models.generate import Decoder
from gptlite.models.gpt import GPT
from gptlite.models.head import has_head, head_forward
from gptlite.models.lora import LoRA
from gptlite.models.sampling import Sampling, sample
from gptlite.models.weights import DecodingWeights, ReadWeights
from gptlite.parallel.pool import WorkerPool
from gptlite.text.chat import END, Conversation, Message, render_prompt, special_ids
from gptlite.text.tokenizer import Tokenizer

TOGETHER = 64  # answers that are sampled in a batch, at most
STILL = 0.75  # share of these that still go on, at which the others are left
AS_IT_IS = Sampling()  # from the policy itself: else its probabilities would be others


@dataclass(frozen=True, slots=True)
class Answers:
    """Sampled answers: whole conversations as rows, padded on the right.

    ids: (B, T) int64, prompt and answer. mask: (B, T) bool, true at the positions whose
    *next* token is the answer's: there the policy chose. finished: (B,), whether the
    answer ended itself. logp, values: (B, T), log-probability of the chosen token when
    it was sampled, and what a value head, if there is one, expected there; 0 elsewhere.
    """

    ids: np.ndarray
    mask: np.ndarray
    finished: np.ndarray
    logp: np.ndarray
    values: np.ndarray
    conversations: list[Conversation]


def sample_answers(
    model: GPT, tokenizer: Tokenizer, prompts: Sequence[Conversation], longest: int,
    *, rng: np.random.Generator, pool: WorkerPool | None = None,
    weights: ReadWeights | None = None,
) -> Answers:  # fmt: skip
    """One answer to each prompt, of at most `longest` tokens.

    Up to TOGETHER are sampled in a batch, by a worker of the pool, if there is one.
    However many workers there are, the answers are the same. weights: the model's as
    they are now, if somebody has them.
    """
    end = special_ids(tokenizer)[END]
    starts = [render_prompt(prompt, tokenizer).tolist() for prompt in prompts]
    prompt, room = max(map(len, starts)), model.config.context_length
    if prompt + longest > room:
        raise DataError(
            f"wanted prompts and answers within {room} tokens, got {prompt} for a "
            f"prompt and {longest} for its answer; shorten one"
        )
    head = model.params if has_head(model) else None
    if isinstance(model, LoRA):
        # once, and not its products for every token
        model, weights = model.merge(), None
    # fewer, if else there were work for one worker only
    together = min(TOGETHER, -(-len(starts) // 2))
    batches = alike([len(start) for start in starts], together)
    seeds = rng.integers(2**63, size=len(batches))
    reads = weights or DecodingWeights(model, together)
    ids = np.empty((len(starts), longest), np.int64)
    logp, values = np.empty((2, *ids.shape))

    def work(rank: int, i: int) -> None:
        some, dice = batches[i], np.random.default_rng(seeds[i])
        asked = [starts[b] for b in some]
        decoder = Decoder(model, tokenizer.vocab_size, asked, reads)
        ids[some], logp[some], values[some] = _sampled(
            decoder, longest, end, dice, head
        )

    if pool is None:
        for i in range(len(batches)):
            work(0, i)
    else:
        pool.map(work, range(len(batches)))
    return _as_answers(tokenizer, prompts, starts, ids, (logp, values), end)


def _sampled(
    decoder: Decoder, longest: int, end: int, rng: np.random.Generator,
    head: Arena | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """(ids, log-probabilities, values), each (B, longest); after a row's end, `end`, 0
    and what is never read.

    Rows that have ended are carried on as such until they are so many that to leave
    them costs less.
    """
    B = len(decoder.rows)
    ids, (logp, values) = np.full((B, longest), end), np.zeros((2, B, longest))
    here = np.arange(B)  # which row each of the decoder's is
    for step in range(longest):
        if head:
            values[here, step] = head_forward(head, decoder.hidden)
        new, chosen = sample(decoder.logits, decoder.seen, AS_IT_IS, rng=rng)
        going = (ids[here, : step + 1] != end).sum(axis=1) == step
        ids[here[going], step], logp[here[going], step] = new[going], chosen[going]
        going &= new != end
        if not going.any() or step == longest - 1:
            break
        if going.mean() <= STILL:
            decoder.keep(np.flatnonzero(going))
            here, going = here[going], going[going]
        decoder.append(ids[here, step])
    return ids, logp, values


def _as_answers(
    tokenizer: Tokenizer, prompts: Sequence[Conversation], starts: list[list[int]],
    sampled: np.ndarray, known: tuple[np.ndarray, np.ndarray], end: int,
) -> Answers:  # fmt: skip
    """sampled, and what is known of it: (B, longest), as `_sampled` returns them."""
    first = np.array([len(start) for start in starts])
    said = (sampled != end).sum(axis=1)
    ended = said < sampled.shape[1]
    lengths = said + ended  # with their end
    B, T = len(starts), int((first + lengths).max())
    ids, (logp, values) = np.zeros((B, T), np.int64), np.zeros((2, B, T))
    conversations = []
    for b, (start, n) in enumerate(zip(starts, lengths.tolist(), strict=True)):
        ids[b, : len(start) + n] = [*start, *sampled[b, :n]]
        for table, found in zip((logp, values), known, strict=True):
            table[b, len(start) - 1 : len(start) - 1 + n] = found[b, :n]
        text = tokenizer.decode(sampled[b, : said[b]].tolist())
        conversations.append((*prompts[b], Message("assistant", text)))
    at = np.arange(T)
    mask = (at >= first[:, None] - 1) & (at < (first - 1 + lengths)[:, None])
    return Answers(ids, mask, ended, logp, values, conversations)


@dataclass(frozen=True, slots=True)
class Experience:
    """Answers with all that PPO's losses look at; every array (B, T).

    At a position, `targets` is the next token, `old` its log-probability under the
    policy that sampled it, `values` what its value head expected there.
    """

    ids: np.ndarray
    targets: np.ndarray
    mask: np.ndarray
    old: np.ndarray
    reference: np.ndarray
    values: np.ndarray
    advantages: np.ndarray
    returns: np.ndarray

    @property
    def segments(self) -> None:
        """None: padding comes after all that counts, and nothing looks ahead."""

    @property
    def n_tokens(self) -> int:
        return int(self.mask.sum())

    def __len__(self) -> int:
        return len(self.ids)

    rows_each: ClassVar[int] = 1

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each prompt with its answer."""
        return ends(self.mask)

    def take(self, which: np.ndarray) -> Experience:
        """These answers, up to where in any of them something was chosen."""
        end = ends(self.mask[which]).max(initial=1) - 1
        return Experience(*(getattr(self, f.name)[which, :end] for f in fields(self)))

    def part(self, rank: int, size: int) -> Experience:
        """Worker `rank`'s share: every size-th, so that all shares are alike."""
        return self.take(np.arange(rank, len(self), size))


def ends(mask: np.ndarray) -> np.ndarray:
    """(B,): how many tokens of each row there are, up to the last that was chosen.

    mask: (B, T), true where the next token was chosen.

    >>> ends(np.array([[False, True, True, False, False]])).tolist()
    [4]
    """
    after = mask[:, ::-1].argmax(axis=1)  # columns after the last true one
    return np.where(mask.any(axis=1), mask.shape[1] - after + 1, 0)


def targets_of(ids: np.ndarray) -> np.ndarray:
    """(B, T): at each position the next token; the last column is not used."""
    return np.concatenate([ids[:, 1:], ids[:, -1:]], axis=1)
