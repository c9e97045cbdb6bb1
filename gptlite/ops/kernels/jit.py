"""How kernels are compiled: once, without the GIL, kept on disk, honest about NaN."""

from __future__ import annotations

import hashlib
import os
import sys
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
    for source in sorted(Path(__file__).parent.glob("*.py")):
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


_folder = str(cache_folder())
_can_cache = True


def kernel(target: Any) -> Any:
    """Compile a function with Numba: `@kernel` when it is first called, for the types
    that it is called with; `@kernel(signature)` at once, for just these types.

    If no folder can be written, the kernel is compiled anew in each process,
    with one warning.
    """
    if isinstance(target, numba.core.typing.templates.Signature):
        return lambda function: _compile(function, [target])
    return _compile(target, [])


def _compile(function: Callable, signature: list[Any]) -> Any:
    global _can_cache
    if not _can_cache:
        return numba.njit(*signature, **OPTIONS)(function)
    # Numba reads this setting when it decorates: it is ours only for that moment.
    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, _folder
    try:
        return numba.njit(*signature, cache=True, **OPTIONS)(function)
    except (RuntimeError, OSError) as error:
        _can_cache = False
        warnings.warn(
            f"kernels cannot be kept in {_folder} ({error}); every start will take "
            "seconds longer. Set GPTLITE_CACHE to a folder that can be written.",
            stacklevel=3,
        )
        return _compile(function, signature)
    finally:
        numba.config.CACHE_DIR = before


def kernels_in(module: Any) -> dict[str, Any]:
    """The compiled functions that `module` defines, by name."""
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, numba.core.dispatcher.Dispatcher)
    }
