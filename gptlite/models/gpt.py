"""GPT-2 (Radford et al. 2019): forward and backward, operation by operation.

Nothing is hidden: parameters, gradients and activations are arenas that the caller
holds, so that one model can be run by many workers, or several models by one.
The order of the backward is the order of the forward, read from the bottom up.
"""

from __future__ import annotations

import math
from types import ModuleType, SimpleNamespace

import numpy as np

from gptlite.arena import Arena
from gptlite.batch import Batch
from gptlite.config import GPTConfig
from gptlite.errors import DataError
from gptlite.models.cache import KVCache
from gptlite.models.layout import (
    activation_blocks,
    check_index,
    heads,
    parameter_blocks,
    positions_of,
    rows,
    thirds,
)
from gptlite.ops import kernels


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

    def _norm_before(self, w: Arena, a: Arena, l: int) -> SimpleNamespace:
        """Tensors of the norm before layer `l`; after the last layer the final one.

        `w` holds the parameters, or their gradients: the layout is the same.
        """
        if l == self.config.n_layer:
            return SimpleNamespace(
                weight=w.final_norm_weight, bias=w.final_norm_bias,
                out=a.final_norm, mean=a.final_mean, rstd=a.final_rstd,
            )  # fmt: skip
        layer, act = w.layers[l], a.layers[l]
        return SimpleNamespace(
            weight=layer.norm1_weight, bias=layer.norm1_bias,
            out=act.norm1, mean=act.mean1, rstd=act.rstd1,
        )  # fmt: skip

    def hidden(
        self,
        a: Arena,
        ids: np.ndarray,
        offsets: np.ndarray | None = None,
        segments: np.ndarray | None = None,
        cache: KVCache | None = None,
    ) -> None:
        """Run the layers on ids (B, T); the result is `a.final_norm` (B, T, C).

        offsets: (B,), the position of the first token of each row (`None`: 0).
        With a cache, keys and values are stored there and attention reads it all.
        """
        ops, w, n_head = self.ops, self.params, self.config.n_head
        positions = positions_of(ids, offsets)
        check_index(ids, self.config.vocab_size, "token ids", "wrong tokenizer?")
        check_index(positions, self.config.context_length, "positions", "cut the text")
        x = a.embedded
        ops.embedding_forward(
            x, ids, positions, w.token_embedding, w.position_embedding
        )
        norm = self._norm_before(w, a, 0)
        ops.layernorm_forward(norm.out, norm.mean, norm.rstd, x, norm.weight, norm.bias)
        for l, (act, par) in enumerate(zip(a.layers, w.layers, strict=True)):
            ops.linear_forward(act.qkv, act.norm1, par.qkv_weight, par.qkv_bias)
            q, k, v = (heads(part, n_head) for part in thirds(act.qkv))
            if cache is not None:
                k, v = cache.append(l, k, v, positions)
            ops.attention_forward(
                heads(act.att, n_head), act.lse, q, k, v, offsets, segments, segments
            )
            ops.linear_forward(
                a.branch, act.att, par.attn_proj_weight, par.attn_proj_bias
            )
            ops.residual_layernorm_forward(
                act.residual_mid, act.norm2, act.mean2, act.rstd2,
                x, a.branch, par.norm2_weight, par.norm2_bias,
            )  # fmt: skip
            ops.linear_forward(act.fc, act.norm2, par.fc_weight, par.fc_bias)
            ops.gelu_forward(act.gelu, act.fc)
            ops.linear_forward(
                a.branch, act.gelu, par.mlp_proj_weight, par.mlp_proj_bias
            )
            norm = self._norm_before(w, a, l + 1)
            ops.residual_layernorm_forward(
                act.residual_out, norm.out, norm.mean, norm.rstd,
                act.residual_mid, a.branch, norm.weight, norm.bias,
            )  # fmt: skip
            x = act.residual_out

    def forward(self, a: Arena, batch: Batch) -> None:
        """`a.logits` (B, T, V) for a batch; the output weights are the embedding's."""
        self.hidden(a, batch.ids, segments=batch.segments)
        self.ops.matmul(
            rows(a.logits), rows(a.final_norm), self.params.token_embedding.T
        )

    def backward(self, g: Arena, a: Arena, batch: Batch) -> None:
        """Add into the gradients `g`; `a.logits` holds the gradient of the logits."""
        ops, w, n_head = self.ops, self.params, self.config.n_head
        dlogits, dresidual = rows(a.logits), a.dresidual
        # the token embedding is used twice: here as output weights, below as input
        ops.matmul(g.token_embedding, dlogits.T, rows(a.final_norm), accumulate=True)
        ops.matmul(rows(a.dnorm), dlogits, w.token_embedding)
        dresidual.fill(0)
        for l in reversed(range(self.config.n_layer)):
            act, par, grad = a.layers[l], w.layers[l], g.layers[l]
            self._norm_backward(g, a, l + 1, act.residual_out)
            ops.linear_backward(
                a.dfc, grad.mlp_proj_weight, grad.mlp_proj_bias,
                dresidual, act.gelu, par.mlp_proj_weight,
            )  # fmt: skip
            ops.gelu_backward(a.dfc, a.dfc, act.fc)
            ops.linear_backward(
                a.dnorm, grad.fc_weight, grad.fc_bias, a.dfc, act.norm2, par.fc_weight
            )
            ops.residual_layernorm_backward(
                dresidual, grad.norm2_weight, grad.norm2_bias,
                a.dnorm, act.residual_mid, par.norm2_weight, act.mean2, act.rstd2,
            )  # fmt: skip
            ops.linear_backward(
                a.datt, grad.attn_proj_weight, grad.attn_proj_bias,
                dresidual, act.att, par.attn_proj_weight,
            )  # fmt: skip
            q, k, v = (heads(part, n_head) for part in thirds(act.qkv))
            dq, dk, dv = (heads(part, n_head) for part in thirds(a.dqkv))
            ops.attention_backward(
                dq, dk, dv, heads(a.datt, n_head), heads(act.att, n_head), act.lse,
                q, k, v, None, batch.segments, batch.segments,
            )  # fmt: skip
            ops.linear_backward(
                a.dnorm, grad.qkv_weight, grad.qkv_bias,
                a.dqkv, act.norm1, par.qkv_weight,
            )  # fmt: skip
        self._norm_backward(g, a, 0, a.embedded)
        ops.embedding_backward(
            g.token_embedding, g.position_embedding,
            dresidual, batch.ids, positions_of(batch.ids),
        )  # fmt: skip

    def _norm_backward(self, g: Arena, a: Arena, l: int, inp: np.ndarray) -> None:
        """Through the norm before layer `l`, whose input was `inp`."""
        norm, grad = self._norm_before(self.params, a, l), self._norm_before(g, a, l)
        self.ops.layernorm_backward(
            a.dresidual, grad.weight, grad.bias,
            a.dnorm, inp, norm.weight, norm.mean, norm.rstd,
        )  # fmt: skip

    def loss(self, a: Arena, batch: Batch) -> float:
        """The sum of the unmasked tokens' losses, in nats."""
        self.forward(a, batch)
        self.ops.cross_entropy_forward(
            a.losses.reshape(-1), rows(a.logits), *self._flat_targets(batch)
        )
        return float(a.losses.sum(dtype=np.float64))

    def loss_and_gradients(self, g: Arena, a: Arena, batch: Batch) -> float:
        """The same sum; the gradients of it are added into `g`."""
        self.forward(a, batch)
        logits = rows(a.logits)  # overwritten by their gradient
        self.ops.cross_entropy_forward_backward(
            a.losses.reshape(-1), logits, logits, *self._flat_targets(batch)
        )
        self.backward(g, a, batch)
        return float(a.losses.sum(dtype=np.float64))

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
        self.forward(a, Batch.of(ids, ids))
        return a.logits.copy()  # a view would keep all activations alive

    def activations(self, B: int, T: int, for_backward: bool = True) -> Arena:
        """A new activation arena. For repeated use, see `Workspace`."""
        blocks = activation_blocks(self.config, B, T, for_backward)
        return Arena(blocks, self.params.flat.dtype)

    def _flat_targets(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        targets = np.where(batch.mask, batch.targets, 0)
        check_index(targets, self.config.vocab_size, "targets", "wrong tokenizer?")
        return targets.reshape(-1), batch.mask.reshape(-1)
