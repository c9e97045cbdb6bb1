"""The task code: what is tested is never drawn, and only what is right scores 1."""

from __future__ import annotations

from functools import lru_cache
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptlite.errors import DataError
from gptlite.tasks.code import (
    CHAINS,
    FRAMES,
    Code,
    ask,
    held_out_combinations,
    held_out_pairs,
    held_out_wordings,
    is_kept_back,
)
from gptlite.tasks.compositions import STEPS, pairs, steps
from gptlite.tasks.functions import CONSTANTS, FUNCTIONS, PARAMETERS
from gptlite.tasks.held_out import held_out, sealed
from gptlite.text.chat import Conversation, conversation

CODE = Code()
DRAWS = 30_000
ALL = 10_000  # more than the test has


@lru_cache(maxsize=1)
def drawn() -> list[Conversation]:
    rng = np.random.default_rng(0)
    with sealed():
        return [CODE.draw(rng) for _ in range(DRAWS)]


def test_no_question_of_the_test_can_be_drawn() -> None:
    questions = {asked[0].content for asked in drawn()}
    assert len(questions) > DRAWS / 2
    tested = [asked[0].content for asked in CODE.test(ALL)]
    assert len(tested) >= 300 and not questions & set(tested)


def test_no_held_out_words_can_be_drawn() -> None:
    kept = held_out("code")
    assert not set(kept["frames"]) & {*FRAMES, *CHAINS}
    known = {f"{f.kind} {f.names[0]}": f for f in FUNCTIONS}
    for key, phrases in kept["phrases"].items():
        spoken = {p for f in FUNCTIONS if f.kind == known[key].kind for p in f.phrases}
        assert phrases and not spoken & set(phrases), key


def test_the_file_holds_what_training_leaves_out() -> None:
    kept = held_out("code")
    left_out = {
        (f"{f.kind} {f.names[0]}", parameter, phrase)
        for f in FUNCTIONS for parameter in PARAMETERS[f.kind] for phrase in f.phrases
        if is_kept_back(f, parameter, phrase)
    }  # fmt: skip
    assert {tuple(each) for each in kept["combinations"]} == left_out
    two = {(p.kind, *sorted(p.name.split("_"))) for p in pairs(True)}
    assert {tuple(each) for each in kept["pairs"]} == two
    shown = {(p.kind, *sorted(p.name.split("_"))) for p in pairs(False)}
    assert not two & shown


def test_training_shows_every_function_every_phrase_and_every_step() -> None:
    for function in FUNCTIONS:
        for phrase in function.phrases:
            names = PARAMETERS[function.kind]
            assert any(not is_kept_back(function, name, phrase) for name in names)
    for kind in STEPS:
        both = [p.name.split("_") for p in pairs(False) if p.kind == kind]
        for first_or_second in zip(*both, strict=True):
            assert set(first_or_second) == {step.name for step in steps(kind)}


def test_draws_are_the_same_for_the_same_seed() -> None:
    again = np.random.default_rng(0)
    assert [CODE.draw(again) for _ in range(100)] == drawn()[:100]


def test_the_test_is_always_the_same_and_at_most_what_was_asked_for() -> None:
    every = CODE.test(ALL)
    assert CODE.test(ALL) == every and CODE.test(50) == every[:50]
    assert len({asked[0].content for asked in every}) == len(every)
    assert CODE.test(0) == []


def test_the_test_is_of_three_parts_in_turn() -> None:
    first = CODE.test(3)
    parts = held_out_combinations(), held_out_wordings(), held_out_pairs()
    assert all(asked in part for asked, part in zip(first, parts, strict=True))


def test_a_prompt_is_short() -> None:
    for asked in [*drawn(), *CODE.test(ALL)]:
        assert len(asked) == 2 and len(asked[0].content) < 160
        assert len(asked[1].content) < 70 and "\n" not in asked[1].content


def test_the_right_answer_scores_1_in_training_and_in_the_test() -> None:
    asked = [*CODE.test(ALL), *drawn()[:1000]]
    results = CODE.try_many(asked, [each[-1].content for each in asked])
    assert not [(a, r) for a, r in zip(asked, results, strict=True) if not r.passed]


def test_the_baseline_passes_some_asserts_but_never_all() -> None:
    asked, rng = CODE.test(ALL), np.random.default_rng(0)
    scores = CODE.score_many(asked, [CODE.baseline(each, rng) for each in asked])
    assert all(0 <= score < 1 for score in scores)
    assert np.mean(scores) < 0.25


def test_no_function_passes_for_another() -> None:
    """Of one table, and with one number: the arguments tell all of them apart."""
    k = 3
    asked, answers = [], []
    for kind, some in groupby(FUNCTIONS, key=lambda f: f.kind):
        parameters = {"number": "x", "numbers": "x, y", "text": "s", "list": "items"}
        x, _, y = parameters[kind].partition(", ")
        lines = [f.expression.format(x=x, y=y, k=k) for f in some]
        for right in lines:
            for other in lines:
                if right != other:
                    asked.append(ask("f", parameters[kind], "Return it.", right))
                    answers.append(f"return {other}")
    scores = CODE.score_many(asked, answers)
    mistaken = [(a[-1].content, answer) for a, answer, score
                in zip(asked, answers, scores, strict=True) if score == 1]  # fmt: skip
    assert not mistaken


def test_a_wrong_number_does_not_pass() -> None:
    asked, answers = [], []
    for f in (f for f in FUNCTIONS if "{k}" in f.expression):
        x = PARAMETERS[f.kind][0]
        for k in range(*CONSTANTS[f.kind]):
            for wrong in (k - 1, k + 1):
                right = f.expression.format(x=x, k=k)
                asked.append(ask("f", x, "Return it.", right))
                answers.append(f"return {f.expression.format(x=x, k=wrong)}")
    scores = CODE.score_many(asked, answers)
    mistaken = [(a[-1].content, answer) for a, answer, score
                in zip(asked, answers, scores, strict=True) if score == 1]  # fmt: skip
    assert len(scores) > 200 and not mistaken


@given(st.text(max_size=30))
def test_no_answer_is_an_error_and_every_score_is_a_share(answer: str) -> None:
    assert 0 <= CODE.score(CODE.test(1)[0], answer) <= 1


@pytest.mark.parametrize(
    "answer",
    ["", "return", "I don't know.", "return x * 2\nimport os", "return wanted(x)",
     "return answered(x)", "return open('x')", "x * 2", "return y * 2",
     "return x * 2\x00", "return '\ud800'", "return x * 2" + " + 0" * 10**6,
     "return sum(range(10000 ** 10))"],
)  # fmt: skip
def test_what_is_not_one_harmless_line_scores_0(answer: str) -> None:
    asked = ask("double", "x", "Return twice x.", "x * 2")
    assert CODE.score(asked, answer) == 0
    assert CODE.score(asked, "  return x + x\n") == 1


def test_a_question_of_another_task_is_a_data_error() -> None:
    asked = conversation(("user", "What is an owl?"), ("assistant", "A bird."))
    with pytest.raises(DataError, match="wanted a question of the task code"):
        CODE.score(asked, "return 1")
    strange = ask("f", "owl", "Return owl.", "owl")
    with pytest.raises(DataError, match="wanted a parameter"):
        CODE.score(strange, "return owl")
