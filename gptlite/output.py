"""How a command's result is printed: for people, or as one JSON object."""

from __future__ import annotations

import itertools
import json
import textwrap
from typing import Any

SHORT = 6  # characters of a number that is shown as it is
WIDEST = 40  # characters of a column; longer cells go on in the next line


def print_table(rows: list[dict[str, Any]]) -> None:
    """Aligned columns, one for each name that occurs; empty where a row has none."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = [names, *([str(row.get(name, "")) for name in names] for row in rows)]
    wrapped = [[textwrap.wrap(cell, WIDEST) or [""] for cell in row] for row in table]
    widths = [
        max(len(line) for cell in column for line in cell)
        for column in zip(*wrapped, strict=True)
    ]
    for row in wrapped:
        for line in itertools.zip_longest(*row, fillvalue=""):
            cells = zip(line, widths, strict=True)
            print("  " + "  ".join(f"{cell:<{w}}" for cell, w in cells).rstrip())


def print_result(result: dict[str, Any], as_json: bool) -> None:
    if as_json and result:
        known = {k: None if v != v else v for k, v in result.items()}  # NaN: no JSON
        print(json.dumps(known, allow_nan=False))
        return
    width = max(map(len, result), default=0)
    for name, value in result.items():
        if isinstance(value, list) and all(isinstance(row, dict) for row in value):
            print_table([{k: shown(v) for k, v in row.items()} for row in value])
        else:
            print(f"{name:<{width}}  {shown(value)}")


def shown(value: Any) -> str:
    """A value as a reader wants it: long numbers to four digits that say something.

    >>> shown(0.0123456), shown(12345.67), shown([1.0, 1 / 3])
    ('0.01235', '12,346', '1.0 … 0.3333')
    """
    if isinstance(value, list):
        return " … ".join(shown(v) for v in value)
    text = str(value)
    if isinstance(value, float) and len(text) > SHORT:
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    return text
