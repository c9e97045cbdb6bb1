"""A text as tokens: read, split into training and validation, cut into batches."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gptlite.batch import Batch
from gptlite.data.sample import sample_file, sample_files
from gptlite.errors import DataError
from gptlite.text.tokenizer import Tokenizer

VALIDATION_SHARE = 0.1  # the last tenth of the text


def read_text(path: str | Path) -> str:
    """The text of a file; of a folder, all its .txt and .md files, in order of name.

    `"sample"` is the text that ships in the package: five plays of Shakespeare;
    `"-"` is standard input.
    """
    if str(path) == "sample":
        return sample_text()
    parts = [standard_input()] if str(path) == "-" else []
    path = Path(path)
    files = [] if parts else [path]
    if path.is_dir():
        found = (p for p in path.rglob("*") if p.suffix.lower() in (".txt", ".md"))
        files = sorted(p for p in found if p.is_file())  # a pipe would never end
    for file in files:
        try:
            parts.append(file.read_text(encoding="utf-8-sig"))  # a BOM is no text
        except UnicodeDecodeError as error:
            raise DataError(
                f"wanted UTF-8 text in {file}, got a byte that is none at position "
                f"{error.start}; convert the file first"
            ) from error
        except OSError as error:
            raise DataError(
                f"wanted a text file, got {file}: {error.strerror}; check the path"
            ) from error
    text = "\n".join(parts)
    if not text.strip():
        raise DataError(f"wanted some text, got none in {path}; check the path")
    return text


def standard_input() -> str:
    """All of it, every byte as it came."""
    data = sys.stdin.buffer.read()
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"wanted UTF-8 text, got the byte {data[error.start]:#04x} at offset "
            f"{error.start:,} of standard input; convert it first"
        ) from error


def sample_text() -> str:
    """The plays that ship in the package; source and licence lie beside them."""
    return "\n\n".join(map(sample_file, sample_files("shakespeare")))


class Tokens(Protocol):
    """A long row of tokens: an array, or shards on disk that are read like one."""

    def __len__(self) -> int: ...

    def __getitem__(self, at: Any, /) -> np.ndarray: ...


def check_length(train: int, validation: int, context_length: int) -> None:
    """Whether there are tokens enough for a window of `context_length`."""
    shortest = context_length + 1
    if train < shortest or validation < 2:
        raise DataError(
            f"wanted at least {shortest} training and 2 validation tokens for a "
            f"context of {context_length}, got {train} and {validation}; "
            "give more text or lower --context-length"
        )


@dataclass(frozen=True, slots=True)
class Dataset:
    """Tokens for training and for validation, both (n,) int64 when indexed.

    bytes_per_token: of the validation text in UTF-8, to turn nats a token into bits
    a byte, which compare across tokenizers. mixture: (start, end, share) of the parts
    of `train` that batches are drawn from; empty: all of it alike.
    """

    train: Tokens
    validation: Tokens
    bytes_per_token: float
    mixture: tuple[tuple[int, int, float], ...] = ()

    @classmethod
    def of(cls, text: str, tokenizer: Tokenizer, context_length: int) -> Dataset:
        """Split by position: the last tenth of the tokens is for validation."""
        ids = tokenizer.encode(text)
        cut = int(len(ids) * (1 - VALIDATION_SHARE))
        train, validation = ids[:cut], ids[cut:]
        check_length(len(train), len(validation), context_length)
        size = len(tokenizer.decode_bytes(validation))
        return cls(train, validation, size / len(validation))

    def random_batch(
        self, batch_size: int, context_length: int, *, rng: np.random.Generator
    ) -> Batch:
        """Stretches of training text from random places; targets are one ahead."""
        starts = self._starts(batch_size, context_length, rng)
        at = starts[:, None] + np.arange(context_length)  # (B, T)
        return Batch.of(self.train[at], self.train[at + 1])

    def _starts(self, n: int, T: int, rng: np.random.Generator) -> np.ndarray:
        if not self.mixture:
            return rng.integers(0, len(self.train) - T, n)
        first, end, shares = np.array(self.mixture).T
        part = rng.choice(len(shares), n, p=shares / shares.sum())
        return rng.integers(first.astype(int)[part], end.astype(int)[part] - T)

    def validation_batches(
        self, batch_size: int, context_length: int, windows: int = 0
    ) -> Iterator[Batch]:
        """Non-overlapping windows over the validation text, the last one padded.

        windows: at most so many, spread evenly over the text; 0 is all of them.
        """
        ids = self.validation
        starts = np.arange(0, len(ids) - 1, context_length)
        if 0 < windows < len(starts):
            starts = starts[np.linspace(0, len(starts) - 1, windows).astype(int)]
        for i in range(0, len(starts), batch_size):
            at = starts[i : i + batch_size, None] + np.arange(context_length)
            inside = at + 1 < len(ids)
            at = np.minimum(at, len(ids) - 2)
            yield Batch(ids[at], ids[at + 1], inside)
