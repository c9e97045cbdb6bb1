"""A model that is only read: how probable was each token, and what was it worth?"""

from __future__ import annotations

import numpy as np

from gptlite.alignment.batches import alike
from gptlite.alignment.experience import ends, targets_of
from gptlite.models.gpt import GPT
from gptlite.models.head import has_head, head_forward
from gptlite.models.layout import rows_of_logits
from gptlite.models.weights import PackedWeights
from gptlite.models.workspace import Workspace
from gptlite.parallel.pool import WorkerPool

AT_A_TIME = 16  # answers that a worker reads: room for their activations is large


class Reader:
    """A model that is only read: log-probabilities and values, on all workers.

    weights: those of a trainer, if the model is one that learns.
    """

    def __init__(self, model: GPT, pool: WorkerPool,
                 weights: PackedWeights | None = None) -> None:  # fmt: skip
        self.model, self.pool = model, pool
        self.workspaces = [Workspace(model) for _ in range(pool.size)]
        self.weights, self.learns = weights or PackedWeights(model), weights is not None
        if not self.learns:
            self._pack()  # once
        room = rows_of_logits(model.config), model.config.vocab_size
        self.logits = np.empty((pool.size, *room), model.params.flat.dtype)

    def packed(self) -> PackedWeights:
        """The weights as they are now."""
        if self.learns:  # they are others than the last time
            self._pack()
        return self.weights

    def _pack(self) -> None:
        self.pool.run(lambda comm: self.weights.pack(comm.rank, comm.size))

    def read(self, ids: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(log-probabilities, values), each (B, T) float64, 0 where mask is false."""
        B, T = ids.shape
        targets = targets_of(ids)
        logp, values = np.zeros((2, B, T))

        def work(rank: int, some: np.ndarray) -> None:
            here = some, slice(ends(mask[some]).max(initial=2) - 1)
            logp[here], values[here] = self._read(
                rank, ids[here], mask[here], targets[here]
            )

        self.packed()
        self.pool.map(work, alike(ends(mask), AT_A_TIME))
        return logp, values

    def _read(
        self, rank: int, ids: np.ndarray, mask: np.ndarray, targets: np.ndarray
    ) -> np.ndarray:
        """(2, B, T): the same of a few rows, by worker `rank`."""
        B, T = ids.shape
        a = self.workspaces[rank].activations(B, T, for_backward=False)
        hidden = self.model.hidden(
            a, ids, weights=self.weights, where=np.flatnonzero(mask)
        )
        found, entropy = np.empty((2, len(hidden)), hidden.dtype)
        self.model.ops.linear_log_probability_forward(
            found, entropy, self.logits[rank], hidden, self.weights.token_embedding.T,
            targets[mask],
        )  # fmt: skip
        out = np.zeros((2, *ids.shape))
        out[0][mask] = found
        if has_head(self.model):
            out[1][mask] = head_forward(self.model.params, hidden)
        return out
