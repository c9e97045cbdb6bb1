"""One flat buffer, named views on it.

Parameters, gradients, optimizer moments and activations are one arena each.
That makes everything else short: clipping and AdamW are one loop over `flat`,
an all-reduce is one call, a ZeRO shard is a slice, a gradient check is
`grads.flat @ direction`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """Tensors that lie one after another, the whole group `repeat` times.

    `shapes` maps names to shapes; the shape `None` stands for a tensor that this
    configuration does not have (a bias, say): its view is `None`. `repeat=None`
    is a plain group; `repeat=L` lays L layers one after another, so that one
    layer is one slice of the buffer. With `shared`, all layers are views of the
    same memory: inference needs no layer's activations once the next has run.
    """

    shapes: Mapping[str, Shape | None]
    repeat: int | None = None
    shared: bool = False

    @property
    def layer_size(self) -> int:
        return sum(math.prod(s) for s in self.shapes.values() if s is not None)

    @property
    def size(self) -> int:
        return self.layer_size * (1 if self.shared else self.repeat or 1)


class Arena:
    """Named tensors laid end to end in the flat buffer `flat`.

    Plain tensors are attributes. Repeated ones are stacked attributes
    (`arena.qkv_weight` is `(L, C, 3C)`) and, more handy, gathered by layer:
    `arena.layers[l].qkv_weight` is `(C, 3C)` and C-contiguous.

    >>> a = Arena([Block({"scale": (2,)}), Block({"w": (2, 3), "b": None}, repeat=4)])
    >>> a.flat.size, a.w.shape, a.layers[3].w.shape, a.layers[3].b
    (26, (4, 2, 3), (2, 3), None)
    >>> a.layers[0].w[...] = 1.0
    >>> float(a.flat.sum())
    6.0
    """

    # Of gradients: whether a matrix's is added to what is there; see `GPT.clear`.
    adds = True

    def __init__(
        self,
        blocks: list[Block],
        dtype: np.typing.DTypeLike = np.float32,
        buffer: np.ndarray | None = None,
    ) -> None:
        self.blocks = blocks
        size = sum(block.size for block in blocks)
        self.flat = np.zeros(size, dtype) if buffer is None else buffer[:size]
        self.layers: list[SimpleNamespace] = []
        self._slices: dict[str, slice] = {}
        start = 0
        for block in blocks:
            self._place(block, start)
            start += block.size

    def __getattr__(self, name: str) -> np.ndarray:
        if name.startswith("_"):  # what Python itself asks for, `copy` for one
            raise AttributeError(name)
        raise AttributeError(
            f"this arena has no tensor {name!r}; it has {sorted(self._slices)}"
        )

    def _place(self, block: Block, start: int) -> None:
        part = self.flat[start : start + block.size]
        repeats, size = block.repeat or 1, block.layer_size
        if block.shared:
            part = np.lib.stride_tricks.as_strided(
                part, (repeats, size), (0, part.itemsize)
            )
        rows = part.reshape(repeats, size)
        while block.repeat and len(self.layers) < block.repeat:
            self.layers.append(SimpleNamespace())
        offset = 0
        for name, shape in block.shapes.items():
            stacked = None
            if shape is not None:
                end = offset + math.prod(shape)
                stacked = rows[:, offset:end].reshape(repeats, *shape)
                for l in range(repeats):
                    first = start + offset + (0 if block.shared else l) * size
                    key = f"layers.{l}.{name}" if block.repeat else name
                    self._slices[key] = slice(first, first + end - offset)
                offset = end
            if block.repeat is None:
                setattr(self, name, None if stacked is None else stacked[0])
                continue
            setattr(self, name, stacked)
            for l in range(repeats):
                view = None if stacked is None else stacked[l]
                setattr(self.layers[l], name, view)

    def tensors(self) -> Iterator[tuple[str, np.ndarray]]:
        """Each tensor with its full name, such as `layers.3.qkv_weight`."""
        for name in self._slices:
            yield name, self[name]

    def __getitem__(self, name: str) -> np.ndarray:
        if name.startswith("layers."):
            _, l, short = name.split(".")
            return getattr(self.layers[int(l)], short)
        return getattr(self, name)

    def slice_of(self, name: str) -> slice:
        """Where the tensor `name` lies in `flat`."""
        return self._slices[name]

    def like(self) -> Arena:
        """A new arena of zeros with the same layout and dtype."""
        return Arena(self.blocks, self.flat.dtype)

    def copy(self) -> Arena:
        """A new arena with the same numbers, on memory of its own."""
        other = self.like()
        other.flat[...] = self.flat
        return other

    def __deepcopy__(self, memo: dict) -> Arena:
        return self.copy()
