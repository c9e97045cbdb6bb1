"""`gptlite data …`: which texts there are, and how they come here."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from gptlite.commands import Commands, add_defaults, given
from gptlite.config import CorpusConfig
from gptlite.errors import ConfigError

DEFAULT = ("encyclopedia", "books", "dialogue")  # what `data build` takes


def data_list(args: argparse.Namespace) -> dict[str, Any]:
    from gptlite.data.fetch import data_folder, is_fetched
    from gptlite.data.sources import SOURCES

    rows = [
        {"name": s.name, "kind": s.kind, "MB": s.megabytes, "licence": s.licence,
         "fetched": "yes" if is_fetched(s) else "no", "use": s.use}
        for s in SOURCES
    ]  # fmt: skip
    return {"folder": str(data_folder(SOURCES[0]).parent), "sources": rows}


def data_fetch(args: argparse.Namespace) -> dict[str, Any]:
    from gptlite.data.fetch import fetch
    from gptlite.data.sources import source

    wanted = [source(name) for name in args.names]  # an unknown name: before any fetch
    return {found.name: str(fetch(found)) for found in wanted}


def _weights(pairs: list[str]) -> dict[str, float]:
    """books=2 → {"books": 2.0}"""
    try:
        return {name: float(weight) for name, weight in (x.split("=") for x in pairs)}
    except ValueError as error:
        raise ConfigError(f"wanted weights such as books=2, got {pairs}") from error


def data_build(args: argparse.Namespace) -> dict[str, Any]:
    from gptlite.corpus.build import build_corpus
    from gptlite.corpus.readers import named_documents
    from gptlite.corpus.report import table
    from gptlite.text.vocabularies import tokenizer

    start = time.perf_counter()
    config = given(args, CorpusConfig)
    names = args.names or ([] if args.text else list(DEFAULT))
    sources = named_documents(names, args.text, config.bad_lines)
    chosen = None if args.tokenizer is None else tokenizer(args.tokenizer)
    weights = _weights(args.weight)
    quiet = not sys.stderr.isatty()
    header = build_corpus(args.out, sources, config, chosen, weights, quiet)
    return {"out": args.out, "vocab_size": header["vocab_size"],
            "seconds": round(time.perf_counter() - start, 1),
            "picture": f"{args.out.rstrip('/')}/corpus.png",
            "sources": table(header)}  # fmt: skip


def add(commands: Commands) -> None:
    """Enter these commands."""
    data = commands.group("data", "texts: which there are, and how they come here")
    data.add("list", data_list, "the catalogue: kind, size, licence, use")
    fetch = data.add("fetch", data_fetch, "bring sources here, checked, with licence")
    fetch.add_argument("names", nargs="+", metavar="NAME")
    build = data.add("build", data_build, "clean, drop repeats, split, tokenize")
    build.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="sources that are fetched, or sample; "
        f"default: {' '.join(DEFAULT)}, unless --text is given",
    )
    build.add_argument(
        "--text",
        action="append",
        default=[],
        metavar="PATH",
        help="texts of your own: "
        "a file, a folder of .txt, .md and .jsonl, or - (standard input)",
    )
    build.add_argument("--out", required=True, metavar="FOLDER")
    build.add_argument("--tokenizer", metavar="NAME", help="gpt2, cl100k, o200k or a "
                       "file; default: a BPE is learned")  # fmt: skip
    build.add_argument(
        "--weight",
        action="append",
        default=[],
        metavar="NAME=X",
        help="how often training draws from a source; default: as it is large",
    )
    add_defaults(build, CorpusConfig)
