"""The table tool: what it answers, what it refuses, and that nothing breaks it."""

from __future__ import annotations

import time
from fractions import Fraction
from pathlib import Path

import matplotlib.image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptlite.text.chat import conversation
from gptlite.tools import LONGEST, run
from gptlite.tools.calculator import show
from gptlite.tools.table import ROWS

CITIES = """city, price, year, unit size
Oslo, 37, 1990, 2
Bonn, 20, 2001, 3
Rome, 24.5, 1990, 5
Oslo, 3, , 7
"""


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("columns", "columns = city, price, year, unit size; rows = 4"),
        ("max price", "max price = 37, city = Oslo"),
        ("min Price", "min price = 3, city = Oslo"),
        ("mean year", "mean year = 1993.666667"),
        ("sum price where city = oslo", "sum price = 40"),
        ("max unit size where price > 20", "max unit size = 5, city = Rome"),
        ("count", "count = 4"),
        ("count year", "count year = 3"),
        ("count where year = 1990 and price < 30", "count = 1"),
        ("count where price > 1000", "count = 0"),
        ("price where city != Oslo", "price = 20, 24.5"),
        ("city where price >= 24.5", "city = Oslo, Rome"),
        ("city where price > 99", "city = none"),
        ("mean price by city", "mean price by city = Oslo 20, Bonn 20, Rome 24.5"),
        ("count by year", "count by year = 1990 2, 2001 1, (none) 1"),
        ("sum year by city where price > 30", "sum year by city = Oslo 1990"),
    ],
)  # fmt: skip
def test_it_answers(asked: str, answer: str) -> None:
    assert run(f"table {asked}", csv=CITIES) == answer


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ("", "a question"), ("max", "a question"), ("max cost", "a column among city"),
        ("mean city", "a column of numbers"), ("count where price", "a condition"),
        ("max price where year > 2020", "rows with"),
        ("count where price > x", "a number after"),
        ("count where os = 1", "a column among"), ("price by city", "an operation"),
        ("plot max price", "an operation and a group"), ("plot price", "a place for"),
        ("count where " + "price > 1 and " * 99, "at most 200 characters"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_said(asked: str, wanted: str) -> None:
    answer = run(f"table {asked}", csv=CITIES)
    assert answer.startswith(f"error: wanted {wanted}")


@pytest.mark.parametrize(
    ("csv", "wanted"),
    [
        ("", "a table"), ("only names", "a table"),
        ("a, A\n1, 2", "columns with names"), ("a, b\n1, 2, 3", "2 cells in row 1"),
        ("a, \n1, 2", "columns with names"), ("a, b\n1", "2 cells in row 1, got 1"),
        ("a\n" + "1\n" * (ROWS + 1), "at most 50 columns"),
        ("a\n" + "x" * 200, "cells"), ("a\n" + "1" * 10**6, "a table"),
        ('a, b\n"' + "x" * 200_000, "a table"), ("a\n\ud800", "a table as CSV"),
    ],
)  # fmt: skip
def test_what_is_no_table_is_said(csv: str, wanted: str) -> None:
    assert run("table columns", csv=csv).startswith(f"error: wanted {wanted}")


def test_blanks_ends_of_lines_and_a_spreadsheets_mark_are_no_part_of_a_cell() -> None:
    csv = '\ufeffcity, price\n\n"New\n  York", 3\n"say ""hi""",\n'
    assert run("table columns", csv=csv) == "columns = city, price; rows = 2"
    assert run("table max price", csv=csv) == "max price = 3, city = New York"
    assert run("table price where city = new  york", csv=csv) == "price = 3"
    assert run("table city where city != New York", csv=csv) == 'city = say "hi"'


@pytest.mark.parametrize("asked", ["mean price by city", "count where price > 1"])
def test_the_largest_table_does_not_take_long(asked: str) -> None:
    csv = "city, price\n" + "".join(f"c{i}, {i}\n" for i in range(ROWS))
    begin = time.process_time()
    run(f"table {asked}", csv=csv)
    assert time.process_time() - begin < 2


def test_no_answer_is_too_long_for_a_context() -> None:
    names, cells = (", ".join(f"{i:02}" + x * 98 for i in range(50)) for x in "ab")
    for asked in ("columns", "nothing", "count", "x" * 10**7):
        assert len(run(f"table {asked}", csv=f"{names}\n{cells}")) <= LONGEST
    answer = run("table columns", csv=f"{names}\n{cells}")
    assert answer.startswith("error: wanted an answer of at most 200 characters")


def test_the_newest_document_is_the_table_unless_the_user_gives_one() -> None:
    messages = conversation(
        ("document", "city, price\nOslo, 1"), ("user", "?"), ("assistant", "!"),
        ("document", "city, price\nOslo, 2"), ("user", "?"),
    )  # fmt: skip
    assert run("table sum price", messages) == "sum price = 2"
    assert run("table sum price", messages, csv="price\n3") == "sum price = 3"
    assert run("table sum price").startswith("error: wanted a table")


@pytest.mark.parametrize(
    "call", ["", " ", "python 1", "os.system ls", "Table max price"]
)
def test_an_unknown_tool_is_said(call: str) -> None:
    assert run(call).startswith("error: wanted a tool among calculator, table")


@pytest.mark.parametrize("asked", ["plot price", "plot mean price by city"])
def test_a_plot_is_a_picture_where_the_caller_wants_it(
    asked: str, tmp_path: Path
) -> None:
    picture = tmp_path / "bars.png"
    csv = CITIES.replace("Bonn", "$x^{$")  # what Matplotlib would take for a formula
    assert run(f"table {asked}", csv=csv, picture=picture) == "plot = bars.png"
    assert matplotlib.image.imread(picture).std() > 0.01  # something is drawn


def test_a_plot_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    answer = run("table plot price", csv=CITIES, picture=tmp_path / "no" / "x.png")
    assert answer.startswith("error: wanted to write the picture")
    for name in (".", "x", "x.svg", "x.nothing"):
        answer = run("table plot price", csv=CITIES, picture=tmp_path / name)
        assert answer.startswith("error: wanted a place for a picture")
    assert not [*tmp_path.iterdir(), *tmp_path.parent.glob("*.png")]


def test_the_model_has_no_say_in_where_a_picture_goes(tmp_path: Path) -> None:
    picture = tmp_path / "bars.png"
    for asked in ("plot price ../x.png", "plot price > x.png", "plot /tmp/x.png"):
        answer = run(f"table {asked}", csv=CITIES, picture=picture)
        assert answer.startswith("error: wanted a column")
    assert list(tmp_path.iterdir()) == []


def test_too_many_bars_are_refused(tmp_path: Path) -> None:
    csv = "x\n" + "".join(f"{i}\n" for i in range(100))
    answer = run("table plot x", csv=csv, picture=tmp_path / "x.png")
    assert answer.startswith("error: wanted 1 … 40 bars, got 100")


@given(st.lists(st.decimals(-999, 999, places=1), min_size=1, max_size=20), st.data())
def test_its_numbers_are_pythons(numbers: list, data: st.DataObject) -> None:
    exact = [Fraction(x) for x in numbers]
    csv = "x\n" + "".join(f"{x}\n" for x in numbers)
    at = data.draw(st.sampled_from(numbers))
    for asked, wanted in (
        ("max x", max(exact)), ("min x", min(exact)), ("sum x", sum(exact)),
        ("mean x", sum(exact) / Fraction(len(exact))), ("count x", len(exact)),
        (f"count where x > {at}", sum(x > at for x in numbers)),
        (f"count where x <= {at}", sum(x <= at for x in numbers)),
    ):  # fmt: skip
        answer = run(f"table {asked}", csv=csv)
        assert answer.partition(" = ")[2] == show(Fraction(wanted))


PIECES = st.sampled_from(
    ["max", "count", "price", "city", "by", "where", "and", "=", ">", "plot", "3", "''"]
)


@settings(max_examples=300)
@given(st.lists(PIECES | st.text(max_size=5), max_size=9).map(" ".join))
def test_no_question_breaks_it(asked: str) -> None:
    answer = run(f"table {asked}", csv=CITIES)
    assert answer and ("=" in answer or answer.startswith("error: wanted "))


@settings(max_examples=200)
@given(st.text(max_size=80) | st.text('ab,"\n\r1 .-;', max_size=60))
def test_no_csv_breaks_it(csv: str) -> None:
    for asked in ("columns", "max a", "count", "mean 1 by a"):
        answer = run(f"table {asked}", csv=csv)
        assert "=" in answer or answer.startswith("error: wanted ")


def test_a_value_may_have_the_word_and_in_it() -> None:
    csv = "country, area, rain\nTrinidad and Tobago, 5, 9\nFrance, 7, 4"
    asked = "area where country = Trinidad and Tobago and rain > 3"
    assert run(f"table {asked}", csv=csv) == "area = 5"
