"""The second half of a corpus: a tokenizer, shards of tokens, and what became of all.

A corpus is a folder with corpus.json, tokenizer.json, corpus.png and the shards.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from tqdm import tqdm

from gptlite import files, plots
from gptlite.config import CorpusConfig
from gptlite.corpus.corpus import FORMAT, file_hash, is_corpus
from gptlite.corpus.documents import Document
from gptlite.corpus.gather import SPLITS, Gathering
from gptlite.corpus.mixture import shares
from gptlite.corpus.report import COUNTED, table
from gptlite.corpus.shards import ShardWriter, token_type
from gptlite.errors import DataError
from gptlite.text.chat import SPECIAL
from gptlite.text.learn import room_for_merges, train_bpe
from gptlite.text.tokenizer import Tokenizer
from gptlite.text.vocabularies import END

LEARNED_FROM = 2**26  # bytes of training text that a tokenizer is learned from
SPREAD = 0x9E3779B97F4A7C15  # 2^64 / golden ratio
Item = TypeVar("Item")


def build_corpus(
    out: str | Path,
    sources: Mapping[str, Iterable[Document]],
    config: CorpusConfig = CorpusConfig(),  # noqa: B008 - frozen
    tokenizer: Tokenizer | None = None,
    weights: Mapping[str, float] | None = None,
    quiet: bool = True,
) -> dict[str, Any]:
    """Build a corpus in the folder `out`; returns what is in corpus.json.

    sources: documents by the name of the source, whose order decides which of two
    repeats stays. tokenizer: None learns a BPE of `config.vocab_size` tokens. weights:
    how often training draws from each source; None: as often as it is large. A corpus
    that is already in `out` is renamed. The same input and seed give the same files.

    >>> texts = ["All human beings are born free.", "They are endowed with reason."]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     built = build_corpus(
    ...         Path(folder, "corpus"), {"rights": map(Document, texts * 2)},
    ...         CorpusConfig(vocab_size=270),
    ...     )
    >>> built["sources"][0]["left_out"]
    {'exact repeats': 2}
    """
    out = Path(out).absolute()
    _check_place(out)
    weights = dict(weights or {})
    if not sources:
        raise DataError("wanted at least one source of documents, got none")
    for name in sources:
        if not re.fullmatch(r"[^\W_][\w .,()'$+-]{0,99}", name):
            raise DataError(
                f"wanted names of sources of letters, digits and blanks, got {name!r}; "
                "shards are named after them: rename the file or folder"
            )
    shares(weights, dict.fromkeys(sources, 1))  # what cannot be is said at once
    if tokenizer is None:
        room_for_merges(config.vocab_size, list(SPECIAL))
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".corpus-") as temporary:
        work, made = Path(temporary, "work"), Path(temporary, "made")
        work.mkdir()
        made.mkdir()
        gathering = Gathering(work, config)
        try:
            for name, documents in sources.items():
                gathering.add(name, _bar(documents, f"reading {name}", quiet))
            gathering.finish()
            if tokenizer is None:
                tokenizer = _learned(gathering, quiet)
            rows = write_shards(made, gathering, tokenizer, quiet)
        finally:
            gathering.close()
        header = _header(rows, config, tokenizer, weights)
        files.write_text(made / "tokenizer.json", json.dumps(tokenizer.to_json()))
        header["tokenizer"] = file_hash(made / "tokenizer.json")
        files.write_text(made / "corpus.json", json.dumps(header, indent=1))
        picture = plots.corpus_picture(table(header))
        plots.save(picture, made / "corpus.png", close=True)
        if is_corpus(out):
            files.set_aside(out)
        elif out.exists():
            out.rmdir()  # it is empty
        os.replace(made, out)
    return header


def _check_place(out: Path) -> None:
    """Whether a corpus can be put at `out`, and nothing else is lost there."""
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise DataError(f"wanted a folder as --out, got {out}, which is a file or link")
    if out.exists() and any(out.iterdir()) and not is_corpus(out):
        raise DataError(
            f"wanted a new folder or a corpus, got {out} with other files in it; "
            "choose another --out"
        )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot make {out.parent}: {error.strerror}") from error


def _bar(items: Iterable[Item], what: str, quiet: bool, total: int | None = None
         ) -> Iterator[Item]:  # fmt: skip
    return iter(tqdm(items, what, total, unit=" documents", disable=quiet, leave=False,
                     mininterval=0.2, dynamic_ncols=True))  # fmt: skip


def _learned(gathering: Gathering, quiet: bool) -> Tokenizer:
    """A BPE of the training documents, or of a part of them if they are many.

    It has the special tokens of a chat, for the model to be fine-tuned later.
    """
    part = min(1.0, LEARNED_FROM / max(1, gathering.bytes)) * 2**64
    documents = _bar(gathering.kept(), "learning tokens", quiet, gathering.documents)
    # the hash decides on the split already: spread anew, it decides on this as well
    texts = (
        d.text for d in documents
        if d.split == "train" and d.whole * SPREAD % 2**64 < part
    )  # fmt: skip
    return train_bpe(texts, gathering.config.vocab_size, special=SPECIAL)


def write_shards(
    folder: Path, gathering: Gathering, tokenizer: Tokenizer, quiet: bool = True
) -> list[dict[str, Any]]:
    """Encode what is kept, each document with an end; what each source has become."""
    dtype = token_type(tokenizer.vocab_size)
    # a tokenizer without a token for the end of a text says it by an empty line
    end = np.array([getattr(tokenizer, "special", {}).get(END, -1)])
    end = tokenizer.encode("\n\n") if end[0] < 0 else end
    rows = [
        {"name": name, "documents": seen.pop("documents", 0),
         "left_out": {k: n for k, n in seen.items() if n},
         "languages": dict(found.most_common()),
         **{split: {**dict.fromkeys(COUNTED, 0), "shards": []} for split in SPLITS}}
        for name, seen, found in zip(gathering.sources, gathering.seen,
                                     gathering.languages, strict=True)
    ]  # fmt: skip
    documents = _bar(gathering.kept(), "encoding", quiet, gathering.documents)
    for source, group in itertools.groupby(documents, lambda d: d.source):
        row = rows[source]
        writers = {s: ShardWriter(folder, f"{row['name']}-{s}", dtype) for s in SPLITS}
        counts: dict[str, Counter[str]] = {s: Counter() for s in SPLITS}
        for document in group:
            ids = tokenizer.encode(document.text.decode("utf-8"))
            writers[document.split].add(ids)
            writers[document.split].add(end)
            counts[document.split].update(
                documents=1, words=len(document.text.split()), bytes=len(document.text)
            )
        for split, writer in writers.items():
            writer.close()
            found = {**counts[split], "tokens": writer.tokens, "shards": writer.files}
            row[split].update(found)
    return rows


def _header(
    rows: list[dict[str, Any]], config: CorpusConfig, tokenizer: Tokenizer,
    weights: dict[str, float],
) -> dict[str, Any]:  # fmt: skip
    tokens = {row["name"]: row["train"]["tokens"] for row in rows}
    if not sum(tokens.values()):
        left_out = sum((Counter(row["left_out"]) for row in rows), Counter[str]())
        raise DataError(
            f"wanted some text to train on, got none: {dict(left_out)} were left out"
        )
    for row in rows:
        row["share"] = shares(weights, tokens)[row["name"]]
    return {
        "format": FORMAT, "config": dataclasses.asdict(config),
        "vocab_size": tokenizer.vocab_size, "sources": rows,
    }  # fmt: skip
