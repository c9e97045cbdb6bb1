"""RUN/rounds.jsonl: what happened in each round of a policy's training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gptlite import files
from gptlite.errors import CheckpointError

Rows = list[dict[str, Any]]


def write_rounds(run: str | Path, rounds: Rows) -> None:
    """RUN/rounds.jsonl."""
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rounds)
    files.write_text(Path(run) / "rounds.jsonl", "".join(lines))


def read_rounds(run: str | Path) -> Rows:
    """What happened in each round of a policy's run, from rounds.jsonl."""
    path, rows = Path(run) / "rounds.jsonl", Rows()
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict) or not isinstance(row.get("steps"), int):
            raise CheckpointError(
                f"wanted a round as JSON in line {number} of {path}, got "
                f"{line[:40]!r}; the file is damaged: take it from a copy, or start a "
                "new run"
            )
        rows.append(row)
    return rows
