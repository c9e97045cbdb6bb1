"""Room for one worker to run a model in."""

from __future__ import annotations

import numpy as np

from gptlite.arena import Arena
from gptlite.models.gpt import GPT


class Workspace:
    """What one worker needs to run a model: gradients, and room for activations.

    One buffer serves the largest batch; the views on it are kept per (B, T). grads:
    `None` for zeros like the parameters; or what stands for them.
    """

    def __init__(self, model: GPT, grads: Arena | None = None) -> None:
        self.model = model
        self.grads = model.params.like() if grads is None else grads
        self._buffer = np.zeros(0, model.params.flat.dtype)
        self._views: dict[tuple[int, int, bool], Arena] = {}

    def activations(self, B: int, T: int, for_backward: bool = True) -> Arena:
        key = (B, T, for_backward)
        if key not in self._views:
            blocks = self.model.activation_blocks(B, T, for_backward)
            size = sum(block.size for block in blocks)
            if size > self._buffer.size:
                self._buffer = np.empty(size, self._buffer.dtype)
                self._views.clear()
            self._views[key] = Arena(blocks, buffer=self._buffer)
        return self._views[key]
