"""The inner loops of a matrix product, written in LLVM's own language.

Numba compiles plain loops well, except that it keeps a block of running sums in memory,
where it is loaded and stored at every step. Here the sums are named values of the loop,
so that LLVM keeps them in vector registers: that is worth a factor of two. This file
holds all code generation of the library; docs/kernels/matmul.md walks through it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import llvmlite.binding
import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


class Tile(NamedTuple):
    """The block of sums that fits into a processor's vector registers."""

    rows: int
    vectors: int  # vectors a row
    lanes: int  # float32 numbers a vector


def tile_for(features: str) -> Tile:
    """AVX-512 and NEON have 32 vector registers, AVX2 has 16.

    Needed: rows·vectors sums, `vectors` of B, and one for a number of A.
    """
    if "+avx512f" in features:
        return Tile(rows=8, vectors=2, lanes=16)
    if "+avx2" in features or "+avx" in features:
        return Tile(rows=6, vectors=2, lanes=8)
    return Tile(rows=6, vectors=4, lanes=4)


def cpu_features() -> str:
    """What Numba compiles for: its own setting, or what this processor can do."""
    chosen = numba.config.CPU_FEATURES
    return chosen or llvmlite.binding.get_host_cpu_features().flatten()


TILE = tile_for(cpu_features())
ROWS, LANES, COLS = TILE.rows, TILE.lanes, TILE.vectors * TILE.lanes
BFLOAT16_DOT = "+avx512bf16" in cpu_features()  # one instruction: 32 products, 16 sums

FLOAT, INT, INDEX = ir.FloatType(), ir.IntType(64), ir.IntType(32)
VECTOR = ir.VectorType(FLOAT, LANES)
MASK = ir.VectorType(ir.IntType(1), LANES)
ZERO = ir.Constant(VECTOR, [ir.Constant(FLOAT, 0.0)] * LANES)
FMA = f"llvm.fma.v{LANES}f32"
DOT = "llvm.x86.avx512bf16.dpbf16ps.512"
MASKED_LOAD = f"llvm.masked.load.v{LANES}f32.p0"
MASKED_STORE = f"llvm.masked.store.v{LANES}f32.p0"


