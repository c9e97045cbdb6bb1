"""Tokenizers by name: the published ones, fetched once, and files of one's own."""

from __future__ import annotations

from pathlib import Path

from gptlite.data.fetch import data_folder, is_fetched
from gptlite.data.sources import source
from gptlite.errors import DataError
from gptlite.text import formats
from gptlite.text.bpe import BPETokenizer
from gptlite.text.tokenizer import Tokenizer, tokenizer_from_json

END = "<|endoftext|>"
FILL = ("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>")
SPECIAL = {  # ids as tiktoken publishes them
    "r50k": {END: 50256}, "p50k": {END: 50256},
    "cl100k": {END: 100257, FILL[0]: 100258, FILL[1]: 100259, FILL[2]: 100260,
               "<|endofprompt|>": 100276},
    "o200k": {END: 199999, "<|endofprompt|>": 200018},
}  # fmt: skip
# how each cuts text into pieces (patterns.py)
CUT = {"r50k": "gpt2", "p50k": "gpt2", "cl100k": "cl100k", "o200k": "o200k"}
KNOWN = ("gpt2", *SPECIAL)


def _fetched(name: str) -> Path:
    found = source(name)
    if not is_fetched(found):
        raise DataError(
            f"wanted the source {name}, which is not here yet; "
            f"run `gptlite data fetch {name}`"
        )
    return data_folder(found) / "package"


def tokenizer(name: str) -> Tokenizer:
    """gpt2, r50k, p50k, cl100k or o200k, or a file (tokenizer.json, .tiktoken).

    A .tiktoken file does not say how text is cut: it is taken to be cl100k's way.
    """
    if name == "gpt2":
        folder = _fetched("gpt2-vocabulary")
        parts = formats.read_gpt2(folder / "encoder.json", folder / "vocab.bpe")
        return BPETokenizer(**parts)
    if name in SPECIAL:
        path = _fetched("gpt-vocabularies") / "data" / f"{name}_base.tiktoken"
        ranks = formats.read_tiktoken(path)
        return BPETokenizer(ranks, None, CUT[name], SPECIAL[name])
    return _read(Path(name))


def _read(path: Path) -> Tokenizer:
    try:
        if path.suffix == ".tiktoken":
            return BPETokenizer(formats.read_tiktoken(path), pattern="cl100k")
        return tokenizer_from_json(formats.read_json(path))
    except OSError as error:
        raise DataError(
            f"wanted a tokenizer among {', '.join(KNOWN)} or a file, got "
            f"{str(path)!r:.80} ({error.strerror})"
        ) from error
    except DataError as error:
        raise DataError(f"cannot read the tokenizer {path}: {error}") from error
