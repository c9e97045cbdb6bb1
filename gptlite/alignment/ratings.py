"""Ratings: what somebody thought of a model's answers, a JSON line each.

The file is only ever added to. Each line is a `Rating`: one of several answers chosen,
a tie, or one answer with a grade.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import IO, Any, NamedTuple

from gptlite.errors import DataError
from gptlite.files import write_bytes

TIE = "tie"
LOCK_AT = 2**31 - 2  # the byte that is locked on Windows, where no rating ever lies


def now() -> str:
    """The time as a rating has it: ISO 8601, UTC."""
    return datetime.now(timezone.utc).isoformat()


@dataclass(frozen=True, slots=True)
class Rating:
    """What one rater said of the answers to one prompt.

    choice: index of the best answer, or "tie"; None if there is a grade, which is then
    of the only answer. time: ISO 8601, UTC. seed: that the answers were drawn with.

    >>> Rating("Hi", ("Hello!", "What?"), choice=2, rater="ann")
    Traceback (most recent call last):
    gptlite.errors.DataError: wanted a choice of 0 … 1 or "tie", got 2
    """

    prompt: str
    answers: tuple[str, ...]
    choice: int | str | None = None
    grade: float | None = None
    rater: str = ""
    time: str = field(default_factory=now)
    model: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("prompt", "rater", "time", "model"):
            value = getattr(self, name)
            if not isinstance(value, str) or not (value.strip() or name == "model"):
                raise DataError(f"wanted a text as {name}, got {value!r:.40}")
        if not is_number(self.seed, int):
            raise DataError(f"wanted a whole number as seed, got {self.seed!r:.40}")
        if not all(isinstance(a, str) for a in self.answers):
            raise DataError(f"wanted texts as answers, got {self.answers!r:.60}")
        _check_time(self.time)
        self._check_verdict()

    def _check_verdict(self) -> None:
        n = len(self.answers)
        if self.choice is None:
            if n != 1 or not is_number(self.grade, (int, float)):
                raise DataError(
                    f"wanted a choice, or one answer with a finite grade; got {n} "
                    f"answers, no choice, and the grade {self.grade!r:.20}"
                )
            return
        if n < 2 or self.grade is not None:
            raise DataError(
                f"wanted a choice of at least 2 answers, without a grade; got {n} "
                f"and the grade {self.grade!r:.20}"
            )
        known = is_number(self.choice, int) and self.choice in range(n)
        if not known and self.choice != TIE:
            raise DataError(
                f'wanted a choice of 0 … {n - 1} or "tie", got {self.choice!r:.20}'
            )


def is_number(value: Any, kind: Any) -> bool:
    """Whether a value from a file is a finite number of this kind; `true` is none."""
    if not isinstance(value, kind) or isinstance(value, bool):
        return False
    with contextlib.suppress(OverflowError):  # a whole number larger than any float
        return math.isfinite(value)
    return False


def _check_time(time: str) -> None:
    with contextlib.suppress(ValueError):
        if datetime.fromisoformat(time).utcoffset() == timedelta(0):
            return
    raise DataError(
        f"wanted a time such as 2026-01-31T12:00:00+00:00 (UTC), got {time!r:.40}"
    )


def to_line(rating: Rating) -> bytes:
    """A rating as a line of JSON. Half a surrogate pair becomes what JSON writes."""
    text = json.dumps(dataclasses.asdict(rating), ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace") + b"\n"


def from_line(line: bytes) -> Rating:
    """A rating as `to_line` wrote it; whatever else is a DataError."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"wanted a line of JSON, got {line[:40]!r}") from error
    names = [f.name for f in dataclasses.fields(Rating)]
    if not isinstance(found, dict) or set(found) != set(names):
        raise DataError(f"wanted the fields {', '.join(names)}; got {found!r:.60}")
    if not isinstance(found["answers"], list):
        raise DataError(f"wanted a list of answers, got {found['answers']!r:.40}")
    return Rating(**{**found, "answers": tuple(found["answers"])})


