"""The task that docs/tasks/README.md adds keeps what every task promises."""

from __future__ import annotations

import inspect
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gptlite.tasks.held_out import sealed
from gptlite.text.chat import Conversation
from tests.helpers import REPOSITORY
from tests.tasks import test_language_tasks as promises
from tests.test_documents import BLOCK

HERE_IT_IS_USED = "# That is the task."
PROMISES = [
    promises.test_nothing_of_the_test_is_ever_drawn,
    promises.test_the_right_answer_scores_1_and_the_baseline_far_less,
    promises.test_a_test_is_always_the_same_and_a_shorter_one_its_beginning,
    promises.test_the_same_seed_draws_the_same,
    promises.test_conversations_are_short,
    promises.test_a_task_says_what_it_is,
]


def code_of_the_page() -> str:
    page = (REPOSITORY / "docs/tasks/README.md").read_text(encoding="utf-8")
    [code] = [m["code"] for m in BLOCK.finditer(page) if HERE_IT_IS_USED in m["code"]]
    return code


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The names that the page's code defines; it has trained a model by then."""
    path: Path = tmp_path_factory.mktemp("page") / "example.py"
    path.write_text(code_of_the_page(), encoding="utf-8")
    return runpy.run_path(str(path))


def keep(promise: Callable[..., None], task: Any) -> None:
    at_hand = {"task": task, "test": task.test, "rng": np.random.default_rng(0)}
    promise(**{name: at_hand[name] for name in inspect.signature(promise).parameters})


@pytest.mark.parametrize("promise", PROMISES, ids=lambda p: p.__name__)
def test_it_keeps_what_every_task_promises(
    page: dict[str, Any], promise: Callable[..., None]
) -> None:
    keep(promise, page["Opposites"]())


def test_a_task_that_draws_its_own_test_would_be_found_out(
    page: dict[str, Any],
) -> None:
    Opposites: Any = page["Opposites"]

    class Leaks(Opposites):
        def draw(self, rng: np.random.Generator) -> Conversation:
            found: Conversation = super().draw(rng)
            return found if rng.random() < 0.99 else self.test(1)[0]

    with pytest.raises(AssertionError):
        keep(promises.test_nothing_of_the_test_is_ever_drawn, Leaks())


def test_it_draws_while_what_is_held_out_is_sealed(page: dict[str, Any]) -> None:
    with sealed():
        drawn = page["Opposites"]().draw(np.random.default_rng(0))
    assert [message.role for message in drawn] == ["user", "assistant"]


def test_the_page_s_model_learns_it(page: dict[str, Any]) -> None:
    before, after = page["before"], page["after"]
    assert after["n"] == len(page["TESTED"])
    assert before["score"] < after["baseline"] < 0.1 < 0.9 < after["interval"][0]


def test_it_has_30_lines() -> None:
    task = code_of_the_page().partition(HERE_IT_IS_USED)[0]
    assert len([line for line in task.splitlines() if line.strip()]) <= 30
