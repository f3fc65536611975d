"""The inner loops of packing: where the values of a sparse array lie, as gaps or as bits."""

import numba
import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
U8 = npt.NDArray[np.uint8]

DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)
"""A number whose 64 shifts to the left have 64 different top six bits."""

PLACES = np.array(sorted(range(64), key=lambda k: (int(DE_BRUIJN) << k) % 2**64 >> 58), np.int64)
"""Top six bits of a shift of it to the number of places it was shifted by."""

STRIDE = 255
"""A gap byte of this value moves on by as many elements and sets nothing."""


@numba.njit(nogil=True, cache=True)
def count_gaps(bits: U32) -> tuple[int, int]:
    """Return how many elements have any bit set, and how many gap bytes they need."""
    values, gaps, last = 0, 0, -1
    for i in range(bits.size):
        if bits[i] != 0:
            values += 1
            gaps += 1 + (i - last - 1) // STRIDE
            last = i
    return values, gaps


@numba.njit(nogil=True, cache=True)
def write_gaps(bits: U32, gaps: U8, values: U32) -> None:
    """Write the elements with any bit set to ``values``, and how many others lie before each."""
    k, g, last = 0, 0, -1
    for i in range(bits.size):
        if bits[i] != 0:
            gap = i - last - 1
            while gap >= STRIDE:
                gaps[g] = STRIDE
                gap -= STRIDE
                g += 1
            gaps[g] = gap
            values[k] = bits[i]
            k, g, last = k + 1, g + 1, i


@numba.njit(nogil=True, cache=True)
def read_gaps(gaps: U8, values: F32, out: F32) -> bool:
    """Write ``values`` to their places in ``out``, which holds zeros; False if they do not fit.

    A single value stands for all places.
    """
    place, k = -1, 0
    step = 0 if values.size == 1 else 1
    for g in range(gaps.size):
        gap = gaps[g]
        if gap == STRIDE:
            place += STRIDE
        else:
            place += gap + 1
            if place >= out.size or k >= values.size:
                return False
            out[place] = values[k]
            k += step
    return step == 0 or k == values.size


@numba.njit(nogil=True, cache=True)
def read_bits(mask: U64, values: F32, out: F32) -> bool:
    """Write ``values`` to where ``mask`` has a bit, least significant first, into zeros.

    A single value stands for all places. False if the values do not fit, or a bit lies beyond the
    end of ``out``.
    """
    k = 0
    step = 0 if values.size == 1 else 1
    for w in range(mask.size):
        word, base = mask[w], 64 * w
        while word:
            # Only the lowest bit; times a de Bruijn sequence its place stands in the top six bits.
            low = word & (~word + np.uint64(1))
            place = base + PLACES[(low * DE_BRUIJN) >> np.uint64(58)]
            if place >= out.size or k >= values.size:
                return False
            out[place] = values[k]
            k += step
            word ^= low
    return step == 0 or k == values.size
