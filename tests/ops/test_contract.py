"""The contract of an operation: one signature, outputs first, adds, no memory."""

from __future__ import annotations

import ast
import copy
import inspect
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numba.core.runtime import _nrt_python, rtsys

from gptlite.batch import Batch
from gptlite.config import GPTConfig, TrainConfig
from gptlite.models.gpt import GPT
from gptlite.ops import kernels, reference
from gptlite.parallel.pool import WorkerPool
from gptlite.training.step import Trainer
from tests.helpers import PACKAGE, all_kernels, assert_near, normal

BACKENDS = pytest.mark.parametrize("ops", [reference, kernels], ids=["ref", "kernel"])


def test_both_backends_have_the_same_names() -> None:
    assert reference.__all__ == kernels.__all__
    assert len(set(kernels.__all__)) == len(kernels.__all__) >= 20
    for module in (reference, kernels):
        assert all(callable(getattr(module, name)) for name in module.__all__)


def parameters(function: Any) -> list:
    found = inspect.signature(function).parameters.values()
    return [(p.name, p.kind, p.default) for p in found]


@pytest.mark.parametrize("name", reference.__all__)
def test_both_backends_have_the_same_signature(name: str) -> None:
    ours, theirs = getattr(kernels, name), getattr(reference, name)
    # kernels also take a packed weight, so annotations may differ
    assert parameters(ours) == parameters(theirs)
    assert ours is not theirs


@pytest.mark.parametrize("name", reference.__all__)
def test_every_operation_has_a_docstring_in_both_backends(name: str) -> None:
    for module in (reference, kernels):
        assert (getattr(module, name).__doc__ or "").strip()


def test_both_backends_are_made_of_the_same_files() -> None:
    names = [{p.name for p in (PACKAGE / "ops" / side).glob("*.py")}
             for side in ("reference", "kernels")]  # fmt: skip
    assert names[0] <= names[1]


def inputs(name: str, rng: np.random.Generator) -> tuple[list, list]:
    """(gradients to write into, the other arguments) of a backward."""
    B, T, C, V = 2, 5, 8, 6
    stream = normal(rng, B, T, C)
    ids = rng.integers(0, V, (B, T))
    positions = np.zeros((B, T), np.int64) + np.arange(T)
    mean, rstd = normal(rng, B, T), normal(rng, B, T)
    if name == "linear_backward":
        return ([normal(rng, B, T, C), normal(rng, C, 3), normal(rng, 3)],
                [normal(rng, B, T, 3), stream, normal(rng, C, 3)])  # fmt: skip
    if name == "lora_backward":
        r, C_out = 2, 3
        return ([normal(rng, B, T, C), normal(rng, C, r), normal(rng, r, C_out),
                 normal(rng, B, T, r)],
                [normal(rng, B, T, C_out), normal(rng, B, T, r), stream,
                 normal(rng, C, r), normal(rng, r, C_out), 0.5])  # fmt: skip
    if name == "embedding_backward":
        return [normal(rng, V, C), normal(rng, T, C)], [stream, ids, positions]
    return ([normal(rng, B, T, C), normal(rng, C), normal(rng, C)],
            [normal(rng, B, T, C), stream, normal(rng, C), mean, rstd])  # fmt: skip


# which of the outputs are added to (the rest is overwritten), as the docstrings say
ADDS = {
    "linear_backward": (False, True, True),
    "embedding_backward": (True, True),
    "layernorm_backward": (True, True, True),
    "lora_backward": (True, True, True, False),
}

FREEZES = [name for name in ADDS if name != "lora_backward"]  # an adapter always learns


