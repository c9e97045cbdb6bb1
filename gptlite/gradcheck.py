"""The slope test: is this gradient the slope of that function?

Along a random direction d, the slope of f is (f(x + εd) − f(x − εd)) / 2ε, and a right
gradient g gives g·d. Two evaluations a tensor and direction, whatever its size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from gptlite.errors import DataError


@dataclass(frozen=True, slots=True)
class GradientCheck:
    """What the slope test found. `errors` holds the relative error by parameter."""

    errors: dict[str, float]
    tolerance: float

    @property
    def worst(self) -> str:
        """The parameter with the largest relative error (NaN counts as largest)."""
        return max(
            self.errors, key=lambda name: np.nan_to_num(self.errors[name], nan=np.inf)
        )

    @property
    def relative_error(self) -> float:
        """The largest relative error."""
        return self.errors[self.worst]

    @property
    def passed(self) -> bool:
        return bool(self.relative_error < self.tolerance)

    def __str__(self) -> str:
        verdict = "right" if self.passed else "WRONG"
        return (
            f"gradient {verdict}: worst parameter {self.worst}, relative error "
            f"{self.relative_error:.1e} (tolerance {self.tolerance:.0e})"
        )


def relative_error(a: float, b: float) -> float:
    """|a − b| / max(|a|, |b|), and 0 where both are 0."""
    return 0.0 if a == b else abs(a - b) / max(abs(a), abs(b))


def gradient_check(
    loss: Callable[[], float],
    params: Mapping[str, np.ndarray],
    grads: Mapping[str, np.ndarray],
    *,
    rng: np.random.Generator,
    directions: int = 3,
    step: float = 1e-5,
    tolerance: float = 1e-6,
) -> GradientCheck:
    """Compare `grads` with the slope of `loss()` in each of `params`.

    params: float64 arrays that `loss` reads; they are moved in place a little and
    put back. grads: what the backward computed for them, same names and shapes.
    The step is relative to the size of each parameter.

    >>> x = np.array([1.0, 2.0])
    >>> rng = np.random.default_rng(0)
    >>> print(gradient_check(lambda: (x**2).sum(), {"x": x}, {"x": x}, rng=rng))
    gradient WRONG: worst parameter x, relative error 5.0e-01 (tolerance 1e-06)
    >>> gradient_check(lambda: (x**2).sum(), {"x": x}, {"x": 2 * x}, rng=rng).passed
    True
    """
    errors = {}
    for name, param in params.items():
        if param.dtype != np.float64 or param.shape != np.shape(grads[name]):
            raise DataError(
                f"wanted {name} in float64 with a gradient of the same shape, got "
                f"{param.dtype} {param.shape} and a gradient {np.shape(grads[name])}; "
                "float32 is too coarse for the slope test"
            )
        found = [
            _error_along(
                rng.standard_normal(param.shape), loss, param, grads[name], step
            )
            for _ in range(directions)
        ]
        errors[name] = float(np.max(found))  # unlike max(), keeps a NaN
    return GradientCheck(errors, tolerance)


def _error_along(
    direction: np.ndarray,
    loss: Callable[[], float],
    param: np.ndarray,
    grad: np.ndarray,
    step: float,
) -> float:
    epsilon = step * max(1.0, float(np.abs(param).max(initial=0)))
    before = param.copy()
    try:
        param[...] = before + epsilon * direction
        above = float(loss())
        param[...] = before - epsilon * direction
        below = float(loss())
    finally:
        param[...] = before
    return relative_error(
        (above - below) / (2 * epsilon), float((grad * direction).sum())
    )
