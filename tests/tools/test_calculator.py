"""The calculator equals Python's fractions, and nothing that is written breaks it."""

from __future__ import annotations

import operator
import time
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptlite.errors import DataError
from gptlite.tools import run
from gptlite.tools.calculator import LONGEST, evaluate, show

# an expression as text, and its value by Python's own arithmetic (None: it has none)
Pair = tuple[str, "Fraction | None"]
Arithmetic = Callable[[Fraction, Fraction], Fraction]
SIGNS: dict[str, Arithmetic] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul,
    "/": operator.truediv, "%": operator.mod,
}  # fmt: skip


def both(sign: str, a: Pair, b: Pair) -> Pair:
    text = f"({a[0]}) {sign} ({b[0]})"
    if a[1] is None or b[1] is None or (sign in "/%" and b[1] == 0):
        return text, None
    return text, SIGNS[sign](a[1], b[1])


def listed(name: str, parts: list[Pair]) -> Pair:
    text = f"{name}({', '.join(text for text, _ in parts)})"
    values = [value for _, value in parts if value is not None]
    if len(values) < len(parts):
        return text, None
    return text, {
        "min": min(values), "max": max(values), "sum": sum(values, Fraction(0)),
        "mean": sum(values, Fraction(0)) / len(values), "count": Fraction(len(values)),
    }[name]  # fmt: skip


numerals = st.decimals(0, 999, places=2) | st.integers(0, 999)
leaves = numerals.map(lambda x: (str(x), Fraction(str(x))))
names = st.sampled_from(["min", "max", "sum", "mean", "count"])
pairs = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(both, st.sampled_from(list(SIGNS)), inner, inner),
        st.builds(listed, names, st.lists(inner, min_size=1, max_size=3)),
        inner.map(lambda a: (f"-({a[0]})", None if a[1] is None else -a[1])),
    ),
    max_leaves=6,
).filter(lambda pair: len(pair[0]) <= LONGEST)


@settings(max_examples=300)
@given(pairs)
def test_it_equals_pythons_fractions(pair: Pair) -> None:
    text, value = pair
    if value is None:
        with pytest.raises(DataError, match="divisor"):
            evaluate(text)
    else:
        assert evaluate(text) == value


# without brackets: what binds how tightly is Python's business
@settings(max_examples=200)
@given(st.lists(st.integers(1, 20), min_size=2, max_size=6), st.data())
def test_operators_bind_as_in_python(numbers: list[int], data: st.DataObject) -> None:
    signs = st.sampled_from(["+", "-", "*", "/", "%", "+ -", "- -", "* -"])
    parts = [data.draw(st.sampled_from(["", "-"])) + str(numbers[0])]
    exact = [parts[0].replace(str(numbers[0]), f"F({numbers[0]})")]
    for n in numbers[1:]:
        sign = data.draw(signs)
        parts.append(f"{sign} {n}")
        exact.append(f"{sign} F({n})")
    wanted = eval(" ".join(exact), {"F": Fraction})
    assert evaluate(" ".join(parts)) == wanted


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("-2 ** 2", "-4"), ("2 ** 3 ** 2", "512"), ("2 ** -2", "0.25"),
        ("(-1) ** 99999999999", "-1"), ("0 ** 0", "1"), ("0.1 + 0.2", "0.3"),
        ("1 / 3", "0.333333"), ("-7 % 3", "2"), ("sqrt(16 / 9) * 3", "4"),
        ("sqrt(2)", "1.414214"), ("abs(-3.50)", "3.5"), ("round(2.675, 2)", "2.68"),
        ("round(7 / 2)", "4"), ("99999999999 * 99999999999", "9999999999800000000001"),
        ("1 / 3 - 10 ** 14", "-99999999999999.666667"), (".5 + 1.", "1.5"),
        ("10 ** 49", "1" + "0" * 49), ("9 ** 300", "1.87393e+286"), ("1 +\n2", "3"),
    ],
)  # fmt: skip
def test_it_answers(expression: str, value: str) -> None:
    assert run(f"calculator {expression}") == f"= {value}"


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("1 / 0", "a divisor other than 0"), ("5 % (2 - 2)", "a divisor"),
        ("0 ** -1", "a divisor"), ("sqrt(-1)", "≥ 0"), ("2 ** 0.5", "a whole exponent"),
        ("9 ** 9 ** 9", "at most 1000 bits"), ("", "a number"),
        ("(1 / 3) ** 999999", "at most 1000 bits"), ("2 +", "a number"),
        ("10 ** 200 * 10 ** 200", "at most 1000 bits"), ("(1", "')'"),
        ("2 3", "an operator"), ("min()", "a number"),
        ("sqrt(1, 2)", "at most 1 numbers"), ("round(1, 0.5)", "0 … 30 decimals"),
        ("os", "a number"), ("__import__('os')", "numbers"), ("(1).real", "numbers"),
        ("abs.__class__", "numbers and"), ("1; 2", "numbers and"), ("١ + ٢", "numbers"),
        ("1" * 10**7, "at most 200 characters"), ("(" * 99, "at most 30 deep"),
        ("nan", "a number"), ("inf", "a number"), ("1e9", "an operator"),
        ("²", "numbers"), ("½", "numbers"), ("\ud800", "numbers"), ("\x00", "numbers"),
        ("'{0.__class__}'.format(1)", "numbers"), ("sqrt(-9 ** 300)", "got -1.87393e"),
        ("-" * 99 + "1", "at most 30 deep"), ("max(1, 2", "')'"),
    ],
)  # fmt: skip
def test_what_cannot_be_computed_is_said(expression: str, wanted: str) -> None:
    answer = run(f"calculator {expression}")
    assert answer.startswith("error: wanted ") and wanted in answer


ALPHABET = "0123456789.+-*/%(), eabcmnrstux_\n\x00é"


@settings(max_examples=500)
@given(st.text(ALPHABET, max_size=60) | st.text(max_size=60))
def test_nothing_that_is_written_breaks_it(text: str) -> None:
    answer = run(f"calculator {text}")
    assert answer.startswith(("= ", "error: wanted "))


@pytest.mark.parametrize(
    "text",
    ["((9**99)**9)**9", "*".join(["9**99"] * 25), "9**" * 60 + "9", "1/7+" * 45 + "1"],
)
def test_no_short_expression_takes_long(text: str) -> None:
    begin = time.process_time()
    run(f"calculator {text}")
    assert time.process_time() - begin < 0.5


@settings(max_examples=200)
@given(st.fractions(-(10**9), 10**9, max_denominator=10**9))
def test_a_number_is_shown_to_six_digits_at_least(x: Fraction) -> None:
    error = abs(Fraction(show(x)) - x)
    assert error <= Fraction(1, 2 * 10**6)
    assert error <= abs(x) / 1000
