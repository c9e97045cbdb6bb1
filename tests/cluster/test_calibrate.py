"""What a step is made of, and rates that are put together."""

from __future__ import annotations

import math

import pytest

from gptlite.bench.timing import step_flops
from gptlite.cluster.calibrate import WIDTHS, counts, measure, predict, product_rate
from gptlite.config import preset
from gptlite.models.gpt import GPT


@pytest.mark.parametrize("name", ["baby", "small", "shake"])
def test_products_and_attention_are_the_nominal_flops(name: str) -> None:
    config, training = preset(name)
    found = counts(config, training.batch_size, 1)
    L, C, T = config.n_layer, config.n_embd, config.context_length
    tokens = training.batch_size * T
    nominal = step_flops(config, training.batch_size, GPT(config).n_params)
    products = nominal - 12 * L * C * T * tokens
    # norms have parameters too, which are in no product
    assert found["product"] == pytest.approx(products, rel=0.01)
    seen = L * tokens * T * C / 2
    assert seen < found["attention"] == L * tokens * (T + 32) * C / 2
    halves = counts(config, training.batch_size, 2)
    assert halves["product"] == found["product"] / 2
    assert halves["update"] == found["update"] / 2


def test_the_rate_of_products_is_measured_and_in_between() -> None:
    small, large = WIDTHS
    rates = {f"product {small}": 3e-11, f"product {large}": 1e-11}
    assert product_rate(rates, small) == pytest.approx(3e-11)
    assert product_rate(rates, large) == pytest.approx(1e-11)
    assert 1e-11 < product_rate(rates, 256) < 3e-11
    assert product_rate(rates, 10**6) >= 0.5e-11  # no faster than that


def test_this_machine_is_measured() -> None:
    rates = measure(1)
    assert all(math.isfinite(rate) and rate > 0 for rate in rates.values())
    parts = predict(rates, *_of("baby"), 1)
    assert 1e-4 < sum(parts.values()) < 10
    assert max(parts, key=lambda kind: parts[kind]) == "product"


def _of(name: str):  # type: ignore[no-untyped-def]
    config, training = preset(name)
    return config, training.batch_size
