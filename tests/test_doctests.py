"""Every example in a docstring does what it shows."""

from __future__ import annotations

import doctest
import importlib

import pytest

from tests.helpers import modules


@pytest.mark.parametrize("name", modules())
def test_the_examples_in_the_docstrings_of(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0


def test_there_are_many_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = sum(
        len(test.examples)
        for name in modules()
        for test in finder.find(importlib.import_module(name))
    )
    assert found > 60
