"""A calculator: arithmetic in exact fractions, read by a parser written by hand.

There is nothing here to break out of: the parser knows numbers, operators and eight
functions. The grammar, a method of `Parser` a line (recursive descent):

    sum      product (("+" | "-") product)*
    product  sign (("*" | "/" | "%") sign)*
    sign     "-" sign | power
    power    atom ("**" sign)?
    atom     NUMBER | "(" sum ")" | FUNCTION "(" sum ("," sum)* ")"

Signs, remainders and powers bind and round as Python's do: -2 ** 2 is -4.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from fractions import Fraction

from gptlite.errors import DataError

LONGEST = 200  # characters of an expression
DEEPEST = 30  # brackets and signs inside each other
BITS = 1000  # of a numerator or denominator: about 300 digits
DECIMALS = 6  # that a result is rounded to
DIGITS = 50  # of a whole number that is written out

TOKEN = re.compile(r"\s*(\d+\.?\d*|\.\d+|\*\*|[-+*/%(),]|[A-Za-z_]\w*|$)", re.ASCII)


def square_root(x: Fraction) -> Fraction:
    """Exact where it can be, else to 30 decimals and more."""
    if x < 0:
        raise DataError(f"wanted a number ≥ 0 under sqrt, got {show(x)}")
    p, q = math.isqrt(x.numerator), math.isqrt(x.denominator)
    if p * p == x.numerator and q * q == x.denominator:
        return Fraction(p, q)
    # sqrt(p / q) is sqrt(p · q) / q, so that small numbers keep their digits
    root = math.isqrt(x.numerator * x.denominator * 10**60)
    return Fraction(root, x.denominator * 10**30)


def rounded(x: Fraction, decimals: Fraction = Fraction(0)) -> Fraction:
    """To so many decimals; a half goes to the even neighbour, as in Python."""
    if decimals.denominator != 1 or not 0 <= decimals <= 30:
        raise DataError(f"wanted 0 … 30 decimals to round to, got {show(decimals)}")
    return Fraction(round(x, int(decimals)))


# name: how many arguments at most, and what is done with them
FUNCTIONS: dict[str, tuple[int, Callable[..., Fraction]]] = {
    "min": (LONGEST, lambda *x: min(x)),
    "max": (LONGEST, lambda *x: max(x)),
    "sum": (LONGEST, lambda *x: sum(x, Fraction(0))),
    "mean": (LONGEST, lambda *x: sum(x, Fraction(0)) / len(x)),
    "count": (LONGEST, lambda *x: Fraction(len(x))),
    "sqrt": (1, square_root),
    "abs": (1, abs),
    "round": (2, rounded),
}


def size(x: Fraction) -> int:
    return max(x.numerator.bit_length(), x.denominator.bit_length())


def bounded(x: Fraction) -> Fraction:
    """x, if it is not so large (or so fine) that going on would take for ever."""
    if size(x) > BITS:
        raise DataError(f"wanted numbers of at most {BITS} bits, got a larger one")
    return x


def divisor(x: Fraction) -> Fraction:
    if x == 0:
        raise DataError("wanted a divisor other than 0, got 0")
    return x


def power(x: Fraction, y: Fraction) -> Fraction:
    """x ** y for whole y, refused before it is computed if it would be too large."""
    if y.denominator != 1:
        raise DataError(f"wanted a whole exponent, got {show(y)}; there is sqrt(x)")
    if y < 0:
        divisor(x)
    if abs(x) not in (0, 1) and (size(x) - 1) * abs(y) > BITS:
        raise DataError(f"wanted numbers of at most {BITS} bits, got a larger power")
    return Fraction(x ** int(y % 2 if abs(x) == 1 else y))


def tokens_of(expression: str) -> list[str]:
    """The expression in pieces; the last one is empty."""
    if len(expression) > LONGEST:
        raise DataError(
            f"wanted an expression of at most {LONGEST} characters, got "
            f"{len(expression)}"
        )
    found: list[str] = []
    at = 0
    while not found or found[-1]:
        match = TOKEN.match(expression, at)
        if match is None:
            got = expression[at:].strip()[0]
            raise DataError(f"wanted numbers and + - * / % ** ( ) , got {got!r}")
        found.append(match[1])
        at = match.end()
    return found


class Parser:
    """Reads the tokens from left to right and computes as it goes."""

    def __init__(self, expression: str) -> None:
        self.tokens = tokens_of(expression)
        self.at = 0
        self.depth = 0

    def next_is(self, *wanted: str) -> str:
        """The next token, taken, if it is one of these; else an empty string."""
        token = self.tokens[self.at]
        if token not in wanted:
            return ""
        self.at += 1
        return token

    def fail(self, wanted: str) -> DataError:
        got = self.tokens[self.at] or "the end"
        return DataError(f"wanted {wanted}, got {got!r:.40} as piece {self.at + 1}")

    def need(self, token: str) -> None:
        if not self.next_is(token):
            raise self.fail(repr(token))

    def sum(self) -> Fraction:
        x = self.product()
        while operator := self.next_is("+", "-"):
            y = self.product()
            x = bounded(x + y if operator == "+" else x - y)
        return x

    def product(self) -> Fraction:
        x = self.sign()
        while operator := self.next_is("*", "/", "%"):
            y = self.sign()
            if operator == "*":
                x = bounded(x * y)
            else:
                x = bounded(x / divisor(y) if operator == "/" else x % divisor(y))
        return x

    def sign(self) -> Fraction:
        self.depth += 1  # whatever is inside of something passes here
        if self.depth > DEEPEST:
            raise DataError(f"wanted brackets at most {DEEPEST} deep, got deeper ones")
        x = -self.sign() if self.next_is("-") else self.power()
        self.depth -= 1
        return x

    def power(self) -> Fraction:
        x = self.atom()
        return bounded(power(x, self.sign())) if self.next_is("**") else x

    def atom(self) -> Fraction:
        if self.next_is("("):
            x = self.sum()
            self.need(")")
            return x
        token = self.tokens[self.at]
        if token in FUNCTIONS:
            return self.function()
        if not token or not (token[0].isdigit() or token[0] == "."):
            raise self.fail(f"a number, a bracket or one of {', '.join(FUNCTIONS)}")
        self.at += 1
        return bounded(Fraction(token))

    def function(self) -> Fraction:
        name = self.next_is(*FUNCTIONS)
        most, compute = FUNCTIONS[name]
        self.need("(")
        arguments = [self.sum()]
        while self.next_is(","):
            arguments.append(self.sum())
        self.need(")")
        if len(arguments) > most:
            raise DataError(
                f"wanted at most {most} numbers for {name}, got {len(arguments)}"
            )
        return bounded(compute(*arguments))


def evaluate(expression: str) -> Fraction:
    """The exact value; what cannot be read or computed is a `DataError`.

    >>> evaluate("-2 ** 2 + mean(1, 2) / 3")
    Fraction(-7, 2)
    """
    parser = Parser(expression)
    value = parser.sum()
    if parser.tokens[parser.at]:
        raise parser.fail("an operator or the end")
    return value


def show(x: Fraction) -> str:
    """A number as people write it: whole, or to 6 decimals without zeros at the end.

    Less than a thousandth has 6 digits that count; from 10^15 on the same, unless it is
    whole and has at most 50 digits: an answer has to fit into the model's context.

    >>> show(Fraction(1, 3)), show(Fraction(5, 2)), show(Fraction(1, 3 * 10**6))
    ('0.333333', '2.5', '3.33333e-07')
    """
    if x.denominator == 1 and abs(x) < 10**DIGITS:
        return str(x.numerator)
    if not Fraction(1, 1000) <= abs(x) < 10**15:
        return f"{float(x):.6g}"
    whole, rest = divmod(round(abs(x) * 10**DECIMALS), 10**DECIMALS)
    text = f"{whole}.{rest:0{DECIMALS}}".rstrip("0").rstrip(".")
    return f"-{text}" if x < 0 else text


def calculator(expression: str) -> str:
    """The value of an expression, as the assistant reads it.

    >>> calculator("sqrt(2)")
    '= 1.414214'
    """
    return f"= {show(evaluate(expression))}"
