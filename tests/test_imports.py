"""The house stands: imports point one way, and importing the package is cheap."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import gptlite
from tests.helpers import PACKAGE, run_python

# from the ground up: a module imports only from its own storey or one below
STOREYS = [
    {"errors", "config", "arena", "batch", "clock", "files", "output", "page"},
    {"ops", "gradcheck", "plots"},
    {"parallel", "data"},
    {"text", "tools"},
    {"corpus"},
    {"models"},
    {"training", "tasks"},
    {"assistant", "alignment", "cluster"},
    {"bench", "demo", "lessons", "recipe"},
    {"cli", "__main__", "commands"},
]
FILES = sorted(PACKAGE.rglob("*.py"))
LABELS = [path.relative_to(PACKAGE).as_posix() for path in FILES]


def imported(path: Path) -> Iterator[str]:
    """Full names of all that a file imports, wherever in the file it does so."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def storey(part: str) -> int:
    return next(i for i, parts in enumerate(STOREYS) if part in parts)


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_every_module_has_its_storey() -> None:
    known = set().union(*STOREYS)
    assert {part_of(path) for path in FILES} - {"__init__"} == known


@pytest.mark.parametrize("path", FILES, ids=LABELS)
def test_imports_point_down(path: Path) -> None:
    if path == PACKAGE / "__init__.py":
        return  # names everything, loads nothing: tested below
    here = storey(part_of(path))
    for name in imported(path):
        if name.startswith("gptlite."):
            part = name.split(".")[1]
            if not part.startswith("__"):  # gptlite.__version__
                assert storey(part) <= here, f"{path.name} imports {name}"


@pytest.mark.parametrize("side", ["reference", "kernels"])
def test_reference_and_kernels_do_not_know_each_other(side: str) -> None:
    other = {"reference": "kernels", "kernels": "reference"}[side]
    files = list((PACKAGE / "ops" / side).glob("*.py"))
    assert len(files) >= 8
    for path in files:
        assert not any(n.startswith(f"gptlite.ops.{other}") for n in imported(path))


def test_the_reference_is_numpy_and_the_standard_library() -> None:
    for path in (PACKAGE / "ops" / "reference").glob("*.py"):
        assert not any(name.startswith("numba") for name in imported(path))


def test_only_plots_imports_matplotlib() -> None:
    use = {
        label for path, label in zip(FILES, LABELS, strict=True)
        if any(name.split(".")[0] == "matplotlib" for name in imported(path))
    }  # fmt: skip
    assert use and all(label.startswith("plots/") for label in use)


def test_only_the_peer_of_a_benchmark_imports_torch() -> None:
    for path, label in zip(FILES, LABELS, strict=True):
        if any(n.split(".")[0] == "torch" for n in imported(path)):
            assert label.startswith("bench/")


@pytest.mark.parametrize("path", FILES, ids=LABELS)
def test_no_file_can_run_foreign_code(path: Path) -> None:
    names = {name.split(".")[0] for name in imported(path)}
    assert not names & {"pickle", "marshal", "shelve", "dill", "joblib"}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("eval", "exec", "__import__")
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert isinstance(node.value, ast.Constant) and not node.value.value


def loaded_after(code: str) -> set[str]:
    print_them = "import json, sys; print(json.dumps(sorted(sys.modules)))"
    done = run_python("-W", "error", "-c", f"{code}\n{print_them}")
    assert done.returncode == 0, done.stderr
    return {name.split(".")[0] for name in json.loads(done.stdout)}


@pytest.mark.parametrize(
    "code", ["import gptlite", "import gptlite.config", "import gptlite; dir(gptlite)"]
)
def test_importing_gptlite_loads_nothing_heavy(code: str) -> None:
    heavy = {"numpy", "numba", "llvmlite", "matplotlib", "scipy", "torch", "tqdm",
             "safetensors", "threadpoolctl"}  # fmt: skip
    assert not loaded_after(code) & heavy


def test_the_numpy_side_does_not_load_numba() -> None:
    found = loaded_after("from gptlite.ops import reference; import gptlite.arena")
    assert "numpy" in found
    assert not found & {"numba", "llvmlite", "matplotlib", "torch"}


def test_training_and_generation_do_not_load_matplotlib() -> None:
    found = loaded_after("import gptlite.training.pretrain, gptlite.models.generate")
    assert "numba" in found and not found & {"matplotlib", "torch"}


@pytest.mark.parametrize("name", gptlite.__all__)
def test_every_promised_name_is_there(name: str) -> None:
    assert getattr(gptlite, name) is not None
    assert name in dir(gptlite)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'GTP'"):
        gptlite.GTP  # noqa: B018
