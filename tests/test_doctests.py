"""The examples in docstrings run and print what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import gptlite

MODULES = [
    module.name
    for module in pkgutil.walk_packages(gptlite.__path__, "gptlite.")
    if module.name not in ("gptlite.__main__", "gptlite.bench.torch_gpt")
]


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_run(name: str) -> None:
    module = importlib.import_module(name)
    finder = doctest.DocTestFinder(exclude_empty=True)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for test in finder.find(module, globs={**vars(module)}):
        runner.run(test)
    assert runner.summarize().failed == 0
