"""Asking a person: which of two answers is better, or how good is this one?

One loop for the terminal, a pipe and a notebook: it reads lines with `input()`. Every
verdict is in the file at once, so that whoever stops goes on there next time.
"""

from __future__ import annotations

import itertools
import re
import shutil
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

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
BEST = 10  # the scale of grades is 1 … BEST
PROMPTS = (
    "Hello, how are you?", "What is an owl?", "Tell me something about the sea.",
    "What did you do today?", "What is your favourite food?", "Who was Hamlet?",
    "Can you help me?", "I am sad today.", "What makes a good friend?",
    "What is the capital of France?", "Do you like music?", "What is a volcano?",
    "Tell me about your family.", "I have an exam tomorrow.", "What is love?",
    "Where would you like to travel?", "What is a planet?", "Good night!",
    "Do you prefer cats or dogs?", "What should I read?",
)  # fmt: skip


class Form(NamedTuple):
    """How a verdict is asked for. keys: what may be typed, besides s and q, and what of
    a `Rating` it says."""

    keys: dict[str, dict[str, Any]]
    asks: str
    help: str


CHOICE = Form(
    {"1": {"choice": 0}, "2": {"choice": 1}, "t": {"choice": TIE}},
    "better (1, 2, t, s, q)? ", "1 or 2: better; t: equally good; s: skip; q: stop",
)  # fmt: skip
GRADE = Form(
    {str(n): {"grade": n} for n in range(1, BEST + 1)}, f"grade (1 … {BEST}, s, q)? ",
    f"1 … {BEST}: how good, {BEST} is best; s: skip; q: stop",
)  # fmt: skip


class Question(NamedTuple):
    """A prompt with its answers, in the order shown, and the seed they are of."""

    prompt: str
    answers: tuple[str, ...]
    seed: int

    @property
    def form(self) -> Form:
        """A single answer can only be graded."""
        return GRADE if len(self.answers) == 1 else CHOICE

    def shown(self, width: int) -> str:
        if len(self.answers) == 1:
            return "\n".join(_wrapped(self.answers[0].strip(), width))
        left, right = self.answers
        return side_by_side(left, right, width)


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
    """Show a question; what was typed: a key of its form, s or q.

    Of a word the first letter counts, a number as a whole. The end of the input is a q.
    """
    form = question.form
    print(f"\n{question.prompt}\n\n"
          f"{question.shown(shutil.get_terminal_size().columns)}\n")  # fmt: skip
    while True:
        try:
            typed = re.match(r"[\d.,]+|.|", read_line(form.asks).strip().lower())
        except EOFError:
            return "q"
        key = typed[0] if typed else ""
        if key in (*form.keys, "s", "q"):
            return key
        print(form.help)


def one_answer(
    model: GPT, tokenizer: Tokenizer, prompt: str, seed: int, k: int = 0,
    max_tokens: int = 64,
) -> str:  # fmt: skip
    """The k-th answer to a prompt, from a seed that follows from both and `seed`."""
    asked, dice = [conversation(("user", prompt))], [seed, part(prompt, 2**32), k]
    return answers(model, tokenizer, asked, run_tool, max_tokens, SAMPLING,
                   rng=np.random.default_rng(dice))[0].text  # fmt: skip


def two_answers(
    model: GPT, tokenizer: Tokenizer, prompt: str, seed: int, max_tokens: int = 64
) -> tuple[str, str]:
    """Two answers to a prompt.

    Their order is drawn as well: who always says 1 must not favour either.
    """
    first, second = (
        one_answer(model, tokenizer, prompt, seed, k, max_tokens) for k in range(2)
    )
    if np.random.default_rng([seed, part(prompt, 2**32), 2]).random() < 0.5:
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
        if len({text.strip() for text in question.answers}) < len(question.answers):
            print(f"\n{question.prompt}\n\nThe two answers are the same: skipped.")
            skipped += 1
            continue
        key = ask(question, read_line)
        if key == "q":
            break
        if key == "s":
            skipped += 1
            continue
        said = Rating(question.prompt, question.answers, **question.form.keys[key],
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


def rated_before(
    path: str | Path, rater: str, model: str, seed: int, grade: bool = False
) -> set[str]:
    """Prompts whose answers of this seed the rater has compared, or graded; says what
    was cut."""
    if not Path(path).exists():
        return set()
    found = read(path)
    for line in found.left_out:
        print(line)
    asked = rater, model, seed, grade
    return {
        r.prompt for r in found.ratings
        if (r.rater, r.model, r.seed, r.grade is not None) == asked
    }  # fmt: skip


def rate(
    run: str = "mini", prompts: Sequence[str] = PROMPTS, out: str | Path =
    "ratings.jsonl", rater: str = "me", n: int = 20, seed: int = 0,
    read_line: Callable[[str], str] = input, grade: bool = False,
) -> Counts:  # fmt: skip
    """Rate at most n pairs of answers of a run's model, in a notebook or a terminal.

    grade: give single answers grades of 1 … BEST instead.

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
    done = rated_before(out, rater, run, seed, grade)
    left = [prompt for prompt in dict.fromkeys(prompts) if prompt not in done]
    model, tokenizer = open_run(run).load()

    def shown(prompt: str) -> tuple[str, ...]:
        asked = model, tokenizer, prompt, seed
        return (one_answer(*asked),) if grade else two_answers(*asked)

    questions = (Question(prompt, shown(prompt), seed) for prompt in left[:n])
    found = rate_questions(questions, out, rater, run, read_line)
    return found._replace(before=len(set(prompts) & done))
