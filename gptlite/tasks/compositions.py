"""Two steps in one line of Python: `return (x + 3) ** 2` for the task `code`.

The steps of a kind go from numbers to numbers, texts to texts, lists to lists, so that
any two can follow each other. Some pairs are kept from training, in both orders.
"""

from __future__ import annotations

import ast
from functools import cache
from typing import NamedTuple

from gptlite.tasks.split import is_for_test

# name: expression, and how to say it; {e} and {it} are what the step is done to
STEPS = {
    "number": """
add: {e} + {k} = add {k} to {it}
subtract: {e} - {k} = subtract {k} from {it}
multiply: {e} * {k} = multiply {it} by {k}
halve: {e} / 2 = halve {it}
square: {e} ** 2 = square {it}
cube: {e} ** 3 = cube {it}
negate: -{e} = negate {it}
absolute: abs({e}) = take the absolute value of {it}
remainder: {e} % {k} = take the remainder of {it} by {k}
""",
    "text": """
upper: {e}.upper() = put {it} in upper case
lower: {e}.lower() = put {it} in lower case
reverse: {e}[::-1] = reverse {it}
trim: {e}.strip() = strip {it}
title: {e}.title() = put {it} in title case
swap: {e}.swapcase() = swap the case of {it}
first: {e}[:{k}] = take the first {k} letters of {it}
drop: {e}[{k}:] = drop the first {k} letters of {it}
repeat: {e} * {k} = repeat {it} {k} times
exclaim: {e} + '!' = add '!' to {it}
hyphens: {e}.replace(' ', '-') = turn the blanks of {it} into '-'
""",
    "list": """
sort: sorted({e}) = sort {it}
reverse: {e}[::-1] = reverse {it}
unique: sorted(set({e})) = take the different numbers of {it}
first: {e}[:{k}] = take the first {k} items of {it}
drop: {e}[{k}:] = drop the first {k} items of {it}
double: [v * 2 for v in {e}] = double each number of {it}
square: [v ** 2 for v in {e}] = square each number of {it}
add: [v + {k} for v in {e}] = add {k} to each number of {it}
evens: [v for v in {e} if v % 2 == 0] = keep the even numbers of {it}
positives: [v for v in {e} if v > 0] = keep the positive numbers of {it}
""",
}
KEPT_BACK = 6  # one pair in so many


class Step(NamedTuple):
    name: str
    expression: str
    words: str


def steps(kind: str) -> list[Step]:
    """The steps of a kind, from the table above."""
    found = []
    for line in STEPS[kind].strip().splitlines():
        name, rest = line.split(": ", 1)
        expression, words = rest.rsplit(" = ", 1)
        found.append(Step(name, expression, words))
    return found


def is_kept_back(kind: str, first: str, second: str) -> bool:
    """Whether training never shows these two steps together, in whichever order.

    >>> is_kept_back("text", "upper", "drop") == is_kept_back("text", "drop", "upper")
    True
    """
    return is_for_test(" ".join([kind, *sorted([first, second])]), KEPT_BACK)


class Pair(NamedTuple):
    """Two steps as one function. {x}: its parameter; {k}, {j}: numbers of the first and
    of the second step.
    """

    kind: str
    name: str
    expression: str
    first: str
    second: str


@cache
def compose(kind: str, first: str, second: str) -> Pair:
    """The function that takes one step, then the other.

    >>> pair = compose("number", "add", "square")
    >>> pair.expression, pair.first, pair.second
    ('({x} + {k}) ** 2', 'add {k} to {x}', 'square it')
    """
    known = {step.name: step for step in steps(kind)}
    a, b = known[first], known[second]
    inner = a.expression.format(e="_x", k="_k")
    both = b.expression.format(e=f"({inner})", k="_j")
    plain = ast.unparse(ast.parse(both, mode="eval"))  # without needless brackets
    for name in "xkj":
        plain = plain.replace(f"_{name}", f"{{{name}}}")
    return Pair(
        kind, f"{first}_{second}", plain,
        a.words.format(it="{x}", k="{k}"), b.words.format(it="it", k="{j}"),
    )  # fmt: skip


@cache
def pairs(kept_back: bool) -> list[Pair]:
    """All pairs of different steps that training may show, or all that it may not."""
    return [
        compose(kind, a.name, b.name)
        for kind in STEPS
        for a in steps(kind)
        for b in steps(kind)
        if a.name != b.name and is_kept_back(kind, a.name, b.name) == kept_back
    ]  # fmt: skip
