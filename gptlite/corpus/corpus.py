"""A corpus that was built, ready to train on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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
    except (OSError, ValueError, KeyError, TypeError) as error:
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
        parts = {split: [source[split] for source in header["sources"]]
                 for split in ("train", "validation")}  # fmt: skip
        shares = [float(source["share"]) for source in header["sources"]]
        train, validation = (_tokens(folder, parts[s]) for s in parts)
        n_bytes = sum(part["bytes"] for part in parts["validation"])
        sizes = [int(part["tokens"]) for part in parts["train"]]
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"wanted a whole corpus.json in {folder}, got one in which {error!r} is "
            "missing or damaged; build the corpus again"
        ) from error
    check_length(len(train), len(validation), context_length)
    ranges, start = [], 0
    for size, share in zip(sizes, shares, strict=True):
        if size > context_length and share > 0:
            ranges.append((start, start + size, share))
        start += size
    bytes_per_token = n_bytes / len(validation)
    return Dataset(train, validation, bytes_per_token, tuple(ranges)), tokenizer


def _tokens(folder: Path, parts: list[dict[str, Any]]) -> Tokens:
    """The shards of one split, of all sources end to end."""
    names = [str(name) for part in parts for name in part["shards"]]
    for name in names:
        if Path(name).name != name:
            raise DataError(f"wanted a shard beside corpus.json, got {name!r}")
    n = sum(int(part["tokens"]) for part in parts)
    return Tokens.open([folder / name for name in names], n)