@contextlib.contextmanager
def _locked(file: IO[bytes]) -> Iterator[None]:
    """Wait until no other process adds to the file. Whoever ends frees his lock."""
    if sys.platform == "win32":
        import msvcrt

        file.seek(LOCK_AT)
        msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
        yield
        file.seek(LOCK_AT)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)
        yield  # closing the file unlocks it


def append(path: str | Path, rating: Rating) -> None:
    """Add a rating to a file, which need not be there yet; others may do so as well.

    One call of the system writes the line, at the end of the file wherever that is
    now. If a writer was stopped within the last line, its beginning is moved to the
    file PATH.cut.
    """
    path, line = Path(path), to_line(rating)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab+", buffering=0) as file, _locked(file):
        _mend(file, path)
        if file.write(line) != len(line):
            raise DataError(f"{path} took half a rating; free space on the disk")


def _mend(file: IO[bytes], path: Path) -> None:
    """Let the file end with a whole line."""
    size = file.seek(0, 2)
    file.seek(max(size - 1, 0))
    if file.read(1) in (b"", b"\n"):
        return
    file.seek(0)
    cut = file.read().rpartition(b"\n")[2]
    with contextlib.suppress(DataError):
        from_line(cut)
        file.write(b"\n")  # it was whole but for its end
        return
    with open(path.with_name(f"{path.name}.cut"), "ab") as other:
        other.write(cut + b"\n")
    file.truncate(size - len(cut))


def write(path: str | Path, ratings: Iterable[Rating]) -> None:
    """A new file of these ratings, whole or not there, in the place of an earlier."""
    write_bytes(Path(path), b"".join(map(to_line, ratings)))


class Contents(NamedTuple):
    """ratings, and a sentence on each line that was left out."""

    ratings: list[Rating]
    left_out: list[str]


def read(path: str | Path, bad_lines: str = "stop") -> Contents:
    """The ratings of a file.

    bad_lines: "stop" at a line that is no rating, or "skip" it. A last line without
    its end is always skipped: whoever wrote it was stopped, or still writes.
    """
    if bad_lines not in ("stop", "skip"):
        raise DataError(f"wanted bad_lines stop or skip, got {bad_lines!r:.20}")
    lines = Path(path).read_bytes().split(b"\n")
    found = Contents([], [])
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found.ratings.append(from_line(line))
        except DataError as error:
            where = f"line {number} of {path}"
            if number == len(lines):
                found.left_out.append(f"{where} is cut short")
            elif bad_lines == "skip":
                found.left_out.append(f"{where}: {error}")
            else:
                raise DataError(
                    f"{where}: {error}; repair the line, or delete it"
                ) from error
    return found


def merge(paths: Iterable[str | Path], bad_lines: str = "stop") -> Contents:
    """The ratings of many files, by time; what is repeated exactly counts once."""
    found = [read(path, bad_lines) for path in paths]
    ratings = dict.fromkeys(rating for one in found for rating in one.ratings)
    in_time = sorted(ratings, key=lambda r: datetime.fromisoformat(r.time))
    return Contents(in_time, [said for one in found for said in one.left_out])


def pairs(ratings: Sequence[Rating]) -> list[tuple[str, str, str]]:
    """(prompt, better, worse): the chosen answer against each other one.

    Best of K gives K - 1 pairs. Ties, grades and answers of the same text give none;
    nothing left is an error. Contradictions stay, both ways: the pairwise loss is then
    smallest where the two answers have the same score.

    >>> pairs([Rating("Hi", ("Go!", "Hello!", "What?"), choice=1, rater="ann")])
    [('Hi', 'Hello!', 'Go!'), ('Hi', 'Hello!', 'What?')]
    """
    found = []
    for rating in ratings:
        if isinstance(rating.choice, int):
            best = rating.answers[rating.choice]
            others = (text for text in rating.answers if text != best)
            found += [(rating.prompt, best, other) for other in others]
    if not found:
        ties = sum(r.choice == TIE for r in ratings)
        grades = sum(r.grade is not None for r in ratings)
        raise DataError(
            f"wanted ratings that prefer an answer to another, got {len(ratings)}, "
            f"{ties} of them ties and {grades} grades; rate more, and choose"
        )
    return found
