"""From logits to the next token: temperature, top-k, top-p, min-p, repetition."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gptlite.errors import ConfigError, DataError
from gptlite.ops.kernels.draw import first_past


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn. The defaults draw from the model as it is."""

    temperature: float = 1.0  # 0: always the most probable token
    top_k: int = 0  # only the k most probable tokens; 0: all
    top_p: float = 1.0  # the fewest tokens whose probabilities sum to p
    min_p: float = 0.0  # only tokens at least min_p times as probable as the best
    repetition_penalty: float = 1.0  # > 1 makes tokens that were there less probable

    @property
    def cuts(self) -> bool:
        """Whether some tokens are never drawn (see `restrict`)."""
        return self.top_k > 0 or self.top_p < 1 or self.min_p > 0

    def __post_init__(self) -> None:
        for name, good, wanted in (
            ("temperature", 0 <= self.temperature < math.inf, "≥ 0 and finite"),
            ("top_k", self.top_k >= 0, "≥ 0"),
            ("top_p", 0 < self.top_p <= 1, "in (0, 1]"),
            ("min_p", 0 <= self.min_p <= 1, "in [0, 1]"),
            (
                "repetition_penalty",
                0 < self.repetition_penalty < math.inf,
                "> 0 and finite",
            ),
        ):
            if not good:
                raise ConfigError(f"wanted {name} {wanted}, got {getattr(self, name)}")


def below_best(logits: np.ndarray) -> np.ndarray:
    """How far each is below the best of its row, ≤ 0, in float64: its exponential does
    not overflow."""
    gap = logits.astype(np.float64)
    gap -= gap.max(axis=-1, keepdims=True)  # in place: large new arrays cost as much
    return gap


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities over the last axis, in float64."""
    x = below_best(logits)
    x -= np.log(np.exp(x).sum(axis=-1, keepdims=True))
    return x


def penalise_repetition(
    logits: np.ndarray, seen: np.ndarray, penalty: float
) -> np.ndarray:
    """Tokens in `seen` (B, V, bool) lose: a positive logit is divided by the penalty,
    a negative one multiplied (Keskar et al. 2019, arXiv:1909.05858)."""
    logits = logits.astype(np.float64)  # room for the largest penalties
    weaker = np.where(logits > 0, logits / penalty, logits * penalty)
    return np.where(seen, weaker, logits)


def restrict(probabilities: np.ndarray, sampling: Sampling) -> np.ndarray:
    """(B, V) with the improbable tail set to 0 and the rest summing to 1 again.

    Applied in the usual order: top-k, top-p (Holtzman et al. 2019,
    arXiv:1904.09751), min-p (Nguyen et al. 2024, arXiv:2407.01082).

    >>> restrict(np.array([[0.5, 0.3, 0.2]]), Sampling(top_p=0.6)).round(3)
    array([[0.625, 0.375, 0.   ]])
    """
    p = probabilities
    V = p.shape[-1]
    if 0 < sampling.top_k < V:
        order = np.argsort(-p, axis=-1, kind="stable")  # ties: the lower id first
        p = p.copy()
        np.put_along_axis(p, order[:, sampling.top_k :], 0, axis=-1)
        p /= p.sum(axis=-1, keepdims=True)
    if sampling.top_p < 1:
        p = np.stack([_nucleus(row, sampling.top_p) for row in p])
    if sampling.min_p > 0:
        p = np.where(p >= sampling.min_p * p.max(axis=-1, keepdims=True), p, 0)
    return p / p.sum(axis=-1, keepdims=True)


def _nucleus(p: np.ndarray, mass: float) -> np.ndarray:
    """p (V,) with all but the fewest tokens that hold this mass set to 0.

    All tokens below (1 − mass) / V together hold less than 1 − mass: they are not among
    the fewest, and need not be sorted.
    """
    likely = np.flatnonzero(p >= (1 - mass) / p.size)
    likely = likely[np.argsort(-p[likely], kind="stable")]  # ties: the lower id first
    ranked = p[likely]
    kept = np.cumsum(ranked) - ranked < mass  # the better tokens hold less than that
    out = np.zeros_like(p)
    out[likely[kept]] = ranked[kept]
    return out


def sample(
    logits: np.ndarray,
    seen: np.ndarray,
    sampling: Sampling,
    *,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """One token for each row of logits (B, V): ids (B,) and log-probabilities (B,).

    The log-probability is the model's own, before temperature and restrictions.
    seen: (B, V) bool, the tokens that were there. One random number a row is used
    whatever the settings.
    """
    if not np.isfinite(logits).all():
        raise DataError(
            "wanted finite logits, got NaN or infinity; the weights are damaged: "
            "use an earlier checkpoint"
        )
    dice = rng.random(len(logits))
    best, changed = logits.max(axis=-1, keepdims=True), logits
    with np.errstate(over="ignore"):  # minus infinity: never drawn
        p = np.exp(logits - best)  # the model's own, up to a factor for each row
    total = p.sum(axis=-1, dtype=np.float64)
    if sampling.repetition_penalty != 1:
        changed = penalise_repetition(logits, seen, sampling.repetition_penalty)
    if sampling.temperature == 0:
        ids = changed.argmax(axis=-1)
    else:
        if sampling.temperature != 1 or sampling.repetition_penalty != 1:
            other = below_best(changed)
            with np.errstate(over="ignore"):  # minus infinity: never drawn
                other /= sampling.temperature
            p = np.exp(other)
        if sampling.cuts:
            p = restrict(p / p.sum(-1, np.float64, keepdims=True), sampling)
        ids = first_past(p, dice)
    gap = np.subtract(logits[np.arange(len(ids)), ids], best[:, 0], dtype=np.float64)
    return ids, gap - np.log(total)
