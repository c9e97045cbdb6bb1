"""The file of ratings: what goes in comes out, and what is broken is said."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptlite.alignment.ratings import (
    TIE,
    Rating,
    append,
    from_line,
    merge,
    pairs,
    read,
    to_line,
)
from gptlite.errors import DataError
from tests.helpers import child_environment

NOON = "2026-01-31T12:00:00+00:00"


def rating(prompt: str = "Hi", **changes: Any) -> Rating:
    about = {"answers": ("Hello!", "Go!"), "choice": 0, "rater": "ann", "time": NOON}
    return Rating(prompt, **{**about, **changes})


texts = st.text(st.characters(), max_size=20)  # surrogates, newlines and all
said = texts.filter(lambda text: bool(text.strip()))


@st.composite
def some_rating(draw: st.DrawFn) -> Rating:
    answers = tuple(draw(st.lists(texts, min_size=1, max_size=4)))
    n, choice, grade = len(answers), None, None
    if n == 1:
        grade = draw(st.floats(-10, 10) | st.integers(1, 10))
    else:
        choice = draw(st.just(TIE) | st.integers(0, n - 1))
    when = draw(st.datetimes().map(lambda t: t.isoformat() + "+00:00"))
    return Rating(draw(said), answers, choice, grade, draw(said), when, draw(texts),
                  draw(st.integers(0, 2**40)))  # fmt: skip


@given(some_rating())
def test_a_line_says_all_of_a_rating(one: Rating) -> None:
    line = to_line(one)
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert from_line(line) == one


@given(st.lists(some_rating(), max_size=5))
def test_a_file_says_all_of_its_ratings(
    tmp_path_factory: pytest.TempPathFactory, many: list[Rating]
) -> None:
    path = tmp_path_factory.mktemp("ratings") / "new" / "ratings.jsonl"
    for one in many:
        append(path, one)
    assert not many or read(path) == (many, [])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt": " "}, "wanted a text as prompt"),
        ({"rater": ""}, "wanted a text as rater"),
        ({"choice": 2}, 'wanted a choice of 0 … 1 or "tie", got 2'),
        ({"choice": -1}, "wanted a choice of 0 … 1"),
        ({"choice": True}, "wanted a choice of 0 … 1"),
        ({"choice": 1.0}, "wanted a choice of 0 … 1"),
        ({"choice": "Hello!"}, "wanted a choice of 0 … 1"),
        ({"choice": "What?"}, "wanted a choice of 0 … 1"),
        ({"choice": None}, "got 2 answers, no choice"),
        ({"answers": ("Hello!",)}, "at least 2 answers"),
        ({"answers": ()}, "at least 2 answers"),
        ({"answers": ("Hello!", 3)}, "wanted texts as answers"),
        ({"grade": 3}, "without a grade"),
        ({"answers": ("Hello!",), "choice": None}, "finite grade"),
        ({"answers": ("a",), "choice": None, "grade": float("nan")}, "finite grade"),
        ({"answers": ("a",), "choice": None, "grade": 10**400}, "finite grade"),
        ({"answers": ("a",), "choice": None, "grade": True}, "finite grade"),
        ({"time": "yesterday"}, "wanted a time such as"),
        ({"time": "2026-01-31T12:00:00"}, "wanted a time such as"),
        ({"time": "2026-01-31T12:00:00+01:00"}, "wanted a time such as"),
        ({"seed": None}, "whole number as seed"),
    ],
)
def test_a_rating_that_says_nothing_clear_is_an_error(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        rating(**changes)


def test_a_rating_without_a_time_is_of_now() -> None:
    assert Rating("Hi", ("a", "b"), TIE, rater="ann").time > NOON[:4]


@pytest.mark.parametrize(
    "line",
    [
        b"{", b"3", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"prompt": "Hi"}',
        to_line(rating()).replace(b'"choice": 0', b'"choice": 7'),
        to_line(rating()).replace(b'"seed": 0', b'"seed": 0, "more": 1'),
        to_line(rating()).replace(b'["Hello!", "Go!"]', b'"ab"'),
        to_line(rating()).replace(b'["Hello!", "Go!"]', b"[[], {}]"),
    ],
)  # fmt: skip
def test_a_broken_line_in_the_middle_stops_or_is_counted(
    line: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "r.jsonl"
    good = to_line(rating())
    path.write_bytes(good + line.rstrip() + b"\n" + good)
    with pytest.raises(DataError, match=r"line 2 of .*delete"):
        read(path)
    found = read(path, "skip")
    assert found.ratings == [rating()] * 2
    assert len(found.left_out) == 1 and found.left_out[0].startswith("line 2 of ")
    with pytest.raises(DataError, match="stop or skip"):
        read(path, "no")


def test_a_file_may_be_cut_anywhere(tmp_path: Path) -> None:
    """Read, it says what is missing; written to again, nothing is lost or glued."""
    first, second, third = (rating(prompt=p) for p in ("first", "sécond", "third"))
    before = to_line(first)
    line = to_line(second)
    for cut in range(len(line) + 1):
        path = tmp_path / f"{cut}.jsonl"
        path.write_bytes(before + line[:cut])
        whole = cut >= len(line) - 1  # only the newline may be missing
        found = read(path)
        assert found.ratings == ([first, second] if whole else [first])
        assert len(found.left_out) == (cut > 0 and not whole)
        append(path, third)
        assert read(path) == ([*found.ratings, third], [])
        aside = path.with_name(f"{path.name}.cut")
        assert aside.exists() == (cut > 0 and not whole)
        assert not aside.exists() or aside.read_bytes() == line[:cut] + b"\n"


WRITER = """
import sys
from gptlite.alignment.ratings import Rating, append
path, name = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
for i in range(200):
    append(path, Rating(f"{name} {i}", ("a" * 5000, "b" * 5000), 0, rater=name))
