"""A corpus that was built, ready to train on."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gptlite.corpus.shards import Tokens
from gptlite.errors import DataError
from gptlite.text.dataset import Dataset, check_length
from gptlite.text.tokenizer import Tokenizer, load_tokenizer

FORMAT = "gptlite corpus 1"


def is_corpus(path: str | Path) -> bool:
    """Whether a folder is a corpus (and not one of texts)."""
    return (Path(path) / "corpus.json").is_file()


def read_header(folder: str | Path) -> dict[str, Any]:
    """What is in corpus.json."""
    path = Path(folder) / "corpus.json"
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
        if header["format"] != FORMAT:
            raise ValueError(f"format {header['format']!r}")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(
            f"wanted a corpus, got {path} that cannot be read ({error}); build it with "
            "`gptlite data build --out FOLDER`"
        ) from error
    return dict(header)


def open_corpus(folder: str | Path, context_length: int) -> tuple[Dataset, Tokenizer]:
    """The tokens of a corpus, left on disk, and the tokenizer that they are of.

    Training batches are drawn from each source as often as its share says.
    """
    folder, header = Path(folder), read_header(folder)
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    try:
        sources = [_Source.of(source) for source in header["sources"]]
        wanted = header["vocab_size"], header["tokenizer"]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DataError(
            f"wanted a whole corpus.json in {folder}, got one in which {error} is "
            "missing or damaged; build the corpus again"
        ) from error
    if wanted != (tokenizer.vocab_size, file_hash(folder / "tokenizer.json")):
        raise DataError(
            f"wanted the tokenizer that the tokens in {folder} are of, got another "
            "tokenizer.json; build the corpus again"
        )
    train = _tokens(folder, [source.train for source in sources])
    validation = _tokens(folder, [source.validation for source in sources])
    check_length(len(train), len(validation), context_length)
    ranges, start = [], 0
    for source in sources:
        end = start + source.train.tokens
        if end - start > context_length and source.share > 0:
            ranges.append((start, end, source.share))
        start = end
    if not ranges:
        raise DataError(
            f"wanted a source with a share and more than {context_length} tokens to "
            "train on, got none; change --weight, or lower --context-length"
        )
    n_bytes = sum(source.validation.bytes for source in sources)
    bytes_per_token = n_bytes / len(validation)
    return Dataset(train, validation, bytes_per_token, tuple(ranges)), tokenizer


def validation_tokens(folder: Path) -> dict[str, np.ndarray]:
    """The tokens of each source that are set aside, (n,) int64."""
    sources = read_header(folder)["sources"]
    parts = {s["name"]: _Source.of(s).validation for s in sources}
    return {name: _tokens(folder, [part])[:] for name, part in parts.items()
            if part.tokens > 1}  # fmt: skip


class _Part(NamedTuple):
    """One split of a source, as corpus.json describes it."""

    tokens: int
    bytes: int
    shards: tuple[str, ...]

    @classmethod
    def of(cls, found: dict[str, Any]) -> _Part:
        part = cls(found["tokens"], found["bytes"], tuple(found["shards"]))
        for value in part[:2]:
            if type(value) is not int or not 0 <= value < 2**62:
                raise ValueError(f"the number {value!r}")
        for name in part.shards:
            if type(name) is not str or Path(name).name != name:
                raise DataError(f"wanted a shard beside corpus.json, got {name!r}")
        return part


class _Source(NamedTuple):
    share: float
    train: _Part
    validation: _Part

    @classmethod
    def of(cls, found: dict[str, Any]) -> _Source:
        share = float(found["share"])
        if not 0 <= share <= 1:
            raise ValueError(f"the share {share}")
        return cls(share, _Part.of(found["train"]), _Part.of(found["validation"]))


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _tokens(folder: Path, parts: list[_Part]) -> Tokens:
    """The shards of one split, of all sources end to end."""
    shards: list[np.ndarray] = []
    for part in parts:
        files = [folder / name for name in part.shards]
        shards += Tokens.open(files, part.tokens).shards
    return Tokens(shards)
