"""Common words that the tasks made by a program draw from, and how to draw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

# each is one token, with the blank before it, in a vocabulary of 4,096 tokens that was
# learned from encyclopedia, plays and dialogue
WORDS = """
air animal arm art artist ball bar battle beauty bed bird blood body book boy brain
bright bus butter cable camp cat child church city clean cold color court cousin cow
crown dance dark day deep desire dinner dog dream driver dust ear early earth east
emperor engine eye father film fire fish flower food foot forest friend fruit game
gentle gold good great green ground hair hand happy head heart heaven hero history
home honour horse hour house ice island job key king lady lake land language law
leader leg letter life light lord man master mind money month morning mother
mountain mouse mouth movie music name nature new night noble north novel number
object office old paper parent peace people pig place plant poet power prince print
prison queen rain red river rock room round sad school screen sea secret short
sister skin sleep small smell social soft son song soul south space spirit sport
star story strong summer sun sweet sword tall teacher team time town tree trust type
uncle video voice wall war water weight west white wide wild wind winter wise woman
wood world writer young
""".split()  # noqa: SIM905 - a list of literals would fill three screens


def pick(choices: Sequence[T], u: float) -> T:
    """The one at 0 ≤ u < 1 of the way; much faster than `rng.choice`.

    >>> pick("abcd", 0.5)
    'c'
    """
    return choices[int(u * len(choices))]
