"""Numbers: the answers follow from the tools, and what is tested is never taught."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptlite.errors import DataError
from gptlite.tasks.held_out import held_out, sealed
from gptlite.tasks.numbers import IMPOSSIBLE, Numbers
from gptlite.tasks.questions import FRAMES, KINDS, OPERATIONS, kept_back
from gptlite.tasks.split import is_for_test
from gptlite.tasks.tables import TABLES, cells, columns_of
from gptlite.text.chat import Conversation, conversation
from gptlite.tools import PICTURE, run

TASK = Numbers()
DRAWS = 20_000
TESTED = 600
COLUMNS = {column for table in TABLES for column in columns_of(table)}


def content(asked: Conversation, role: str) -> str:
    return next((m.content for m in asked if m.role == role), "")


def questions_of(asked: Conversation) -> list[Conversation]:
    """Each question of a conversation alone, with the table."""
    table = asked[:1] if asked[0].role == "document" else ()
    rest = asked[len(table) :]
    return [table + rest[i : i + 4] for i in range(0, len(rest), 4)]


def operation(call: str) -> tuple[str, str]:
    """The operation and the column that a call of the table asks for."""
    words = call.split()[1:]
    if words[0] == "count":
        return "count", words[2]
    return ("value", words[0]) if words[1] == "where" else (words[0], words[1])


def patterns_of(frames: Mapping[str, Sequence[str]]) -> list[re.Pattern[str]]:
    """Expressions that match what is asked in these frames, and nothing else."""
    holes = {"w": r"\w+( than)?", "v": r"\d+", "e": r"[\d(].*"}

    def pattern(frame: str) -> re.Pattern[str]:
        parts = re.split(r"\{(\w+)\}", frame)  # text, hole, text, hole, text
        parts[::2] = map(re.escape, parts[::2])
        parts[1::2] = [holes.get(name, r"\w+") for name in parts[1::2]]
        return re.compile("".join(parts))

    return [pattern(frame) for some in frames.values() for frame in some]


@pytest.fixture(scope="module")
def drawn() -> list[Conversation]:
    rng = np.random.default_rng(0)
    with sealed():
        talks = [TASK.draw(rng) for _ in range(DRAWS)]
    return [question for talk in talks for question in questions_of(talk)]


@pytest.fixture(scope="module")
def tested() -> list[Conversation]:
    return TASK.test(TESTED)


def test_no_question_of_the_test_is_ever_drawn(
    drawn: list[Conversation], tested: list[Conversation]
) -> None:
    asked = {content(item, "user") for item in tested}
    assert not asked & {content(item, "user") for item in drawn}


def test_no_held_out_operation_word_row_or_frame_is_ever_drawn(
    drawn: list[Conversation],
) -> None:
    kept = held_out("numbers")
    words = {word for part in ("columns", "rows") for some in kept[part].values()
             for word in some}  # fmt: skip
    patterns = patterns_of(kept["frames"])
    for item in drawn:
        document, call = content(item, "document"), content(item, "call")
        assert not any(p.fullmatch(content(item, "user")) for p in patterns)
        assert not words & set(re.findall(r"\w+", document))
        if document:
            what, column = operation(call)
            assert kept["pairs"].get(column) != what  # made-up columns have none
        else:
            assert not is_for_test(call.removeprefix("calculator "), 10)


def test_each_item_of_the_test_has_something_that_is_held_out(
    tested: list[Conversation],
) -> None:
    kept = held_out("numbers")
    new = {word for some in kept["columns"].values() for word in some}
    patterns = patterns_of(FRAMES)
    ways = set()
    for item in tested:
        document, call = content(item, "document"), content(item, "call")
        if not any(p.fullmatch(content(item, "user")) for p in patterns):
            ways.add("frame")
        elif not document:
            assert is_for_test(call.removeprefix("calculator "), 10)
            ways.add("sum")
        else:
            what, column = operation(call)
            assert column in new or kept["pairs"][column] == what
            ways.add("column" if column in new else "pair")
    assert ways == {"frame", "sum", "column", "pair"}


def test_the_file_says_what_is_held_out() -> None:
    kept = held_out("numbers")
    assert kept["pairs"] == {column: kept_back(column) for column in COLUMNS}
    assert set(kept["pairs"].values()) == set(OPERATIONS)
    for table, (_, rows, _) in TABLES.items():
        assert not set(kept["rows"][table]) & set(rows.split())
        assert not set(kept["columns"][table]) & COLUMNS
        # drawn may be any word or name but those of which the checksum says so
        for word in kept["rows"][table] + kept["columns"][table]:
            assert is_for_test(word, 10), word
        # as many as the longest table has rows
        assert len(set(kept["rows"][table])) >= 6
    for name, frames in FRAMES.items():
        assert kept["frames"][name] and not set(kept["frames"][name]) & set(frames)


def test_every_operation_is_trained_on_most_columns() -> None:
    for kind in KINDS:
        fit = [c for c in COLUMNS if kept_back(c) != kind.operation]
        assert len(fit) > len(COLUMNS) / 2


def test_training_cannot_ask_for_the_test() -> None:
    with sealed(), pytest.raises(DataError, match="held-out part of 'numbers'"):
        TASK.test(1)


def test_the_test_is_always_the_same(tested: list[Conversation]) -> None:
    assert TASK.test(30) == tested[:30]
    assert len(set(tested)) == TESTED


def test_the_tool_says_what_the_conversation_says(
    drawn: list[Conversation], tmp_path: Path
) -> None:
    plots = 0
    for item in drawn[:500]:
        call, said = content(item, "call"), content(item, "tool")
        drawing = call.startswith("table plot ")
        plots += drawing
        if not drawing or plots < 3:  # a picture takes a tenth of a second
            assert run(call, item, picture=tmp_path / PICTURE) == said
        impossible = content(item, "assistant") == IMPOSSIBLE
        assert said.startswith("error") == impossible == call.endswith("/ 0")


def test_some_tables_are_asked_about_twice_and_some_sums_cannot_be_done() -> None:
    rng = np.random.default_rng(0)
    talks = [TASK.draw(rng) for _ in range(1000)]
    twice = [talk for talk in talks if len(questions_of(talk)) == 2]
    assert 100 < len(twice) < 300
    assert any(talk[-1].content == IMPOSSIBLE for talk in talks)


def test_the_answer_follows_from_the_table(drawn: list[Conversation]) -> None:
    """Worked out here by hand, without the tool."""
    seen = set()
    for item in drawn[:2000]:
        if not (document := content(item, "document")):
            continue
        head, *lines = [line.split(", ") for line in document.split("\n")]
        what, column = operation(content(item, "call"))
        numbers = [int(line[head.index(column)]) for line in lines]
        answer = content(item, "assistant").rstrip(".").split()[-1]
        if what == "plot":
            assert content(item, "assistant") == f"{PICTURE} shows the {column}."
        elif " by " in content(item, "call"):
            of = {name: [x for x, line in zip(numbers, lines, strict=True)
                         if line[0] == name] for name, *_ in lines}  # fmt: skip
            right = {k: sum(v) / (len(v) if what == "mean" else 1)
                     for k, v in of.items()}  # fmt: skip
            told = content(item, "assistant").rstrip(".").split(", ")
            assert {t.split()[0]: float(t.split()[1]) for t in told} == right
        elif what in ("max", "min"):
            best = (max if what == "max" else min)(numbers)
            assert answer in (str(best), lines[numbers.index(best)][0])
        elif what in ("mean", "sum"):
            right = sum(numbers) / (len(numbers) if what == "mean" else 1)
            assert float(answer) == pytest.approx(right, abs=1e-9)
        elif what == "count":
            sign, value = content(item, "call").split()[-2:]
            assert int(answer) == sum(
                x > int(value) if sign == ">" else x < int(value) for x in numbers
            )
        else:
            row = content(item, "call").split()[-1]
            assert int(answer) == numbers[[r[0] for r in lines].index(row)]
        seen.add(what)
    assert seen == {*OPERATIONS, "plot"}


def test_the_right_answer_scores_1_and_a_guess_far_less(
    tested: list[Conversation],
) -> None:
    rng = np.random.default_rng(0)
    assert all(TASK.score(item, item[-1].content) == 1 for item in tested)
    guessed = [TASK.score(item, TASK.baseline(item, rng)) for item in tested]
    assert np.mean(guessed) < 0.25


@pytest.mark.parametrize(
    ("right", "answer", "score"),
    [
        ("The mean price is 2.5.", "It is 2.50", 1), ("It is 3.", "3", 1),
        ("It is 3.", "It is 33.", 0), ("It is 3.", "3 or 4 or 5", 0),
        ("It is -3.", "It is 3.", 0), ("It is 3.", "", 0), ("It is Oslo.", "Oslo!", 1),
        ("It is Oslo.", "Oslo or Bonn", 0), ("It is Oslo.", "Oslow", 0),
        ("It is Oslo.", "", 0), ("Oslo 3, Bonn 2.", "Oslo 3, Bonn 2", 1),
        ("Oslo 3, Bonn 2.", "Oslo 2, Bonn 3.", 0), ("Oslo 3, Bonn 2.", "Bonn 2.", 0),
        ("plot.png shows the price.", "plot.png shows the price.", 1),
        ("plot.png shows the price.", "It is 3.", 0),
    ],
)  # fmt: skip
def test_one_number_or_one_name_has_to_be_right(
    right: str, answer: str, score: float
) -> None:
    asked = conversation(
        ("document", "city, price\nOslo, 3\nBonn, 2"), ("user", "?"),
        ("assistant", right),
    )  # fmt: skip
    assert TASK.score(asked, answer) == score


@given(st.integers(0, 2**32), st.text(max_size=30))
def test_a_draw_is_short_fixed_by_its_seed_and_scored(seed: int, answer: str) -> None:
    drawn = TASK.draw(np.random.default_rng(seed))
    assert drawn == TASK.draw(np.random.default_rng(seed))
    assert sum(len(re.findall(r"\w+|\S", m.content)) for m in drawn) < 200
    assert 0 <= TASK.score(drawn, answer) <= 1


@given(st.integers(2, 900), st.integers(3, 6), st.integers(0, 2**32))
def test_cells_differ_so_that_one_row_is_the_first(top: int, n: int, seed: int) -> None:
    found = cells(top, n, np.random.default_rng(seed))
    assert len(set(found)) == n and min(found) >= 1
    if n % 3 == 0:
        assert sum(found) % n == 0
