"""Events of a tensor counted one element at a time, in plain Python numbers of any size."""

import math
from itertools import product


def count(values, fans, rows, unit=1.0, most=1, signed=False, slack=0.0):
    """Return ``(nonzero, events, accumulates, strange)``, the first three per row.

    ``values`` is an array ``[N, C, *S]``, or ``[..., C]`` without fans. ``unit`` is a number, an
    array of the shape of ``values[0]``, or None.
    """
    entries = values.shape[0] if fans else math.prod(values.shape[:-1])
    nonzero, events, accumulates = [0] * rows, [0] * rows, [0] * rows
    strange = 0
    for number, index in enumerate(product(*map(range, values.shape))):
        value = float(values[index])
        if value == 0:
            continue
        entry = index[0] if fans else number // values.shape[-1]
        row = entry // (entries // rows)
        fan = math.prod(int(table[i]) for table, i in zip(fans, index[2:]))
        one = unit if unit is None or isinstance(unit, float) else float(unit[index[1:]])
        times = multiple(value, one, most, signed, slack)
        strange += times is None
        nonzero[row] += 1
        events[row] += fan
        accumulates[row] += fan * (times or 1)
    return nonzero, events, accumulates, strange


def multiple(value, unit, most, signed, slack):
    """Return how many units a value is that is not zero; None if it contradicts the declaration."""
    if unit is None:
        return 1
    if not math.isfinite(value) or unit == 0 or (value / unit < 0 and not signed):
        return None
    times = math.floor(abs(value / unit) + 0.5)
    if not 1 <= times <= (2**22 if most is None else most):
        return None
    return times if abs(abs(value / unit) - times) <= slack * times else None
