"""Tools that the assistant may call: it writes a line, the library answers with one.

    calculator 12 * (3 + 4)          = 84
    table max price                  max price = 37, city = Oslo

Numbers and names in an answer stand behind a blank, as they do in a sentence: a token
with a blank is another one than without, and the model can copy them as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from gptlite.errors import DataError
from gptlite.text.chat import Message
from gptlite.tools.calculator import calculator
from gptlite.tools.table import table

PICTURE = "plot.png"  # what a plot is called, if nothing else is said
LONGEST = 200  # characters of an answer, which has to fit into the model's context

# name: (what is asked, the CSV at hand, where a picture may be written) → answer
TOOLS: dict[str, Callable[[str, str, Path | None], str]] = {
    "calculator": lambda asked, csv, picture: calculator(asked),
    "table": table,
}


def last_document(messages: Sequence[Message]) -> str:
    """The newest document of a conversation; empty if there is none."""
    found = (m.content for m in reversed(messages) if m.role == "document")
    return next(found, "")


def run(
    call: str,
    messages: Sequence[Message] = (),
    *,
    csv: str | None = None,
    picture: Path | None = None,
) -> str:
    """What a tool answers to a call. What is wrong with it is an answer, too.

    csv: a table that the user gave, in place of the conversation's newest document.
    picture: the PNG file that a plot is written to; the model has no say in it.

    >>> run("calculator 12 * (3 + 4)")
    '= 84'
    >>> run("table mean price", csv="city, price\\nOslo, 37\\nBonn, 20")
    'mean price = 28.5'
    >>> run("calculator 1 / 0")
    'error: wanted a divisor other than 0, got 0'
    """
    name, _, asked = call.strip().partition(" ")
    try:
        if name not in TOOLS:
            raise DataError(f"wanted a tool among {', '.join(TOOLS)}, got {name!r:.40}")
        document = last_document(messages) if csv is None else csv
        answer = TOOLS[name](asked.strip(), document, picture)
        if len(answer) > LONGEST:
            raise DataError(
                f"wanted an answer of at most {LONGEST} characters, got {len(answer)}; "
                "ask for less"
            )
        return answer
    except DataError as error:
        return f"error: {error}"
