"""Facts, summaries, translations and chitchat: what is tested is never taught."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from gptlite.corpus.documents import Document
from gptlite.data.fetch import is_fetched
from gptlite.data.sources import source
from gptlite.errors import DataError
from gptlite.tasks import chat, facts, phrasings, summary, translate
from gptlite.tasks.data import make, plain
from gptlite.tasks.facts import REFUSALS
from gptlite.tasks.held_out import held_out, sealed
from gptlite.text.chat import Conversation

TASKS = [facts.Facts(), summary.Summary(), translate.Translate(), chat.Chat()]
TESTS = [
    *((task, task.test) for task in TASKS),
    (TASKS[0], TASKS[0].test_known), (TASKS[0], TASKS[0].test_unknown),
    (TASKS[2], TASKS[2].test_back), (TASKS[2], TASKS[2].test_unseen),
]  # fmt: skip
LABELS = [f"{task.name}.{test.__name__}" for task, test in TESTS]
DRAWS = 20_000
ENOUGH = 10_000  # more than any test has
CACHED = (
    summary.training_articles, translate.verses, translate._has_verses,
    translate._part, chat.training_ends,
)  # fmt: skip

by_name = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
by_test = pytest.mark.parametrize(("task", "test"), TESTS, ids=LABELS)


def forget() -> None:
    for function in CACHED:
        function.cache_clear()


@pytest.fixture(autouse=True)
def nothing_fetched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As on a fresh install, whatever lies in the cache of whoever runs the tests."""
    forget()
    for module in (summary, translate, chat):
        monkeypatch.setattr(module, "is_fetched", lambda source: False)
    yield
    forget()


def question(asked: Conversation) -> tuple[str, ...]:
    return tuple(message.content for message in asked[:-1])


@by_test
def test_nothing_of_the_test_is_ever_drawn(
    task: Any, test: Any, rng: np.random.Generator
) -> None:
    drawn = {question(task.draw(rng)) for _ in range(DRAWS)}
    asked = test(ENOUGH)
    assert len(asked) > 100 and len(drawn) > 500
    assert not drawn & {question(conversation) for conversation in asked}


@by_name
def test_drawing_does_not_read_what_is_held_out(
    task: Any, rng: np.random.Generator
) -> None:
    with sealed():
        drawn = [task.draw(rng) for _ in range(100)]
        if task.name != "chat":  # told by checksum alone
            with pytest.raises(DataError, match="held-out"):
                task.test(1)
    assert all(asked[-1].role == "assistant" for asked in drawn)


@by_test
def test_the_right_answer_scores_1_and_the_baseline_far_less(
    task: Any, test: Any, rng: np.random.Generator
) -> None:
    asked = test(300)
    scores = [task.score(one, task.baseline(one, rng)) for one in asked]
    assert all(task.score(a, a[-1].content) == pytest.approx(1) for a in asked)
    assert all(0 <= s <= 1 + 1e-12 for s in scores)
    assert np.mean(scores) < 0.4
    assert all(task.score(one, "") < 0.1 for one in asked)


@by_test
def test_a_test_is_always_the_same_and_a_shorter_one_its_beginning(
    task: Any, test: Any
) -> None:
    assert test(40) == test(40) == test(80)[:40]


@by_name
def test_the_same_seed_draws_the_same(task: Any) -> None:
    first, again = (np.random.default_rng(5) for _ in range(2))
    assert [task.draw(first) for _ in range(50)] == [
        task.draw(again) for _ in range(50)
    ]


@by_name
def test_conversations_are_short(task: Any, rng: np.random.Generator) -> None:
    drawn = [task.draw(rng) for _ in range(2000)] + task.test(ENOUGH)
    assert max(sum(len(m.content) for m in asked) for asked in drawn) <= 450


@by_name
def test_a_task_says_what_it_is(task: Any) -> None:
    assert task.name and task.metric
    licences = ("CC BY-SA", "MIT", "public domain")
    assert any(licence in task.source for licence in licences)


def test_facts_are_2000_in_two_languages() -> None:
    known = facts.facts()
    assert len(known) == 2000
    assert all(len(d) <= 80 for found in known.values() for d in found.values())
    assert known["Jan van Eyck"]["en"] == "Flemish painter"


@pytest.mark.parametrize("task", ["facts", "translate"])
def test_things_are_asked_in_many_ways_and_in_others_when_it_counts(task: str) -> None:
    new = held_out(task)["phrasings"]
    ways = {"facts": phrasings.FACTS, "translate": phrasings.TRANSLATE}[task]
    for language, some in ways.items():
        assert len(set(some.cores)) == len(some.cores) >= 20
        assert len(set(new[language])) >= 4
        assert all(core.count("{}") == 1 for core in (*some.cores, *new[language]))
        drawn = {some.ask("X", np.random.default_rng(i)) for i in range(5000)}
        assert len(drawn) > 500
        assert not {q.format("X").lower() for q in new[language]} & {
            q.lower() for q in drawn
        }


