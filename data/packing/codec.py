"""Lossless packing of the arrays of a sample, which are mostly zeros or small numbers.

An array becomes two byte strings: where its values lie, and the values. Both take the smallest form
that gives back every bit:

* places: ``all``; ``gaps``, one byte per value with the number of zeros before it; ``bits``, one
  bit per element in words of 64.
* values: ``one`` (all are the same number), ``int8``, ``uint8``, ``float16``, ``uint16/256``
  (DSEC's disparity), else ``float32``.

Measured on voxel grids and spikes at 640x480 (generated data), zlib at level 1 takes another fifth
to a half off, and takes longer than everything else together, so it is left to the caller.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from data.packing.kernels import count_gaps, read_bits, read_gaps, write_gaps

F32 = npt.NDArray[np.float32]
Bytes = bytes | memoryview
Forms = tuple[tuple[str, str, float], ...]

VALUE_FORMS: Forms = (
    ("int8", "<i1", 1.0),
    ("uint8", "<u1", 1.0),
    ("float16", "<f2", 1.0),
    ("uint16/256", "<u2", 256.0),
    ("float32", "<f4", 1.0),
)
"""Name, stored type and scale of the forms of values, best first."""


class PackingError(ValueError):
    """Bytes that are no packed array."""


def pack(array: npt.NDArray[Any]) -> tuple[dict[str, Any], list[bytes]]:
    """Return the description of an array and its bytes.

    Args:
        array: float32 or bool, of any shape; NaN, infinity and -0.0 come back as they are.

    Returns:
        A dictionary that JSON can hold, and two byte strings, places and values.
    """
    about: dict[str, Any] = {"shape": list(array.shape), "dtype": array.dtype.name}
    if array.dtype == np.bool_:
        flags = np.packbits(array.reshape(-1), bitorder="little")
        return about | {"places": "bits", "values": "bool", "sizes": [flags.size, 0]}, [
            flags.tobytes(),
            b"",
        ]
    if array.dtype != np.float32:
        raise TypeError(f"Only float32 and bool arrays are packed, got {array.dtype}.")
    flat = np.ascontiguousarray(array).reshape(-1)
    bits = flat.view(np.uint32)
    found, size = count_gaps(bits)
    gaps, raw = np.empty(size, np.uint8), np.empty(found, np.uint32)
    write_gaps(bits, gaps, raw)
    form, values = _pack_values(raw.view(np.float32))
    places, where = "gaps", gaps.tobytes()
    if found == flat.size:
        places, where = "all", b""
    elif size > 8 * -(-flat.size // 64):
        padded = np.zeros(64 * -(-flat.size // 64), np.bool_)
        padded[: flat.size] = bits != 0
        places, where = "bits", np.packbits(padded, bitorder="little").tobytes()
    sizes = [len(where), len(values)]
    return about | {"places": places, "values": form, "sizes": sizes}, [where, values]


def unpack(about: Mapping[str, Any], where: Bytes, values: Bytes) -> npt.NDArray[Any]:
    """Return the array that ``pack`` was given.

    Raises:
        PackingError: the bytes do not fit the description.
    """
    shape = tuple(int(n) for n in about["shape"])
    count = int(np.prod(shape, dtype=np.int64))
    if about["values"] == "bool":
        stored = np.frombuffer(where, np.uint8)
        if stored.size != -(-count // 8):
            raise PackingError(f"{stored.size} bytes are no {count} bits.")
        flags = np.unpackbits(stored, count=count, bitorder="little")
        return flags.view(np.bool_).reshape(shape)
    numbers = _unpack_values(about["values"], values)
    stored = np.frombuffer(where, np.uint8)
    if about["places"] == "all":
        out = np.full(count, numbers[0]) if numbers.size == 1 else numbers.copy()
        fits = out.size == count
    elif about["places"] == "gaps":
        out = np.zeros(count, np.float32)
        fits = read_gaps(stored, numbers, out)
    else:
        out = np.zeros(count, np.float32)
        # A copy, because in a file the words lie anywhere, and Numba would compile for that too.
        whole = stored.size == 8 * -(-count // 64)
        fits = whole and read_bits(stored.copy().view("<u8"), numbers, out)
    if not fits:
        raise PackingError(f"{numbers.size} values do not fit their places among {count}.")
    return out.reshape(shape)


def _pack_values(values: F32) -> tuple[str, bytes]:
    """Return the name of the smallest form that is exact, and the values in it."""
    bits = values.view(np.uint32)
    if values.size and (bits == bits[0]).all():
        return "one", values[:1].tobytes()
    for name, dtype, scale in VALUE_FORMS:
        with np.errstate(invalid="ignore", over="ignore"):
            stored = (values * np.float32(scale)).astype(dtype)
            back = _scaled(stored, scale)
        if np.array_equal(back.view(np.uint32), bits):
            return name, stored.tobytes()
    raise AssertionError("float32 is exact")


def _unpack_values(form: str, values: Bytes) -> F32:
    if form == "one":
        return np.frombuffer(values, "<f4").astype(np.float32)
    for name, dtype, scale in VALUE_FORMS:
        if name == form:
            if len(values) % np.dtype(dtype).itemsize:
                raise PackingError(f"{len(values)} bytes are no whole number of {name} values.")
            return _scaled(np.frombuffer(values, dtype), scale)
    raise PackingError(f"There is no form {form!r} of values.")


def _scaled(stored: npt.NDArray[Any], scale: float) -> F32:
    values = stored.astype(np.float32)
    return values if scale == 1.0 else values / np.float32(scale)
