"""The plan of the house: what may import what, and that importing it is cheap."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "gptlite"
# Imports point only to the left: from a later group to the same or an earlier one.
ORDER = [
    {"errors", "config", "arena", "batch", "clock"},
    {"ops", "gradcheck", "plots"},
    {"parallel"},
    {"text"},
    {"models"},
    {"training"},
    {"bench", "demo"},
    {"cli", "__main__"},
]


def place(part: str) -> int:
    return next(i for i, group in enumerate(ORDER) if part in group)


def imports_of(path: Path) -> list[str]:
    """Full names of the gptlite modules that a file imports, anywhere in it."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return names


def sources() -> list[Path]:
    return [p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py"]


def test_imports_point_only_to_the_left() -> None:
    known = set().union(*ORDER)
    for path in sources():
        home = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for name in imports_of(path):
            parts = name.split(".")
            if parts[0] == "gptlite" and len(parts) > 1 and parts[1] in known:
                assert place(parts[1]) <= place(home), f"{path} imports {name}"


def test_reference_and_kernels_never_import_each_other() -> None:
    for one, other in (("reference", "kernels"), ("kernels", "reference")):
        for path in (PACKAGE / "ops" / one).glob("*.py"):
            assert not any(f"ops.{other}" in name for name in imports_of(path)), path


def test_only_plots_imports_matplotlib() -> None:
    users = {
        p.name
        for p in sources()
        if any(n.startswith("matplotlib") for n in imports_of(p))
    }
    assert users == {"plots.py"}


def test_nothing_unpickles_or_evaluates_text() -> None:
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = getattr(getattr(node, "func", None), "id", "")
            assert called not in ("eval", "exec"), path
        assert not any(n.startswith("pickle") for n in imports_of(path)), path


def test_importing_the_library_loads_nothing_heavy() -> None:
    code = "import sys, gptlite; print(*sorted(m.split('.')[0] for m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert not loaded & {"numba", "llvmlite", "matplotlib", "numpy", "tqdm"}
