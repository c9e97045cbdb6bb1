"""Vector registers: loaded, stored and turned, in LLVM's own language.

Numba has no type for a vector register. This file, rounding.py and microkernel.py hold
all code generation of the library; docs/kernels/matmul.md walks through them.
"""

from __future__ import annotations

from llvmlite import ir
from numba import carray, types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

from gptlite.ops.kernels.processor import LANES

FLOAT, INT, INDEX = ir.FloatType(), ir.IntType(64), ir.IntType(32)
VECTOR = ir.VectorType(FLOAT, LANES)
MASK = ir.VectorType(ir.IntType(1), LANES)
ZERO = ir.Constant(VECTOR, [ir.Constant(FLOAT, 0.0)] * LANES)
LANE = ir.Constant(ir.VectorType(INT, LANES), list(range(LANES)))
MASKED_LOAD = f"llvm.masked.load.v{LANES}f32.p0"
PREFETCH = "llvm.prefetch.p0"
CACHE_LINE = 64  # bytes


def splat(build, value):
    """A vector whose every lane is `value`."""
    nothing = ir.Constant(ir.VectorType(value.type, LANES), ir.Undefined)
    first = build.insert_element(nothing, value, INDEX(0))
    lanes = ir.Constant(ir.VectorType(INDEX, LANES), [0] * LANES)
    return build.shuffle_vector(first, nothing, lanes)


def pointer(build, address, kind):
    return build.inttoptr(address, kind.as_pointer())


def load(build, address, kind):
    value = build.load(pointer(build, address, kind))
    value.align = 4  # floats may lie anywhere
    return value


def store(build, value, address):
    build.store(value, pointer(build, address, value.type)).align = 4


def function(build, name, result, *arguments):
    kind = ir.FunctionType(result, arguments)
    return cgutils.get_or_insert_function(build.module, kind, name)


def prefetch(build, address, size, write):
    """Have `size` bytes come nearer: to be read, or written, soon. An address that is
    nobody's does no harm."""
    numbers = [INDEX(int(write)), INDEX(2), INDEX(1)]  # 2: into the second cache; data
    kinds = [INDEX.as_pointer(), *(number.type for number in numbers)]
    asks = function(build, PREFETCH, ir.VoidType(), *kinds)
    for offset in range(0, size, CACHE_LINE):
        place = pointer(build, build.add(address, INT(offset)), INDEX)
        build.call(asks, [place, *numbers])


@intrinsic
def fetch(typing_context, address):
    """Have a cache line come nearer, to be read soon."""

    def generate(context, build, signature, arguments):
        prefetch(build, arguments[0], CACHE_LINE, write=False)
        return context.get_dummy_value()

    return types.void(types.int64), generate


@intrinsic
def copy_vector(typing_context, to, source):
    """Copy LANES floats from one address to another."""

    def generate(context, build, signature, arguments):
        to, source = arguments
        store(build, load(build, source, VECTOR), to)
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
            load(build, build.add(source, build.mul(step, INT(i))), VECTOR)
            for i in range(LANES)
        ]
        for size in (1 << s for s in range(LANES.bit_length() - 1)):
            for i in range(LANES):
                if not i & size:
                    pair = _exchange(build, vectors[i], vectors[i + size], size)
                    vectors[i], vectors[i + size] = pair
        step = build.mul(to_row, INT(4))
        for i, vector in enumerate(vectors):
            store(build, vector, build.add(to, build.mul(step, INT(i))))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), generate


def _larger(build, a, b):
    """The larger of two numbers, lane by lane; b where a is NaN."""
    return build.select(build.fcmp_ordered(">", a, b), a, b)


@intrinsic
def largest(typing_context, source, count):
    """The largest of `count` floats from the address `source` on, NaN left out.

    −infinity for none. LLVM makes no vectors of such a loop itself, because with a
    NaN among the numbers the result would depend on their order.
    """

    def generate(context, build, signature, arguments):
        source, count = arguments
        lowest = ir.Constant(VECTOR, [ir.Constant(FLOAT, float("-inf"))] * LANES)
        top = cgutils.alloca_once_value(build, lowest)
        whole = build.and_(count, INT(-LANES))
        with cgutils.for_range_slice(build, INT(0), whole, INT(LANES)) as (i, _):
            numbers = load(build, build.add(source, build.mul(i, INT(4))), VECTOR)
            build.store(_larger(build, numbers, build.load(top)), top)
        rest = pointer(build, build.add(source, build.mul(whole, INT(4))), VECTOR)
        inside = build.icmp_signed("<", LANE, splat(build, build.sub(count, whole)))
        load_some = function(
            build, MASKED_LOAD, VECTOR, VECTOR.as_pointer(), INDEX, MASK, VECTOR
        )
        numbers = build.call(load_some, [rest, INDEX(4), inside, lowest])
        best = _larger(build, numbers, build.load(top))
        half = LANES // 2
        while half:  # the upper half against the lower, until one lane is left
            order = [(lane + half) % LANES for lane in range(LANES)]
            turned = ir.Constant(ir.VectorType(INDEX, LANES), order)
            best = _larger(build, build.shuffle_vector(best, best, turned), best)
            half //= 2
        return build.extract_element(best, INDEX(0))

    return types.float32(types.int64, types.int64), generate


@intrinsic
def _floats_at(typing_context, address):
    """An address as that of float32 numbers."""

    def generate(context, build, signature, arguments):
        return pointer(build, arguments[0], FLOAT)

    return types.CPointer(types.float32)(types.int64), generate


@register_jitable
def side_by_side(row):
    """row (n,), known to have no gaps: loops over it become vector code."""
    return carray(_floats_at(row.ctypes.data), row.shape)


@intrinsic
def float_from_bits(typing_context, bits):
    """The float32 whose 32 bits are those of the integer `bits`."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], FLOAT)

    return types.float32(types.int32), generate


@intrinsic
def bits_from_float(typing_context, number):
    """The 32 bits of a float32, as an integer."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], INDEX)

    return types.int32(types.float32), generate
