"""Asking a person: what he types is what the file says, and he may stop at any time."""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptlite.alignment import rate as rates
from gptlite.alignment.rate import (
    Counts,
    Question,
    ask,
    rate,
    rate_questions,
    read_prompts,
    side_by_side,
    two_answers,
)
from gptlite.alignment.ratings import TIE, read, to_line
from gptlite.commands import Commands, ratings
from gptlite.config import GPTConfig, TrainConfig
from gptlite.errors import ConfigError, DataError
from gptlite.models import checkpoint
from gptlite.models.answer import Answer
from gptlite.models.gpt import GPT
from gptlite.text.chat import SPECIAL, conversation
from gptlite.text.learn import train_bpe
from gptlite.training.run import Run
from tests.helpers import child_environment

TOKENIZER = train_bpe(["the owl hunts at night"] * 3, 290, special=SPECIAL)
CONFIG = GPTConfig(1, 2, 8, context_length=96, vocab_size=TOKENIZER.vocab_size)
MODEL = GPT(CONFIG)


def typed(*keys: str) -> Callable[[str], str]:
    """What a person types, and then the end of the input."""
    left = iter(keys)

    def read_line(prompt: str) -> str:
        try:
            return next(left)
        except StopIteration:
            raise EOFError from None

    return read_line


