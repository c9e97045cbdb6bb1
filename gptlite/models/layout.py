"""Which tensors a GPT-2 has, in which order, and the views that its operations take."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from gptlite.arena import Arena, Block
from gptlite.config import GPTConfig
from gptlite.errors import DataError


def parameter_blocks(config: GPTConfig) -> list[Block]:
    """Matrices before vectors (weight decay is a prefix), layer after layer."""
    L, C, V = config.n_layer, config.n_embd, config.vocab_size

    def bias(size: int) -> tuple[int] | None:
        return (size,) if config.bias else None

    return [
        Block(
            {
                "token_embedding": (V, C),
                "position_embedding": (config.context_length, C),
            }
        ),
        Block(
            {
                "qkv_weight": (C, 3 * C),
                "attn_proj_weight": (C, C),
                "fc_weight": (C, 4 * C),
                "mlp_proj_weight": (4 * C, C),
            },
            repeat=L,
        ),
        Block(
            {
                "norm1_weight": (C,),
                "norm1_bias": bias(C),
                "qkv_bias": bias(3 * C),
                "attn_proj_bias": bias(C),
                "norm2_weight": (C,),
                "norm2_bias": bias(C),
                "fc_bias": bias(4 * C),
                "mlp_proj_bias": bias(C),
            },
            repeat=L,
        ),
        Block({"final_norm_weight": (C,), "final_norm_bias": bias(C)}),
    ]


# The loss is computed by blocks of rows, with about so many logits at a time: few
# enough for the last cache, and enough rows for products to be fast.
LOGITS, LEAST_ROWS = 2**20, 256


def rows_of_logits(config: GPTConfig) -> int:
    """How many rows of logits are computed at a time, at most."""
    return max(LEAST_ROWS, LOGITS // config.vocab_size)


def activation_blocks(
    config: GPTConfig, B: int, T: int, for_backward: bool
) -> list[Block]:
    """What forward writes; with `for_backward` kept for each layer, else shared.

    Only with `for_backward` is there room for losses and gradients.
    """
    L, H, C, V = config.n_layer, config.n_head, config.n_embd, config.vocab_size
    layer = {
        "norm1": (B, T, C), "mean1": (B, T), "rstd1": (B, T),
        "qkv": (B, T, 3 * C), "lse": (B, H, T), "att": (B, T, C),
        "residual_mid": (B, T, C),
        "norm2": (B, T, C), "mean2": (B, T), "rstd2": (B, T),
        "fc": (B, T, 4 * C), "gelu": (B, T, 4 * C),
        "residual_out": (B, T, C),
    }  # fmt: skip
    whole = {
        "embedded": (B, T, C),
        "final_norm": (B, T, C), "final_mean": (B, T), "final_rstd": (B, T),
    }  # fmt: skip
    training = {
        "losses": (B, T), "logits": (min(B * T, rows_of_logits(config)), V),
        "dresidual": (B, T, C), "dnorm": (B, T, C), "datt": (B, T, C),
        "dqkv": (B, T, 3 * C), "dfc": (B, T, 4 * C),
    }  # fmt: skip
    return [
        Block(layer, repeat=L, shared=not for_backward),
        Block(whole),
        Block(training if for_backward else {}),
    ]


class FirstRows:
    """Activations for n tokens that need not be whole rows: of each tensor (B, T, …)
    of an arena, the first n rows, seen as (1, n, …)."""

    def __init__(self, a: Any, n: int) -> None:
        self._a, self._n = a, n

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._a, name)
        if name == "layers":
            return [FirstRows(layer, self._n) for layer in found]
        return found.reshape(1, -1, *found.shape[2:])[:, : self._n]


Activations = Arena | FirstRows


def picked(x: np.ndarray, where: np.ndarray) -> np.ndarray:
    """(1, n, C): the rows of x (B, T, C) at the flat positions where (n,)."""
    return rows(x)[None, where]


def put_back(x: np.ndarray, where: np.ndarray) -> None:
    """The first n rows of x (B, T, C) move to the flat positions where (n,); the others
    become 0."""
    first = rows(x)[: len(where)].copy()
    x.fill(0)
    rows(x)[where] = first


def norm_before(w: Arena, a: Activations, l: int) -> SimpleNamespace:
    """Tensors of the norm before layer `l`; after the last layer the final one.

    `w` holds the parameters, or their gradients: the layout is the same.
    """
    if l == len(w.layers):
        return SimpleNamespace(
            weight=w.final_norm_weight, bias=w.final_norm_bias,
            out=a.final_norm, mean=a.final_mean, rstd=a.final_rstd,
        )  # fmt: skip
    layer, act = w.layers[l], a.layers[l]
    return SimpleNamespace(
        weight=layer.norm1_weight, bias=layer.norm1_bias,
        out=act.norm1, mean=act.mean1, rstd=act.rstd1,
    )  # fmt: skip


def matrix(w: Any, l: int, name: str) -> tuple[Any, Any]:
    """(weight, bias) of layer `l`'s matrix `name`, such as "qkv", in an arena or in
    packed weights; `None` for what is not there."""
    layer = w.layers[l]
    return getattr(layer, f"{name}_weight"), getattr(layer, f"{name}_bias")


def heads(x: np.ndarray, n_head: int) -> np.ndarray:
    """(B, T, C) seen as (B, T, H, D): a view, through which backward also writes."""
    B, T, C = x.shape
    return x.reshape(B, T, n_head, C // n_head)


def thirds(qkv: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(B, T, 3C) seen as three (B, T, C): queries, keys and values."""
    C = qkv.shape[-1] // 3
    return qkv[..., :C], qkv[..., C : 2 * C], qkv[..., 2 * C :]


def rows(x: np.ndarray) -> np.ndarray:
    """(B, T, C) seen as (B·T, C), a view."""
    return x.reshape(-1, x.shape[-1])


def positions_of(
    ids: np.ndarray,
    offsets: np.ndarray | None = None,
    segments: np.ndarray | None = None,
) -> np.ndarray:
    """(B, T) int64: offsets[b] + t, or just t; each segment of a row begins at 0.

    >>> positions_of(np.zeros((1, 5)), segments=np.array([[7, 7, 7, 8, 8]])).tolist()
    [[0, 1, 2, 0, 1]]
    """
    t = np.arange(ids.shape[1])
    if segments is not None:
        begins = np.ones(segments.shape, bool)
        begins[:, 1:] = segments[:, 1:] != segments[:, :-1]
        return t - np.maximum.accumulate(np.where(begins, t, 0), axis=1)
    start = np.zeros(len(ids), np.int64) if offsets is None else offsets
    return start[:, None] + t


def check_index(index: np.ndarray, end: int, what: str, hint: str) -> None:
    """Kernels do not look: an index outside its table would read foreign memory."""
    if index.size and not 0 <= index.min() <= index.max() < end:
        raise DataError(
            f"wanted {what} in 0 … {end - 1}, got {index.min()} … {index.max()}; {hint}"
        )