class Bfloat16(ir.Type):
    """LLVM has this type, llvmlite has no name for it."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bfloat16)

    def __hash__(self) -> int:
        return hash(Bfloat16)


PAIRS = ir.VectorType(Bfloat16(), 2 * LANES)  # two bfloat16 in the place of a float


def _splat(build, value):
    """A vector whose every lane is `value`."""
    nothing = ir.Constant(ir.VectorType(value.type, LANES), ir.Undefined)
    first = build.insert_element(nothing, value, INDEX(0))
    lanes = ir.Constant(ir.VectorType(INDEX, LANES), [0] * LANES)
    return build.shuffle_vector(first, nothing, lanes)


def _pointer(build, address, kind):
    return build.inttoptr(address, kind.as_pointer())


def _load(build, address, kind):
    value = build.load(_pointer(build, address, kind))
    value.align = 4  # floats may lie anywhere
    return value


def _store(build, value, address):
    build.store(value, _pointer(build, address, value.type)).align = 4


def _function(build, name, result, *arguments):
    kind = ir.FunctionType(result, arguments)
    return cgutils.get_or_insert_function(build.module, kind, name)


def _multiply_add(build, a, b, total):
    """total + a · b, lane by lane, rounded once."""
    return build.call(_function(build, FMA, *[VECTOR] * 4), [a, b, total])


def _dot_pairs(build, a, b, total):
    """total + a₀·b₀ + a₁·b₁ for the two bfloat16 numbers in each lane of a and b."""
    dot = _function(build, DOT, VECTOR, VECTOR, PAIRS, PAIRS)
    return build.call(dot, [total, build.bitcast(a, PAIRS), build.bitcast(b, PAIRS)])


def _sum_over_k(build, combine: Callable, vectors: int, a_rows, a_step, b, depth):
    """The loop: ROWS × vectors sums over k, returned as values in registers."""
    before = build.basic_block
    loop, after = build.append_basic_block("k"), build.append_basic_block("end")
    build.branch(loop)
    build.position_at_end(loop)
    # values that change from one turn to the next: counter, two offsets, the sums
    k, a_offset, b_offset = build.phi(INT), build.phi(INT), build.phi(INT)
    sums = [[build.phi(VECTOR) for _ in range(vectors)] for _ in range(ROWS)]
    b_row = [
        _load(build, build.add(b, build.add(b_offset, INT(4 * LANES * v))), VECTOR)
        for v in range(vectors)
    ]
    new_sums = []
    for a_row, row in zip(a_rows, sums, strict=True):
        many = _splat(build, _load(build, build.add(a_row, a_offset), FLOAT))
        pairs = zip(b_row, row, strict=True)
        new_sums.append([combine(build, many, vector, s) for vector, s in pairs])
    turns = [
        (k, build.add(k, INT(1))),
        (a_offset, build.add(a_offset, a_step)),
        (b_offset, build.add(b_offset, INT(4 * COLS))),
    ]
    for phi, new in turns:
        phi.add_incoming(INT(0), before)
        phi.add_incoming(new, loop)
    for row, new_row in zip(sums, new_sums, strict=True):
        for phi, new in zip(row, new_row, strict=True):
            phi.add_incoming(ZERO, before)
            phi.add_incoming(new, loop)
    build.cbranch(build.icmp_signed("<", turns[0][1], depth), loop, after)
    build.position_at_end(after)
    return new_sums


def _add_and_store(build, sums, start, start_row, out, out_row, rows, masks):
    """out = start + sums, for the first `rows` rows; `masks` (or None) for edges."""
    align, pointer = INDEX(4), VECTOR.as_pointer()
    load = _function(build, MASKED_LOAD, VECTOR, pointer, INDEX, MASK, VECTOR)
    store = _function(build, MASKED_STORE, ir.VoidType(), VECTOR, pointer, INDEX, MASK)
    for r, row in enumerate(sums):
        with build.if_then(build.icmp_signed("<", INT(r), rows), likely=True):
            for v, vector in enumerate(row):
                source = build.add(start, build.mul(start_row, INT(4 * r)))
                source = build.add(source, INT(4 * LANES * v))
                place = build.add(out, build.mul(out_row, INT(4 * r)))
                place = build.add(place, INT(4 * LANES * v))
                if masks is None:
                    old = _load(build, source, VECTOR)
                    _store(build, build.fadd(vector, old), place)
                else:
                    source = _pointer(build, source, VECTOR)
                    place = _pointer(build, place, VECTOR)
                    old = build.call(load, [source, align, masks[v], ZERO])
                    new = build.fadd(vector, old)
                    build.call(store, [new, place, align, masks[v]])


def _tile_function(name: str, combine: Callable):
    """An intrinsic whose inner loop does `combine`: see `multiply_tile`."""

    def tile(
        typing_context, a, a_row, a_col, b, depth,
        start, start_row, out, out_row, rows, cols,
    ):  # fmt: skip
        def generate(context, build, signature, arguments):
            a, a_row, a_col, b, depth, start, start_row, out, out_row, rows, cols = (
                arguments
            )
            # rows beyond the last are computed from the last one again, not stored
            last = build.sub(rows, INT(1))
            a_rows = []
            for r in range(ROWS):
                row = build.select(build.icmp_signed("<", INT(r), last), INT(r), last)
                a_rows.append(build.add(a, build.mul(build.mul(a_row, INT(4)), row)))
            lane = ir.Constant(ir.VectorType(INT, LANES), list(range(LANES)))
            masks = []
            for v in range(TILE.vectors):
                inside = _splat(build, build.sub(cols, INT(LANES * v)))
                masks.append(build.icmp_signed("<", lane, inside))

            def part(vectors, masks):
                step = build.mul(a_col, INT(4))
                sums = _sum_over_k(build, combine, vectors, a_rows, step, b, depth)
                _add_and_store(build, sums, start, start_row, out, out_row, rows, masks)

            def choose(condition):
                return build.if_else(condition, likely=True)

            with choose(build.icmp_signed("==", cols, INT(COLS))) as (whole, edge):
                with whole:
                    part(TILE.vectors, None)
                with edge:
                    wide = build.icmp_signed(">", cols, INT(LANES))
                    with choose(wide) as (several, single):
                        with several:
                            part(TILE.vectors, masks)
                        with single:
                            part(1, masks)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 11), generate

    tile.__name__ = tile.__qualname__ = name
    return intrinsic(tile)


# out[:rows, :cols] = start[:rows, :cols] + A[:rows, :depth] @ B[:depth, :cols]
#
# All arguments are int64; a, b, start, out are addresses. A has any strides (a_row,
# a_col, in floats); B is packed, depth rows of COLS floats; start and out have
# contiguous rows, and may be the same. rows and cols may be anything from 1 to ROWS
# and COLS, depth at least 1.
multiply_tile = _tile_function("multiply_tile", _multiply_add)

# The same, where each float of A and B holds two bfloat16 numbers, neighbours in k,
# and depth counts the pairs. Only where BFLOAT16_DOT.
multiply_tile_bfloat16 = _tile_function("multiply_tile_bfloat16", _dot_pairs)


@intrinsic
def copy_vector(typing_context, to, source):
    """Copy LANES floats from one address to another."""

    def generate(context, build, signature, arguments):
        to, source = arguments
        _store(build, _load(build, source, VECTOR), to)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


def _exchange(build, upper, lower, step):
    """Blocks of `step` lanes: the right ones of `upper` against the left of `lower`."""
    new_upper = [LANES + l - step if l & step else l for l in range(LANES)]
    new_lower = [LANES + l if l & step else l + step for l in range(LANES)]
    kind = ir.VectorType(INDEX, LANES)
    return [
        build.shuffle_vector(upper, lower, ir.Constant(kind, order))
        for order in (new_upper, new_lower)
    ]


@intrinsic
def transpose_tile(typing_context, to, to_row, source, source_row):
    """to[j, i] = source[i, j] for LANES × LANES floats; strides of rows in floats.

    A matrix of blocks is transposed by exchanging its two off-diagonal blocks: done
    for blocks of 1, 2, 4 … lanes, the whole is.
    """

    def generate(context, build, signature, arguments):
        to, to_row, source, source_row = arguments
        step = build.mul(source_row, INT(4))
        vectors = [
            _load(build, build.add(source, build.mul(step, INT(i))), VECTOR)
            for i in range(LANES)
        ]
        for size in (1 << s for s in range(LANES.bit_length() - 1)):
            for i in range(LANES):
                if not i & size:
                    pair = _exchange(build, vectors[i], vectors[i + size], size)
                    vectors[i], vectors[i + size] = pair
        step = build.mul(to_row, INT(4))
        for i, vector in enumerate(vectors):
            _store(build, vector, build.add(to, build.mul(step, INT(i))))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), generate
