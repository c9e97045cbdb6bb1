"""One more output for a GPT: a number for each token, such as a reward or a value.

The head is a vector and a bias, read off the last norm's output:

    score = final_norm · head + head_bias          (N, C) · (C,) → (N,)
"""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np

from gptlite.arena import Arena, Block
from gptlite.errors import ConfigError
from gptlite.models import checkpoint
from gptlite.models.gpt import GPT


def with_head(model: GPT) -> GPT:
    """The same kind of model with a head, which begins at 0, in the same arena.

    The weights are copied; of a LoRA, its adapter is, and the base stays shared.

    >>> from gptlite.config import GPTConfig
    >>> model = GPT(GPTConfig(n_layer=1, n_head=2, n_embd=8, vocab_size=5))
    >>> with_head(model).n_params - model.n_params  # 8 + 1
    9
    """
    if has_head(model):
        raise ConfigError("wanted a model without a head, got one that has it")
    C = model.config.n_embd
    other = copy.copy(model)
    blocks = [*model.params.blocks, Block({"head": (C,), "head_bias": (1,)})]
    other.params = Arena(blocks, model.params.flat.dtype)
    other.params.flat[: model.n_params] = model.params.flat
    return other


def has_head(model: GPT) -> bool:
    return "head" in dict(model.params.tensors())


def load_head(path: Path, model: GPT) -> GPT:
    """The model with the head that a checkpoint has besides its weights."""
    other = with_head(model)
    found = {name: other.params[name] for name in ("head", "head_bias")}
    checkpoint.load_into(path, found)
    return other


def head_forward(params: Arena, hidden: np.ndarray) -> np.ndarray:
    """(N,) from the last norm's output hidden (N, C)."""
    return hidden @ params["head"] + params["head_bias"]


def head_backward(
    dhidden: np.ndarray, g: Arena, dscores: np.ndarray, hidden: np.ndarray,
    params: Arena,
) -> None:  # fmt: skip
    """Adds into dhidden (N, C) and into the head's gradients; dscores: (N,)."""
    dhidden += dscores[:, None] * params["head"]
    g["head"][...] += dscores @ hidden
    g["head_bias"][...] += dscores.sum()
