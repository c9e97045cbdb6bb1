"""How kernels are compiled: once, without the GIL, kept on disk, honest about NaN."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

# Sums may be reordered and multiply-adds fused, so that loops become vector code;
# NaN and infinity keep their meaning ("nnan" and "ninf" are left out on purpose).
FASTMATH = {"reassoc", "contract", "nsz", "arcp", "afn"}

OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": FASTMATH}


def cache_folder() -> Path:
    """Where compiled kernels are kept: one folder for each state of the sources.

    Numba looks only at a kernel's own file; an edit in a function that it calls
    from another file would go unseen. So the folder's name is a hash of them all.
    """
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parents[2].glob("*/kernels/*.py")):
        digest.update(source.read_bytes())
    return user_cache_folder() / f"kernels-{digest.hexdigest()[:16]}"


def user_cache_folder() -> Path:
    """`$GPTLITE_CACHE`, or the folder that this system gives a user's caches."""
    if chosen := os.environ.get("GPTLITE_CACHE"):
        return Path(chosen)
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return base / "gptlite"


def _writable_folder() -> str | None:
    """The cache folder, made if need be; `None` with a warning where that fails."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
        return str(folder)
    except OSError as error:
        warnings.warn(
            f"kernels cannot be kept in {folder} ({error.strerror}); every start will "
            "take seconds longer. Set GPTLITE_CACHE to a folder that can be written.",
            stacklevel=2,
        )
        return None


_folder = _writable_folder()


def kernel(target: Any) -> Any:
    """Compile a function with Numba: `@kernel` when it is first called, for the types
    that it is called with; `@kernel(signature)` at once, for just these types."""
    if isinstance(target, numba.core.typing.templates.Signature):
        return lambda function: _compile(function, [target])
    return _compile(target, [])


def _compile(function: Callable, signature: list[Any]) -> Any:
    if _folder is None:
        return numba.njit(*signature, **OPTIONS)(function)
    # Numba reads this setting when it decorates: it is ours only for that moment.
    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, _folder
    try:
        return numba.njit(*signature, cache=True, **OPTIONS)(function)
    finally:
        numba.config.CACHE_DIR = before


def kernels_in(module: Any) -> dict[str, Any]:
    """The compiled functions that `module` defines, by name."""
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, numba.core.dispatcher.Dispatcher)
    }
