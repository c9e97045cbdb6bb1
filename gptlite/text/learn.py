"""Training a byte-level BPE on any amount of text: count the pieces, then merge."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from gptlite.errors import ConfigError, DataError
from gptlite.text.bpe import BPETokenizer, special_bytes
from gptlite.text.kernels import tables, train
from gptlite.text.kernels.scan import PATTERN_IDS
from gptlite.text.patterns import character_classes, check_pattern

MOST_PLACES = 2**31 - 1  # of pairs: they are numbered in int32


class PieceCounter:
    """How often each piece occurs in a stream of texts.

    Memory grows with the number of distinct pieces only.

    >>> counter = PieceCounter()
    >>> counter.add("to be or not to be")
    >>> sorted(counter.counts().items())[:2]
    [(b' be', 2), (b' not', 1)]
    """

    def __init__(self, pattern: str = "gpt2") -> None:
        self.pattern = PATTERN_IDS[check_pattern(pattern)]
        self._text = np.zeros(2**20, np.uint8)
        self._spans = np.zeros((0, 2), np.int64)
        self._counts, self._hashes = np.zeros(0, np.int64), np.zeros(0, np.uint64)
        self._state = np.zeros(4, np.int64)
        self._grow(2**15)

    def _grow(self, entries: int) -> None:
        def longer(array: np.ndarray) -> np.ndarray:
            new = np.zeros((entries, *array.shape[1:]), array.dtype)
            new[: len(array)] = array
            return new

        used = int(self._state[train.ENTRIES])
        self._spans, self._counts = longer(self._spans), longer(self._counts)
        self._hashes = longer(self._hashes)
        self._places = np.full(tables.table_size(entries), -1, np.int64)
        tables.put_pieces(self._places, self._hashes, self._spans[:used], self._text)

    def add(self, text: str | bytes) -> None:
        """Count the pieces of a text."""
        data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        numbers, state = np.frombuffer(data, np.uint8), self._state
        state[train.POSITION] = 0
        while True:
            train.count_pieces(
                numbers, character_classes(), self.pattern, self._places, self._hashes,
                self._spans, self._text, self._counts, state,
            )  # fmt: skip
            if state[train.POSITION] == len(data):
                return
            if state[train.NEEDED]:
                more = max(self._text.size, int(state[train.NEEDED]))
                self._text = np.concatenate([self._text, np.zeros(more, np.uint8)])
            else:
                self._grow(2 * len(self._counts))

    def words(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All distinct pieces' bytes end to end, where each ends, and its count."""
        used = int(self._state[train.ENTRIES])
        text = self._text[: int(self._state[train.TEXT_USED])]
        return text, self._spans[:used, 1], self._counts[:used]

    def counts(self) -> dict[bytes, int]:
        text, ends, counts = self.words()
        starts, whole = np.concatenate([[0], ends[:-1]]), text.tobytes()
        rows = zip(starts.tolist(), ends.tolist(), counts.tolist(), strict=True)
        return {whole[a:b]: count for a, b, count in rows}


def _table(size: int) -> tuple[np.ndarray, ...]:
    pairs = np.full(size, tables.EMPTY, np.int64)
    first, last, seen = np.full((3, size), -1, np.int32)
    return pairs, np.zeros(size, np.int64), first, last, seen


def learn_merges(counter: PieceCounter, n: int, least: int = 2) -> np.ndarray:
    """Up to n merges (left id, right id, new id), the commonest pair first.

    Of equally common pairs the one with the lower ids is merged. least: pairs that
    occur less often are left alone. Single bytes have the ids 0 … 255.
    """
    text, ends, counts = counter.words()
    lengths = np.diff(ends, prepend=0)
    N = text.size
    if 3 * N > MOST_PLACES:
        raise DataError(
            f"wanted at most {MOST_PLACES // 3:,} bytes of distinct pieces, got {N:,}; "
            "learn from a part of the texts"
        )
    n = min(n, N)  # a merge leaves at least one symbol less
    symbols = text.astype(np.int32)
    left, right = np.arange(-1, N - 1, dtype=np.int32), np.arange(1, N + 1).astype("i4")
    left[ends - lengths], right[ends - 1] = -1, -1
    words = np.repeat(np.arange(len(counts), dtype=np.int32), lengths)
    lists = np.empty(3 * N, np.int32), np.empty(3 * N, np.int32)
    table, heap = _table(2**18), np.zeros((2**18, 2), np.int64)
    merges, fresh = np.zeros((n, 3), np.int32), np.zeros(2 * (n + 257), np.int64)
    state = np.zeros(4, np.int64)
    train.first_pairs(table, lists, heap, state, symbols, right, words, counts)
    while not train.learn_merges(
        merges, fresh, table, lists, heap, state,
        symbols, left, right, words, counts, least,
    ):  # fmt: skip
        old, table = table, _table(2 * len(table[0]))
        train.move_pairs(table, old)
        heap = np.concatenate([heap, np.zeros_like(heap)])
    return merges[: state[train.MERGES]]


def room_for_merges(vocab_size: int, special: list[str]) -> int:
    """How many tokens there may be besides single bytes and special ones."""
    for name in special:
        special_bytes(name)  # what is none is an error
    if vocab_size < 256 + len(special):
        raise ConfigError(
            f"wanted a vocabulary of at least {256 + len(special)} tokens (256 bytes "
            f"and {len(special)} special ones), got {vocab_size}; raise vocab_size"
        )
    return vocab_size - 256 - len(special)


def train_bpe(
    texts: Iterable[str | bytes],
    vocab_size: int,
    pattern: str = "gpt2",
    special: Iterable[str] = (),
    least: int = 2,
) -> BPETokenizer:
    """Learn a vocabulary of at most `vocab_size` tokens, `special` ones included.

    Ids: bytes, then merged tokens in the order in which they were learned, then the
    special ones. It has fewer tokens where no pair occurs `least` times any more.

    >>> tokenizer = train_bpe(["low lower lowest"] * 9, 260)
    >>> [tokenizer.tokens[i] for i in range(256, 260)]
    [b'lo', b'low', b' low', b' lowe']
    """
    names = list(dict.fromkeys(special))
    wanted = room_for_merges(vocab_size, names)
    counter = PieceCounter(pattern)
    for text in texts:
        counter.add(text)
    merges = learn_merges(counter, wanted, least).tolist()
    tokens: list[bytes | None] = [bytes([b]) for b in range(256)]
    for a, b, _ in merges:
        tokens.append((tokens[a] or b"") + (tokens[b] or b""))
    ids = {name: len(tokens) + i for i, name in enumerate(names)}
    return BPETokenizer(tokens, [(a, b, c) for a, b, c in merges], pattern, ids)
