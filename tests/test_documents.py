"""What README, docs and notebooks show is what happens."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.helpers import REPOSITORY, child_environment, run_python

pytestmark = pytest.mark.slow

# a block, and the ```text block that follows it with nothing but blank lines between
BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```[ ]*$(?:\n\s*^```text\n(?P<shown>.*?)^```[ ]*$)?",
    re.DOTALL | re.MULTILINE,
)


class Example(NamedTuple):
    code: str
    shown: str | None  # what it must print; None: anything


def documents() -> list[Path]:
    return [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]


def examples() -> list[pytest.param]:
    found = []
    for path in documents():
        text = path.read_text(encoding="utf-8")
        for match in BLOCK.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            name = f"{path.relative_to(REPOSITORY).as_posix()}:{line}"
            found.append(pytest.param(Example(match["code"], match["shown"]), id=name))
    return found


def notebooks() -> list[Path]:
    return sorted((REPOSITORY / "notebooks").glob("*.ipynb"))


def test_every_block_of_python_is_found() -> None:
    """A block that the pattern misses would be one that nobody runs."""
    fences = sum(len(re.findall(r"^\s*`{3,}\s*(?:python|py)\b", p.read_text("utf-8"),
                                re.MULTILINE)) for p in documents())  # fmt: skip
    assert len(examples()) == fences >= 5


@pytest.mark.parametrize("example", examples())
def test_an_example_runs_and_prints_what_is_shown(
    example: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # whatever it writes, it writes there
    Path("example.py").write_text(example.code, encoding="utf-8")
    done = run_python("-W", "error", "example.py", timeout=300,
                      MPLBACKEND="agg", PYTHONUTF8="1")  # fmt: skip
    assert done.returncode == 0, done.stderr
    if example.shown is not None:
        assert done.stdout.rstrip() == example.shown.rstrip()


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    for name, value in child_environment().items():
        monkeypatch.setenv(name, value)  # the kernel imports the same package
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=120, kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    )  # fmt: skip
    began = time.monotonic()
    client.execute()
    assert time.monotonic() - began < 120
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert cells and all(cell.execution_count for cell in cells if cell.source.strip())


def test_links_to_files_in_the_repository_lead_somewhere() -> None:
    link = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:|#)([^)#\s]+)")
    for path in documents():
        prose = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.S)
        for target in link.findall(prose):
            assert (path.parent / target).exists(), f"{path.name} → {target}"
