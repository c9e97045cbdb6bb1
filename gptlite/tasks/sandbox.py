"""Lines of Python that a model wrote, run without trust.

Two walls. The first, `allowed.py`, reads the syntax tree and lets pass what is on a
list. The second is a child process: a Python without environment, input or
site-packages, in an empty folder, with limits on time, memory, files and output
(`sandbox_child.py`). What passes the first wall can still take for ever or all memory,
and that is what the second is for.

What runs is written anew from the tree that was checked, not the text of the model.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gptlite.errors import DataError, GptliteError
from gptlite.tasks import sandbox_child
from gptlite.tasks.allowed import BUILTINS, check, checked_function, parse

WALL_SECONDS = 10.0  # that a trial may take, whether it computes or waits
TRIALS, OUTPUT = 100, 64  # of a child; bytes that it may print for each assert
PROCESSOR_TIME_USED = getattr(signal, "SIGPROF", 0)  # the signal that ends it then
CHILD = inspect.getsource(sandbox_child)


@dataclass(frozen=True, slots=True)
class Trial:
    """source: the function to try. asserts: expressions that should be true. known: a
    right function of another name, which the asserts may call as well.
    """

    source: str
    asserts: tuple[str, ...]
    known: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """share: of the asserts that passed. reason: why not all did, or nothing."""

    share: float
    reason: str = ""

    @property
    def passed(self) -> bool:
        return self.share == 1


def as_script(trial: Trial, number: int, name: str, function: str) -> str:
    """A trial as a function of the script, which yields its asserts one by one."""
    if not trial.asserts:
        raise DataError("wanted a trial with at least one assert, got none")
    names, lines = BUILTINS | {name}, function.splitlines()
    if trial.known:
        other, text = checked_function(trial.known)
        if other == name:
            raise DataError(f"wanted known under another name than {name}, got {other}")
        names, lines = names | {other}, lines + text.splitlines()
    for text in trial.asserts:
        value = parse(text, "eval").body
        check(value, names)
        lines.append(f"yield lambda: {ast.unparse(value)}")
    return "\n    ".join([f"def trial_{number}():", *lines])


def stop(child: subprocess.Popen[bytes]) -> None:
    """End a child, and what it may have started."""
    with contextlib.suppress(OSError):  # it has ended already
        if hasattr(os, "killpg"):
            os.killpg(child.pid, signal.SIGKILL)
        else:
            child.kill()


def run_script(script: str, seconds: float, longest: int) -> tuple[list[str], str]:
    """The second wall: the lines that a script prints, and why there are no more.

    seconds: until it is ended, at the latest. longest: bytes that it may print.
    """
    environment = {n: os.environ[n] for n in ("SYSTEMROOT",) if n in os.environ}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "script.py").write_text(script, encoding="utf-8")
        began = time.monotonic()
        with subprocess.Popen(
            [sys.executable, "-I", "-S", "-W", "ignore", "script.py"], cwd=folder,
            env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, start_new_session=True,
        ) as child:  # fmt: skip
            watch = threading.Timer(seconds, stop, [child])
            watch.start()
            try:
                printed = child.stdout.read(longest + 1) if child.stdout else b""
            finally:  # Ctrl-C, too, leaves no child and no watch behind
                watch.cancel()
                stop(child)
    if len(printed) > longest:
        why = f"printed more than {longest} bytes"
    elif time.monotonic() - began >= seconds:
        why = f"took more than {seconds:g} s"
    elif child.returncode == -PROCESSOR_TIME_USED:
        why = f"computed for more than {sandbox_child.CPU_SECONDS:g} s"
    else:
        why = f"its process ended with code {child.returncode}"
    return printed.decode("ascii", "replace").split("\n")[:-1], why


def judged(line: str, asserts: Sequence[str]) -> Result:
    """What the child's line on a trial says."""
    both = zip(line.split(), asserts, strict=True)
    wrong = [(word, text) for word, text in both if word != "ok"]
    if not wrong:
        return Result(1.0)
    word, text = wrong[0]
    reason = f"{text} is wrong" if word == "wrong" else f"{word} in {text}"
    return Result(1 - len(wrong) / len(asserts), reason)


def run_some(scripts: Sequence[str], trials: Sequence[Trial]) -> list[Result]:
    """The results of one child. If it is killed, the last one says why, and those after
    it are missing.
    """
    names = ", ".join(text[4 : text.index("(")] for text in scripts)
    asserts = sum(len(trial.asserts) for trial in trials)
    printed, why = run_script(
        "\n\n".join([CHILD, *scripts, f"run_all([{names}])\n"]),
        WALL_SECONDS * len(trials), OUTPUT * (asserts + 1),
    )  # fmt: skip
    ready, lines = printed[:1], printed[1:]
    if ready != ["ready"]:
        raise GptliteError(
            f"wanted a Python that starts as a child, to run an answer in; {why}"
        )
    results = [judged(line, t.asserts) for line, t in zip(lines, trials, strict=False)]
    return results if len(lines) == len(trials) else [*results, Result(0.0, why)]


def run_many(trials: Sequence[Trial]) -> list[Result]:
    """Try functions in few children: one for every hundred, and one for each killed.

    Nothing that a `source` says is an error. The asserts and `known` are ours, and
    what is not allowed in them is a DataError.

    >>> good, bad = (f"def double(x):\\n    return x {sign} 2" for sign in "*+")
    >>> asserts = ("double(2) == 4", "double(-3) == -6")
    >>> for result in run_many([Trial(good, asserts), Trial(bad, asserts)]):
    ...     print(result.share, result.reason or "right")
    1.0 right
    0.5 double(-3) == -6 is wrong
    """
    results: dict[int, Result] = {}
    scripts: dict[int, str] = {}
    for i, trial in enumerate(trials):
        try:
            name, function = checked_function(trial.source)
        except DataError as error:
            results[i] = Result(0.0, str(error))
        else:
            scripts[i] = as_script(trial, i, name, function)
    todo = list(scripts)
    while todo:
        now = todo[:TRIALS]
        found = run_some([scripts[i] for i in now], [trials[i] for i in now])
        results.update(zip(now, found, strict=False))
        todo = todo[len(found) :]
    return [results[i] for i in range(len(trials))]
