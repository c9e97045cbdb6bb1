"""Training in float16, emulated: what underflows, and what scaling the loss does.

bfloat16 has the range of float32. float16 spends three bits of it on precision: it
ends at 65,504, its smallest number is 6e-8, and many gradients are smaller than that.
Multiply the loss by a large number, and all gradients grow with it (chain rule); divide
once, in the update. The number is found by trying: halved when something overflows,
doubled when nothing has for a while (Micikevicius et al. 2018, arXiv:1710.03740).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gptlite.batch import Batch
from gptlite.config import GPTConfig, TrainConfig
from gptlite.models.gpt import GPT
from gptlite.ops import kernels
from gptlite.parallel.pool import WorkerPool
from gptlite.training.step import Trainer

EXPONENTS = np.arange(-60, 21)  # of two: the classes of the histogram


class Float16Backend:
    """The kernels, except that gradients of activations are stored as float16.

    scale: what the loss is multiplied by. `lost` of `seen` numbers were not 0 and
    became it; `histogram[i]` counts magnitudes in [2^EXPONENTS[i], 2^EXPONENTS[i + 1]).
    """

    def __init__(self, scale: float) -> None:
        self.scale, self.seen, self.lost = scale, 0, 0
        self.histogram = np.zeros(len(EXPONENTS) - 1, int)

    def __getattr__(self, name: str) -> Any:
        return getattr(kernels, name)

    def _store(self, *gradients: np.ndarray) -> None:
        for d in gradients:
            with np.errstate(over="ignore", under="ignore"):  # what is to be seen
                half = d.astype(np.float16)
            some = d[(d != 0) & np.isfinite(d)]
            self.seen += some.size
            self.lost += np.count_nonzero((half == 0) & (d != 0))
            self.histogram += np.histogram(np.log2(np.abs(some)), EXPONENTS)[0]
            d[...] = half

    def linear_backward(self, dinp: np.ndarray, *others: Any) -> None:
        kernels.linear_backward(dinp, *others)
        self._store(dinp)

    def gelu_backward(self, dinp: np.ndarray, *others: Any) -> None:
        kernels.gelu_backward(dinp, *others)
        self._store(dinp)

    def attention_backward(
        self, dq: np.ndarray, dk: np.ndarray, dv: np.ndarray, *others: Any
    ) -> None:
        kernels.attention_backward(dq, dk, dv, *others)
        self._store(dq, dk, dv)

    def linear_cross_entropy_forward_backward(
        self,
        losses: np.ndarray,
        dinp: np.ndarray,
        dweight: np.ndarray,
        room: np.ndarray,
        inp: np.ndarray,
        weight: Any,
        targets: np.ndarray,
        mask: np.ndarray,
    ) -> None:
        """All rows at once; the gradient starts here, multiplied by the scale."""
        logits = np.empty((len(inp), weight.shape[1]), np.float32)
        kernels.matmul(logits, inp, weight)
        kernels.cross_entropy_forward_backward(losses, logits, logits, targets, mask)
        logits *= np.float32(self.scale)
        self._store(logits)
        self.linear_backward(dinp, dweight, None, logits, inp, weight)

    def adamw(self, *arguments: Any) -> None:
        """The update, with the scale divided out of the gradient."""
        unscaled = (*arguments[:-1], arguments[-1] / self.scale)
        kernels.adamw(*unscaled)


@dataclass
class Result:
    """Step by step: the loss, the scale it was tried with, whether it was skipped."""

    losses: list[float] = field(default_factory=list)
    scales: list[float] = field(default_factory=list)
    skipped: list[bool] = field(default_factory=list)
    lost: float = 0.0  # share of the gradients that became 0
    histogram: np.ndarray = field(default_factory=lambda: np.zeros(0, int))


def train_in_float16(
    model: GPTConfig,
    next_batch: Callable[[], Batch],
    steps: int,
    scale: float = 1.0,
    patience: int = 0,
    config: TrainConfig = TrainConfig(grad_clip=0.0),  # noqa: B008 - frozen
) -> Result:
    """Train a new model with the mean loss times `scale`; patience 0: never changed.

    With `patience` the scale is halved when a step overflows (which changes no
    parameter), and doubled after so many steps in a row that do not.
    `config.grad_clip` must be 0: the norm would be that of the scaled gradient.
    """
    backend, result, good = Float16Backend(scale), Result(), 0
    gpt = GPT(model, ops=backend)  # type: ignore[arg-type]
    with WorkerPool(1) as pool:
        trainer = Trainer(gpt, config, pool)
        for _ in range(steps):
            batch = next_batch()
            backend.scale = scale / batch.n_tokens  # the library sums, the mean divides
            with np.errstate(invalid="ignore", over="ignore"):
                step = trainer.step([batch])
            result.losses.append(step.loss)
            result.scales.append(scale)
            result.skipped.append(not step.finite)
            good = good + 1 if step.finite else 0
            if patience and not step.finite:
                scale /= 2
            elif patience and good == patience:
                scale, good = scale * 2, 0
    result.lost = backend.lost / max(1, backend.seen)
    result.histogram = backend.histogram
    return result
