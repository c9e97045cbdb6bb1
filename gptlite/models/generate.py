"""Generation: a prompt in, tokens out one by one, with a KV cache."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gptlite.errors import DataError
from gptlite.models.cache import KVCache
from gptlite.models.gpt import GPT
from gptlite.models.sampling import Sampling, sample
from gptlite.models.weights import DecodingWeights, ReadWeights
from gptlite.models.workspace import Workspace
from gptlite.text.tokenizer import Tokenizer

AHEAD = 32  # tokens that the cache has room for at first, beyond the prompts


class Decoder:
    """A batch of token sequences that grows by one token a row and call.

    The learned positions end at the context length. A row that reaches it goes on
    with its newest half as context: one pass over that half refills the cache.
    """

    def __init__(
        self, model: GPT, V: int, prompts: list[list[int]],
        weights: ReadWeights | None = None,
    ) -> None:  # fmt: skip
        """V: how many tokens the tokenizer has; the model may have room for more.
        weights: the model's, if several decoders are to share them."""
        self.model, self.workspace = model, Workspace(model)
        self.weights = weights or DecodingWeights(model, len(prompts))
        self.rows = [list(prompt) for prompt in prompts]
        if not all(self.rows):
            raise DataError("wanted a prompt of at least one token, got an empty one")
        self.V = V
        if model.config.vocab_size < V:
            raise DataError(
                f"wanted a tokenizer of at most {model.config.vocab_size} tokens, got "
                f"{V}; is this the tokenizer that the model was trained with?"
            )
        self.seen = np.zeros((len(self.rows), V), bool)
        for b, row in enumerate(self.rows):
            self.seen[b, row] = True
        T = model.config.context_length
        self._fill([min(len(row), T) for row in self.rows])

    def _fill(self, keep: list[int]) -> None:
        """Run the newest `keep` tokens of each row; `self.logits` (B, V) follow, and
        `self.hidden` (B, C), which they are made of, until the next call."""
        config, dtype = self.model.config, self.model.params.flat.dtype
        tails = [row[-n:] for row, n in zip(self.rows, keep, strict=True)]
        self.lengths = np.array([len(tail) for tail in tails])  # tokens in the cache
        ids = np.zeros((len(tails), self.lengths.max()), np.int64)
        for row, tail in zip(ids, tails, strict=True):
            row[: len(tail)] = tail  # shorter rows: padded on the right, unseen
        room = min(ids.shape[1] + AHEAD, config.context_length)
        self.cache = KVCache(config, len(tails), room, dtype)
        self._run(ids, np.zeros(len(tails), np.int64), self.lengths - 1)

    def _run(self, ids: np.ndarray, offsets: np.ndarray, last: np.ndarray) -> None:
        B, T = ids.shape
        a = self.workspace.activations(B, T, for_backward=False)
        self.hidden = self.model.hidden(
            a, ids, offsets, cache=self.cache, weights=self.weights,
            where=np.arange(B) * T + last if T > 1 else None,
        )  # fmt: skip
        logits = np.empty((B, self.model.config.vocab_size), self.hidden.dtype)
        self.model.ops.matmul(logits, self.hidden, self.weights.token_embedding.T)
        self.logits = logits[:, : self.V]

    def append(self, ids: np.ndarray) -> None:
        """Add one token to each row; `self.logits` are then those of the next one."""
        for b, token in enumerate(ids.tolist()):
            self.rows[b].append(token)
            self.seen[b, token] = True
        T = self.model.config.context_length
        if self.lengths.max() == T:
            half = max(1, T // 2)
            self._fill([half if n == T else n + 1 for n in self.lengths.tolist()])
            return
        self._run(ids[:, None], self.lengths, np.zeros(len(ids), np.int64))
        self.lengths = self.lengths + 1

    def keep(self, which: np.ndarray) -> None:
        """Go on with these rows (n,) alone, in this order; they do not notice."""
        self.rows = [self.rows[b] for b in which.tolist()]
        self.seen, self.logits = self.seen[which], self.logits[which]
        self.lengths, self.cache = self.lengths[which], self.cache.take(which)


def decoder_of(model: GPT, tokenizer: Tokenizer, prompts: list[str]) -> Decoder:
    """A decoder after these texts."""
    rows = [tokenizer.encode(prompt).tolist() for prompt in prompts]
    return Decoder(model, tokenizer.vocab_size, rows)


@dataclass(frozen=True, slots=True)
class Token:
    """One generated token: its id, the text that became certain with it, and how
    probable the model found it (natural logarithm)."""

    id: int
    text: str
    logprob: float


@dataclass(frozen=True, slots=True)
class Completion:
    """What was generated after one prompt; `stopped` tells by a stop string."""

    text: str
    ids: list[int]
    logprobs: list[float]
    stopped: bool


class TextStream:
    """Turns ids into text as it becomes certain.

    Held back: bytes that are not yet a whole character, and what may be the start
    of a stop string.
    """

    def __init__(self, tokenizer: Tokenizer, stop: tuple[str, ...]) -> None:
        self._tokenizer, self._stop = tokenizer, tuple(s for s in stop if s)
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self.stopped = False

    def push(self, token: int) -> str:
        text = self._held + self._utf8.decode(self._tokenizer.decode_bytes([token]))
        found = [i for i in (text.find(s) for s in self._stop) if i >= 0]
        if found:
            self.stopped = True
            return text[: min(found)]
        held = max(
            (n for s in self._stop for n in range(1, len(s)) if text.endswith(s[:n])),
            default=0,
        )
        certain = len(text) - held
        self._held = text[certain:]
        return text[:certain]

    def flush(self) -> str:
        """What was held back, at the end."""
        if self.stopped:
            return ""
        held, self._held = self._held + self._utf8.decode(b"", final=True), ""
        return held


def stream(
    model: GPT,
    tokenizer: Tokenizer,
    prompt: str,
    max_tokens: int = 200,
    sampling: Sampling = Sampling(),  # noqa: B008 - frozen
    stop: tuple[str, ...] = (),
    *,
    rng: np.random.Generator,
) -> Iterator[Token]:
    """Generate after `prompt`, token by token, until `max_tokens` or a stop string.

    >>> from gptlite.config import GPTConfig
    >>> from gptlite.text.tokenizer import ByteTokenizer
    >>> model = GPT(GPTConfig(n_layer=1, n_head=2, n_embd=8, vocab_size=256))
    >>> tokens = stream(model, ByteTokenizer(), "Hi", 3, rng=np.random.default_rng(0))
    >>> len(list(tokens))
    3
    """
    decoder = decoder_of(model, tokenizer, [prompt])
    text = TextStream(tokenizer, stop)
    for i in range(max_tokens):
        ids, logprobs = sample(decoder.logits, decoder.seen, sampling, rng=rng)
        new = text.push(int(ids[0]))
        last = text.stopped or i == max_tokens - 1
        if last:
            new += text.flush()
        yield Token(int(ids[0]), new, float(logprobs[0]))
        if last:
            return
        decoder.append(ids)


def generate(
    model: GPT,
    tokenizer: Tokenizer,
    prompts: list[str],
    max_tokens: int = 200,
    sampling: Sampling = Sampling(),  # noqa: B008 - frozen
    stop: tuple[str, ...] = (),
    *,
    rng: np.random.Generator,
) -> list[Completion]:
    """Generate after each of `prompts`, all in one batch; their lengths may differ.

    >>> from gptlite.config import GPTConfig
    >>> from gptlite.text.tokenizer import ByteTokenizer
    >>> model = GPT(GPTConfig(n_layer=1, n_head=2, n_embd=8, vocab_size=256))
    >>> both = generate(
    ...     model, ByteTokenizer(), ["Hi", "Hello"], 3, rng=np.random.default_rng(0)
    ... )
    >>> [len(completion.ids) for completion in both]
    [3, 3]
    """
    decoder = decoder_of(model, tokenizer, prompts)
    streams = [TextStream(tokenizer, stop) for _ in prompts]
    texts = ["" for _ in prompts]
    chosen: list[list[tuple[int, float]]] = [[] for _ in prompts]
    for i in range(max_tokens):
        ids, logprobs = sample(decoder.logits, decoder.seen, sampling, rng=rng)
        for b, text in enumerate(streams):
            if not text.stopped:  # a row that stopped runs along, unheard
                texts[b] += text.push(int(ids[b]))
                chosen[b].append((int(ids[b]), float(logprobs[b])))
        if all(text.stopped for text in streams) or i == max_tokens - 1:
            break
        decoder.append(ids)
    return [
        Completion(
            texts[b] + text.flush(),
            [token for token, _ in chosen[b]],
            [logprob for _, logprob in chosen[b]],
            text.stopped,
        )
        for b, text in enumerate(streams)
    ]
