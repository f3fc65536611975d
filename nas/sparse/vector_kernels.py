"""Memory by its address: additions of whole vectors, and numbers read from tables and lists.

Numba counts references to every array that is handed from one function to another, and its loops
check before every short run whether two arrays overlap. Both cost more than a run of a spike. An
address is a number: nothing is counted or checked, so what is read must lie in its array, and the
array must be held by whoever asked for its address.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

WIDE, NARROW = 16, 8
"""Numbers of usual vectors; a processor without such registers takes several steps."""


def _at(builder: ir.IRBuilder, address: Any, index: Any, kind: Any) -> Any:
    """Return a pointer to the numbered value of a kind."""
    base = builder.inttoptr(address, kind.as_pointer())
    return builder.gep(base, [index])


def _add(typing_context: Any, to: Any, i: Any, values: Any, j: Any, lanes: Any) -> Any:
    del typing_context, to, i, values, j
    if not isinstance(lanes, types.IntegerLiteral):
        return None  # of no fixed length

    def code(context: Any, builder: ir.IRBuilder, signature: Any, given: Any) -> Any:
        del signature
        vector = ir.VectorType(ir.FloatType(), lanes.literal_value)

        def run(address: Any, index: Any) -> Any:
            place = _at(builder, address, index, ir.FloatType())
            return builder.bitcast(place, vector.as_pointer())

        target = run(given[0], given[1])
        more = builder.load(run(given[2], given[3]), align=4)
        builder.store(builder.fadd(builder.load(target, align=4), more), target, align=4)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4, lanes), code


add: Any = intrinsic(prefer_literal=True)(_add)
"""In a kernel: ``add(to, i, values, j, lanes)`` is ``to[i:i+lanes] += values[j:j+lanes]``.

Both are float32; the number of lanes is a constant.
"""


def _add_one(typing_context: Any, to: Any, i: Any) -> Any:
    del typing_context, to, i

    def code(context: Any, builder: ir.IRBuilder, signature: Any, given: Any) -> Any:
        del signature
        place = _at(builder, given[0], given[1], ir.FloatType())
        one = ir.Constant(ir.FloatType(), 1.0)
        builder.store(builder.fadd(builder.load(place), one), place)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), code


add_one: Any = intrinsic(_add_one)
"""In a kernel: ``add_one(to, i)`` is ``to[i] += 1``, of float32."""


def _reading(kind: Any, width: int, *, signed: bool) -> Any:
    """Return the kernel function ``read(address, i)`` for integers of so many bits."""

    def read(typing_context: Any, address: Any, i: Any) -> Any:
        del typing_context, address, i

        def code(context: Any, builder: ir.IRBuilder, signature: Any, given: Any) -> Any:
            del context, signature
            value = builder.load(_at(builder, given[0], given[1], ir.IntType(width)))
            if width == 64:
                return value
            widen = builder.sext if signed else builder.zext
            return widen(value, ir.IntType(64))

        return kind(types.int64, types.int64), code

    return intrinsic(read)


field: Any = _reading(types.int64, 64, signed=True)
"""In a kernel: a value of a table of int64."""

count: Any = _reading(types.int64, 32, signed=True)
"""In a kernel: a value of an array of int32, as int64."""

entry: Any = _reading(types.int64, 32, signed=False)
"""In a kernel: a value of an array of uint32, as int64."""


def padded(length: int) -> int:
    """Return the length of a run of ``length`` numbers in whole narrow vectors."""
    return -(-length // NARROW) * NARROW