def questions(n: int) -> Iterator[Question]:
    return (Question(f"p{i}", (f"left {i}", f"right {i}"), i) for i in range(n))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run that can talk, though only nonsense."""
    found = Run(tmp_path_factory.mktemp("rate") / "run")
    found.describe("", CONFIG, TrainConfig(), TOKENIZER)
    tensors = checkpoint.model_tensors(MODEL.params)
    checkpoint.save(found.checkpoint_file, tensors, MODEL.described())
    return str(found.folder)


# --- what is shown ----------------------------------------------------------------

printable = st.text(st.characters(codec="ascii", exclude_categories=["C"]))


@given(printable, printable, st.integers(20, 200))
def test_nothing_is_wider_than_the_terminal_and_no_word_is_lost(
    left: str, right: str, width: int
) -> None:
    shown = side_by_side(left, right, width)
    assert all(len(line) <= width for line in shown.split("\n"))
    letters = sorted("".join(f"1:{left}2:{right}".split()))
    assert sorted("".join(shown.split())) == letters


def test_wide_is_side_by_side_and_narrow_is_below() -> None:
    left, right = "one two three " * 4, "four\nfive"
    wide = side_by_side(left, right, 60).splitlines()
    assert wide[0].startswith("1: one two") and "2: four" in wide[0]
    assert wide[1].endswith("five") and len(wide) == 3
    narrow = side_by_side(left, right, 59).splitlines()
    assert narrow[0].startswith("1: one") and "four" not in narrow[0]
    assert narrow[-2:] == ["2: four", "five"]


def test_another_key_is_asked_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(next(questions(1)), typed("", "3", "yes", " T ")) == "t"
    assert ask(next(questions(1)), typed()) == "q"  # the end of the input
    shown = capsys.readouterr().out
    assert shown.count(rates.CHOICE.help) == 3
    assert all(shown.count(text) == 2 for text in ("p0", "left 0", "right 0"))


def test_keys_become_ratings(tmp_path: Path) -> None:
    out = tmp_path / "new" / "r.jsonl"
    found = rate_questions(questions(9), out, "ann", "mini", typed(*"12tsq"))
    assert found == Counts(3, 1, 0)
    kept = read(out).ratings
    assert [r.choice for r in kept] == [0, 1, TIE]
    assert [r.prompt for r in kept] == ["p0", "p1", "p2"]
    assert kept[1].answers == ("left 1", "right 1")
    assert {(r.rater, r.model) for r in kept} == {("ann", "mini")}
    assert [r.seed for r in kept] == [0, 1, 2]


def test_one_answer_is_graded_on_the_scale(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "r.jsonl"
    asked = (Question(f"p{i}", (f"answer {i}",), i) for i in range(9))
    keys = ["0", "11", "7.5", "-3", "t", "", "10", "skip", " 1 ", "quit", "5"]
    assert rate_questions(asked, out, "ann", read_line=typed(*keys)) == Counts(2, 1, 0)
    kept = read(out).ratings
    assert [(r.prompt, r.grade) for r in kept] == [("p0", 10), ("p2", 1)]
    assert kept[1].answers == ("answer 2",) and kept[1].choice is None
    assert capsys.readouterr().out.count("1 … 10") == 6


def test_no_answer_is_made_before_it_is_asked_for(tmp_path: Path) -> None:
    made = []

    def slow() -> Iterator[Question]:
        for question in questions(9):
            made.append(question.prompt)
            yield question

    rate_questions(slow(), tmp_path / "r", "ann", read_line=typed("1", "q"))
    assert made == ["p0", "p1"]


def test_equal_answers_are_not_asked(tmp_path: Path) -> None:
    out = tmp_path / "r"
    asked = [Question("p", ("same", "same "), 0)]
    assert rate_questions(asked, out, "ann", read_line=typed("1")) == Counts(0, 1, 0)
    assert not out.exists()


def test_a_choice_is_kept_whatever_comes_next(tmp_path: Path) -> None:
    keys = iter("2")

    def broken(prompt: str) -> str:
        for key in keys:
            return key
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rate_questions(questions(3), tmp_path / "r", "ann", read_line=broken)
    assert [r.choice for r in read(tmp_path / "r").ratings] == [1]


def test_answers_follow_from_prompt_and_seed() -> None:
    def two(prompt: str, seed: int) -> tuple[str, str]:
        return two_answers(MODEL, TOKENIZER, prompt, seed, max_tokens=12)

    first = two("Hi", 0)
    assert first == two("Hi", 0)
    assert first[0] != first[1]
    assert set(first).isdisjoint(two("Hi", 1))
    assert set(first).isdisjoint(two("Ho", 0))


def test_either_seeds_answer_may_stand_on_the_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def numbered(*given_: object, rng: object) -> list[Answer]:
        made.append(f"answer {len(made)}")
        turn = conversation(("user", "?"), ("assistant", made[-1]))[1:]
        return [Answer(turn, True)]

    monkeypatch.setattr(rates, "answers", numbered)
    swapped = 0
    for seed in range(200):
        made: list[str] = []
        swapped += two_answers(MODEL, TOKENIZER, "Hi", seed) == tuple(made[::-1])
    assert 70 < swapped < 130


def test_who_comes_back_goes_on(run: str, tmp_path: Path) -> None:
    out, prompts = tmp_path / "r.jsonl", ["a", "b", "c", "d"]

    def again(keys: str, rater: str = "ann", seed: int = 0, n: int = 20) -> Counts:
        return rate(run, prompts, out, rater, n, seed, typed(*keys))

    assert again("1s") == Counts(1, 1, 0)
    assert again("t", n=1) == Counts(1, 0, 1)  # b: what was skipped is asked again
    with open(out, "ab") as file:
        file.write(to_line(read(out).ratings[0])[:40])  # the machine went off
    assert again("222") == Counts(2, 0, 2)
    assert again("1") == Counts(0, 0, 4)
    assert [r.prompt for r in read(out).ratings] == prompts
    assert again("1111", rater="bob") == Counts(4, 0, 0)
    assert again("1", seed=1) == Counts(1, 0, 0)
    ann, bob = read(out).ratings[:4], read(out).ratings[4:8]
    assert [r.answers for r in ann] == [r.answers for r in bob]


def test_grades_and_choices_of_a_file_are_told_apart(run: str, tmp_path: Path) -> None:
    out, prompts = tmp_path / "r.jsonl", ["a", "b"]
    assert rate(run, prompts, out, read_line=typed("1", "2")) == Counts(2, 0, 0)
    graded = [
        rate(run, prompts, out, read_line=typed(key), grade=True) for key in ("9", "10")
    ]
    assert graded == [Counts(1, 0, 0), Counts(1, 0, 1)]
    two, one = read(out).ratings[:2], read(out).ratings[2:]
    assert [r.grade for r in one] == [9, 10]
    assert all(g.answers[0] in c.answers for c, g in zip(two, one, strict=True))


def test_what_cannot_be_asked(run: str, tmp_path: Path) -> None:
    out = tmp_path / "r"
    for n, rater, seed in ((0, "ann", 0), (1, " ", 0), (1, "ann", -1)):
        with pytest.raises(ConfigError, match="wanted"):
            rate(run, ["a"], out, rater, n, seed, typed())
    with pytest.raises(DataError, match="empty one"):
        rate(run, ["a", " "], out, read_line=typed())


def test_prompts_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_bytes("\ufeffWhat?\r\n\r\n  Où ? \n".encode())
    assert read_prompts(path) == ["What?", "Où ?"]
    for content in (b"", b"\n \n", b"\xff\xfe\xff"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="wanted"):
            read_prompts(path)


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    ratings.add(Commands(parser))
    return parser.parse_args(["rate", *arguments])


def test_the_command_through_a_pipe(
    run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, prompts = tmp_path / "r.jsonl", tmp_path / "p.txt"
    prompts.write_text("a\nb\nc\n", encoding="utf-8")
    args = parsed(run, "--prompts", str(prompts), "--out", str(out), "--rater", "eve",
                  "-n", "2")  # fmt: skip
    monkeypatch.setattr("sys.stdin", io.StringIO("2\nt\n1\n"))
    found = args.run(args)
    assert found == {"out": str(out), "rater": "eve", "rated": 2, "skipped": 0,
                     "before": 0}  # fmt: skip
    assert [r.choice for r in read(out).ratings] == [1, TIE]
    args = parsed(run, "--grade", "--prompts", str(prompts), "--out", str(out))
    monkeypatch.setattr("sys.stdin", io.StringIO("8\n"))
    assert args.run(args)["rated"] == 1
    assert read(out).ratings[-1].grade == 8


def test_bytes_that_are_no_text_are_asked_again(run: str, tmp_path: Path) -> None:
    code = (
        "import sys; from tests.alignment.test_rate import parsed; "
        "args = parsed(*sys.argv[1:]); print(args.run(args))"
    )
    out = tmp_path / "r.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", code, run, "--out", str(out), "-n", "1"],
        input=b"\xff\xfe\n1\n", capture_output=True, timeout=120, check=False,
        env=child_environment(PYTHONUTF8="1"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    assert b"'rated': 1" in done.stdout
    assert len(read(out).ratings) == 1
