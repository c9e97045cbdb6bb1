"""The tasks by name; each is loaded when it is first asked for."""

from __future__ import annotations

import importlib

from gptlite.errors import ConfigError
from gptlite.tasks.task import Task

# name: module and class
TASKS = {
    "facts": ("facts", "Facts"),
    "chat": ("chat", "Chat"),
    "summary": ("summary", "Summary"),
    "translate": ("translate", "Translate"),
    "numbers": ("numbers", "Numbers"),
    "code": ("code", "Code"),
    "rewrite": ("rewrite", "Rewrite"),
}


def load_task(name: str) -> Task:
    """The task called `name`."""
    if name not in TASKS:
        raise ConfigError(f"wanted a task among {', '.join(TASKS)}, got {name!r}")
    module, kind = TASKS[name]
    task: Task = getattr(importlib.import_module(f"gptlite.tasks.{module}"), kind)()
    return task
