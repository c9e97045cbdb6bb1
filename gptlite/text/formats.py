"""Files that other libraries write and read: tokenizer.json, .tiktoken, GPT-2's pair.

Each reader returns what `BPETokenizer` is made of; nothing is run from a file.
"""

from __future__ import annotations

import base64
import binascii
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from gptlite.errors import DataError
from gptlite.text.patterns import PATTERNS

Parts = dict[str, Any]  # tokens, merges, pattern, special
LARGEST_ID = 2**24  # a file that names a larger one is damaged


@lru_cache(maxsize=1)
def byte_characters() -> dict[int, str]:
    """GPT-2's visible character for each byte: itself, or one from 256 on.

    >>> byte_characters()[ord("a")], byte_characters()[ord(" ")]
    ('a', 'Ġ')
    """
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in visible]
    return {b: chr(b) for b in visible} | {
        b: chr(256 + i) for i, b in enumerate(others)
    }


def to_characters(token: bytes) -> str:
    table = byte_characters()
    return "".join(table[b] for b in token)


def from_characters(text: str) -> bytes:
    table = {c: b for b, c in byte_characters().items()}
    try:
        return bytes(table[c] for c in text)
    except KeyError as error:
        raise DataError(
            f"wanted a token in GPT-2's byte characters, got {text[:40]!r}; is the "
            "vocabulary a byte-level one?"
        ) from error


def _table(ids: dict[bytes, int]) -> list[bytes | None]:
    """The tokens by id."""
    numbers = list(ids.values())
    if any(type(i) is not int or not 0 <= i < LARGEST_ID for i in numbers):
        raise DataError(f"wanted ids in 0 … {LARGEST_ID - 1}, got others")
    tokens: list[bytes | None] = [None] * (max(numbers, default=-1) + 1)
    for token, i in ids.items():
        tokens[i] = token
    return tokens


# tokenizer.json runs its patterns by Oniguruma, where \z is what \Z is in Python
_WRITTEN = {name: text.replace(r"\Z", r"\z") for name, text in PATTERNS.items()}
_BYTES = "ByteLevel"


def _pre_tokenizer(pattern: str) -> dict[str, Any]:
    level = {"type": _BYTES, "add_prefix_space": False, "trim_offsets": True}
    if pattern == "gpt2":
        return level | {"use_regex": True}
    cut = {"type": "Split", "pattern": {"Regex": _WRITTEN[pattern]},
           "behavior": "Isolated", "invert": False}  # fmt: skip
    return {"type": "Sequence", "pretokenizers": [cut, level | {"use_regex": False}]}


def _pattern_of(pre_tokenizer: Any) -> str:
    for name in PATTERNS:
        known = _pre_tokenizer(name)
        if pre_tokenizer == known:
            return name
    steps = pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    alone = steps[0] if len(steps) == 1 else {}
    plain = alone.get("use_regex", True) and not alone.get("add_prefix_space")
    if alone.get("type") == _BYTES and plain:
        return "gpt2"
    for step in steps:
        for name, text in _WRITTEN.items():
            if step.get("pattern", {}).get("Regex") in (text, PATTERNS[name]):
                return name
    raise DataError(
        f"wanted a tokenizer that cuts text as {', '.join(PATTERNS)}, got "
        f"{json.dumps(pre_tokenizer)[:200]}"
    )


def describe(
    tokens: list[bytes | None],
    merges: list[tuple[int, int, int]],
    pattern: str,
    special: dict[str, int],
    by_rank: bool,
) -> dict[str, Any]:
    """What tokenizer.json holds. by_rank: a piece that is a token is not merged."""
    taken = set(special.values())
    names = {i: to_characters(t) for i, t in enumerate(tokens)
             if t is not None and i not in taken}  # fmt: skip
    added = [
        {"id": i, "content": text, "single_word": False, "lstrip": False,
         "rstrip": False, "normalized": False, "special": True}
        for text, i in sorted(special.items(), key=lambda pair: pair[1])
    ]  # fmt: skip
    level = {"type": _BYTES, "add_prefix_space": True, "trim_offsets": True}
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": added, "normalizer": None,
        "pre_tokenizer": _pre_tokenizer(pattern), "post_processor": None,
        "decoder": level | {"use_regex": True},
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None,
            "continuing_subword_prefix": None, "end_of_word_suffix": None,
            "fuse_unk": False, "byte_fallback": False, "ignore_merges": by_rank,
            "vocab": {name: i for i, name in names.items()},
            "merges": [[names[a], names[b]] for a, b, _ in merges],
        },
    }  # fmt: skip


def from_description(value: dict[str, Any]) -> Parts:
    """The parts of a byte-level BPE from what tokenizer.json holds."""
    model = value["model"]
    if model.get("type") != "BPE" or model.get("byte_fallback"):
        raise DataError(
            f"wanted a byte-level BPE, got a model of type {model.get('type')!r}"
        )
    if value.get("normalizer") is not None:
        raise DataError(
            f"wanted no normalizer, got {json.dumps(value['normalizer'])[:100]}"
        )
    special = {t["content"]: t["id"] for t in value.get("added_tokens", [])}
    ids = {from_characters(name): i for name, i in model["vocab"].items()
           if name not in special}  # fmt: skip
    pairs = [pair.split(" ") if isinstance(pair, str) else pair
             for pair in model["merges"]]  # fmt: skip
    merges = None if model.get("ignore_merges") else _merges(pairs, ids)
    pattern = _pattern_of(value["pre_tokenizer"])
    return {"tokens": _table(ids), "merges": merges, "pattern": pattern,
            "special": special}  # fmt: skip


def _merges(
    pairs: list[list[str]], ids: dict[bytes, int]
) -> list[tuple[int, int, int]]:
    found = []
    for number, pair in enumerate(pairs):
        try:
            a, b = (from_characters(text) for text in pair)
            found.append((ids[a], ids[b], ids[a + b]))
        except (KeyError, ValueError) as error:
            raise DataError(
                f"wanted two tokens whose union is one, got {pair} (merge {number})"
            ) from error
    return found


def read_gpt2(encoder: Path, merges: Path) -> Parts:
    """GPT-2's two files: encoder.json (ids) and vocab.bpe (merges, one a line)."""
    ids = json.loads(encoder.read_text(encoding="utf-8"))
    lines = merges.read_text(encoding="utf-8").split("\n")
    pairs = [line.split(" ") for line in lines[1:] if line]
    special = {"<|endoftext|>": ids.pop("<|endoftext|>")}
    by_bytes = {from_characters(name): i for name, i in ids.items()}
    return {"tokens": _table(by_bytes), "merges": _merges(pairs, by_bytes),
            "pattern": "gpt2", "special": special}  # fmt: skip


def read_tiktoken(path: Path) -> list[bytes | None]:
    """The tokens of a .tiktoken file: a line is the token in base64, and its rank."""
    ids = {}
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            token, rank = line.split()
            ids[base64.b64decode(token, validate=True)] = int(rank)
        except (ValueError, binascii.Error) as error:
            raise DataError(
                f"wanted a token in base64 and its rank, got {line[:60]!r} in line "
                f"{number} of {path.name}"
            ) from error
    return _table(ids)
