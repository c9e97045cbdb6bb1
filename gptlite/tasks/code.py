"""The task `code`: complete a function of one line from its name and its docstring.

    def double(x):                     the user
        \"\"\"Return twice x.\"\"\"

    return x * 2                       the assistant

An answer is run in the sandbox next to the right one, on the same arguments.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

import numpy as np

from gptlite.errors import DataError
from gptlite.tasks.compositions import STEPS, Pair, compose, pairs, steps
from gptlite.tasks.functions import CONSTANTS, FUNCTIONS, PARAMETERS, Function
from gptlite.tasks.held_out import held_out
from gptlite.tasks.sandbox import Result, Trial, run_many
from gptlite.tasks.split import is_for_test
from gptlite.text.chat import Conversation, conversation

Item = TypeVar("Item")

FRAMES = (
    "Return {}.", "Give {}.", "Give back {}.", "Compute {}.", "Find {}.", "Get {}.",
)  # fmt: skip
CHAINS = ("{}, then {}.", "First {}, then {}.", "{}, and then {}.")  # two steps
SAY_NOTHING = ("f", "g", "func", "solve", "answer", "result")  # names of functions
COMPOSED = 0.4  # of what is drawn
KEPT_BACK = 8  # one combination of function, parameter and phrase in so many

# what functions are tried on, with numbers near those in the right answer
ARGUMENTS: dict[str, tuple[object, ...]] = {
    "number": (7, -4, 0, 12, 1, -9, 30),
    "second": (2, -4, 5, 3, 7, 4, 12),
    "text": (
        "Owl", "a Banana cake", " level 3 ", "level", "421", "HELLO, OLD OWL", "ab",
    ),
    "list": (
        [3, 1, 2, 4, 4], [-5, 10, 2, 8, 2, 3], [1, 3, 3, 5, 9], [6, -2, -3, 0, 7, 3],
        [4, 4, 2, 2, 4, 12, 5],
    ),
}  # fmt: skip
HOLDS = {name: kind for kind in ARGUMENTS for name in PARAMETERS[kind]}
SIGNATURE = re.compile(r"def \w+\((\w+(?:, \w+)*)\):", re.ASCII)


def pick(rng: np.random.Generator, options: Sequence[Item]) -> Item:
    return options[int(rng.integers(len(options)))]


def is_kept_back(function: Function, parameter: str, phrase: str) -> bool:
    """Whether training never shows this function in these words, of this parameter."""
    key = f"{function.kind} {function.names[0]} {parameter} {phrase}"
    return is_for_test(key, KEPT_BACK)


def ask(name: str, parameters: str, words: str, expression: str) -> Conversation:
    """A function to complete, and the right line."""
    question = f'def {name}({parameters}):\n    """{words}"""'
    return conversation(("user", question), ("assistant", f"return {expression}"))


def ask_single(
    rng: np.random.Generator,
    function: Function,
    name: str,
    parameter: str,
    phrase: str,
    frame: str,
) -> Conversation:
    """A function of the table in these words; numbers are drawn."""
    kind = function.kind
    values = {"x": parameter, "k": int(rng.integers(*CONSTANTS[kind])), "y": ""}
    parameters = parameter
    if kind == "numbers":
        values["y"] = pick(rng, PARAMETERS["second"])
        parameters = f"{parameter}, {values['y']}"
    words = frame.format(phrase.format(**values))
    expression = function.expression.format(**values)
    return ask(name.format(**values), parameters, words, expression)


def ask_pair(rng: np.random.Generator, pair: Pair) -> Conversation:
    """Two steps as one function; names, numbers and words are drawn."""
    k, j = rng.integers(*CONSTANTS[pair.kind], 2).tolist()
    values = {"x": pick(rng, PARAMETERS[pair.kind]), "k": k, "j": j}
    name = pick(rng, (pair.name, pick(rng, SAY_NOTHING)))
    words = pick(rng, CHAINS).format(pair.first, pair.second).format(**values)
    words = words[0].upper() + words[1:]
    return ask(name, str(values["x"]), words, pair.expression.format(**values))


@lru_cache(maxsize=4096)
def asserts(parameters: str, right: str) -> tuple[str, ...]:
    """Expressions that compare `answered` and `wanted` on arguments of these kinds.

    >>> asserts("x", "return x * 2")[0]
    'answered(7) == wanted(7)'
    """
    near = [int(k) + d for k in re.findall(r"\d+", right) for d in (-1, 0, 1)]
    columns = []
    for name in parameters.split(", "):
        if name not in HOLDS:
            raise DataError(f"wanted a parameter of the task code, got {name!r:.40}")
        more = near if HOLDS[name] == "number" and ", " not in parameters else []
        columns.append([*ARGUMENTS[HOLDS[name]], *more])
    calls = [", ".join(map(repr, row)) for row in zip(*columns, strict=True)]
    return tuple(f"answered({call}) == wanted({call})" for call in calls)


def parameters_of(asked: Conversation) -> str:
    """What stands between the brackets of the function to complete."""
    signature = SIGNATURE.match(asked[-2].content) if len(asked) > 1 else None
    if not signature:
        raise DataError(
            f"wanted a question of the task code and its answer, got {asked!r:.80}"
        )
    return signature[1]


def trial(asked: Conversation, answer: str) -> Trial:
    """How an answer is tried: beside the right one, which ends the conversation."""
    parameters, right = parameters_of(asked), asked[-1].content
    return Trial(
        f"def answered({parameters}):\n    {answer.strip()}",
        asserts(parameters, right),
        known=f"def wanted({parameters}):\n    {right}",
    )


class Code:
    """Complete a one-line Python function from its signature and docstring.

    >>> code = Code()
    >>> asked = code.draw(np.random.default_rng(1))
    >>> print(asked[0].content, asked[1].content, sep="\\n    ")
    def f(xs):
        \"\"\"Get the smallest of xs.\"\"\"
        return min(xs)
    >>> code.score(asked, "return open('secrets')")
    0.0
    """

    name = "code"
    source = (
        f"written by program from {len(FUNCTIONS)} functions and "
        f"{sum(len(steps(kind)) for kind in STEPS)} steps; no data of others"
    )
    metric = "asserts passed; 1: all"

    def draw(self, rng: np.random.Generator) -> Conversation:
        """One function: of the table, or of two steps."""
        if rng.random() < COMPOSED:
            return ask_pair(rng, pick(rng, pairs(False)))
        while True:
            function = pick(rng, FUNCTIONS)
            parameter = pick(rng, PARAMETERS[function.kind])
            phrase = pick(rng, function.phrases)
            if not is_kept_back(function, parameter, phrase):
                break
        name = pick(rng, (*function.names, pick(rng, SAY_NOTHING)))
        return ask_single(rng, function, name, parameter, phrase, pick(rng, FRAMES))

    def test(self, n: int) -> list[Conversation]:
        """In turn: a combination, a wording, a pair of steps that are new."""
        thirds = held_out_combinations(), held_out_wordings(), held_out_pairs()
        found = [asked for three in zip(*thirds, strict=False) for asked in three]
        return list(dict.fromkeys(found))[:n]

    def score(self, asked: Conversation, answer: str) -> float:
        """The share of asserts passed."""
        return self.score_many([asked], [answer])[0]

    def score_many(
        self, asked: Sequence[Conversation], answers: Sequence[str]
    ) -> list[float]:
        """The scores of many answers, which share a process as far as they end."""
        return [result.share for result in self.try_many(asked, answers)]

    def try_many(
        self, asked: Sequence[Conversation], answers: Sequence[str]
    ) -> list[Result]:
        """The same with reasons."""
        both = zip(asked, answers, strict=True)
        return run_many([trial(question, answer) for question, answer in both])

    def baseline(self, asked: Conversation, rng: np.random.Generator) -> str:
        """Give the first parameter back as it is."""
        return f"return {parameters_of(asked).split(', ')[0]}"


def functions_by_name() -> dict[str, Function]:
    """The functions of the table as the held-out file calls them: "number double"."""
    return {f"{f.kind} {f.names[0]}": f for f in FUNCTIONS}


def held_out_combinations() -> list[Conversation]:
    """Functions in known words, of a parameter that training never puts into them."""
    known, rng = functions_by_name(), np.random.default_rng(0)
    return [
        ask_single(rng, known[key], pick(rng, known[key].names), parameter, phrase,
                   pick(rng, FRAMES))
        for key, parameter, phrase in held_out("code")["combinations"]
    ]  # fmt: skip


def held_out_wordings() -> list[Conversation]:
    """Known functions in new words, under names that do not give them away."""
    known, rng, kept = functions_by_name(), np.random.default_rng(1), held_out("code")
    wordings = []
    for key, function in known.items():
        wordings.append((key, pick(rng, function.phrases), pick(rng, kept["frames"])))
        for phrase in kept["phrases"].get(key, []):
            wordings.append((key, phrase, pick(rng, FRAMES)))
    return [
        ask_single(rng, known[key], pick(rng, SAY_NOTHING),
                   pick(rng, PARAMETERS[known[key].kind]), phrase, frame)
        for key, phrase, frame in (wordings[i] for i in rng.permutation(len(wordings)))
    ]  # fmt: skip


def held_out_pairs() -> list[Conversation]:
    """Two steps that training never shows together, in either order, twice each."""
    rng = np.random.default_rng(2)
    both_ways = [
        compose(kind, first, second)
        for kind, a, b in held_out("code")["pairs"]
        for first, second in ((a, b), (b, a))
    ]
    order = rng.permutation(2 * len(both_ways)) // 2
    return [ask_pair(rng, both_ways[i]) for i in order]
