"""Files that are either whole or not there.

A file is written under another name, flushed to the disk and then renamed.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from pathlib import Path

from gptlite.errors import CheckpointError, DataError


def flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(file: Path) -> None:
    """Remove a file, if it is there and can be removed."""
    with contextlib.suppress(OSError):
        file.unlink(missing_ok=True)


def replace(temporary: Path, path: Path) -> None:
    """Give a finished file its name, in the place of an earlier one."""
    flush(temporary)
    os.replace(temporary, path)
    if os.name == "posix":  # the rename itself is data of the folder
        flush(path.parent)


def set_aside(path: Path) -> Path:
    """Rename a file or folder, so that a new one loses nothing; the new name.

    It is PATH.1, or the first such number that is free.
    """
    names = (path.with_name(f"{path.name}.{n}") for n in itertools.count(1))
    free = next(name for name in names if not name.exists())
    try:
        return path.rename(free)
    except OSError as error:
        raise CheckpointError(
            f"cannot rename {path}, which holds earlier work, to {free}: "
            f"{error.strerror}; choose another --out"
        ) from error


def check_folder(path: Path) -> None:
    """Whether there is a folder to write a file into; to be asked before the work."""
    if path.is_dir() or not path.parent.is_dir():
        raise DataError(
            f"wanted a file in a folder that is there, got {path}; make the folder"
        )


def write_text(path: Path, text: str) -> None:
    """Write a small file, atomically; half a surrogate pair as JSON has it."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a small file, atomically."""
    path = path.absolute()  # "." too has a name then
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        replace(temporary, path)
    except OSError as error:
        remove(temporary)
        raise CheckpointError(
            f"cannot write {path}: {error.strerror}; choose another --out "
            "or free some space"
        ) from error