"""


def test_several_processes_add_to_one_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(to_line(rating())[:50])  # the first to come has to mend it
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), name], text=True,
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         env=child_environment())
        for name in ("ann", "bob", "eve")
    ]  # fmt: skip
    for writer in writers:
        assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
    starts = [threading.Thread(target=w.communicate, args=("\n", 120)) for w in writers]
    for start in starts:
        start.start()
    for start in starts:
        start.join()
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    found = read(path)
    assert not found.left_out
    for name in ("ann", "bob", "eve"):
        own = [r.prompt for r in found.ratings if r.rater == name]
        assert own == [f"{name} {i}" for i in range(200)]
    names = [r.rater for r in found.ratings]
    assert names != sorted(names), "the writers did not write at the same time"
    assert len((tmp_path / "r.jsonl.cut").read_bytes().splitlines()) == 1


def test_many_files_become_one_by_time(tmp_path: Path) -> None:
    early, late = (rating(time=NOON.replace("12:", f"{h}:")) for h in ("09", "15"))
    other = dataclasses.replace(early, rater="bob", choice=1)
    for name, some in {"a": [late, early], "b": [early, other, early]}.items():
        for one in some:
            append(tmp_path / name, one)
    with open(tmp_path / "a", "ab") as file:
        file.write(b'{"cut')
    found = merge([tmp_path / "a", tmp_path / "b"])
    assert found.ratings == [early, other, late]
    assert len(found.left_out) == 1 and "cut short" in found.left_out[0]


def test_the_best_of_k_is_better_than_each_other() -> None:
    best = rating(answers=("a", "b", "c", "d"), choice=2)
    tie, graded = rating(choice=TIE), rating(answers=("a",), choice=None, grade=3)
    found = pairs([tie, best, graded, rating(answers=("x", "x"))])
    assert found == [("Hi", "c", "a"), ("Hi", "c", "b"), ("Hi", "c", "d")]


def test_one_who_contradicts_himself_is_heard_both_times() -> None:
    assert pairs([rating(), rating(choice=1)]) == [
        ("Hi", "Hello!", "Go!"),
        ("Hi", "Go!", "Hello!"),
    ]


@pytest.mark.parametrize("ties", [0, 3])
def test_ties_alone_give_no_pairs(ties: int) -> None:
    with pytest.raises(DataError, match=f"got {ties}, {ties} of them ties"):
        pairs([rating(choice=TIE)] * ties)


def test_the_lines_are_plain_json() -> None:
    found = json.loads(to_line(rating(model="mini", seed=7)))
    assert found == {"prompt": "Hi", "answers": ["Hello!", "Go!"], "choice": 0,
                     "grade": None, "rater": "ann", "time": NOON, "model": "mini",
                     "seed": 7}  # fmt: skip
