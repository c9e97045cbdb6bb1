"""What a command line is made of: commands, and groups of commands."""

from __future__ import annotations

import argparse
import dataclasses
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


def whole(text: str) -> int:
    """A flag's value: a whole number, not below 0."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"wanted a number ≥ 0, got {value}")
    return value


def positive(text: str) -> int:
    """A flag's value: a whole number, at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"wanted a number ≥ 1, got {value}")
    return value


def add_defaults(
    parser: argparse.ArgumentParser, kind: type, but: tuple[str, ...] = ()
) -> None:
    """A flag for every field of a dataclass but some, with the field's default."""
    types = {"int": (int, "N"), "float": (float, "X"), "str": (str, "NAME")}
    for field in dataclasses.fields(kind):
        if field.name in but:
            continue
        flag = "--" + field.name.replace("_", "-")
        how: dict[str, Any] = {"default": field.default}
        if field.type == "bool":
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, **how)
            continue
        to_type, metavar = types[str(field.type)]
        text = "default: %(default)s" if field.default != "" else None
        parser.add_argument(flag, type=to_type, metavar=metavar, help=text, **how)


def given(args: argparse.Namespace, kind: type) -> Any:
    """The dataclass that the flags of `add_defaults` describe."""
    names = [f.name for f in dataclasses.fields(kind) if hasattr(args, f.name)]
    return kind(**{name: getattr(args, name) for name in names})
