"""The second wall, from within: what a child process does before and with the answers.

`sandbox.py` writes a script of three parts: this file, a function for each trial, and a
last line that calls `run_all`. The child is a Python without site-packages, so nothing
of gptlite can be imported here.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

try:
    import resource
except ImportError:  # Windows: there, only the parent's watch is left
    resource = None  # type: ignore[assignment]

CPU_SECONDS = 1.0  # of a trial
NOBODY = 65534  # the user of that name on Linux, who owns no files
MEMORY = 256 << 20  # bytes of address space, the interpreter's own 20 MB among them


def become_nobody() -> None:
    """Give up being root, who is above the limit on processes and owns every file."""
    if os.geteuid() == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        except OSError:  # a container that knows no other user
            return


def take_away_rights() -> None:
    """No more memory than needed, nothing opened or written, no process started.

    The three standard files stay open.
    """
    if resource is None:
        return
    become_nobody()
    wanted = {"AS": MEMORY, "FSIZE": 0, "NOFILE": 3, "NPROC": 0, "CORE": 0}
    for name, most in wanted.items():
        kind = getattr(resource, f"RLIMIT_{name}", None)
        if kind is not None:
            try:
                resource.setrlimit(kind, (most, most))
            except (ValueError, OSError):  # macOS knows AS, and refuses it
                continue


def start_clock() -> None:
    """The system ends this process when it has computed for so long from now on."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)


def verdict(check: Callable[[], object]) -> str:
    """What became of an assert: ok, wrong, or the name of the exception."""
    try:
        return "ok" if check() else "wrong"
    except Exception as error:
        return type(error).__name__


def run_all(trials: list[Callable[[], Iterator[Callable[[], object]]]]) -> None:
    """Print a line when ready, then one for each trial: a word for each assert."""
    take_away_rights()
    os.write(1, b"ready\n")
    for trial in trials:
        start_clock()
        words = [verdict(check) for check in trial()]
        os.write(1, f"{' '.join(words)}\n".encode())
