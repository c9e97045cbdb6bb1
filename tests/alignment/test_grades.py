"""Grades: normalised per rater, learned from, and compared."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gptlite.alignment import ratings
from gptlite.alignment.examples import Ratings, as_pairs, rated_by_people
from gptlite.alignment.grades import graded_answers, normalised
from gptlite.alignment.ratings import Rating
from gptlite.alignment.train_reward import RewardModel
from gptlite.cli import main
from gptlite.errors import DataError
from gptlite.training.run import Run
from tests.alignment.test_learn import rated
from tests.alignment.test_reward import examples
from tests.alignment.test_wrong_input import no_work


def graded(n: int, seed: int = 0) -> list[Rating]:
    """Grades as `examples` prefers, of one who never goes above 5 and one who never
    goes below 5; several prompts."""
    talks = [talk for pair in examples(n, seed=seed) for talk in pair]
    return [
        Rating(f"owl {i % 40}", (talk[1].content,), grade=polite(talk[1].content) + own,
               rater=name)
        for i, talk in enumerate(talks)
        for name, own in (("ann", 1), ("bob", 6))[i // 2 % 2 :][:1]
    ]  # fmt: skip


def polite(text: str) -> int:
    return 4 * ("please" in text or "thanks" in text)


def test_a_grade_is_the_distance_from_what_its_rater_usually_gives() -> None:
    parts = graded_answers(graded(20), graded(4, seed=1))
    assert [len(part) for part in parts] == [40, 8]
    for part in parts:  # whoever graded it: 1 or 5, 6 or 10
        for talk, grade in part:
            assert grade == pytest.approx(1 if polite(talk[-1].content) else -1)


@pytest.mark.parametrize("own", [[], [3, 4, 5, 6], [7.1] * 9])
def test_few_grades_or_the_same_in_all_say_nothing(own: list[float]) -> None:
    assert normalised(np.array(own)) is None
    some = [Rating("Hi", ("a",), grade=grade, rater="ann") for grade in own]
    with pytest.raises(DataError, match="at least 5 grades"):
        graded_answers(some)


def test_a_file_of_both_is_learned_from_what_is_more_of(tmp_path: Path) -> None:
    path, grades = tmp_path / "r.jsonl", graded(40)
    ratings.write(path, [*rated(9, 0), *grades])
    found, left_out = rated_by_people([path])
    assert sum(map(len, found)) == len(grades)
    assert all(r.grade is not None for part in found for r in part)
    assert left_out == [
        "9 choices, since grades are learned from, of which there are 80"
    ]


def test_grades_alone_are_called_so_where_pairs_are_wanted() -> None:
    with pytest.raises(DataError, match="got 80, 0 of them ties and 80 grades"):
        as_pairs(graded(40))


def test_the_command_learns_from_grades(
    base: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = str(tmp_path / "r.jsonl"), str(tmp_path / "reward")
    some = graded(100)
    ratings.write(file, some)
    flags = ("--reward-steps", "60", "--reward-learning-rate", "3e-3", "--json")
    assert main(["reward", base, "--ratings", file, "--out", out, *flags]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["accuracy"] > 0.85
    learned, _ = rated_by_people([file])
    assert found["ratings"] == len(learned.learned)
    assert Run(out).described()["reward"] == "grades"
    new = examples(50, seed=3)
    better, worse = (RewardModel.load(out).rate([p[i] for p in new]) for i in (0, 1))
    assert (better > worse).mean() > 0.85


@pytest.mark.parametrize("command", ["reward", "dpo", "ppo"])
def test_what_needs_pairs_says_so_of_grades_before_any_work(
    command: str, base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    file, judge = str(tmp_path / "r.jsonl"), str(tmp_path / "judge")
    ratings.write(file, graded(40))
    assert main(["reward", base, "--ratings", file, "--out", judge,
                 "--reward-steps", "2"]) == 0  # fmt: skip
    no_work(monkeypatch)
    flags = {
        "reward": ["--ratings", file, "--curve"], "dpo": ["--reward", judge],
        "ppo": ["--reward", judge, "--rater", "politeness"],
    }[command]  # fmt: skip
    assert main([command, base, *flags, "--out", str(tmp_path / "out")]) == 1
    err = capsys.readouterr().err
    assert "grades" in err and ("--again 0" in err) == (command == "ppo")


def test_half_a_surrogate_pair_is_a_prompt_as_well(base: str, tmp_path: Path) -> None:
    some = [replace(r, prompt=f"\ud83e owl {i}") for i, r in enumerate(rated(20, 0))]
    ratings.write(tmp_path / "r.jsonl", some)
    found, _ = rated_by_people([tmp_path / "r.jsonl"])
    assert found == Ratings(*found) and sum(map(len, found)) == 20
    assert main(["reward", base, "--ratings", str(tmp_path / "r.jsonl"), "--out",
                 str(tmp_path / "reward"), "--reward-steps", "1"]) == 0  # fmt: skip
