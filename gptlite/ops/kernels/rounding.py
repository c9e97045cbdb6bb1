"""Vectors of bfloat16 numbers, rounded by the processor, in LLVM's own language."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from gptlite.ops.kernels.processor import BFLOAT16_DOT, LANES
from gptlite.ops.kernels.vectors import INDEX, INT, VECTOR, function, load, store

ROUND = "llvm.x86.avx512bf16.cvtne2ps2bf16.512"


class Bfloat16(ir.Type):
    """LLVM has this type, llvmlite has no name for it."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bfloat16)

    def __hash__(self) -> int:
        return hash(Bfloat16)


PAIRS = ir.VectorType(Bfloat16(), 2 * LANES)  # two bfloat16 in the place of a float


def _rounded(build, low, high):
    """The words of two vectors' bfloat16 numbers: all of `low`, then all of `high`."""
    both = function(build, ROUND, PAIRS, VECTOR, VECTOR)
    return build.call(both, [load(build, high, VECTOR), load(build, low, VECTOR)])


@intrinsic
def round_neighbours(typing_context, to, source):
    """2·LANES floats from `source` on become LANES words. Only where BFLOAT16_DOT."""

    def generate(context, build, signature, arguments):
        to, source = arguments
        if BFLOAT16_DOT:
            second = build.add(source, INT(4 * LANES))
            words = _rounded(build, source, second)
            store(build, build.bitcast(words, VECTOR), to)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def round_pairs(typing_context, to, low, high):
    """Word i is made of low[i] and high[i], i < LANES. Only where BFLOAT16_DOT."""

    def generate(context, build, signature, arguments):
        to, low, high = arguments
        if BFLOAT16_DOT:
            words = _rounded(build, low, high)
            turns = [i // 2 + LANES * (i % 2) for i in range(2 * LANES)]
            order = ir.Constant(ir.VectorType(INDEX, 2 * LANES), turns)
            words = build.shuffle_vector(words, words, order)
            store(build, build.bitcast(words, VECTOR), to)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 3), generate
