"""The chat in a terminal, or through a pipe: lines in, answers out."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from gptlite.assistant.chat import Chat
from gptlite.errors import DataError, GptliteError
from gptlite.models.sampling import Sampling
from gptlite.output import print_table
from gptlite.text.chat import Conversation
from gptlite.tools import PICTURE, run
from gptlite.training.run import open_run

LARGEST = 100_000  # bytes of a document

HELP = """/system TEXT       what the assistant is told before all else
/temperature X     0 always says the likeliest; higher is more varied
/document FILE     begin anew with a text or a table (CSV) to be asked about
/reset             forget what was said
/save FILE         write the conversation as JSON lines; a file that is there is kept
/why               what else was likely in the last answer, and where the model looked
/help              this; an empty line or the end of the input: leave"""


def run_tool(call: str, messages: Conversation) -> str:
    """What a tool says; a plot becomes a file here, beside those that are there."""
    path, n = Path(PICTURE), 1
    while path.exists():
        n += 1
        path = path.with_name(f"{Path(PICTURE).stem}-{n}.png")
    return run(call, messages, picture=path)


def _temperature(chat: Chat, text: str) -> None:
    try:
        value = float(text)
    except ValueError as error:
        raise DataError(
            f"wanted a temperature such as 0.7, got {text!r:.40}"
        ) from error
    chat.sampling = dataclasses.replace(chat.sampling, temperature=value)


def _save(chat: Chat, text: str) -> None:
    path = text or "chat.jsonl"
    earlier = chat.save(path)
    print(f"saved {len(chat.messages)} turns in {path}")
    if earlier:
        print(f"the earlier {path} is now {earlier}")


def _document(chat: Chat, path: str) -> None:
    try:
        size = Path(path).stat().st_size
        if size > LARGEST:
            raise DataError(f"wanted a file of at most {LARGEST:,} bytes, got {size:,}")
        chat.show(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"cannot read {path!r:.60}: {error}; name a text file"
        ) from None
    print("it is read; now ask")


COMMANDS: dict[str, Callable[[Chat, str], None]] = {
    "/system": lambda chat, text: chat.instruct(text),
    "/temperature": _temperature,
    "/document": _document,
    "/reset": lambda chat, text: chat.reset(),
    "/save": _save,
    "/why": lambda chat, text: print_table(chat.why()),
    "/help": lambda chat, text: print(HELP),
}


def answer(chat: Chat, line: str) -> None:
    """Do what a line says: a command, or something to answer."""
    name, _, text = line.partition(" ")
    if name.startswith("/"):
        if name not in COMMANDS:
            raise DataError(
                f"wanted a command among {', '.join(COMMANDS)}, got {name:.40}"
            )
        COMMANDS[name](chat, text.strip())
        return
    for piece in chat.reply(line):
        print(piece, end="", flush=True)
    print()


def typed() -> Iterator[str]:
    """What a person types, until an empty line or Ctrl-D."""
    with contextlib.suppress(ImportError):  # line editing, where the system has it
        import readline  # noqa: F401
    print("Say something (/help: what else; an empty line: the end).")
    with contextlib.suppress(EOFError):
        while (line := input("> ")).strip():
            yield line


def piped() -> Iterator[str]:
    """The lines of a pipe or a file that say something."""
    return (line.rstrip("\n") for line in sys.stdin if line.strip())


def talk(chat: Chat) -> None:
    """Answer every line. An error ends one answer; so does Ctrl-C of who types.

    Through a pipe nobody sees the errors pass: then one is raised at the end.
    """
    if sys.stdin is None:
        raise DataError("wanted something to answer, got a closed standard input")
    if isinstance(sys.stdin, io.TextIOWrapper):  # bytes that are no text: no error
        sys.stdin.reconfigure(errors="replace")
    asks, failed = sys.stdin.isatty(), 0
    for line in typed() if asks else piped():
        try:
            answer(chat, line)
        except GptliteError as error:
            print(error, file=sys.stderr)
            failed += 1
        except KeyboardInterrupt:
            if not asks:
                raise
            print()
    if failed and not asks:
        raise DataError(f"wanted to answer every line, got {failed} that failed: see "
                        "above")  # fmt: skip


def chat_with(run: str, temperature: float = 0.7, seed: int | None = None) -> None:
    """Talk with the model of a run."""
    found = open_run(run)
    if found.config_file.exists() and "reward" in found.described():
        raise DataError(
            f"wanted a model that answers, got {run}, which only rates answers; give "
            "the one that it was made from"
        )
    model, tokenizer = found.load()
    sampling = Sampling(temperature=temperature, top_p=0.9)
    dice = np.random.default_rng(seed)
    talk(Chat(model, tokenizer, run_tool, sampling, rng=dice))
