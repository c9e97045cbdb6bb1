"""The losses of a policy with the model's own backward: PPO's, and DPO's.

Every token of an answer was a choice. Its log-probability and the entropy of its
distribution come from the output layer, its value from the head, all three from the
same hidden state; so their slopes add up there, and go through the layers once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gptlite.alignment.experience import Experience
from gptlite.alignment.objectives import clipped_policy, clipped_value, kl_estimate
from gptlite.arena import Arena
from gptlite.batch import Rows
from gptlite.models.gpt import GPT
from gptlite.models.head import head_backward, head_forward
from gptlite.models.layout import rows
from gptlite.models.weights import PackedWeights
from gptlite.training.step import Objective

NAMES = ("loss", "policy", "value", "entropy", "kl_old", "clipped")


@dataclass(frozen=True, slots=True)
class PolicyLoss:
    """policy loss + value_weight · value loss − entropy_weight · entropy + kl_weight ·
    KL to the reference (as GRPO has it; PPO has it in the reward). Sums over tokens.
    """

    clip: float = 0.2
    value_clip: float = 0.2
    value_weight: float = 0.1
    entropy_weight: float = 0.0
    kl_weight: float = 0.0

    def slopes(
        self, logp: np.ndarray, entropy: np.ndarray, values: np.ndarray, x: Experience
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Sums in the order of NAMES, and the slopes of logp, entropy and values, each
        (N,), of the N tokens that count in x."""
        here = x.mask
        policy, dlogp = clipped_policy(logp, x.old[here], x.advantages[here], self.clip)
        kl, dkl = kl_estimate(logp, x.reference[here])
        value, dvalues = clipped_value(
            values, x.values[here], x.returns[here], self.value_clip
        )
        loss = policy + self.value_weight * value - self.entropy_weight * entropy
        loss = loss + self.kl_weight * kl
        moved, _ = kl_estimate(x.old[here], logp)  # the tokens are the old policy's
        ratio = np.exp(logp - x.old[here])
        outside = np.abs(ratio - 1) > self.clip
        sums = [loss, policy, value, entropy, moved, outside]
        return np.array([part.sum(dtype=np.float64) for part in sums]), [
            dlogp + self.kl_weight * dkl,
            np.full_like(entropy, -self.entropy_weight),
            self.value_weight * dvalues,
        ]

    def run(
        self, model: GPT, g: Arena, a: Arena, x: Experience,
        weights: PackedWeights | None = None,
    ) -> np.ndarray:  # fmt: skip
        """The sums; the gradients of the first are added into g."""
        found = choices(model, a, x, weights)
        hidden, logp, entropy, _, _ = found
        values = head_forward(model.params, hidden)
        sums, (dlogp, dentropy, dvalues) = self.slopes(logp, entropy, values, x)
        dhidden = np.zeros_like(hidden)
        head_backward(dhidden, g, dvalues.astype(hidden.dtype), hidden, model.params)
        choices_backward(model, g, a, x, weights, found, dlogp, dentropy, dhidden)
        return sums

    def measure(
        self, model: GPT, a: Arena, x: Experience, weights: PackedWeights | None = None
    ) -> float:
        """The loss's sum alone."""
        hidden, logp, entropy, _, _ = choices(model, a, x, weights)
        values = head_forward(model.params, hidden)
        return float(self.slopes(logp, entropy, values, x)[0][0])

    def objective(self) -> Objective:
        return Objective(NAMES, self.run, self.measure)


class Choices(Rows, Protocol):
    """Tokens (B, T), the next of each, and where that was chosen by the policy."""

    @property
    def targets(self) -> np.ndarray: ...

    @property
    def mask(self) -> np.ndarray: ...


def choices(
    model: GPT, a: Arena, x: Choices, weights: PackedWeights | None
) -> tuple[np.ndarray, ...]:
    """Of the N tokens that count: hidden states (N, C), log-probabilities, entropies,
    the tokens themselves, each (N,); and the output layer's weight."""
    hidden = model.hidden(a, x.ids, weights=weights, where=np.flatnonzero(x.mask))
    targets = x.targets[x.mask]
    logp, entropy = np.empty((2, len(hidden)), hidden.dtype)
    output = (weights or model.base.params).token_embedding.T
    model.ops.linear_log_probability_forward(
        logp, entropy, a.logits, hidden, output, targets
    )
    return hidden, logp, entropy, targets, output


def choices_backward(
    model: GPT, g: Arena, a: Arena, x: Choices, weights: PackedWeights | None,
    found: tuple[np.ndarray, ...], dlogp: np.ndarray, dentropy: np.ndarray,
    dhidden: np.ndarray,
) -> None:  # fmt: skip
    """From the slopes of what `choices` found, (N,) each, to gradients, added into g.

    dhidden: (N, C), what the hidden states get from elsewhere, such as a head.
    """
    hidden, _, _, targets, output = found
    through, table = rows(a.dnorm)[: len(hidden)], g.token_embedding
    model.ops.linear_log_probability_backward(
        through, None if table is None else table.T, a.logits,
        dlogp.astype(hidden.dtype), dentropy.astype(hidden.dtype), hidden, output,
        targets,
    )  # fmt: skip
    through += dhidden
    model.backward(g, a, x, weights, np.flatnonzero(x.mask))
