"""Byte-level BPE: any text, or any bytes, as ids of a learned vocabulary, and back."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import regex

from gptlite.errors import DataError
from gptlite.text import formats
from gptlite.text.kernels import encode as _encode
from gptlite.text.kernels import tables
from gptlite.text.kernels.scan import PATTERN_IDS
from gptlite.text.patterns import character_classes, check_pattern

REMEMBERED = 2**16  # pieces whose ids are kept
BYTES_KEPT = 2**21  # and their bytes
ROOM = 2**12  # bytes of a piece for which there is room from the start


def special_bytes(text: str) -> bytes:
    """The bytes of a special token's text."""
    if not text or regex.search(r"\p{Cs}", text):
        raise DataError(
            f"wanted a text in Unicode as special token, got {text!r}; "
            "write one such as <|end|>"
        )
    return text.encode()


class BPETokenizer:
    """A vocabulary of byte strings, and the order in which pairs are merged.

    tokens: the bytes of each id (`None` where an id is not used), all 256 single bytes
    among them. merges: (left id, right id, merged id), the first has the lowest rank;
    `None`: a pair may merge whenever its bytes are a token, whose id is its rank, and a
    piece that is a token is one (as in tiktoken). special: texts with ids of their own,
    which only `encode(…, special=True)` looks for.

    >>> tokenizer = BPETokenizer([bytes([b]) for b in range(256)] + [b"ab"])
    >>> tokenizer.encode("cabs").tolist(), tokenizer.decode([256, 256])
    ([99, 256, 115], 'abab')
    """

    kind = "bpe"

    def __init__(
        self,
        tokens: list[bytes | None],
        merges: Iterable[tuple[int, int, int]] | None = None,
        pattern: str = "gpt2",
        special: Mapping[str, int] | None = None,
    ) -> None:
        self.pattern = check_pattern(pattern)
        self.special = dict(special or {})
        self.tokens = list(tokens)
        for text, i in self.special.items():
            self._put_special(special_bytes(text), i)
        self.merges = None if merges is None else list(merges)
        plain = set(range(len(self.tokens))) - set(self.special.values())
        self._ids = [i for i in sorted(plain) if self.tokens[i] is not None]
        known = {self.tokens[i]: i for i in reversed(self._ids)}
        self._byte_ids = np.array(
            [known.get(bytes([b]), -1) for b in range(256)], np.int32
        )
        if (self._byte_ids < 0).any():
            missing = int(np.argmin(self._byte_ids))
            raise DataError(
                f"wanted all 256 single bytes among the tokens, got none for {missing};"
                " is the vocabulary whole, and a byte-level one?"
            )
        self._build_tables()
        names = sorted(self.special, key=len, reverse=True)
        self._special_pattern = regex.compile("|".join(map(regex.escape, names)))

    def _put_special(self, token: bytes, i: int) -> None:
        if not 0 <= i < formats.LARGEST_ID:
            raise DataError(
                f"wanted ids in 0 … {formats.LARGEST_ID - 1}, got {i} for the special "
                f"token {token!r}; is the file damaged?"
            )
        self.tokens += [None] * (i + 1 - len(self.tokens))
        if self.tokens[i] not in (None, token):
            raise DataError(
                f"wanted an id of its own for the special token {token!r}, got {i}, "
                f"which is that of {self.tokens[i]!r}; give it another"
            )
        self.tokens[i] = token

    def _build_tables(self) -> None:
        """The pairs with their ranks, and the memory of pieces with their ids."""
        whole = [self.tokens[i] for i in self._ids] if self.merges is None else []
        lengths = np.array([len(t) for t in whole if t is not None], np.int64)
        count, used = len(whole), int(lengths.sum())
        entries = count + REMEMBERED
        self._places = np.full(tables.table_size(entries), -1, np.int64)
        self._hashes = np.zeros(entries, np.uint64)
        self._spans, self._id_spans = np.zeros((2, entries, 2), np.int64)
        self._text = np.zeros(used + BYTES_KEPT, np.uint8)
        self._text_ids = np.zeros(count + BYTES_KEPT // 4, np.int32)
        self._used = count, used
        if whole:
            joined = b"".join(t for t in whole if t is not None)
            self._text[:used] = np.frombuffer(joined, np.uint8)
            ends = np.cumsum(lengths)
            self._spans[:count, 0], self._spans[:count, 1] = ends - lengths, ends
            self._id_spans[:count, 0] = np.arange(count)
            self._id_spans[:count, 1] = np.arange(1, count + 1)
            self._text_ids[:count] = self._ids
            memory = (self._places, self._hashes, self._spans[:count], self._text)
            tables.put_pieces(*memory)
            found = tables.splits(np.zeros((0, 3), np.int64), *memory, count)
            pairs = np.zeros((found, 3), np.int64)
            tables.splits(pairs, *memory, count)
            pairs = np.array(self._ids, np.int64)[pairs]
            ranks = pairs[:, 2]
        else:
            pairs = np.array(self.merges or [], np.int64).reshape(-1, 3)
            ranks = np.arange(len(pairs))
        keys = pairs[:, 0] << 32 | pairs[:, 1]
        size = tables.table_size(len(pairs))
        self._pair_keys = np.full(size, tables.EMPTY, np.int64)
        self._pair_values = np.zeros((size, 2), np.int32)
        values = np.stack([ranks, pairs[:, 2]], axis=1).astype(np.int32)
        tables.put_pairs(self._pair_keys, self._pair_values, keys, values)
        self._state = np.zeros(6, np.int64)
        self._state[2:5] = count, used, count
        self._make_room(ROOM)
        self._one_at_a_time = threading.Lock()

    def _make_room(self, n: int) -> None:
        self._scratch = (*np.empty((4, n), np.int32), np.empty(3 * n, np.int64))

    @property
    def vocab_size(self) -> int:
        return len(self.tokens)

    def encode(self, text: str, special: bool = False) -> np.ndarray:
        """Ids of `text`, (n,) int64. special: texts of special tokens become these."""
        if not special or not self.special:
            return self.encode_bytes(text.encode("utf-8", "surrogatepass"))
        parts, at = [], 0
        for found in self._special_pattern.finditer(text):
            parts.append(self.encode(text[at : found.start()]))
            parts.append(np.array([self.special[found.group()]]))
            at = found.end()
        return np.concatenate([*parts, self.encode(text[at:])])

    def encode_bytes(self, data: bytes) -> np.ndarray:
        """Ids of UTF-8, or of any bytes: what is no character stands for itself."""
        numbers, out = np.frombuffer(data, np.uint8), np.empty(len(data), np.int32)
        with self._one_at_a_time:  # threads share the memory of pieces
            return out[: self._encode(out, numbers)].astype(np.int64)

    def _encode(self, out: np.ndarray, numbers: np.ndarray) -> int:
        state = self._state
        state[: _encode.WRITTEN + 1] = 0
        while True:
            _encode.encode(
                out, numbers, character_classes(), PATTERN_IDS[self.pattern],
                self._byte_ids, self._pair_keys, self._pair_values,
                self._places, self._hashes, self._spans, self._id_spans,
                self._text, self._text_ids, state, *self._scratch,
            )  # fmt: skip
            if state[_encode.POSITION] == numbers.size:
                return int(state[_encode.WRITTEN])
            self._make_room(int(state[_encode.NEEDED]))

    def decode_bytes(self, ids: np.ndarray | list[int]) -> bytes:
        """The bytes of `ids`, exactly; an id that is no token is an error."""
        found = []
        for i in np.asarray(ids, np.int64).tolist():
            token = self.tokens[i] if 0 <= i < len(self.tokens) else None
            if token is None:
                raise DataError(
                    f"wanted token ids in 0 … {len(self.tokens) - 1} that are in use, "
                    f"got {i}; were they made by another tokenizer?"
                )
            found.append(token)
        return b"".join(found)

    def decode(self, ids: np.ndarray | list[int]) -> str:
        """The text of `ids`; bytes that are no UTF-8 become U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def to_json(self) -> dict[str, Any]:
        """What tokenizer.json of Hugging Face holds; without merges: every pair."""
        merges = self.merges
        if merges is None:
            used = self._pair_keys != tables.EMPTY
            keys, ids = self._pair_keys[used], self._pair_values[used, 1]
            order = np.lexsort((keys, ids))
            left, right = keys[order] >> 32, keys[order] & 0xFFFFFFFF
            found = (left.tolist(), right.tolist(), ids[order].tolist())
            merges = list(zip(*found, strict=True))
        return formats.describe(
            self.tokens, merges, self.pattern, self.special, self.merges is None
        )
