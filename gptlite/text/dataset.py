"""A text as tokens: read, split into training and validation, cut into batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from gptlite.batch import Batch
from gptlite.errors import DataError
from gptlite.text.tokenizer import Tokenizer

VALIDATION_SHARE = 0.1  # the last tenth of the text


def read_text(path: str | Path) -> str:
    """The text of a file; of a folder, all its .txt and .md files, in order of name.

    `"sample"` is the text that ships in the package: five plays of Shakespeare.
    """
    if str(path) == "sample":
        return sample_text()
    path = Path(path)
    files = [path]
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.suffix in (".txt", ".md"))
    parts = []
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
                f"wanted a text file, got {file}: {error.strerror}; check --text"
            ) from error
    text = "\n".join(parts)
    if not text.strip():
        raise DataError(f"wanted some text, got none in {path}; check --text")
    return text


def sample_text() -> str:
    """The plays that ship in the package; source and licence lie beside them."""
    folder = resources.files("gptlite.data") / "sample"
    plays = sorted(
        p.name for p in folder.iterdir() if p.name.startswith("shakespeare-")
    )
    return "\n\n".join((folder / name).read_text(encoding="utf-8") for name in plays)


@dataclass(frozen=True, slots=True)
class Dataset:
    """Tokens for training and for validation, both (n,) int64.

    bytes_per_token: of the validation text in UTF-8, to turn nats a token into bits
    a byte, which compare across tokenizers.
    """

    train: np.ndarray
    validation: np.ndarray
    bytes_per_token: float

    @classmethod
    def of(cls, text: str, tokenizer: Tokenizer, context_length: int) -> Dataset:
        """Split by position: the last tenth of the tokens is for validation."""
        ids = tokenizer.encode(text)
        cut = int(len(ids) * (1 - VALIDATION_SHARE))
        train, validation = ids[:cut], ids[cut:]
        shortest = context_length + 1
        if len(train) < shortest or len(validation) < 2:
            raise DataError(
                f"wanted at least {shortest} training and 2 validation tokens for a "
                f"context of {context_length}, got {len(train)} and {len(validation)}; "
                "give more text or lower --context-length"
            )
        size = len(tokenizer.decode_bytes(validation))
        return cls(train, validation, size / len(validation))

    def random_batch(
        self, batch_size: int, context_length: int, *, rng: np.random.Generator
    ) -> Batch:
        """Stretches of training text from random places; targets are one ahead."""
        starts = rng.integers(0, len(self.train) - context_length, batch_size)
        at = starts[:, None] + np.arange(context_length)  # (B, T)
        return Batch.of(self.train[at], self.train[at + 1])

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
