"""LoRA (Hu et al. 2021, arXiv:2106.09685): a frozen GPT, and thin matrices that learn.

A chosen matrix W of each layer becomes W + s·A·B, with A (C_in, r), B (r, C_out) and
s = alpha / r. Only A and B have gradients and moments, and only they are saved.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gptlite.arena import Arena, Block
from gptlite.errors import CheckpointError, ConfigError
from gptlite.models import checkpoint
from gptlite.models.gpt import GPT
from gptlite.models.layout import Activations, matrix, parameter_blocks
from gptlite.models.weights import PackedWeights, ReadWeights

MATRICES = ("qkv", "attn_proj", "fc", "mlp_proj")


def adapter_blocks(base: GPT, rank: int, matrices: Sequence[str]) -> list[Block]:
    """A and B of each chosen matrix; the base's own tensors are there as absent ones.

    So an arena of gradients answers `None` for what is frozen, and no operation
    computes it.
    """
    layer: dict[str, tuple[int, ...] | None] = {}
    for name in matrices:
        C_in, C_out = matrix(base.params, 0, name)[0].shape
        layer |= {f"{name}_a": (C_in, rank), f"{name}_b": (rank, C_out)}
    frozen = [
        Block(dict.fromkeys(block.shapes), block.repeat)
        for block in parameter_blocks(base.config)
    ]
    return [*frozen, Block(layer, repeat=base.config.n_layer)]


class LoRA(GPT):
    """The model `base` with an adapter; used and trained like a GPT.

    `params` are the adapter's alone. The base is shared, never copied, never written.

    >>> from gptlite.config import GPTConfig
    >>> base = GPT(GPTConfig(n_layer=1, n_head=2, n_embd=8, vocab_size=5))
    >>> model = LoRA(base, rank=2, matrices=["qkv"])
    >>> model.n_params  # 8 · 2 + 2 · 24
    64
    >>> ids = np.array([[0, 1, 2]])
    >>> bool((model.logits(ids) == base.logits(ids)).all())  # as B begins at 0
    True
    """

    def __init__(
        self,
        base: GPT,
        rank: int = 8,
        alpha: float = 16.0,
        matrices: Sequence[str] = MATRICES,
        *,
        rng: np.random.Generator | None = None,
    ) -> None:
        _check(base, rank, alpha, matrices)
        self._base, self.config, self.ops = base, base.config, base.ops
        self.rank, self.alpha, self.scale = rank, float(alpha), alpha / rank
        self.matrices = tuple(name for name in MATRICES if name in matrices)
        blocks = adapter_blocks(base, rank, self.matrices)
        self.params = Arena(blocks, base.params.flat.dtype)
        self.decay_end = self.n_params  # all are matrices; at 0 it is the base again
        self.initialise(np.random.default_rng(0) if rng is None else rng)

    @property
    def base(self) -> GPT:
        return self._base

    def described(self) -> dict[str, Any]:
        """What belongs to A and B in a file: their base, by shape and weights."""
        return {
            "base": dataclasses.asdict(self.config),
            "base_sha256": fingerprint(self.base),
            "lora": {
                "rank": self.rank, "alpha": self.alpha, "matrices": self.matrices,
            },
        }  # fmt: skip

    @property
    def hidden_matrices(self) -> list[str]:
        """Names of the adapter's matrices, all of them (those that Muon takes)."""
        return [n for n, _ in self.params.tensors() if n.startswith("layers.")]

    def initialise(self, rng: np.random.Generator) -> None:
        """A: normal(0, 1/√C_in), so that x·A is about as large as x. B: 0."""
        for name, tensor in self.params.tensors():
            tensor[...] = 0
            if name.endswith("_a"):
                tensor[...] = rng.normal(0, 1 / math.sqrt(len(tensor)), tensor.shape)

    def activation_blocks(self, B: int, T: int, for_backward: bool) -> list[Block]:
        low = {f"{name}_low": (B, T, self.rank) for name in self.matrices}
        L = self.config.n_layer
        return [
            *super().activation_blocks(B, T, for_backward),
            Block(low, repeat=L, shared=not for_backward),
        ]

    def clear(self, g: Arena) -> None:
        """Gradients of nothing."""
        g.flat.fill(0)

    def linear(
        self, w: Arena | ReadWeights, a: Activations, l: int, name: str,
        out: np.ndarray, inp: np.ndarray, residual: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        """The base's layer, then `+ s · (inp @ A) @ B`."""
        super().linear(w, a, l, name, out, inp, residual)
        if name in self.matrices:
            A, B = self._pair(self.params, l, name)
            low = getattr(a.layers[l], f"{name}_low")
            self.ops.lora_forward(out, low, inp, A, B, self.scale)

    def linear_back(
        self, w: Arena | PackedWeights, g: Arena, a: Activations, l: int, name: str,
        dinp: np.ndarray, dout: np.ndarray, inp: np.ndarray,
    ) -> None:  # fmt: skip
        """Overwrites dinp; adds into the gradients of A and B."""
        super().linear_back(w, g, a, l, name, dinp, dout, inp)
        if name in self.matrices:
            A, B = self._pair(self.params, l, name)
            dA, dB = self._pair(g, l, name)
            low = getattr(a.layers[l], f"{name}_low")  # its gradient takes its place
            self.ops.lora_backward(
                dinp, dA, dB, low, dout, low, inp, A, B, self.scale
            )  # fmt: skip

    def _pair(self, w: Arena, l: int, name: str) -> tuple[np.ndarray, np.ndarray]:
        layer = w.layers[l]
        return getattr(layer, f"{name}_a"), getattr(layer, f"{name}_b")

    def merge(self) -> GPT:
        """A plain GPT of its own whose weights are W + s·A·B; the base stays as it is.

        It computes the same up to rounding, without the adapter's products.
        """
        merged = copy.copy(self.base)
        merged.params = self.base.params.copy()
        for l in range(self.config.n_layer):
            for name in self.matrices:
                A, B = self._pair(self.params, l, name)
                weight, _ = matrix(merged.params, l, name)
                self.ops.matmul(weight, self.scale * A, B, accumulate=True)
        return merged

    def unmerge(self, merged: GPT) -> None:
        """Make a merged model the base again, to the last bit.

        The base's matrices are copied back. To subtract s·A·B instead would leave
        the rounding of the sum behind.
        """
        if merged.config != self.config:
            raise ConfigError(
                f"wanted a model merged from {self.config}, got {merged.config}; "
                "unmerge with the adapter that it was merged with"
            )
        for l in range(self.config.n_layer):
            for name in self.matrices:
                weight, _ = matrix(merged.params, l, name)
                weight[...] = matrix(self.base.params, l, name)[0]


def _check(base: GPT, rank: int, alpha: float, matrices: Sequence[str]) -> None:
    if base.base is not base:
        raise ConfigError(
            "wanted a plain GPT under an adapter, got one with an adapter; merge() it"
        )
    C = base.config.n_embd
    if not isinstance(rank, int) or not 1 <= rank <= C:
        raise ConfigError(
            f"wanted a whole rank in 1 … {C} (n_embd), got {rank!r}; 8 is common"
        )
    if not isinstance(alpha, (int, float)) or not 0 < alpha < math.inf:
        raise ConfigError(f"wanted a finite alpha > 0, got {alpha!r}; try 2 · rank")
    unknown = sorted(set(matrices) - set(MATRICES))
    if unknown or not matrices or isinstance(matrices, str):
        raise ConfigError(
            f"wanted a list of matrices among {MATRICES}, got {matrices!r}; "
            "leave it out for all four"
        )


def fingerprint(model: GPT) -> str:
    """SHA-256 of the weights as float32, by which an adapter knows its base."""
    return hashlib.sha256(model.params.flat.astype("<f4", copy=False).data).hexdigest()


def save_adapter(model: LoRA, path: str | Path) -> None:
    """Write A and B alone, and what they belong to, as a safetensors file."""
    tensors = checkpoint.model_tensors(model.params)
    checkpoint.save(Path(path), tensors, model.described())


def load_adapter(path: str | Path, base: GPT) -> LoRA:
    """`base` with the adapter in `path`, which must have been trained on it."""
    path = Path(path)
    found = checkpoint.metadata(path)
    lora: Any = found.get("lora")
    if not isinstance(lora, dict):
        raise CheckpointError(
            f"wanted a LoRA adapter, got {path} without a description of one; "
            "`save_adapter` writes it"
        )
    ours = dataclasses.asdict(base.config)
    if found.get("base") != ours:
        raise CheckpointError(
            f"wanted an adapter for a model of the shape {ours}, got one for "
            f"{found.get('base')} in {path}; load the base that it was trained on"
        )
    if found.get("base_sha256") != fingerprint(base):
        raise CheckpointError(
            f"wanted an adapter trained on this model, got {path}, trained on one of "
            "the same shape with other weights; load the base that it was trained on"
        )
    try:
        model = LoRA(base, lora["rank"], lora["alpha"], lora["matrices"])
    except (KeyError, TypeError, ConfigError) as error:
        raise CheckpointError(f"{path} describes no adapter: {error!r}") from error
    checkpoint.load_into(path, checkpoint.model_tensors(model.params))
    return model
