"""The chat in a terminal, or through a pipe: lines in, answers out."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Callable

from gptlite.assistant.chat import Chat
from gptlite.errors import GptliteError
from gptlite.output import print_table

HELP = """/system TEXT       what the assistant is told before all else
/temperature X     0 always says the likeliest; higher is more varied
/reset             forget what was said
/save FILE         write the conversation as JSON lines
/why               what else was likely in the last answer, and where the model looked
/help              this; an empty line or the end of the input: leave"""


def _system(chat: Chat, text: str) -> None:
    chat.system = text


def _temperature(chat: Chat, text: str) -> None:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    chat.sampling = dataclasses.replace(chat.sampling, temperature=value)


def _save(chat: Chat, text: str) -> None:
    chat.save(text or "chat.jsonl")
    print(f"saved {len(chat.messages)} turns in {text or 'chat.jsonl'}")


COMMANDS: dict[str, Callable[[Chat, str], None]] = {
    "/system": _system,
    "/temperature": _temperature,
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
            print(f"wanted a command among {', '.join(COMMANDS)}, got {name}",
                  file=sys.stderr)  # fmt: skip
            return
        COMMANDS[name](chat, text.strip())
        return
    for piece in chat.reply(line):
        print(piece, end="", flush=True)
    print()


def talk(chat: Chat) -> None:
    """Until an empty line or the end of the input; errors and Ctrl-C end one answer."""
    asks = sys.stdin.isatty()
    if asks:
        with contextlib.suppress(ImportError):  # line editing, where the system has it
            import readline  # noqa: F401
        print("Say something (/help: what else; an empty line: the end).")
    while True:
        try:
            line = input("> " if asks else "")
        except EOFError:
            return
        if not line.strip():
            if asks:
                return
            continue
        try:
            answer(chat, line)
        except GptliteError as error:
            print(error, file=sys.stderr)
        except KeyboardInterrupt:  # enough of this answer
            print()