@BACKENDS
@pytest.mark.parametrize("name", ADDS)
def test_backward_adds_where_its_docstring_says_so(ops: ModuleType, name: str) -> None:
    rng = np.random.default_rng(3)
    before, others = inputs(name, rng)
    from_zero = [np.zeros_like(x) for x in before]
    getattr(ops, name)(*from_zero, *others)
    after = [x.copy() for x in before]
    getattr(ops, name)(*after, *others)
    for adds, old, new, change in zip(
        ADDS[name], before, after, from_zero, strict=True
    ):
        assert change.any()
        assert_near(new, old + change if adds else change, 1e-6)


@BACKENDS
def test_a_gradient_overwrites_what_is_there_if_asked_to(ops: ModuleType) -> None:
    before, others = inputs("linear_backward", np.random.default_rng(5))
    from_zero = [np.zeros_like(x) for x in before]
    ops.linear_backward(*from_zero, *others)
    after = [before[0].copy(), np.full_like(before[1], np.nan), before[2].copy()]
    ops.linear_backward(*after, *others, accumulate=False)
    for old, new, change, adds in zip(before, after, from_zero, (0, 0, 1), strict=True):
        assert_near(new, adds * old + change, 1e-6)


@BACKENDS
@pytest.mark.parametrize("name", FREEZES)
def test_frozen_weights_are_skipped_and_change_nothing_else(
    ops: ModuleType, name: str
) -> None:
    rng = np.random.default_rng(4)
    before, others = inputs(name, rng)
    whole = [x.copy() for x in before]
    getattr(ops, name)(*whole, *others)
    first_weight = 0 if name == "embedding_backward" else 1
    for frozen in range(first_weight, len(before)):
        given = [x.copy() for x in before]
        given[frozen] = None
        getattr(ops, name)(*given, *others)
        for x, y in zip(given, whole, strict=True):
            assert x is None or np.array_equal(x, y)
    everything = [*before[:first_weight], *[None] * (len(before) - first_weight)]
    getattr(ops, name)(*everything, *others)
    pairs = zip(everything[:first_weight], whole, strict=False)
    assert all(np.array_equal(x, y) for x, y in pairs)


@BACKENDS
@pytest.mark.parametrize("name", [*ADDS, "attention_backward", "gelu_backward"])
def test_backward_leaves_its_inputs_alone(ops: ModuleType, name: str) -> None:
    rng = np.random.default_rng(5)
    if name == "attention_backward":
        q, k, v, dout, out = normal(rng, 5, 2, 70, 2, 4)
        lse = normal(rng, 2, 2, 70) + np.float32(5)
        outputs, others = (
            [np.empty_like(q) for _ in range(3)],
            [dout, out, lse, q, k, v],
        )
    elif name == "gelu_backward":
        outputs, others = [normal(rng, 9)], [normal(rng, 9), normal(rng, 9)]
    else:
        outputs, others = inputs(name, rng)
    before = copy.deepcopy(others)
    getattr(ops, name)(*outputs, *others)
    assert all(np.array_equal(x, y) for x, y in zip(before, others, strict=True))


def use_every_kernel(backend: str = "threads") -> None:
    """Train a little with everything on; call what no model uses."""
    for bias in (True, False):
        config = GPTConfig(2, 2, 16, 8, 11, bias)
        rng = np.random.default_rng(0)
        ids, targets = rng.integers(0, 11, (2, 3, 8))
        segments = np.zeros((3, 8), np.int64)
        batches = [Batch.of(ids, targets),
                   Batch(ids, targets, rng.random((3, 8)) > 0.5, segments)]  # fmt: skip
        for optimizer in ("adamw", "muon"):
            with WorkerPool(2, backend) as pool:
                trainer = Trainer(GPT(config), TrainConfig(optimizer=optimizer), pool)
                trainer.step(batches)
                trainer.evaluate(batches)
                trainer.model.logits(ids)
    x = np.ones(8, np.float32)
    kernels.gelu_exact_forward(x.copy(), x)
    kernels.gelu_exact_backward(x.copy(), x, x)
    inp, weight, room = np.ones((8, 2), np.float32), np.eye(2, dtype=np.float32), x[:4]
    arguments = room.reshape(2, 2).copy(), inp, weight, np.zeros(8, np.int64)
    kernels.linear_log_probability_forward(x.copy(), x.copy(), *arguments)
    kernels.linear_log_probability_backward(
        inp.copy(), None, arguments[0], x, x, *arguments[1:]
    )


