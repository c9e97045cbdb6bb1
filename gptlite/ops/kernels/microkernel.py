"""The inner loop of a matrix product, written in LLVM's own language.

Numba compiles plain loops well, except that it keeps a block of running sums in memory,
where it is loaded and stored at every step. Here the sums are named values of the loop,
so that LLVM keeps them in vector registers: that is worth a factor of two. This file
holds all code generation of the library; docs/kernels/matmul.md walks through it.
"""

from __future__ import annotations

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
ROWS, COLS = TILE.rows, TILE.vectors * TILE.lanes

FLOAT, INT = ir.FloatType(), ir.IntType(64)
VECTOR = ir.VectorType(FLOAT, TILE.lanes)
MASK = ir.VectorType(ir.IntType(1), TILE.lanes)
ZERO = ir.Constant(VECTOR, [ir.Constant(FLOAT, 0.0)] * TILE.lanes)
FMA = f"llvm.fma.v{TILE.lanes}f32"
MASKED_LOAD = f"llvm.masked.load.v{TILE.lanes}f32.p0"
MASKED_STORE = f"llvm.masked.store.v{TILE.lanes}f32.p0"


def _splat(build, value):
    """A vector whose every lane is `value`."""
    kind = ir.VectorType(value.type, TILE.lanes)
    nothing = ir.Constant(kind, ir.Undefined)
    first = build.insert_element(nothing, value, ir.IntType(32)(0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), TILE.lanes), [0] * TILE.lanes)
    return build.shuffle_vector(first, nothing, lanes)


def _pointer(build, address, kind):
    return build.inttoptr(address, kind.as_pointer())


def _load(build, address, kind):
    value = build.load(_pointer(build, address, kind))
    value.align = 4  # floats may lie anywhere
    return value


def _function(build, name, result, *arguments):
    kind = ir.FunctionType(result, arguments)
    return cgutils.get_or_insert_function(build.module, kind, name)


def _sum_over_k(build, a_rows, a_step, b, depth):
    """The loop: ROWS × vectors sums over k, returned as values in registers."""
    fma = _function(build, FMA, VECTOR, VECTOR, VECTOR, VECTOR)
    before = build.basic_block
    loop, after = build.append_basic_block("k"), build.append_basic_block("end")
    build.branch(loop)
    build.position_at_end(loop)
    # values that change from one turn to the next: counter, two offsets, the sums
    k, a_offset, b_offset = build.phi(INT), build.phi(INT), build.phi(INT)
    sums = [[build.phi(VECTOR) for _ in range(TILE.vectors)] for _ in range(ROWS)]
    b_row = [
        _load(build, build.add(b, build.add(b_offset, INT(4 * TILE.lanes * v))), VECTOR)
        for v in range(TILE.vectors)
    ]
    new_sums = []
    for a_row, row in zip(a_rows, sums, strict=True):
        number = _load(build, build.add(a_row, a_offset), FLOAT)
        many = _splat(build, number)
        pairs = zip(b_row, row, strict=True)
        new_sums.append([build.call(fma, [many, vector, s]) for vector, s in pairs])
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


def _store_rows(build, sums, out, out_stride, rows, cols, add):
    """Write the first `rows` × `cols` of the sums, on top of what is there if `add`."""
    align, pointer = ir.IntType(32)(4), VECTOR.as_pointer()
    load = _function(build, MASKED_LOAD, VECTOR, pointer, align.type, MASK, VECTOR)
    store = _function(
        build, MASKED_STORE, ir.VoidType(), VECTOR, pointer, align.type, MASK
    )
    lane = ir.Constant(ir.VectorType(INT, TILE.lanes), list(range(TILE.lanes)))
    adding = _splat(build, build.icmp_signed("!=", add, INT(0)))
    for r, row in enumerate(sums):
        with build.if_then(build.icmp_signed("<", INT(r), rows), likely=True):
            line = build.add(out, build.mul(out_stride, INT(4 * r)))
            for v, vector in enumerate(row):
                inside = build.sub(cols, INT(TILE.lanes * v))
                mask = build.icmp_signed("<", lane, _splat(build, inside))
                place = build.add(line, INT(4 * TILE.lanes * v))
                place = _pointer(build, place, VECTOR)
                old = build.call(load, [place, align, build.and_(mask, adding), ZERO])
                build.call(store, [build.fadd(vector, old), place, align, mask])


@intrinsic
def multiply_tile(
    typing_context, a, a_row, a_col, b, depth, out, out_stride, rows, cols, add
):
    """out[:rows, :cols] = (or +=, if `add`) A[:rows, :depth] @ B[:depth, :cols].

    All arguments are int64. a, b, out: addresses. A has any strides (a_row, a_col, in
    floats); B is packed, depth rows of COLS floats; out has contiguous rows. rows and
    cols may be anything from 1 to ROWS and COLS, depth at least 1.
    """
    signature = types.void(*[types.int64] * 10)

    def generate(context, build, signature, arguments):
        a, a_row, a_col, b, depth, out, out_stride, rows, cols, add = arguments
        # rows beyond the last are computed from the last one again, and not stored
        last = build.sub(rows, INT(1))
        a_rows = []
        for r in range(ROWS):
            row = build.select(build.icmp_signed("<", INT(r), last), INT(r), last)
            a_rows.append(build.add(a, build.mul(build.mul(a_row, INT(4)), row)))
        sums = _sum_over_k(build, a_rows, build.mul(a_col, INT(4)), b, depth)
        _store_rows(build, sums, out, out_stride, rows, cols, add)
        return context.get_dummy_value()

    return signature, generate
