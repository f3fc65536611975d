"""Additions of whole vectors: what a spike does to the currents that it reaches.

Numba's own loops check before every short run whether its two arrays overlap, which costs more than
the run; these name the vector and load, add and store it.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

WIDE, NARROW = 16, 8
"""Numbers of the two vectors; a processor without such registers takes several steps."""


def _adding(lanes: int) -> Any:
    """Return the kernel function ``add(to, i, values, j)``: ``to[i:i+lanes] += values[j:...]``."""

    def add(typing_context: Any, to: Any, i: Any, values: Any, j: Any) -> Any:
        del typing_context, i, j

        def code(context: Any, builder: ir.IRBuilder, signature: Any, given: Any) -> Any:
            vector = ir.VectorType(ir.FloatType(), lanes)

            def at(array: int, index: int) -> Any:
                data = context.make_array(signature.args[array])(context, builder, given[array])
                place = builder.gep(data.data, [given[index]])
                return builder.bitcast(place, vector.as_pointer())

            target = at(0, 1)
            total = builder.fadd(builder.load(target, align=4), builder.load(at(2, 3), align=4))
            builder.store(total, target, align=4)
            return context.get_dummy_value()

        return types.void(to, types.int64, values, types.int64), code

    return intrinsic(add)


add_wide: Any = _adding(WIDE)
"""In a kernel: add 16 numbers to others. Nothing is checked: both must lie in their arrays."""

add_narrow: Any = _adding(NARROW)
"""The same for 8 numbers."""


def padded(length: int) -> int:
    """Return the length of a run of ``length`` numbers in whole narrow vectors."""
    return -(-length // NARROW) * NARROW
