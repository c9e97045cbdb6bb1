"""Real ratings: read as they are, freed of the raters' scales, and never on both sides.

On the sample in the package and on small files of the source's form; on the source
itself where it has been fetched.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptlite.alignment import chitchat
from gptlite.alignment.chitchat import QUALITIES, Rated, Row
from gptlite.corpus.documents import Document
from gptlite.corpus.readers import dialogue
from gptlite.data.fetch import is_fetched
from gptlite.data.sources import source
from gptlite.errors import DataError
from gptlite.tasks.chat import without_tests

needs_source = pytest.mark.skipif(
    not is_fetched(source("dialogue")),
    reason="the source dialogue has not been fetched (gptlite data fetch dialogue)",
)


def rated(people: str, *grades: int, turns: tuple[str, ...] = ("a", "b")) -> Rated:
    return Rated("topic", turns, tuple(people), grades * (3 // len(grades)))


def said(who: str, *texts: str) -> list[dict[str, str]]:
    return [{"sender": who, "text": text, "timestamp": "-"} for text in texts]


def write(folder: Path, *rows: dict[str, Any]) -> Path:
    named = {str(i): row for i, row in enumerate(rows)}
    (folder / "dataset.json").write_text(json.dumps(named), encoding="utf-8")
    return folder


def test_a_file_of_the_source(tmp_path: Path) -> None:
    grades = {"upbeat": 2, "interesting": 3, "witty": 1}
    chat = {"prompt": "Films?", "ratings": grades,
            "messages": [said("x", "Hi", "there"), said("y", "Yo"), []]}  # fmt: skip
    no_grades = {"messages": [said("x", "Hi")]}
    on_and_on = {"ratings": grades, "messages": [said("x", "Hi"), said("x", "Ho")]}
    found = chitchat.from_folder(write(tmp_path, chat, no_grades, on_and_on))
    assert found == [
        Rated("Films?", ("Hi there", "Yo"), ("x", "y"), (1, 2, 3)),
        Rated("", ("Hi Ho",), ("x",), (1, 2, 3)),
    ]
    row = Row(found[0].topic, found[0].turns, 0.0)
    assert row.text == next(dialogue(tmp_path))


def test_the_sample_has_grades_and_no_people() -> None:
    found = chitchat.from_sample()
    assert len(found) == 288
    assert all(len(r.grades) == len(QUALITIES) and not r.people for r in found)
    assert all(1 <= grade <= 10 for r in found for grade in r.grades)


def test_what_nobody_graded_is_left_out() -> None:
    kept = rated("xy", 5, 5, 6)
    alone = rated("x", 9, turns=("a",))
    assert chitchat.usable([rated("xy", 5), kept, alone]) == [kept]


def test_grades_become_distances_in_deviations() -> None:
    severe = [rated("x" + p, g) for p, g in zip("abcd", (1, 3, 1, 3), strict=True)]
    mild = [rated("y" + p, g) for p, g in zip("efgh", (9, 10, 9, 10), strict=True)]
    rows = chitchat.normalise([*severe, *mild], fewest=3)
    assert [row.grade for row in rows] == [-1, 1, -1, 1, -1, 1, -1, 1]


def test_both_people_count() -> None:
    known = [rated("xy", 8)] + [rated("xz", g) for g in (4, 4, 8)]
    known += [rated("yz", g) for g in (8, 2, 2)]
    first = chitchat.normalise(known, fewest=4)[0]
    x, y = np.array([8, 4, 4, 8]), np.array([8, 8, 2, 2])
    wanted = [(8 - own.mean()) / own.std() for own in (x, y)]
    assert first.grade == pytest.approx(np.mean(wanted))


def test_people_of_whom_too_little_is_known_are_left_out() -> None:
    few = [rated("ab", g) for g in (1, 9)]
    always_alike = [rated("cd", 10)] * 9
    assert chitchat.normalise([*few, *always_alike], fewest=3) == []
    assert len(chitchat.normalise([*few, *always_alike], fewest=2)) == 2


grades = st.integers(1, 5)
pairs_of_people = st.lists(st.tuples(st.sampled_from(["ab", "ac", "bc"]), grades))


@given(pairs_of_people, st.integers(1, 2), st.integers(0, 20))
def test_a_scale_of_ones_own_does_not_matter(
    given_: list[tuple[str, int]], times: int, plus: int
) -> None:
    plain = chitchat.normalise([rated(p, g) for p, g in given_], 2)
    scaled = chitchat.normalise([rated(p, g * times + plus) for p, g in given_], 2)
    assert np.allclose([r.grade for r in plain], [r.grade for r in scaled])


@given(st.lists(st.integers(1, 10), min_size=2).filter(lambda g: len(set(g)) > 1))
def test_one_rater_has_mean_0_and_deviation_1(own: list[int]) -> None:
    rows = chitchat.normalise([rated("x", g) for g in own], 2)
    assert np.mean([r.grade for r in rows]) == pytest.approx(0, abs=1e-9)
    assert np.std([r.grade for r in rows]) == pytest.approx(1)


def check_split(split: chitchat.Split) -> None:
    train, held_out = ({row.text for row in part} for part in split)
    assert not train & held_out and held_out
    share = len(split.held_out) / (len(split.train) + len(split.held_out))
    assert 0.1 < share < 0.35
    documents = [Document(row.text) for row in split.train]
    assert len(list(without_tests(documents))) == len(documents)


def test_no_conversation_is_on_both_sides() -> None:
    found = chitchat.from_sample()
    check_split(chitchat.load(found + found))  # even if it is there twice
    split = chitchat.load(found)
    again = chitchat.load(found[::-1])
    assert {row.text for row in split.train} == {row.text for row in again.train}


@needs_source
def test_the_source_is_as_the_document_says() -> None:
    found = chitchat.rated_conversations()
    assert len(found) == 5988
    assert len({person for r in found for person in r.people}) == 1103
    assert {len(r.people) for r in found} == {1, 2}
    rows = chitchat.normalise(chitchat.usable(found))
    assert len(rows) == 2190
    check_split(chitchat.load(found))


def test_pairs_differ_by_the_margin(rng: np.random.Generator) -> None:
    rows = chitchat.load(chitchat.from_sample()).train
    found = chitchat.pairs(rows, 300, rng, margin=0.7)
    assert len(found) == 300
    assert all(better.grade - worse.grade >= 0.7 for better, worse in found)
    assert len({(a.text, b.text) for a, b in found}) == 300


def test_few_rows_give_all_their_pairs(rng: np.random.Generator) -> None:
    rows = [Row("", (str(g),), g) for g in (0.0, 1.0, 1.2)]
    found = {(a.grade, b.grade) for a, b in chitchat.pairs(rows, 9, rng)}
    assert found == {(1.0, 0.0), (1.2, 0.0)}
    for some, n, margin in ((rows, 9, 2.0), ([], 9, 0.5), (rows, 0, 1.0), (rows, 9, 0)):
        with pytest.raises(DataError, match="wanted"):
            chitchat.pairs(some, n, rng, margin)


@pytest.mark.parametrize("n", range(2, 6))
def test_a_model_reads_the_last_turn_as_the_assistants(n: int) -> None:
    turns = tuple("abcde"[:n])
    found = Row("", turns, 0.0).conversation
    assert found[0].role == "user" and found[-1].role == "assistant"
    assert "".join(m.content for m in found) == "abcde"[n % 2 : n]


def test_the_numbers_of_the_sample() -> None:
    found = chitchat.describe(chitchat.from_sample())
    assert found["usable"] == len(chitchat.usable(chitchat.from_sample()))
    assert found["of these, all three grades 5"] + found["usable"] == 288
    assert found["people in these"] == 1
    raw, normalised = (found["correlation, log of length"],
                       found["correlation, once normalised"])  # fmt: skip
    assert raw == pytest.approx(normalised)  # one person: only shifted and scaled


def test_the_share_of_variance_between_people(rng: np.random.Generator) -> None:
    """A model with known variances, 3 between and 1 within: a share of 3/4."""
    means = rng.normal(0, np.sqrt(3), 400)
    found = [
        Rated("", ("a", "b"), (f"x{i}", f"y{j}"), (mean + rng.normal(),) * 3)
        for i, mean in enumerate(means)
        for j in range(2 + i % 3)
    ]
    assert chitchat._between(found, 0) == pytest.approx(0.75, abs=0.06)
    assert chitchat._between(found, 1) < 0.1
    assert np.isnan(chitchat._between(chitchat.from_sample(), 0))