@contextmanager
def memory_counted() -> Iterator[None]:
    on = _nrt_python.memsys_stats_enabled()
    _nrt_python.memsys_enable_stats()
    try:
        yield
    finally:
        if not on:
            _nrt_python.memsys_disable_stats()


class Counting:
    """Stands for a kernel: counts what its calls allocate in Numba's runtime."""

    def __init__(self, kernel: object) -> None:
        self.kernel, self.calls, self.worst = kernel, 0, 0

    def __call__(self, *arguments: object) -> object:
        # a call takes a note (a "meminfo") of each array argument, and no more
        arrays = sum(isinstance(x, np.ndarray) for x in arguments)
        before = rtsys.get_allocation_stats().alloc
        result = self.kernel(*arguments)  # type: ignore[operator]
        taken = rtsys.get_allocation_stats().alloc - before
        self.calls, self.worst = self.calls + 1, max(self.worst, taken - arrays)
        return result


def test_a_kernel_allocates_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every compiled function that Python calls, in real training steps."""
    import importlib

    use_every_kernel()  # compiled: compiling allocates
    counters = {}
    with memory_counted():
        for name, kernel in all_kernels().items():
            if not kernel.signatures:
                continue  # inlined into others
            module = importlib.import_module(
                f"gptlite.ops.kernels.{name.split('.')[0]}"
            )
            counters[name] = Counting(kernel)
            monkeypatch.setattr(module, name.split(".")[1], counters[name])
        # one worker at a time: the runtime's counters are those of the process
        monkeypatch.setattr(
            f"{__name__}.WorkerPool",
            lambda n, *_, pool=WorkerPool: pool(n, "sequential"),
        )
        use_every_kernel()
    called = {name: c for name, c in counters.items() if c.calls}
    assert len(called) >= 15
    assert {name: c.worst for name, c in called.items() if c.worst > 0} == {}


ALLOCATORS = {
    "array", "ascontiguousarray", "concatenate", "copy", "empty", "empty_like", "full",
    "full_like", "ones", "ones_like", "stack", "where", "zeros", "zeros_like",
}  # fmt: skip


def test_no_kernel_s_source_asks_for_memory() -> None:
    for name, kernel in all_kernels().items():
        tree = ast.parse(textwrap.dedent(inspect.getsource(kernel.py_func)))
        calls = [n.func for n in ast.walk(tree) if isinstance(n, ast.Call)]
        names = {f.attr if isinstance(f, ast.Attribute) else getattr(f, "id", "")
                 for f in calls}  # fmt: skip
        assert not names & ALLOCATORS, name


def test_no_kernel_is_compiled_parallel_or_with_dishonest_nan() -> None:
    for name, kernel in all_kernels().items():
        options = kernel.targetoptions
        assert options.get("nogil") is True, name
        assert not options.get("parallel"), name
        assert not {"nnan", "ninf", "fast"} & set(options.get("fastmath", ())), name
        assert options.get("fastmath") is not True, name


@pytest.mark.last
def test_at_the_end_of_the_suite_each_kernel_has_one_compiled_signature() -> None:
    """Two signatures of a kernel are a second wait for the compiler, by accident."""
    use_every_kernel()  # so that it holds for a part of the suite as well
    found = all_kernels()
    assert len(found) >= 20
    for name, kernel in found.items():
        inlined = kernel.targetoptions.get("inline") == "always"
        signatures = kernel.signatures
        assert len(signatures) <= 1, f"{name} has {signatures}"
        assert signatures or inlined, f"{name} was never called: is it needed?"
