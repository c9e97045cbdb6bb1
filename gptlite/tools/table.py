"""Questions to a table in a CSV: filter, group, count, mean, largest, plot.

    columns                         which columns there are, and how many rows
    max price                       also min, mean, sum; max and min name their row
    count                           of rows, or of what a column has
    price where city = Oslo         what a column has
    max price where year > 1990 and city != Oslo
    mean price by city              one result for each city
    plot price                      a picture with a bar a row
    plot mean price by city         a bar a group

The first column names the rows. A column of numbers has nothing else in it, empty cells
apart, which count as nothing.
"""

from __future__ import annotations

import csv as csv_files
import io
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from gptlite.errors import DataError
from gptlite.tools.calculator import show

CHARACTERS, ROWS, COLUMNS, CELL = 1_000_000, 10_000, 50, 100  # of a table, at most
ASKED = 200  # characters of a question
SHOWN = 8  # results in an answer
BARS = 40  # in a picture

NUMBER = re.compile(r"[-+]?(\d{1,20}\.?\d{0,20}|\.\d{1,20})", re.ASCII)
QUESTION = re.compile(
    r"(?P<plot>plot )?((?P<what>max|min|mean|sum|count)\b)? ?(?P<column>.*?)"
    r"( ?\bby (?P<by>.+?))?( ?\bwhere (?P<where>.+))?"
)
COMPARE = re.compile(r"(.+?)\s*(<=|>=|!=|=|<|>)\s*(.+)")
# before another condition; not the one in Trinidad and Tobago
AND = re.compile(r" and (?=(?:(?! and )[^!=<>])*[!=<>])")
RELATIONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, ">": operator.gt,
    "<=": operator.le, ">=": operator.ge,
}  # fmt: skip
OPERATIONS: dict[str, Callable[[list[Fraction]], Fraction]] = {
    "max": max, "min": min, "sum": lambda x: sum(x, Fraction(0)),
    "mean": lambda x: sum(x, Fraction(0)) / len(x),
}  # fmt: skip

Row = list[str]


@dataclass(frozen=True, slots=True)
class Table:
    """rows: a cell for each column, as text; numeric: which columns are numbers."""

    names: list[str]
    rows: list[Row]
    numeric: list[bool]

    def column(self, name: str) -> int:
        """Which column is called so; capitals do not count."""
        for i, known in enumerate(self.names):
            if known.casefold() == name.strip().casefold():
                return i
        known = ", ".join(self.names)
        raise DataError(f"wanted a column among {known:.80}, got {name.strip()!r:.40}")

    def numbers(self, column: int, rows: list[Row]) -> list[tuple[Fraction, Row]]:
        """The column's numbers in these rows, each with its row."""
        if not self.numeric[column]:
            raise DataError(f"wanted a column of numbers, got {self.names[column]!r}")
        found = [(Fraction(row[column]), row) for row in rows if row[column]]
        if not found:
            raise DataError(f"wanted rows with a {self.names[column]}, found none")
        return found


def read_table(csv: str) -> Table:
    """A CSV with the names of its columns in the first line, within bounds."""
    if len(csv) > CHARACTERS:
        raise DataError(f"wanted a table of at most {CHARACTERS:,} characters")
    csv = csv.removeprefix("\ufeff")  # which spreadsheets put before the first name
    try:
        csv.encode()  # half a character pair (a surrogate) is none, and has no glyph
        lines = list(csv_files.reader(io.StringIO(csv), skipinitialspace=True))
    except (csv_files.Error, UnicodeError) as error:
        raise DataError(f"wanted a table as CSV, got another text: {error}") from error
    # one blank between words, and no ends of lines: as in a question
    cells = [[" ".join(cell.split()) for cell in line] for line in lines if any(line)]
    if len(cells) < 2:
        raise DataError("wanted a table: a line of names, then rows; found none")
    names, rows = cells[0], cells[1:]
    if not all(names) or len({name.casefold() for name in names}) < len(names):
        raise DataError("wanted columns with names that differ, got others")
    if len(names) > COLUMNS or len(rows) > ROWS:
        raise DataError(f"wanted at most {COLUMNS} columns and {ROWS:,} rows, got more")
    for number, row in enumerate(rows, 1):
        if len(row) != len(names):
            raise DataError(
                f"wanted {len(names)} cells in row {number}, got {len(row)}"
            )
        if max(map(len, row)) > CELL:
            raise DataError(f"wanted cells of at most {CELL} characters, got more")
    numeric = [any(column) and all(NUMBER.fullmatch(cell) for cell in column if cell)
               for column in zip(*rows, strict=True)]  # fmt: skip
    return Table(names, rows, numeric)


def matching(table: Table, conditions: str) -> list[Row]:
    """The rows for which all of "COLUMN = VALUE and …" is true."""
    rows = table.rows
    for condition in filter(None, AND.split(conditions)):
        match = COMPARE.fullmatch(condition.strip())
        if match is None:
            raise DataError(
                f"wanted a condition such as price > 3, got {condition.strip()!r:.40}"
            )
        name, sign, value = match.groups()
        column, holds = table.column(name), RELATIONS[sign]
        if table.numeric[column]:
            if not NUMBER.fullmatch(value):
                raise DataError(f"wanted a number after {sign}, got {value!r:.40}")
            rows = [r for r in rows if r[column]
                    and holds(Fraction(r[column]), Fraction(value))]  # fmt: skip
        else:
            rows = [r for r in rows if holds(r[column].casefold(), value.casefold())]
    return rows


