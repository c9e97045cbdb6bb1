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
    """The tokens by id; ids that are left out have none."""
    for token, i in ids.items():
        if type(i) is not int or not 0 <= i < LARGEST_ID:
            raise DataError(
                f"wanted ids in 0 … {LARGEST_ID - 1}, got {i!r:.40} for {token!r}; "
                "is the file damaged?"
            )
    tokens: list[bytes | None] = [None] * (max(ids.values(), default=-1) + 1)
    for token, i in ids.items():
        if tokens[i] is not None:
            raise DataError(
                f"wanted one token an id, got {tokens[i]!r} and {token!r} for {i}; "
                "is the file damaged?"
            )
        tokens[i] = token
    return tokens


def _part(value: dict[str, Any], name: str, kind: type) -> Any:
    """value[name], which has to be of this kind."""
    found = value.get(name)
    if type(found) is not kind:
        kinds = {dict: "an object", list: "a list", str: "a text", int: "a number"}
        raise DataError(
            f"wanted {kinds[kind]} as {name!r}, got {found!r:.60}; "
            "is this a whole tokenizer.json?"
        )
    return found


# tokenizer.json runs its patterns by Oniguruma, where \z is what \Z is in Python
_WRITTEN = {name: text.replace(r"\Z", r"\z") for name, text in PATTERNS.items()}
_BYTES = "ByteLevel"
_OTHER = "give a tokenizer.json of the GPT family"
# what other kinds of BPE have
_FOREIGN = ("byte_fallback", "continuing_subword_prefix", "end_of_word_suffix")


def _pre_tokenizer(pattern: str) -> dict[str, Any]:
    level = {"type": _BYTES, "add_prefix_space": False, "trim_offsets": True}
    if pattern == "gpt2":
        return level | {"use_regex": True}
    cut = {"type": "Split", "pattern": {"Regex": _WRITTEN[pattern]},
           "behavior": "Isolated", "invert": False}  # fmt: skip
    return {"type": "Sequence", "pretokenizers": [cut, level | {"use_regex": False}]}


def _pattern_of(pre_tokenizer: dict[str, Any]) -> str:
    for name in PATTERNS:
        known = _pre_tokenizer(name)
        if pre_tokenizer == known:
            return name
    steps = pre_tokenizer.get("pretokenizers")
    steps = steps if isinstance(steps, list) else [pre_tokenizer]
    steps = [step for step in steps if isinstance(step, dict)]
    alone = steps[0] if len(steps) == 1 else {}
    plain = alone.get("use_regex", True) and not alone.get("add_prefix_space")
    if alone.get("type") == _BYTES and plain:
        return "gpt2"
    for step in steps:
        for name, text in _WRITTEN.items():
            if step.get("pattern") in ({"Regex": text}, {"Regex": PATTERNS[name]}):
                return name
    raise DataError(
        f"wanted a tokenizer that cuts text as {', '.join(PATTERNS)}, got "
        f"{json.dumps(pre_tokenizer)[:200]}; {_OTHER}"
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


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file."""
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise DataError(
            f"wanted JSON, got what is none ({error}); is the file cut short, or of "
            "another kind?"
        ) from error
    if not isinstance(value, dict):
        raise DataError(
            f"wanted a JSON object, got {value!r:.60}; is this a tokenizer.json?"
        )
    return value


def from_description(value: dict[str, Any]) -> Parts:
    """The parts of a byte-level BPE from what tokenizer.json holds."""
    model = _part(value, "model", dict)
    foreign = [name for name in _FOREIGN if model.get(name)]
    if model.get("type") != "BPE" or foreign:
        raise DataError(
            f"wanted a byte-level BPE, got a model of type "
            f"{' with '.join([repr(model.get('type')), *foreign])}; {_OTHER}"
        )
    if value.get("normalizer") is not None:
        raise DataError(
            f"wanted no normalizer, got {json.dumps(value['normalizer'])[:100]}; "
            f"{_OTHER}"
        )
    special = _special(_part({"added_tokens": []} | value, "added_tokens", list))
    ids = {from_characters(name): i for name, i in _part(model, "vocab", dict).items()
           if special.get(name) != i}  # fmt: skip
    pairs = [pair.split(" ") if isinstance(pair, str) else pair
             for pair in _part(model, "merges", list)]  # fmt: skip
    merges = None if model.get("ignore_merges") else _merges(pairs, ids)
    pattern = _pattern_of(_part(value, "pre_tokenizer", dict))
    return {"tokens": _table(ids), "merges": merges, "pattern": pattern,
            "special": special}  # fmt: skip


def _special(added: list[Any]) -> dict[str, int]:
    found: dict[str, int] = {}
    for token in added:
        if not isinstance(token, dict):
            raise DataError(
                f"wanted added tokens as objects, got {token!r:.60}; "
                "is the file damaged?"
            )
        found[_part(token, "content", str)] = _part(token, "id", int)
    return found


def _merges(
    pairs: list[list[str]], ids: dict[bytes, int]
) -> list[tuple[int, int, int]]:
    found = []
    for number, pair in enumerate(pairs):
        try:
            a, b = (from_characters(text) for text in pair)
            found.append((ids[a], ids[b], ids[a + b]))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"wanted two tokens whose union is one, got {pair!r:.60} (merge "
                f"{number}); is the file damaged?"
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
    ids: dict[bytes, int] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            token, rank = line.split()
            content = base64.b64decode(token, validate=True)
            if not content or content in ids:
                raise ValueError("a token that is empty, or there already")
            ids[content] = int(rank)
        except (ValueError, binascii.Error) as error:
            raise DataError(
                "wanted a token in base64 (each once) and its rank, got "
                f"{line[:60]!r} in line {number}; is the file damaged?"
            ) from error
    return _table(ids)
