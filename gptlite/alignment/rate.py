"""Asking a person: two answers side by side, and which one is better?

One loop for the terminal, a pipe and a notebook: it reads lines with `input()`. Every
choice is in the file at once, so that whoever stops goes on there next time.
"""

from __future__ import annotations

import itertools
import shutil
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gptlite.alignment.ratings import TIE, Rating, append, read
from gptlite.errors import ConfigError, DataError
from gptlite.models.answer import answers
from gptlite.models.gpt import GPT
from gptlite.models.sampling import Sampling
from gptlite.tasks.split import part
from gptlite.text.chat import conversation
from gptlite.text.tokenizer import Tokenizer
from gptlite.tools import run as run_tool
from gptlite.training.run import open_run

SAMPLING = Sampling(temperature=0.9)
NARROW = 60  # characters, below which one answer stands below the other
GAP = 3  # between two columns
KEYS: dict[str, int | str] = {"1": 0, "2": 1, "t": TIE}  # and s, q
HELP = "1 or 2: better; t: equally good; s: skip; q: stop"
PROMPTS = (
    "Hello, how are you?", "What is an owl?", "Tell me something about the sea.",
    "What did you do today?", "What is your favourite food?", "Who was Hamlet?",
    "Can you help me?", "I am sad today.", "What makes a good friend?",
    "What is the capital of France?", "Do you like music?", "What is a volcano?",
    "Tell me about your family.", "I have an exam tomorrow.", "What is love?",
    "Where would you like to travel?", "What is a planet?", "Good night!",
    "Do you prefer cats or dogs?", "What should I read?",
)  # fmt: skip


class Question(NamedTuple):
    """A prompt with two answers, in the order shown, and the seed they are of."""

    prompt: str
    answers: tuple[str, str]
    seed: int


class Counts(NamedTuple):
    """How many prompts were rated now, skipped now, and rated before by this rater."""

    rated: int
    skipped: int
    before: int


def side_by_side(left: str, right: str, width: int) -> str:
    """Two answers in columns that fill `width`; one below the other if it is NARROW.

    >>> print(side_by_side("A bird.", "An owl hunts by night.", 60))
    1: A bird.                     2: An owl hunts by night.
    """
    texts = f"1: {left.strip()}", f"2: {right.strip()}"
    if width < NARROW:
        return "\n\n".join("\n".join(_wrapped(text, width)) for text in texts)
    column = (width - GAP) // 2
    both = itertools.zip_longest(*(_wrapped(t, column) for t in texts), fillvalue="")
    return "\n".join(f"{a:<{column + GAP}}{b}".rstrip() for a, b in both)


def _wrapped(text: str, width: int) -> list[str]:
    lines = text.expandtabs(4).splitlines()
    return [part for line in lines for part in textwrap.wrap(line, width) or [""]]


def ask(question: Question, read_line: Callable[[str], str]) -> str:
    """Show a question; the key of the answer, one of KEYS, s or q.

    The end of the input is a q.
    """
    width = shutil.get_terminal_size().columns
    print(f"\n{question.prompt}\n\n{side_by_side(*question.answers, width)}\n")
    while True:
        try:
            key = read_line("better (1, 2, t, s, q)? ").strip().lower()[:1]
        except EOFError:
            return "q"
        if key in (*KEYS, "s", "q"):
            return key
        print(HELP)


def two_answers(
    model: GPT, tokenizer: Tokenizer, prompt: str, seed: int, max_tokens: int = 64
) -> tuple[str, str]:
    """Two answers to a prompt, from two seeds that follow from it and from `seed`.

    Their order is drawn as well: who always says 1 must not favour either.
    """
    asked, own = [conversation(("user", prompt))], part(prompt, 2**32)
    first, second = (
        answers(model, tokenizer, asked, run_tool, max_tokens, SAMPLING,
                rng=np.random.default_rng([seed, own, k]))[0].text
        for k in range(2)
    )  # fmt: skip
    if np.random.default_rng([seed, own, 2]).random() < 0.5:
        first, second = second, first
    return first, second


def rate_questions(
    questions: Iterable[Question], out: str | Path, rater: str, model: str = "",
    read_line: Callable[[str], str] = input,
) -> Counts:  # fmt: skip
    """Ask each question and append what is said to the file `out`.

    read_line: prompt → a line. Questions are taken one at a time: who stops has not
    waited for answers that nobody reads. Answers that are equal are not shown.
    """
    rated = skipped = 0
    for question in questions:
        if question.answers[0].strip() == question.answers[1].strip():
            print(f"\n{question.prompt}\n\nThe two answers are the same: skipped.")
            skipped += 1
            continue
        key = ask(question, read_line)
        if key == "q":
            break
        if key == "s":
            skipped += 1
            continue
        said = Rating(question.prompt, question.answers, KEYS[key],
                      rater=rater, model=model, seed=question.seed)  # fmt: skip
        append(out, said)
        rated += 1
    return Counts(rated, skipped, 0)


def read_prompts(path: str | Path) -> list[str]:
    """The prompts of a text file, one a line; empty lines do not count."""
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except ValueError as error:
        raise DataError(f"wanted a text in UTF-8, got {path}: {error}") from error
    if found := [line.strip() for line in lines if line.strip()]:
        return found
    raise DataError(f"wanted prompts, one a line, got none in {path}; write some")


def rated_before(path: str | Path, rater: str, model: str, seed: int) -> set[str]:
    """Prompts whose answers of this seed the rater has rated; says what was cut."""
    if not Path(path).exists():
        return set()
    found = read(path)
    for line in found.left_out:
        print(line)
    asked = rater, model, seed
    return {r.prompt for r in found.ratings if (r.rater, r.model, r.seed) == asked}


def rate(
    run: str = "mini", prompts: Sequence[str] = PROMPTS, out: str | Path =
    "ratings.jsonl", rater: str = "me", n: int = 20, seed: int = 0,
    read_line: Callable[[str], str] = input,
) -> Counts:  # fmt: skip
    """Rate at most n pairs of answers of a run's model, in a notebook or a terminal.

    Prompts that `rater` has rated in the file `out` are not asked again, unless with
    another seed or run, whose answers are others. Raters with the same seed see the
    same answers, so that their agreement can be measured.
    """
    if n < 1 or not rater.strip():
        raise ConfigError(f"wanted n ≥ 1 and a rater's name, got {n} and {rater!r:.40}")
    if seed < 0:
        raise ConfigError(f"wanted a seed ≥ 0, got {seed}")
    if not all(prompt.strip() for prompt in prompts):
        raise DataError("wanted prompts that say something, got an empty one")
    done = rated_before(out, rater, run, seed)
    left = [prompt for prompt in dict.fromkeys(prompts) if prompt not in done]
    model, tokenizer = open_run(run).load()
    questions = (
        Question(prompt, two_answers(model, tokenizer, prompt, seed), seed)
        for prompt in left[:n]
    )
    found = rate_questions(questions, out, rater, run, read_line)
    return found._replace(before=len(set(prompts) & done))