def test_a_fifth_of_the_questions_on_facts_is_to_be_refused(
    rng: np.random.Generator,
) -> None:
    def refused(some: list[Conversation]) -> float:
        return float(np.mean([a[-1].content in REFUSALS.values() for a in some]))

    task = facts.Facts()
    assert refused(task.test(500)) == 0.2
    assert 0.18 < refused([task.draw(rng) for _ in range(10_000)]) < 0.22
    assert refused(task.test_known(500)) == 0 and refused(task.test_unknown(500)) == 1


def test_a_refusal_is_right_in_any_spelling_but_only_where_it_is_right() -> None:
    task = facts.Facts()
    [unknown], [known] = task.test_unknown(1), task.test_known(1)
    assert task.score(unknown, "i don't know") == 1
    assert task.score(unknown, "je ne sais pas.") == 1
    assert task.score(unknown, "French poet") == 0
    assert task.score(known, "I don't know.") < 0.3


def test_new_names_are_never_known_ones(rng: np.random.Generator) -> None:
    drawn = {facts.draw_unknown(rng) for _ in range(DRAWS)}
    assert len(drawn) > 8000
    assert not drawn & set(facts.facts())
    assert not drawn & set(held_out("facts")["unknown"])


def test_summaries_are_tested_on_articles_that_facts_does_not_teach() -> None:
    lines = {a.text: a.title for a in summary.sample_articles()}
    tested = {lines[asked[0].content] for asked in summary.Summary().test(ENOUGH)}
    assert len(tested) > 150
    assert not tested & set(facts.facts())
    assert not tested & {a.title for a in summary.training_articles()}


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("It is. So.", "It is. So."),  # too short to be told from an initial
        ("J. Frost painted. He died.", "J. Frost painted."),
        ("No stop at all", "No stop at all"),
        ("word " * 60, ("word " * 47) + "word…"),
        ("", ""),
    ],
)
def test_the_first_sentence_ends_where_it_should(text: str, first: str) -> None:
    assert summary.first_sentence(text) == first
    assert len(first) <= summary.LONGEST


def test_brackets_go_from_the_end_only() -> None:
    assert plain("Poet (born 1900) (disputed)") == "Poet"
    assert plain("A (small) bird") == "A (small) bird"


def test_translations_go_both_ways(rng: np.random.Generator) -> None:
    english, french = zip(*translate.words(), strict=True)
    answers = {translate.Translate().draw(rng)[-1].content for _ in range(2000)}
    assert len(answers & set(french)) > 300 and len(answers & set(english)) > 300


def test_unseen_words_are_no_answer_either(rng: np.random.Generator) -> None:
    task = translate.Translate()
    drawn = {task.draw(rng)[-1].content for _ in range(DRAWS)}
    unseen = {asked[-1].content for asked in task.test_unseen(ENOUGH)}
    taught = {french for english, french in translate._part("words", False)}
    assert unseen - taught and not (unseen - taught) & drawn


def test_verses_that_are_not_here_are_one_clear_line() -> None:
    with pytest.raises(DataError, match="gptlite data fetch verses"):
        translate.Translate().test_verses(1)


def test_rude_words_and_addresses_are_not_drawn(rng: np.random.Generator) -> None:
    rude = ("this is Shit", "what the FUCKING", "me@here.org", "call 5551234")
    assert not any(map(chat._is_decent, (*rude, "", "x" * 500)))
    assert all(map(chat._is_decent, ("I assume the class is full", "grapes", "hi")))
    turns = ("hello there", rude[0], "sorry", "never mind", "well then", "see you")
    assert chat._ends(turns) == [3, 4, 5]
    kept = chat.window(turns, 5, 6)
    assert [m.content for m in kept] == list(turns[2:])


def test_a_dialogue_that_shares_a_turn_with_the_test_is_left_out() -> None:
    telling = "I have never seen so many owls in one tree before"
    tested = [("hi", telling, "wow")]
    others = [("hello", "hi", telling), ("hi", "wow", "what?")]
    assert chat._without(others, tested) == others[1:]


def test_dialogues_are_read_as_the_corpus_writes_them() -> None:
    text = "A topic?\n\nA: one\nB: two\ngoes on\nA: three"
    assert chat._turns(Document(text)) == ("one", "two goes on", "three")


def test_users_and_assistants_take_turns(rng: np.random.Generator) -> None:
    for asked in (*(chat.Chat().draw(rng) for _ in range(500)), *chat.Chat().test(99)):
        roles = itertools.cycle(("user", "assistant"))
        assert all(m.role == role for m, role in zip(asked, roles, strict=False))
        assert 2 <= len(asked) <= 6 and len(asked) % 2 == 0


@pytest.mark.skipif(
    not is_fetched(source("encyclopedia")), reason="the encyclopedia is not fetched"
)
def test_the_committed_lists_are_what_their_rule_makes() -> None:
    english, french = make.read_entries("en-us"), make.read_entries("fr-fr")
    rows = make.known(english, french)
    assert {t: {"en": e, "fr": f} for t, e, f in rows} == facts.facts()
    training, test = make.unknown(english, french)
    assert training == facts.unknown_titles()
    assert test == held_out("facts")["unknown"]
