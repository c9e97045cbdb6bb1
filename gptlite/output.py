"""How a command's result is printed: for people, or as one JSON object."""

from __future__ import annotations

import json
from typing import Any


def print_table(rows: list[dict[str, Any]]) -> None:
    """Aligned columns, one for each name that occurs; empty where a row has none."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names, *([str(row.get(name, "")) for name in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = zip(line, widths, strict=True)
        print("  " + "  ".join(f"{cell:<{width}}" for cell, width in cells).rstrip())


def print_result(result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        known = {k: None if v != v else v for k, v in result.items()}  # NaN: no JSON
        print(json.dumps(known, allow_nan=False))
        return
    width = max(map(len, result), default=0)
    for name, value in result.items():
        if isinstance(value, list):
            print_table(value)
        else:
            print(f"{name:<{width}}  {value}")
