"""What is kept from training: phrasings, combinations and items of the tasks' tests.

The files lie beside this one, NAME.json for a task. Training runs `with sealed():`,
and then they cannot be read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from typing import Any

from gptlite.errors import DataError

_sealed = False


@contextmanager
def sealed() -> Iterator[None]:
    """For as long as it lasts, nothing that is held out can be read."""
    global _sealed  # of the process: threads that train must not read it either
    before, _sealed = _sealed, True
    try:
        yield
    finally:
        _sealed = before


def held_out(task: str) -> Any:
    """What is held out for a task, as its file has it."""
    if _sealed:
        raise DataError(
            f"wanted the held-out part of {task!r} while training, which may not see "
            "it; draw() must do without"
        )
    text = (resources.files(__name__) / f"{task}.json").read_text(encoding="utf-8")
    return json.loads(text)
