"""The cache of compiled kernels: keyed by the sources, never in the way."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gptlite.ops.kernels import jit
from tests.helpers import PACKAGE, run_python

CALL = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from gptlite.ops import kernels
x = np.zeros(5, np.float32)
kernels.gelu_forward(x, np.ones(5, np.float32))
import gptlite
assert gptlite.__file__.startswith(sys.argv[1]), gptlite.__file__
print(x[0])
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package in a folder of its own, without anything compiled."""
    root = tmp_path / "install"
    shutil.copytree(
        PACKAGE,
        root / "gptlite",
        ignore=shutil.ignore_patterns("__pycache__", "sample"),
    )
    return root


def compiled_below(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.suffix in (".nbi", ".nbc")]


def test_kernels_are_kept_in_the_folder_that_is_asked_for(
    copy: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    done = run_python("-c", CALL, str(copy), GPTLITE_CACHE=str(cache))
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(0.841192, abs=1e-5)
    assert compiled_below(cache)
    assert not compiled_below(copy), "the install folder may be read-only, or shared"


COMPILED = """
import importlib, pkgutil
from gptlite.ops import kernels
from gptlite.ops.kernels import jit
for part in pkgutil.iter_modules(kernels.__path__):
    module = importlib.import_module(f"{kernels.__name__}.{part.name}")
    for name, kernel in jit.kernels_in(module).items():
        if kernel.stats.cache_misses:
            print(part.name, name)
"""


def test_what_is_compiled_at_import_is_compiled_once() -> None:
    """A function in a closure would have another name in the cache at each start."""
    assert run_python("-c", COMPILED).returncode == 0
    again = run_python("-c", COMPILED)
    assert (again.returncode, again.stdout) == (0, ""), again.stderr


def test_an_edit_in_any_kernel_source_is_another_cache(
    copy: Path, tmp_path: Path
) -> None:
    """gelu.py calls vectormath.py: Numba alone would not see the edit."""
    cache = str(tmp_path / "cache")
    assert run_python("-c", CALL, str(copy), GPTLITE_CACHE=cache).returncode == 0
    source = copy / "gptlite/ops/kernels/vectormath.py"
    edited = source.read_text(encoding="utf-8").replace(
        "return np.float32(1) - np.float32(2) /",
        "return np.float32(1) - np.float32(0) /",
    )
    assert edited != source.read_text(encoding="utf-8")
    source.write_text(edited, encoding="utf-8")
    done = run_python("-c", CALL, str(copy), GPTLITE_CACHE=cache)
    assert float(done.stdout) == 1.0  # the edited tanh is 1 everywhere
    assert len(list(Path(cache).iterdir())) == 2


def test_without_a_folder_to_write_kernels_still_run_with_one_warning(
    copy: Path, tmp_path: Path
) -> None:
    blocked = tmp_path / "a file"
    blocked.touch()  # no folder can be made below a file, whoever asks
    done = run_python(
        "-W", "always", "-c", CALL, str(copy), GPTLITE_CACHE=str(blocked / "cache")
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(0.841192, abs=1e-5)
    assert done.stderr.count("GPTLITE_CACHE") == 1, done.stderr
    assert not compiled_below(copy), "a cache that does not see edits in callees"


def test_the_folder_s_name_follows_the_sources(tmp_path: Path) -> None:
    assert jit.cache_folder() == jit.cache_folder()
    assert jit.cache_folder().name.startswith("kernels-")


def test_the_system_s_folder_is_used_unless_another_is_chosen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GPTLITE_CACHE", str(tmp_path))
    assert jit.user_cache_folder() == tmp_path
    monkeypatch.delenv("GPTLITE_CACHE")
    monkeypatch.setattr(jit.sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert jit.user_cache_folder() == tmp_path / "xdg" / "gptlite"
    monkeypatch.setattr(jit.sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert jit.user_cache_folder() == tmp_path / "local" / "gptlite"
    monkeypatch.setattr(jit.sys, "platform", "darwin")
    assert jit.user_cache_folder() == Path.home() / "Library" / "Caches" / "gptlite"
