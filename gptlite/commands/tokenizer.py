"""`gptlite tokenizer …`: learn a vocabulary, encode, decode, compare."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from gptlite import files
from gptlite.commands import Commands
from gptlite.errors import DataError

BLOCK = 2**16  # ids that are written at a time


def tokenizer_train(args: argparse.Namespace) -> dict[str, Any]:
    from gptlite.text.dataset import read_text
    from gptlite.text.learn import train_bpe

    texts = [read_text(path) for path in args.texts]
    trained = train_bpe(texts, args.vocab_size, args.pattern, args.special)
    described = json.dumps(trained.to_json(), ensure_ascii=False)
    files.write_text(Path(args.out), described)
    n_bytes = sum(len(text.encode()) for text in texts)
    n_tokens = sum(trained.encode(text).size for text in texts)
    return {"out": args.out, "vocab_size": trained.vocab_size, "bytes": n_bytes,
            "tokens": n_tokens,
            "bytes_per_token": round(n_bytes / max(1, n_tokens), 3)}  # fmt: skip


def tokenizer_encode(args: argparse.Namespace) -> dict[str, Any]:
    from gptlite.text.dataset import standard_input
    from gptlite.text.vocabularies import tokenizer

    chosen, text = tokenizer(args.tokenizer), standard_input()
    if args.lines:
        for line in _lines(text):
            print(json.dumps(chosen.encode(line).tolist()))
        return {}
    ids = chosen.encode(text)
    for start in range(0, len(ids), BLOCK):
        block = " ".join(map(str, ids[start : start + BLOCK].tolist()))
        print(" " + block if start else block, end="")
    print()
    return {}


def _lines(text: str) -> list[str]:
    """What ends with \\n or \\r\\n; str.splitlines cuts at nine more characters."""
    lines = re.split(r"\r?\n", text)
    return lines if lines[-1] else lines[:-1]


def tokenizer_decode(args: argparse.Namespace) -> dict[str, Any]:
    from gptlite.text.dataset import standard_input
    from gptlite.text.vocabularies import tokenizer

    words = re.sub(r"[\[\],]", " ", standard_input()).split()
    for word in words:
        if not re.fullmatch("-?[0-9]{1,18}", word):
            raise DataError(
                f"wanted token ids, whole numbers, got {word!r:.60}; "
                "give it what `gptlite tokenizer encode` prints"
            )
    ids = [int(word) for word in words]
    sys.stdout.buffer.write(tokenizer(args.tokenizer).decode_bytes(ids))
    sys.stdout.flush()
    return {}


def tokenizer_compare(args: argparse.Namespace) -> dict[str, Any]:
    from gptlite.text.dataset import read_text
    from gptlite.text.vocabularies import tokenizer

    text = read_text(args.text)
    rows = []
    for name in args.tokenizers:
        chosen = tokenizer(name)
        tokens = chosen.encode(text).size
        rows.append(
            {"tokenizer": name, "vocab_size": chosen.vocab_size, "tokens": tokens,
             "bytes_per_token": round(len(text.encode()) / max(1, tokens), 3),
             "tokens_per_word": round(tokens / max(1, len(text.split())), 3)}
        )  # fmt: skip
    return {"text": args.text, "tokenizers": rows}


def add(commands: Commands) -> None:
    """Enter these commands."""
    group = commands.group("tokenizer", "learn a vocabulary, encode, decode, compare")
    train = group.add("train", tokenizer_train, "learn a byte-level BPE from texts")
    train.add_argument("texts", nargs="+", metavar="FILE", help="- is standard input")
    train.add_argument("--vocab-size", type=int, default=8192, metavar="N")
    train.add_argument("--pattern", default="gpt2", metavar="NAME")
    train.add_argument("--special", action="append", default=[], metavar="TEXT")
    train.add_argument("--out", default="tokenizer.json", metavar="FILE")
    encode = group.add("encode", tokenizer_encode, "text from standard input as ids")
    encode.add_argument("--lines", action="store_true", help="a JSON list a line")
    decode = group.add("decode", tokenizer_decode, "ids from standard input as text")
    for parser in (encode, decode):
        parser.add_argument("--tokenizer", default="gpt2", metavar="NAME",
                            help="gpt2, r50k, p50k, cl100k, o200k, a file")  # fmt: skip
    compare = group.add("compare", tokenizer_compare, "how many tokens a text has")
    compare.add_argument("text", metavar="FILE", help="- is standard input")
    compare.add_argument("--tokenizers", nargs="+", default=["gpt2"], metavar="NAME")
