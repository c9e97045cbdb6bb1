"""GPT-2 (Radford et al. 2019): forward and backward, operation by operation.

Nothing is hidden: parameters, gradients and activations are arenas that the caller
holds, so that one model can be run by many workers, or several models by one.
The order of the backward is the order of the forward, read from the bottom up.
"""

from __future__ import annotations

import dataclasses
import math
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from gptlite.arena import Arena, Block
from gptlite.batch import Batch, Rows
from gptlite.config import GPTConfig
from gptlite.errors import DataError
from gptlite.models.cache import KVCache
from gptlite.models.layout import (
    Activations,
    FirstRows,
    activation_blocks,
    check_index,
    heads,
    matrix,
    norm_before,
    parameter_blocks,
    picked,
    positions_of,
    put_back,
    rows,
    thirds,
)
from gptlite.ops import kernels

if TYPE_CHECKING:
    from gptlite.models.weights import PackedWeights, ReadWeights


class GPT:
    """A GPT-2 with its parameters; `ops` is the backend, a module of operations.

    >>> from gptlite.config import GPTConfig
    >>> model = GPT(GPTConfig(n_layer=1, n_head=2, n_embd=8, vocab_size=5))
    >>> model.n_params
    1344
    >>> model.logits(np.array([[0, 1, 2]])).shape
    (1, 3, 5)
    """

    def __init__(
        self,
        config: GPTConfig,
        *,
        ops: ModuleType = kernels,
        dtype: np.typing.DTypeLike = np.float32,
        rng: np.random.Generator | None = None,
    ) -> None:
        self.config, self.ops = config, ops
        self.params = Arena(parameter_blocks(config), dtype)
        # weight decay applies to the matrices, which are the first two blocks
        self.decay_end = sum(block.size for block in self.params.blocks[:2])
        self.initialise(np.random.default_rng(0) if rng is None else rng)

    @property
    def base(self) -> GPT:
        """The model whose weights are read; where all are frozen, not itself."""
        return self

    def described(self) -> dict[str, Any]:
        """What a file with the parameters says of them, to load them again."""
        return {"model": dataclasses.asdict(self.config)}

    @property
    def n_params(self) -> int:
        return self.params.flat.size

    @property
    def hidden_matrices(self) -> list[str]:
        """Names of the weight matrices inside the layers (those that Muon takes)."""
        short = self.params.blocks[1].shapes
        return [f"layers.{l}.{n}" for l in range(self.config.n_layer) for n in short]

    def initialise(self, rng: np.random.Generator) -> None:
        """GPT-2's start: normal(0, 0.02), norms at 1, biases at 0.

        The two projections into the residual stream start smaller by √(2L), so that
        its variance does not grow with the depth.
        """
        self.params.flat.fill(0)
        for name, tensor in self.params.tensors():
            if "norm" in name and name.endswith("_weight"):
                tensor.fill(1)
            elif tensor.ndim == 2:
                tensor[...] = rng.normal(0, 0.02, tensor.shape)
            if name.endswith("proj_weight"):
                tensor /= math.sqrt(2 * self.config.n_layer)

    def clear(self, g: Arena) -> None:
        """Gradients of nothing, but for the matrices inside the layers, which are most
        of them: the next `backward` overwrites those, and any after it adds."""
        first, matrices = (block.size for block in g.blocks[:2])
        g.flat[:first], g.flat[first + matrices :] = 0, 0
        g.adds = False

    def hidden(
        self, a: Activations, ids: np.ndarray, offsets: np.ndarray | None = None,
        segments: np.ndarray | None = None, cache: KVCache | None = None,
        weights: ReadWeights | None = None, where: np.ndarray | None = None,
    ) -> np.ndarray:  # fmt: skip
        """Run the layers on ids (B, T); returns the last norm's output, (B·T, C).

        offsets: (B,), the position of the first token of each row (`None`: 0).
        With a cache, keys and values are stored there and attention reads it all.
        weights: the parameters as products read them (`None`: as they are).
        where: (n,) flat positions, if nobody looks at others: then the result is
        (n, C), and the last layer, once its attention is done, computes no other.
        """
        ops, n_head, L = self.ops, self.config.n_head, self.config.n_layer
        w, tables = weights or self.base.params, self.base.params
        positions = positions_of(ids, offsets, segments)
        check_index(ids, self.config.vocab_size, "token ids", "wrong tokenizer?")
        check_index(positions, self.config.context_length, "positions", "cut the text")
        x = a.embedded
        ops.embedding_forward(
            x, ids, positions, tables.token_embedding, tables.position_embedding
        )
        for l, par in enumerate(w.layers):
            act = a.layers[l]
            self._norm_forward(a, l, x)
            self.linear(w, a, l, "qkv", act.qkv, act.norm1)
            q, k, v = (heads(part, n_head) for part in thirds(act.qkv))
            if cache is not None:
                k, v = cache.append(l, k, v, positions)
            ops.attention_forward(
                heads(act.att, n_head), act.lse, q, k, v, offsets, segments, segments
            )
            att = act.att
            if where is not None and l == L - 1:
                att, x = picked(att, where), picked(x, where)
                a = FirstRows(a, len(where))
                act = a.layers[l]
            self.linear(w, a, l, "attn_proj", act.residual_mid, att, residual=x)
            ops.layernorm_forward(
                act.norm2, act.mean2, act.rstd2,
                act.residual_mid, par.norm2_weight, par.norm2_bias,
            )  # fmt: skip
            self.linear(w, a, l, "fc", act.fc, act.norm2)
            ops.gelu_forward(act.gelu, act.fc)
            self.linear(
                w, a, l, "mlp_proj", act.residual_out, act.gelu,
                residual=act.residual_mid,
            )  # fmt: skip
            x = act.residual_out
        self._norm_forward(a, L, x)
        return rows(a.final_norm)

    def backward(
        self, g: Arena, a: Activations, batch: Rows,
        weights: PackedWeights | None = None, where: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        """Add into the gradients `g`, the first time after `clear` overwriting what it
        left; `a.dnorm` begins with the gradient of what `hidden` returned, with the
        same `where`."""
        ops, n_head, whole = self.ops, self.config.n_head, a
        w = weights or self.base.params
        if where is not None:
            a = FirstRows(a, len(where))
        a.dresidual.fill(0)
        for l in reversed(range(self.config.n_layer)):
            act, par, grad = a.layers[l], w.layers[l], g.layers[l]
            self._norm_backward(g, a, l + 1, act.residual_out)
            self.linear_back(w, g, a, l, "mlp_proj", a.dfc, a.dresidual, act.gelu)
            ops.gelu_backward(a.dfc, a.dfc, act.fc)
            self.linear_back(w, g, a, l, "fc", a.dnorm, a.dfc, act.norm2)
            ops.layernorm_backward(
                a.dresidual, grad.norm2_weight, grad.norm2_bias,
                a.dnorm, act.residual_mid, par.norm2_weight, act.mean2, act.rstd2,
            )  # fmt: skip
            act = whole.layers[l]
            att = act.att if where is None else picked(act.att, where)
            self.linear_back(w, g, a, l, "attn_proj", a.datt, a.dresidual, att)
            if where is not None:  # attention, and what was before, is of all tokens
                put_back(whole.datt, where)
                put_back(whole.dresidual, where)
                a, where = whole, None
            q, k, v = (heads(part, n_head) for part in thirds(act.qkv))
            dq, dk, dv = (heads(part, n_head) for part in thirds(a.dqkv))
            ops.attention_backward(
                dq, dk, dv, heads(a.datt, n_head), heads(act.att, n_head), act.lse,
                q, k, v, None, batch.segments, batch.segments,
            )  # fmt: skip
            self.linear_back(w, g, a, l, "qkv", a.dnorm, a.dqkv, act.norm1)
        self._norm_backward(g, a, 0, a.embedded)
        ops.embedding_backward(
            g.token_embedding, g.position_embedding, a.dresidual, batch.ids,
            positions_of(batch.ids, segments=batch.segments),
        )  # fmt: skip
        g.adds = True

    def linear(
        self, w: Arena | ReadWeights, a: Activations, l: int, name: str,
        out: np.ndarray, inp: np.ndarray, residual: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        """`out = inp @ weight + bias + residual`, with layer `l`'s matrix `name`."""
        weight, bias = matrix(w, l, name)
        self.ops.linear_forward(out, inp, weight, bias, residual)

    def linear_back(
        self, w: Arena | PackedWeights, g: Arena, a: Activations, l: int, name: str,
        dinp: np.ndarray, dout: np.ndarray, inp: np.ndarray,
    ) -> None:  # fmt: skip
        """Overwrites dinp; adds into `g`, or is the first to write there (see `clear`).
        A frozen matrix has no gradient."""
        dweight, dbias = matrix(g, l, name)
        weight, _ = matrix(w, l, name)
        self.ops.linear_backward(dinp, dweight, dbias, dout, inp, weight, g.adds)

    def _norm_forward(self, a: Activations, l: int, inp: np.ndarray) -> None:
        """The norm before layer `l`, of `inp`."""
        norm = norm_before(self.base.params, a, l)
        self.ops.layernorm_forward(
            norm.out, norm.mean, norm.rstd, inp, norm.weight, norm.bias
        )

    def _norm_backward(self, g: Arena, a: Activations, l: int, inp: np.ndarray) -> None:
        """Through the norm before layer `l`, whose input was `inp`."""
        norm, grad = norm_before(self.base.params, a, l), norm_before(g, a, l)
        self.ops.layernorm_backward(
            a.dresidual, grad.weight, grad.bias,
            a.dnorm, inp, norm.weight, norm.mean, norm.rstd,
        )  # fmt: skip

    def loss(
        self, a: Arena, batch: Batch, weights: PackedWeights | None = None
    ) -> float:
        """The sum of the unmasked tokens' losses, in nats."""
        hidden, losses, what, _ = self._learned(a, batch, weights)
        output = (weights or self.base.params).token_embedding.T
        self.ops.linear_cross_entropy_forward(losses, a.logits, hidden, output, *what)
        return float(losses.sum(dtype=np.float64))

    def loss_and_gradients(
        self, g: Arena, a: Arena, batch: Batch, weights: PackedWeights | None = None
    ) -> float:
        """The same sum; the gradients of it are added into `g`."""
        hidden, losses, what, where = self._learned(a, batch, weights)
        # the token embedding is used twice: here as output weights, later as input
        table = g.token_embedding
        self.ops.linear_cross_entropy_forward_backward(
            losses, rows(a.dnorm)[: len(losses)],
            None if table is None else table.T, a.logits, hidden,
            (weights or self.base.params).token_embedding.T, *what,
        )  # fmt: skip
        self.backward(g, a, batch, weights, where)
        return float(losses.sum(dtype=np.float64))

    def _learned(
        self, a: Arena, batch: Batch, weights: PackedWeights | None
    ) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...], np.ndarray | None]:
        """Of the n tokens whose loss counts: hidden states (n, C), room for losses,
        (targets, mask), each (n,), and where they are (`None`: everywhere)."""
        targets = batch.targets[batch.mask]
        check_index(targets, self.config.vocab_size, "targets", "wrong tokenizer?")
        where = None if batch.mask.all() else np.flatnonzero(batch.mask)
        hidden = self.hidden(
            a, batch.ids, segments=batch.segments, weights=weights, where=where
        )
        losses = a.losses.reshape(-1)[: len(targets)]
        return hidden, losses, (targets, batch.mask[batch.mask]), where

    def logits(self, ids: np.ndarray) -> np.ndarray:
        """The logits (B, T, V) after each token of ids (B, T), as a new array."""
        ids = np.asarray(ids)
        if ids.ndim != 2 or ids.dtype.kind not in "iu":
            raise DataError(
                f"wanted integer ids (B, T), got {ids.dtype} {ids.shape}; "
                "one sequence is ids[None]"
            )
        ids = ids.astype(np.int64)
        B, T = ids.shape
        a = self.activations(B, T, for_backward=False)
        self.hidden(a, ids)
        out = np.empty((B, T, self.config.vocab_size), self.params.flat.dtype)
        self.ops.matmul(
            rows(out), rows(a.final_norm), self.base.params.token_embedding.T
        )
        return out

    def activations(self, B: int, T: int, for_backward: bool = True) -> Arena:
        """A new activation arena. For repeated use, see `Workspace`."""
        blocks = self.activation_blocks(B, T, for_backward)
        return Arena(blocks, self.params.flat.dtype)

    def activation_blocks(self, B: int, T: int, for_backward: bool) -> list[Block]:
        return activation_blocks(self.config, B, T, for_backward)