def groups(rows: list[Row], column: int) -> dict[str, list[Row]]:
    """The rows by what the column says, in the order in which that first appears."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row[column], []).append(row)
    return found


def listed(results: list[str]) -> str:
    """Results in one line, the first few if they are many."""
    more = f" and {len(results) - SHOWN} more" if len(results) > SHOWN else ""
    return ", ".join(results[:SHOWN]) + more


def number(table: Table, what: str, column: int | None, rows: list[Row]) -> Fraction:
    """One number of some rows: an operation on a column, or how many there are."""
    if what == "count":
        return Fraction(sum(column is None or bool(row[column]) for row in rows))
    assert column is not None
    return OPERATIONS[what]([x for x, _ in table.numbers(column, rows)])


def plot(bars: list[tuple[str, Fraction]], title: str, picture: Path | None) -> str:
    """Bars as a PNG file; where is for the caller to say."""
    # under another name, Matplotlib would write another format, or another file
    if picture is None or picture.suffix != ".png":
        raise DataError(f"wanted a place for a picture, such as a.png, got {picture}")
    if not 1 <= len(bars) <= BARS:
        raise DataError(f"wanted 1 … {BARS} bars, got {len(bars)}; filter or group")
    from gptlite import plots  # loads Matplotlib, which only a picture needs

    with plots.styled():
        ax = plots.new_axes(9, 1.5 + 0.4 * len(bars))
        labels = [label.replace("$", r"\$") for label, _ in bars[::-1]]  # no formulas
        ax.barh(range(len(bars)), [float(x) for _, x in bars[::-1]], color=plots.BLUE)
        ax.set_yticks(range(len(bars)), labels)
        ax.set_xlabel(title.replace("$", r"\$"))
    try:
        plots.save(ax, picture, close=True)
    except OSError as error:
        raise DataError(f"wanted to write the picture, got: {error}") from error
    return f"plot = {picture.name}"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: an operation ("": none) on a column (None: on rows), of
    some rows, perhaps for each value of another column, perhaps as a picture."""

    what: str
    column: int | None
    by: int | None
    rows: list[Row]
    plot: bool

    def label(self, data: Table) -> str:
        name = "" if self.column is None else data.names[self.column]
        by = "" if self.by is None else f"by {data.names[self.by]}"
        return " ".join(filter(None, (self.what, name, by)))


def read_question(asked: str, data: Table) -> Question:
    match = QUESTION.fullmatch(asked)
    assert match is not None  # the column takes whatever there is
    what, name = match["what"] or "", match["column"]
    if not name and what != "count":
        raise DataError(f"wanted a question such as max price, got {asked!r:.40}")
    return Question(
        what,
        column=data.column(name) if name else None,
        by=data.column(match["by"]) if match["by"] else None,
        rows=matching(data, match["where"] or ""),
        plot=bool(match["plot"]),
    )


def bars(data: Table, question: Question) -> list[tuple[str, Fraction]]:
    """A name and a number for each group, or for each row."""
    what, column = question.what, question.column
    if question.by is not None and what:
        found = groups(question.rows, question.by).items()
        return [(name, number(data, what, column, rows)) for name, rows in found]
    if question.by is not None or what or column is None:
        raise DataError("wanted an operation and a group, such as mean price by city")
    return [(row[0], x) for x, row in data.numbers(column, question.rows)]


def table(asked: str, csv: str, picture: Path | None = None) -> str:
    """Answer a question to a table; what is wrong with either is a `DataError`.

    >>> prices = "city, price\\nOslo, 37\\nBonn, 20\\nRome, 24"
    >>> table("max price", prices)
    'max price = 37, city = Oslo'
    >>> table("count where price > 22", prices)
    'count = 2'
    >>> table("price where city = Bonn", prices)
    'price = 20'
    """
    if len(asked) > ASKED:
        raise DataError(f"wanted at most {ASKED} characters, got {len(asked)}")
    data = read_table(csv)
    if asked == "columns":
        return f"columns = {listed(data.names)}; rows = {len(data.rows)}"
    question = read_question(" ".join(asked.split()), data)
    what, column, rows = question.what, question.column, question.rows
    label = question.label(data)
    if question.plot:
        return plot(bars(data, question), label, picture)
    if question.by is not None:
        found = [f"{name or '(none)'} {show(x)}" for name, x in bars(data, question)]
        return f"{label} = {listed(found) or 'none'}"
    if not what:
        assert column is not None
        return f"{label} = {listed([row[column] for row in rows]) or 'none'}"
    value = number(data, what, column, rows)
    if what in ("max", "min") and column:
        at = [row[0] for x, row in data.numbers(column, rows) if x == value]
        return f"{label} = {show(value)}, {data.names[0]} = {listed(at)}"
    return f"{label} = {show(value)}"
