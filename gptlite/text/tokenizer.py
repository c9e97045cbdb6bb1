"""Tokenizers: text to integers and back. Characters, raw bytes, or byte pairs.

All share one small interface, so that whoever trains or generates need not know
which one a run uses.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gptlite.errors import CheckpointError, DataError
from gptlite.text import formats
from gptlite.text.bpe import BPETokenizer
from gptlite.text.learn import train_bpe


class Tokenizer(Protocol):
    """What a tokenizer can do. Ids are 0 … vocab_size − 1."""

    kind: str

    @property
    def vocab_size(self) -> int: ...

    def encode(self, text: str) -> np.ndarray:
        """Ids of `text`, (n,) int64."""
        ...

    def decode(self, ids: np.ndarray | list[int]) -> str:
        """The text of `ids`."""
        ...

    def decode_bytes(self, ids: np.ndarray | list[int]) -> bytes:
        """The same in UTF-8, exact even where `ids` begin inside a character."""
        ...

    def to_json(self) -> dict[str, Any]:
        """All that is needed to build it again."""
        ...


class CharTokenizer:
    """One token a character; the vocabulary is the characters of the training text.

    >>> tokenizer = CharTokenizer.train("hello")
    >>> tokenizer.vocab_size, tokenizer.encode("hole").tolist()
    (4, [1, 3, 2, 0])
    >>> tokenizer.decode([1, 3, 2, 0])
    'hole'
    """

    kind = "char"

    def __init__(self, characters: str) -> None:
        self.characters = characters
        self._codes = np.array([ord(c) for c in characters], np.uint32)
        if not characters or (np.diff(self._codes.astype(np.int64)) <= 0).any():
            raise DataError(
                "wanted a vocabulary of distinct characters in ascending order, got "
                f"{characters[:20]!r}…; build it with CharTokenizer.train(text)"
            )

    @classmethod
    def train(cls, text: str) -> CharTokenizer:
        return cls("".join(sorted(set(text))))

    @property
    def vocab_size(self) -> int:
        return len(self.characters)

    def encode(self, text: str) -> np.ndarray:
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        ids = np.searchsorted(self._codes, codes)
        ids[ids == len(self._codes)] = 0
        unknown = np.flatnonzero(self._codes[ids] != codes)
        if unknown.size:
            character = text[unknown[0]]
            raise DataError(
                f"wanted characters of the training text, got {character!r} "
                f"at position {unknown[0]}; known are {self._described()}"
            )
        return ids.astype(np.int64)

    def _described(self) -> str:
        """The vocabulary for an error: blanks by name, then the first 100 others."""
        names = {" ": "space", "\n": "newline", "\t": "tab"}
        blanks = [names[c] for c in self.characters if c in names]
        others = "".join(c for c in self.characters if c.isprintable() and c != " ")
        return ", ".join([*blanks, others[:100]])

    def decode(self, ids: np.ndarray | list[int]) -> str:
        return "".join(self.characters[i] for i in _checked(ids, self.vocab_size))

    def decode_bytes(self, ids: np.ndarray | list[int]) -> bytes:
        return self.decode(ids).encode("utf-8", "surrogatepass")

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "characters": self.characters}


class ByteTokenizer:
    """One token a byte of UTF-8: 256 tokens, and every text can be encoded.

    >>> ByteTokenizer().encode("é").tolist()
    [195, 169]
    >>> ByteTokenizer().decode([195, 169])
    'é'
    """

    kind = "byte"
    vocab_size = 256

    def encode(self, text: str) -> np.ndarray:
        data = text.encode("utf-8", "surrogatepass")
        return np.frombuffer(data, np.uint8).astype(np.int64)

    def decode(self, ids: np.ndarray | list[int]) -> str:
        """Bytes that are no valid UTF-8 become the replacement character."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def decode_bytes(self, ids: np.ndarray | list[int]) -> bytes:
        return bytes(_checked(ids, 256))

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind}


def _checked(ids: np.ndarray | list[int], vocab_size: int) -> list[int]:
    ids = np.asarray(ids, np.int64)
    if ids.size and not 0 <= ids.min() <= ids.max() < vocab_size:
        raise DataError(
            f"wanted token ids in 0 … {vocab_size - 1}, "
            f"got {ids.min()} … {ids.max()}; were they made by another tokenizer?"
        )
    return ids.tolist()


VOCABULARY = 4096  # tokens of a BPE, unless another number is asked for

_BUILD: dict[str, Callable[[str, int], Tokenizer]] = {
    "char": lambda text, size: CharTokenizer.train(text),
    "byte": lambda text, size: ByteTokenizer(),
    "bpe": lambda text, size: train_bpe([text], size),
}


def train_tokenizer(kind: str, text: str, vocab_size: int | None = None) -> Tokenizer:
    """A tokenizer of this kind for this text; vocab_size: of a BPE."""
    return _BUILD[kind](text, vocab_size or VOCABULARY)


def tokenizer_from_json(value: dict[str, Any]) -> Tokenizer:
    """The tokenizer that `to_json` described."""
    if isinstance(value, dict) and "model" in value:
        return BPETokenizer(**formats.from_description(value))
    if value.get("kind") == "byte":
        return ByteTokenizer()
    if value.get("kind") == "char" and isinstance(value.get("characters"), str):
        return CharTokenizer(value["characters"])
    raise DataError(
        f"wanted a tokenizer of kind {' or '.join(_BUILD)}, got {str(value)[:80]}"
    )


def load_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer stored in the file `path`."""
    try:
        return tokenizer_from_json(formats.read_json(path))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read the tokenizer {path}: {error}") from error
