"""`gptlite data …`: which texts there are, and how they come here."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from gptlite.commands import Commands


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
    from tqdm import tqdm

    from gptlite.data.fetch import fetch
    from gptlite.data.sources import source

    wanted = [source(name) for name in args.names]  # an unknown name: before any fetch
    folders = {}
    hidden = not sys.stderr.isatty()
    with tqdm(wanted, unit="source", disable=hidden, dynamic_ncols=True) as bar:
        for found in bar:
            bar.set_description(f"{found.name} ({found.megabytes:g} MB)")
            folders[found.name] = str(fetch(found))
    return folders


def add(commands: Commands) -> None:
    """Enter these commands."""
    data = commands.group("data", "texts: which there are, and how they come here")
    data.add("list", data_list, "the catalogue: kind, size, licence, use")
    fetch = data.add("fetch", data_fetch, "bring sources here, checked, with licence")
    fetch.add_argument("names", nargs="+", metavar="NAME")
