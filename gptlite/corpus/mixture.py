"""How often training sees each source: shares of the mixture, and epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gptlite.errors import ConfigError

# (source, tokens, share of the training mixture, epochs that the paper states)
# Brown et al. 2020, arXiv:2005.14165, table 2.2; the model saw 300 billion tokens
GPT3 = (
    ("Common Crawl (filtered)", 410e9, 0.60, 0.44),
    ("WebText2", 19e9, 0.22, 2.9),
    ("Books1", 12e9, 0.08, 1.9),
    ("Books2", 55e9, 0.08, 0.43),
    ("Wikipedia", 3e9, 0.03, 3.4),
)
GPT3_TOKENS = 300e9


def epochs(
    tokens: Sequence[float], shares: Sequence[float], seen: float
) -> list[float]:
    """How many times each source is gone through while `seen` tokens are trained on.

    >>> [round(e, 2) for e in epochs([410e9, 3e9], [0.6, 0.03], 300e9)]
    [0.44, 3.0]
    """
    return [seen * share / n for n, share in zip(tokens, shares, strict=True)]


def shares(weights: Mapping[str, float], tokens: Mapping[str, int]) -> dict[str, float]:
    """The share of each source in training: as its weight, or else as its size.

    >>> shares({}, {"books": 3, "dialogue": 1})
    {'books': 0.75, 'dialogue': 0.25}
    >>> shares({"books": 1, "dialogue": 1}, {"books": 3, "dialogue": 1})
    {'books': 0.5, 'dialogue': 0.5}
    """
    if weights and set(weights) != set(tokens):
        raise ConfigError(
            f"wanted a weight for each of {', '.join(tokens)} or for none, got "
            f"{', '.join(weights)}"
        )
    chosen = {name: float(weights.get(name, tokens[name])) for name in tokens}
    total = sum(chosen.values())
    if min(chosen.values(), default=1) < 0 or not 0 < total < float("inf"):
        raise ConfigError(f"wanted weights ≥ 0, not all of them 0, got {weights}")
    return {name: weight / total for name, weight in chosen.items()}
