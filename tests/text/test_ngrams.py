"""Kneser-Ney: probabilities sum to one and equal the definition."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptlite.errors import ConfigError
from gptlite.text.ngrams import KneserNey

IDS = st.lists(st.integers(0, 4), min_size=6, max_size=60)


def by_definition(ids: list[int], V: int, order: int, text: list[int]) -> list[float]:
    """Counts in dictionaries, the formula token by token."""

    def runs(n: int) -> Counter[tuple[int, ...]]:
        return Counter(tuple(ids[i : i + n]) for i in range(len(ids) - n + 1))

    tables = {order: runs(order)}
    for n in range(order - 1, 0, -1):
        tables[n] = Counter(gram[1:] for gram in tables[n + 1])

    def p(history: tuple[int, ...], w: int) -> float:
        n = len(history) + 1
        table = tables[n]
        shorter = p(history[1:], w) if history else 1 / V
        after = {g: c for g, c in table.items() if g[:-1] == history}
        if not after:
            return shorter
        once = sum(c == 1 for c in table.values())
        twice = sum(c == 2 for c in table.values())
        D = once / (once + 2 * twice) if once else 0.5
        kept = max(table.get((*history, w), 0) - D, 0)
        return (kept + D * len(after) * shorter) / sum(after.values())

    return [
        p(tuple(text[max(0, i - order + 1) : i]), text[i]) for i in range(len(text))
    ]


@given(IDS, st.lists(st.integers(0, 4), min_size=1, max_size=12), st.integers(1, 4))
def test_it_is_the_definition(ids: list[int], text: list[int], order: int) -> None:
    found = KneserNey(np.array(ids), 5, order).log_probabilities(np.array(text))
    assert np.allclose(np.exp(found), by_definition(ids, 5, order, text))


@given(IDS, st.lists(st.integers(0, 4), max_size=5), st.integers(1, 4))
def test_probabilities_sum_to_one(ids: list[int], text: list[int], order: int) -> None:
    model = KneserNey(np.array(ids), 5, order)
    last = [model.log_probabilities(np.array([*text, w]))[-1] for w in range(5)]
    assert np.exp(last).sum() == pytest.approx(1)


def test_an_order_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"1 … 5 for 4096 tokens, got 6"):
        KneserNey(np.arange(9), 4096, 6)
