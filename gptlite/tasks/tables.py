"""Small made-up tables for the task `numbers`: cities, countries, animals and so on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from gptlite.data.sample import sample_file
from gptlite.tasks.split import is_for_test
from gptlite.tasks.words import pick

# what the rows are: their plural, names and columns; "price:90" has 1 … 90
TABLES = {
    "city": (
        "cities",
        "Oslo Bonn Rome Paris London Berlin Madrid Vienna Athens Dublin Moscow "
        "Cairo Delhi Tokyo Sydney Boston Chicago Milan Geneva Prague Lyon Turin "
        "Warsaw Kiev Dakar Tunis Havana Bogota Seoul Manila Hanoi Dallas Denver "
        "Miami Detroit Leeds York Cardiff Basel Graz",
        "area:900 rain:90 heat:40 rent:900 height:900 snow:60 traffic:900 wind:90 "
        "tax:90 crime:90 dust:60 smoke:60 sunshine:90 width:90 health:90 growth:40 "
        "wage:900 water:200",
    ),
    "country": (
        "countries",
        "France Spain Italy Greece Egypt India China Japan Brazil Canada Mexico "
        "Peru Kenya Norway Sweden Finland Austria Germany Russia Portugal Ireland "
        "Belgium Denmark Hungary Iceland Romania Israel Syria Iraq Nepal Korea "
        "Vietnam Bolivia Ecuador Panama Morocco Algeria Libya Sudan Nigeria",
        "area:900 coast:900 debt:900 income:900 trade:900 forest:90 size:200 tax:90 "
        "land:900 wheat:900 rice:900 oil:900 gas:200 coal:200 gold:90 iron:200 "
        "steel:900 cotton:90 wool:60 milk:900",
    ),
    "animal": (
        "animals",
        "Lion Tiger Wolf Bear Horse Cow Dog Cat Mouse Eagle Swan Fish Whale Snake "
        "Frog Sheep Fox Deer Duck Monkey Bat Bee Ant Hare Pig Hen Goose Shark Trout "
        "Otter Beaver Panda Zebra Lizard Spider Parrot Raven Turtle Bison Donkey",
        "weight:900 length:200 height:200 speed:90 age:60 price:900 size:90 "
        "sleep:20 food:90 mass:900 range:200 hunger:40 memory:90 reach:60 width:60 "
        "depth:200 energy:90 meat:200",
    ),
    "player": (
        "players",
        "Anna Tom Peter Mary John Paul Laura Emma David Sarah Max Lucy Mark Helen "
        "Martin Julia George Nina Oscar Robert Adam Ben Carl Diana Eva Frank Grace "
        "Hugo Ida James Kate Leo Maria Noah Olga Philip Ruth Sam Thomas Victor",
        "age:60 height:200 weight:90 score:90 speed:40 prize:900 rank:90 skill:90 "
        "level:40 courage:40 balance:60 pace:60 form:20 time:200 energy:90 wage:900 "
        "distance:90 reach:200",
    ),
    "fruit": (
        "fruits",
        "Apple Pear Plum Cherry Lemon Orange Banana Grape Melon Peach Fig Kiwi "
        "Olive Berry Coconut Apricot Nut Bean Pea Onion Carrot Tomato Pepper "
        "Cabbage Potato Garlic Radish Pumpkin Spinach Almond",
        "price:90 weight:200 size:40 sugar:40 water:90 stock:900 demand:200 cost:90 "
        "acid:40 colour:20 salt:40 quality:60 supply:900 fat:40 length:60 width:40",
    ),
    "film": (
        "films",
        "Storm River Winter Summer Love Home Night Dream Fire Stone King Queen "
        "Island Ocean Secret Star Moon Ghost Train War Road Bridge Castle Desert "
        "Angel Silence Letter Mountain Stranger Journey Forest Window Circus "
        "Harbour Tower Wedding Dancer Soldier Prison Morning",
        "length:200 age:90 price:40 score:90 cost:900 profit:900 rating:20 "
        "budget:900 action:60 humour:60 drama:90 music:90 delay:60 quality:60 "
        "tax:200 rank:90 fee:900",
    ),
}


RESERVED = {"count", "mean", "plot", "total"}  # what the tool or a question says


def columns_of(table: str) -> list[str]:
    return [name.partition(":")[0] for name in TABLES[table][2].split()]


def cells(top: int, n: int, rng: np.random.Generator) -> list[int]:
    """n numbers of 1 … top that differ; with 3 or 6 their mean has few decimals."""
    found = list(dict.fromkeys(rng.integers(1, top + 1, 3 * n).tolist()))[:n]
    found += range(top + 1, top + 1 + n - len(found))
    if n % 3 == 0:
        found[found.index(max(found))] += -sum(found) % n
    return found


def made_up(n: int, rng: np.random.Generator) -> list[str]:
    """n names that nobody has, such as Kolira: they can be copied, not remembered."""
    consonants, vowels = "bdfgklmnprstvz", "aeiou"
    found: dict[str, None] = {}
    while len(found) < n:
        at = rng.integers(len(consonants) * len(vowels), size=3).tolist()
        parts = [consonants[i // len(vowels)] + vowels[i % len(vowels)] for i in at]
        found["".join(parts).title()] = None
    return list(found)


@lru_cache(maxsize=1)
def nouns() -> list[str]:
    """Words of the built-in encyclopedia that stand like a noun, for unusual columns.

    One in ten is kept back: the columns that only the test has are of these. The usual
    columns are not among them, for each of these has an operation that is kept back.
    """
    text = sample_file("encyclopedia.jsonl")
    usual = {column for table in TABLES for column in columns_of(table)}
    found = re.findall(r"\b(?:the|an?) ([a-z]{4,9}) (?:of|in|and|is|was|for)\b", text)
    return sorted(
        word for word in set(found) - usual - TABLES.keys() - RESERVED
        if not word.endswith("est") and not is_for_test(word, 10)
    )  # fmt: skip


@lru_cache(maxsize=1)
def names() -> list[str]:
    """Words with a capital within its sentences, for unusual rows; one in ten not."""
    text = sample_file("encyclopedia.jsonl")
    found = re.findall(r"(?<=[a-z] )[A-Z][a-z]{2,8}\b", text)
    return sorted(name for name in set(found) if not is_for_test(name, 10))


def random_table(
    table: str, column: str, rows: Sequence[str], rng: np.random.Generator
) -> tuple[str, list[str], list[int]]:
    """A CSV with this column, in half of all cases with another one before or after it;
    the names of its rows, and the column's numbers."""
    u, n = rng.random(2).tolist(), int(rng.integers(3, 7))
    tops = dict(pair.split(":") for pair in TABLES[table][2].split())
    other = pick(list(tops), u[0])
    columns = pick(((column,), (column,), (column, other), (other, column)), u[1])
    if other == column:
        columns = (column,)
    labels = [rows[i] for i in rng.permutation(len(rows))[:n].tolist()]
    numbers = {name: cells(int(tops.get(name, 90)), n, rng) for name in columns}
    lines = [(table, *columns), *zip(labels, *numbers.values(), strict=True)]
    csv = "\n".join(", ".join(map(str, line)) for line in lines)
    return csv, labels, numbers[column]
