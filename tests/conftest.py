"""Settings of the whole suite: few, repeatable examples; one test comes last."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "gptlite",
    deadline=None,
    derandomize=True,
    max_examples=25,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("gptlite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests marked `last` look at what all others left behind."""
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "last: runs after all other tests")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
