"""A model's weight matrices in the form in which products read them."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from gptlite.models.gpt import GPT
from gptlite.ops import kernels
from gptlite.ops.kernels.halves import halves_of
from gptlite.ops.kernels.matmul import FEW_ROWS


class ReadWeights:
    """The parameters of a model by their names. `form` gets each matrix of a product
    as (C_in, C_out) and returns what the product reads; norms and biases are as they
    are."""

    def __init__(self, model: GPT, form: Callable[[np.ndarray], Any]) -> None:
        params = model.base.params
        self.token_embedding = form(params.token_embedding.T).T
        self.layers = [SimpleNamespace(**vars(layer)) for layer in params.layers]
        for name in model.base.hidden_matrices:
            _, l, short = name.split(".")
            setattr(self.layers[int(l)], short, form(params[name]))


class PackedWeights(ReadWeights):
    """The weights of a model, each matrix of a product as a `Packed` one.

    All workers share it: each packs its part at the start of a step, and forward and
    backward of every worker read the whole. Frozen weights are packed once, at the
    beginning.

    >>> from gptlite.batch import Batch
    >>> from gptlite.config import GPTConfig
    >>> model = GPT(GPTConfig(n_layer=1, n_head=1, n_embd=8, vocab_size=5))
    >>> weights = PackedWeights(model, "bfloat16")
    >>> weights.pack()
    >>> ids = np.array([[0, 1, 2]])
    >>> loss = model.loss(model.activations(1, 3), Batch.of(ids, ids), weights)
    >>> round(loss / 3, 1)  # log 5, as nothing is learned yet
    1.6
    """

    def __init__(self, model: GPT, dtype: str = "float32") -> None:
        self._packed: list[Any] = []

        def packed(array: np.ndarray) -> Any:
            self._packed.append(model.ops.Packed(array, dtype))
            return self._packed[-1]

        super().__init__(model, packed)
        self._packed.sort(key=lambda p: -p.array.size)  # the largest are dealt first
        if model.base is not model:
            self.pack()
            self._packed.clear()  # nothing is left to be packed again

    def pack(self, rank: int = 0, size: int = 1) -> None:
        """Worker `rank` of `size` packs its part of the matrices as they are now: each
        goes to whoever has the least so far."""
        loads = [0] * size
        for matrix in self._packed:
            least = loads.index(min(loads))
            loads[least] += matrix.array.size
            if least == rank:
                matrix.pack()


class DecodingWeights(ReadWeights):
    """The weights as they are now, for one token after another of so many rows.

    Many rows: packed, once for all tokens. Few: they are only read, with half the bytes
    where float16 holds a matrix exactly, as it does those of `mini`.
    """

    def __init__(self, model: GPT, rows: int = 1) -> None:
        def form(array: np.ndarray) -> Any:
            if rows >= FEW_ROWS:
                return model.ops.Packed(array).pack()
            return (model.ops is kernels and halves_of(array)) or array

        super().__init__(model, form)
