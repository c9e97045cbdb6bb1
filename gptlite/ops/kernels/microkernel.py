"""The inner loop of a matrix product, written in LLVM's own language.

Numba compiles plain loops well, except that it keeps a block of running sums in memory,
where it is loaded and stored at every step. Here the sums are named values of the loop,
so that LLVM keeps them in vector registers: that is worth a factor of two.
docs/kernels/matmul.md walks through this file.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from gptlite.ops.kernels.processor import BFLOAT16_DOT, COLS, LANES, ROWS, TILE
from gptlite.ops.kernels.rounding import PAIRS
from gptlite.ops.kernels.vectors import (
    FLOAT,
    INDEX,
    INT,
    LANE,
    MASK,
    MASKED_LOAD,
    VECTOR,
    ZERO,
    function,
    load,
    pointer,
    prefetch,
    splat,
    store,
)

FMA = f"llvm.fma.v{LANES}f32"
DOT = "llvm.x86.avx512bf16.dpbf16ps.512"
MASKED_STORE = f"llvm.masked.store.v{LANES}f32.p0"


def _multiply_add(build, a, b, total):
    """total + a · b, lane by lane, rounded once."""
    return build.call(function(build, FMA, *[VECTOR] * 4), [a, b, total])


def _dot_pairs(build, a, b, total):
    """total + a₀·b₀ + a₁·b₁ for the two bfloat16 numbers in each lane of a and b."""
    dot = function(build, DOT, VECTOR, VECTOR, PAIRS, PAIRS)
    return build.call(dot, [total, build.bitcast(a, PAIRS), build.bitcast(b, PAIRS)])


def _sum_over_k(build, combine: Callable, vectors: int, a_rows, a_step, b, depth):
    """The loop: ROWS × vectors sums over k, returned as values in registers.

    While a panel is used what follows is fetched: the next panel, or the rest of this
    one where only its first rows count.
    """
    next_panel = build.add(b, build.mul(depth, INT(4 * COLS)))
    before = build.basic_block
    loop, after = build.append_basic_block("k"), build.append_basic_block("end")
    build.branch(loop)
    build.position_at_end(loop)
    # values that change from one turn to the next: counter, two offsets, the sums
    k, a_offset, b_offset = build.phi(INT), build.phi(INT), build.phi(INT)
    sums = [[build.phi(VECTOR) for _ in range(vectors)] for _ in range(ROWS)]
    b_row = [
        load(build, build.add(b, build.add(b_offset, INT(4 * LANES * v))), VECTOR)
        for v in range(vectors)
    ]
    prefetch(build, build.add(next_panel, b_offset), 4 * COLS, write=False)
    new_sums = []
    for a_row, row in zip(a_rows, sums, strict=True):
        many = splat(build, load(build, build.add(a_row, a_offset), FLOAT))
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
    align, kind = INDEX(4), VECTOR.as_pointer()
    load_some = function(build, MASKED_LOAD, VECTOR, kind, INDEX, MASK, VECTOR)
    store_some = function(build, MASKED_STORE, ir.VoidType(), VECTOR, kind, INDEX, MASK)
    for r, row in enumerate(sums):
        with build.if_then(build.icmp_signed("<", INT(r), rows), likely=True):
            for v, vector in enumerate(row):
                source = build.add(start, build.mul(start_row, INT(4 * r)))
                source = build.add(source, INT(4 * LANES * v))
                place = build.add(out, build.mul(out_row, INT(4 * r)))
                place = build.add(place, INT(4 * LANES * v))
                if masks is None:
                    old = load(build, source, VECTOR)
                    store(build, build.fadd(vector, old), place)
                else:
                    source = pointer(build, source, VECTOR)
                    place = pointer(build, place, VECTOR)
                    old = build.call(load_some, [source, align, masks[v], ZERO])
                    new = build.fadd(vector, old)
                    build.call(store_some, [new, place, align, masks[v]])


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
                row = build.mul(INT(4), build.select(
                    build.icmp_signed("<", INT(r), last), INT(r), last
                ))  # fmt: skip
                a_rows.append(build.add(a, build.mul(a_row, row)))
                # the result's rows are fetched while the sums are computed
                place = build.add(out, build.mul(out_row, row))
                prefetch(build, place, 4 * COLS, write=True)
            masks = []
            for v in range(TILE.vectors):
                inside = splat(build, build.sub(cols, INT(LANES * v)))
                masks.append(build.icmp_signed("<", LANE, inside))

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

# The same for words of bfloat16: each float of A and B holds two numbers, neighbours in
# k, and depth counts the pairs. Without the instruction a word is one rounded number.
multiply_words_tile = _tile_function(
    "multiply_words_tile", _dot_pairs if BFLOAT16_DOT else _multiply_add
)
