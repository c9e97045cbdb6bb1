"""The slope test finds wrong gradients, and believes right ones."""

from __future__ import annotations

import numpy as np
import pytest

from gptlite.errors import DataError
from gptlite.gradcheck import GradientCheck, gradient_check


def cube(w: np.ndarray, b: np.ndarray) -> float:
    return float((w**3).sum() + 2 * b.sum())


@pytest.fixture
def params(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {"w": rng.standard_normal((3, 4)), "b": rng.standard_normal(5)}


def check(params: dict[str, np.ndarray], w: np.ndarray, b: np.ndarray) -> GradientCheck:
    return gradient_check(
        lambda: cube(**params), params, {"w": w, "b": b}, rng=np.random.default_rng(1)
    )


def test_a_right_gradient_passes(params: dict[str, np.ndarray]) -> None:
    result = check(params, 3 * params["w"] ** 2, np.full(5, 2.0))
    assert result.passed and result.relative_error < 1e-8
    assert str(result).startswith("gradient right")


@pytest.mark.parametrize("factor", [0.0, -1.0, 0.5, 1.0001])
def test_a_wrong_factor_is_found_and_the_parameter_named(
    params: dict[str, np.ndarray], factor: float
) -> None:
    result = check(params, 3 * params["w"] ** 2, np.full(5, 2.0 * factor))
    assert not result.passed and result.worst == "b"
    assert "WRONG" in str(result) and " b," in str(result)


def test_one_wrong_element_of_many_is_found(params: dict[str, np.ndarray]) -> None:
    wrong = 3 * params["w"] ** 2
    wrong[1, 2] += 0.01
    result = check(params, wrong, np.full(5, 2.0))
    assert not result.passed and result.worst == "w"


def test_a_gradient_that_is_not_a_number_is_the_worst(
    params: dict[str, np.ndarray],
) -> None:
    result = check(params, np.full((3, 4), np.nan), np.zeros(5))
    assert result.worst == "w" and not result.passed


def test_a_function_that_does_not_depend_on_it_has_gradient_zero() -> None:
    x = {"x": np.ones(3)}
    rng = np.random.default_rng(0)
    assert gradient_check(lambda: 1.0, x, {"x": np.zeros(3)}, rng=rng).passed
    assert not gradient_check(lambda: 1.0, x, {"x": np.ones(3)}, rng=rng).passed


def test_parameters_are_put_back_to_the_bit_even_after_an_error(
    params: dict[str, np.ndarray],
) -> None:
    before = {name: x.copy() for name, x in params.items()}
    check(params, 3 * params["w"] ** 2, np.full(5, 2.0))
    calls = []

    def fails() -> float:
        calls.append(1)
        if len(calls) == 2:
            raise ZeroDivisionError
        return 0.0

    with pytest.raises(ZeroDivisionError):
        gradient_check(fails, params, params, rng=np.random.default_rng(0))
    assert all(np.array_equal(x, before[name]) for name, x in params.items())


def test_float32_and_wrong_shapes_are_refused() -> None:
    rng = np.random.default_rng(0)
    for x, g in ((np.ones(3, np.float32), np.ones(3)), (np.ones(3), np.ones((1, 3)))):
        with pytest.raises(DataError, match="float64"):
            gradient_check(lambda: 0.0, {"x": x}, {"x": g}, rng=rng)


def test_a_loss_that_is_not_a_number_in_one_direction_only_does_not_pass() -> None:
    """NaN compares false with everything: it must not be lost among good directions."""
    x, calls = {"x": np.ones(2)}, []

    def loss() -> float:
        calls.append(1)
        return np.nan if len(calls) in (3, 4) else float(x["x"].sum())

    rng = np.random.default_rng(0)
    result = gradient_check(loss, x, {"x": np.ones(2)}, rng=rng)
    assert len(calls) == 6
    assert not result.passed
