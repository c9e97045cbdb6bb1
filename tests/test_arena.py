"""The arena: one buffer, and every name is a view of its own part of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptlite.arena import Arena, Block
from gptlite.batch import Batch

BLOCKS = [
    Block({"embedding": (5, 3), "missing": None}),
    Block({"weight": (3, 4), "bias": None, "scale": (3,)}, repeat=2),
    Block({"other": (2,)}, repeat=2),
    Block({"last": (2, 2, 2)}),
]
SIZE = 15 + 2 * 15 + 2 * 2 + 8


def test_tensors_lie_end_to_end_and_cover_the_buffer() -> None:
    arena = Arena(BLOCKS)
    assert arena.flat.size == SIZE and arena.flat.dtype == np.float32
    covered = np.zeros(SIZE, int)
    for name, tensor in arena.tensors():
        part = arena.flat[arena.slice_of(name)]
        covered[arena.slice_of(name)] += 1
        assert np.shares_memory(part, tensor)
        assert part.size == tensor.size and tensor.flags.c_contiguous
    assert (covered == 1).all()


def test_a_view_writes_into_the_buffer_and_back() -> None:
    arena = Arena(BLOCKS)
    for i, (name, tensor) in enumerate(arena.tensors(), start=1):
        tensor.fill(i)
        assert (arena.flat[arena.slice_of(name)] == i).all()
    arena.flat.fill(7)
    assert all((tensor == 7).all() for _, tensor in arena.tensors())


def test_a_layer_and_the_stack_are_the_same_memory() -> None:
    arena = Arena(BLOCKS)
    assert arena.weight.shape == (2, 3, 4) and len(arena.layers) == 2
    arena.layers[1].weight[...] = 3
    assert (arena.weight[1] == 3).all() and not arena.weight[0].any()
    assert arena["layers.1.weight"] is arena.layers[1].weight
    assert arena["last"] is arena.last


def test_one_layer_is_one_stretch_of_the_buffer() -> None:
    arena = Arena(BLOCKS)
    first, second = (arena.slice_of(f"layers.{l}.weight") for l in (0, 1))
    scale = arena.slice_of("layers.0.scale")
    assert first.stop == scale.start and scale.stop == second.start


def test_a_tensor_that_a_configuration_lacks_is_none() -> None:
    arena = Arena(BLOCKS)
    assert arena.missing is None and arena.bias is None
    assert arena.layers[0].bias is None
    assert "missing" not in dict(arena.tensors())


def test_an_unknown_tensor_is_named_with_those_that_are_there() -> None:
    arena = Arena(BLOCKS)
    with pytest.raises(AttributeError, match=r"'wieght'.*embedding"):
        arena.wieght  # noqa: B018
    with pytest.raises(KeyError):
        arena.slice_of("wieght")


def test_shared_layers_are_one_memory() -> None:
    arena = Arena([Block({"x": (3,)}, repeat=4, shared=True), Block({"y": (2,)})])
    assert arena.flat.size == 3 + 2
    arena.layers[0].x[...] = 1
    assert (arena.layers[3].x == 1).all() and not arena.y.any()
    assert all(np.shares_memory(layer.x, arena.flat[:3]) for layer in arena.layers)


def test_like_has_the_same_layout_and_memory_of_its_own() -> None:
    arena = Arena(BLOCKS, np.float64)
    arena.flat.fill(1)
    other = arena.like()
    assert other.flat.dtype == np.float64 and not other.flat.any()
    for (name, a), (same, b) in zip(arena.tensors(), other.tensors(), strict=True):
        assert name == same and a.shape == b.shape
    assert not np.shares_memory(arena.flat, other.flat)


def test_a_buffer_from_outside_is_used_and_may_be_larger() -> None:
    buffer = np.zeros(SIZE + 10)
    arena = Arena(BLOCKS, buffer=buffer)
    arena.last.fill(2)
    assert buffer.sum() == 16 and not buffer[SIZE:].any()


def test_a_buffer_that_is_too_small_is_not_accepted() -> None:
    with pytest.raises(ValueError):
        Arena(BLOCKS, buffer=np.zeros(SIZE - 1))


@given(st.integers(0, 9), st.integers(1, 6))
def test_the_parts_of_a_batch_are_the_batch(rows: int, size: int) -> None:
    ids = np.arange(rows * 2).reshape(rows, 2)
    batch = Batch(ids, ids + 1, ids % 3 > 0, ids * 0)
    parts = [batch.part(rank, size) for rank in range(size)]
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert sum(part.n_tokens for part in parts) == batch.n_tokens
    for name in ("ids", "targets", "mask", "segments"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        assert np.array_equal(joined, getattr(batch, name))
