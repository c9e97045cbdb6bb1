"""Checkpoints: safetensors files that are either whole or not there.

A file is written under another name, flushed to the disk and then renamed: whoever
is killed in between leaves the earlier checkpoint as it was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from gptlite import files
from gptlite.arena import Arena
from gptlite.config import GPTConfig
from gptlite.errors import CheckpointError, ConfigError
from gptlite.models.gpt import GPT

READABLE = ("F32", "F64", "F16")


def save(
    path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any]
) -> None:
    """Write tensors and metadata (stored as JSON strings), atomically."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(".tmp*"):  # safetensors' own, after a kill
            left.unlink()
        texts = {name: json.dumps(value) for name, value in metadata.items()}
        temporary.touch()
        mode = temporary.stat().st_mode  # as the umask says; safetensors': 0600
        save_file(dict(tensors), temporary, texts)
        temporary.chmod(mode)
        files.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        files.remove(temporary)
        raise CheckpointError(
            f"cannot write the checkpoint {path}: {error}; choose another --out or "
            "free some space (earlier checkpoints are untouched)"
        ) from error


def metadata(path: Path) -> dict[str, Any]:
    """The metadata of a checkpoint."""
    try:
        with safe_open(path, framework="numpy") as file:
            texts = file.metadata() or {}
        return {name: json.loads(text) for name, text in texts.items()}
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(
            f"cannot read the checkpoint {path}: {error}; it is missing, cut short, "
            "or not a gptlite safetensors file"
        ) from error


def load_into(path: Path, wanted: Mapping[str, np.ndarray]) -> None:
    """Fill the arrays `wanted` with the tensors of these names.

    Names and shapes are compared before anything is read.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            there = set(file.keys())
            for name, array in wanted.items():
                if name not in there:
                    raise CheckpointError(
                        f"wanted the tensor {name} in {path}, got only "
                        f"{', '.join(sorted(there)[:5])} …; it is another model's file"
                    )
                part = file.get_slice(name)
                if part.get_dtype() not in READABLE:
                    raise CheckpointError(
                        f"wanted {name} in {', '.join(READABLE)}, got "
                        f"{part.get_dtype()} in {path}; convert the file first"
                    )
                shape = tuple(part.get_shape())
                if shape != array.shape:
                    raise CheckpointError(
                        f"wanted {name} of shape {array.shape}, got {shape} in {path}; "
                        "the configuration or vocabulary is another one"
                    )
            for name, array in wanted.items():
                array[...] = file.get_tensor(name)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot read the checkpoint {path}: {error}") from error


def model_tensors(params: Arena) -> dict[str, np.ndarray]:
    """The parameters by name, as they are stored."""
    return dict(params.tensors())


def load_model(path: Path) -> GPT:
    """The model stored in a checkpoint; its shape comes from the metadata."""
    described = metadata(path).get("model")
    if not isinstance(described, dict):
        raise CheckpointError(
            f"wanted a gptlite checkpoint, got {path} without a model description; "
            "it was written by another program"
        )
    try:
        config = GPTConfig(**described)
    except (TypeError, ConfigError) as error:
        raise CheckpointError(f"{path} describes no possible model: {error}") from error
    _check_size(path, config)
    model = GPT(config)
    load_into(path, model_tensors(model.params))
    return model


def _check_size(path: Path, config: GPTConfig) -> None:
    """Refuse a description larger than the file, before memory is taken for it."""
    C, V, L = config.n_embd, config.vocab_size, config.n_layer
    # bytes, of two for each number: a file may hold float16
    least = 2 * (V * C + config.context_length * C + 12 * L * C * C)
    if path.stat().st_size < least:
        raise CheckpointError(
            f"wanted at least {least:,} bytes for the model that {path} describes, "
            f"got {path.stat().st_size:,}; the file is damaged"
        )
