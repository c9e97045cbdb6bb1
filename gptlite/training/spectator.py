"""The run of a worker that is not the first: it reads what that one writes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from gptlite.training.run import Run


class Spectator(Run):
    """A run that writes nothing and says nothing."""

    silent = True

    def __init__(self, folder: str | Path) -> None:
        super().__init__(folder)
        self.metrics_file = Path(os.devnull)

    def set_aside(self) -> None:
        return None

    def clear(self) -> None:
        pass

    def write_config(self, *args: Any, **more: Any) -> None:
        pass

    def describe(self, *args: Any, **more: Any) -> None:
        pass

    def save_state(self, *args: Any, **more: Any) -> None:
        pass

    def add_sample(self, step: int, text: str) -> None:
        pass

    def keep_metrics_until(self, step: int) -> None:
        pass

    def keep_samples_until(self, step: int) -> None:
        pass
