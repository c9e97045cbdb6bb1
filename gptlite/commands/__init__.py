"""What a command line is made of: commands, and groups of commands."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

Run = Callable[[argparse.Namespace], dict[str, Any]]


class Commands:
    """The sub-commands of a parser."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._parsers = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(self, name: str, run: Run, text: str) -> argparse.ArgumentParser:
        """A command that calls `run` with what was given; `text` is its help."""
        added = self._parsers.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        added.add_argument(
            "--json", action="store_true", help="print one JSON object, last"
        )
        return added

    def group(self, name: str, text: str) -> Commands:
        """A command that has commands of its own."""
        return Commands(self._parsers.add_parser(name, help=text, description=text))
