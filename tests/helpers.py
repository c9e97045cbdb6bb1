"""What several tests need: nearness, random arrays, children, tiny models."""

from __future__ import annotations

import importlib
import os
import pkgutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import gptlite
from gptlite.batch import Batch
from gptlite.config import GPTConfig, TrainConfig
from gptlite.gradcheck import gradient_check

PACKAGE = Path(gptlite.__file__).parent
REPOSITORY = PACKAGE.parent

TINY = GPTConfig(n_layer=2, n_head=2, n_embd=16, context_length=12, vocab_size=11)
FAST = TrainConfig(
    steps=8, batch_size=4, learning_rate=3e-3, warmup_steps=2, eval_every=4,
    eval_windows=4, sample_every=4, checkpoint_every=4, workers=1,
)  # fmt: skip


def normal(
    rng: np.random.Generator, *shape: int, dtype: Any = np.float32
) -> np.ndarray:
    return rng.standard_normal(shape).astype(dtype)


def largest_error(actual: np.ndarray, wanted: np.ndarray, scale: float = 0.0) -> float:
    """The largest difference, relative to the largest magnitude of `wanted`."""
    assert actual.shape == wanted.shape
    if not wanted.size:
        return 0.0
    difference = np.abs(actual.astype(np.float64) - wanted.astype(np.float64)).max()
    if difference == 0:
        return 0.0
    return float(difference / max(np.abs(wanted).max(), scale, 1e-30))


def assert_near(
    actual: np.ndarray,
    wanted: np.ndarray,
    tolerance: float = 1e-5,
    name: str = "",
    scale: float = 0.0,
) -> None:
    """`scale`: errors are relative to this size where `wanted` is smaller."""
    assert np.isfinite(wanted).all() and np.isfinite(actual).all(), name
    error = largest_error(actual, wanted, scale)
    assert error <= tolerance, f"{name}: relative error {error:.1e} > {tolerance:.0e}"


def assert_same_bits(a: np.ndarray, b: np.ndarray) -> None:
    assert a.dtype == b.dtype and a.shape == b.shape
    assert np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes()


def assert_is_slope(
    loss: Callable[[], float],
    params: Mapping[str, np.ndarray],
    grads: Mapping[str, np.ndarray],
) -> None:
    """The gradients are the slope of the loss: relative error < 1e-6."""
    result = gradient_check(
        loss, params, grads, rng=np.random.default_rng(1), tolerance=1e-6
    )
    assert result.passed, str(result)
    assert all(np.any(grads[name]) for name in params), "a gradient is all zero"


def random_batch(
    rng: np.random.Generator,
    config: GPTConfig,
    B: int,
    T: int,
    *,
    masked: float = 0.0,
    segments: bool = False,
) -> Batch:
    """Random tokens; about `masked` of them do not count; two segments a row."""
    ids, targets = rng.integers(0, config.vocab_size, (2, B, T))
    mask = rng.random((B, T)) >= masked
    numbers = None
    if segments:
        cuts = rng.integers(1, T, (B, 1)) if T > 1 else np.ones((B, 1), int)
        numbers = (np.arange(T) >= cuts).astype(np.int64)
    return Batch(ids, targets, mask, numbers)


def modules() -> list[str]:
    """Full names of all modules of the package, without those that miss an extra."""
    names = ["gptlite"]
    for found in pkgutil.walk_packages([str(PACKAGE)], "gptlite."):
        if found.name == "gptlite.__main__" or ".bench.torch_" in found.name:
            continue
        names.append(found.name)
    return names


def all_kernels() -> dict[str, Any]:
    """Every compiled function below `gptlite.ops.kernels`, by module and name."""
    from gptlite.ops.kernels.jit import kernels_in

    found = {}
    for name in modules():
        if name.startswith("gptlite.ops.kernels."):
            module = importlib.import_module(name)
            for short, value in kernels_in(module).items():
                if value.py_func.__module__ == name:
                    found[f"{name.rsplit('.', 1)[1]}.{short}"] = value
    return found


def child_environment(**changes: str) -> dict[str, str]:
    """An environment in which a child imports the same package."""
    path = os.pathsep.join(
        [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    return {**os.environ, "PYTHONPATH": path, **changes}


def run_python(
    *arguments: str, timeout: float = 120, **changes: str
) -> subprocess.CompletedProcess[str]:
    encoding = changes.get("PYTHONIOENCODING", "utf-8").partition(":")[0]
    return subprocess.run(
        [sys.executable, *arguments],
        env=child_environment(**changes), capture_output=True, encoding=encoding,
        timeout=timeout, check=False,
    )  # fmt: skip


def run_cli(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    return run_python("-m", "gptlite", *arguments, **changes)
