"""Compiled decoders of Prophesee's EVT2 and EVT3 word streams.

Each kernel is called twice: with empty columns it only counts, with columns of the counted size it
fills them. The formats are documented by Prophesee ("Data Encoding Formats", EVT 2.0 and EVT 3.0);
``tests/reference/evt.py`` holds the same decoders word by word in plain Python.
"""

import numba
import numpy as np
import numpy.typing as npt

Words16 = npt.NDArray[np.uint16]
Words32 = npt.NDArray[np.uint32]
I64 = npt.NDArray[np.int64]
U16 = npt.NDArray[np.uint16]
Bools = npt.NDArray[np.bool_]

FARTHEST = 65_535
"""Columns beyond it are stored as it; no sensor reaches so far, so they count as outside."""


@numba.njit(nogil=True, cache=True)
def decode_evt2(words: Words32, t: I64, x: U16, y: U16, p: Bools) -> I64:
    """Decode EVT 2.0: 32-bit words, the kind in the top 4 bits.

    Kinds: 0x0 OFF and 0x1 ON event (6 low bits of time, 11 bits x, 11 bits y), 0x8 the 28 high
    bits of time, 0xA external trigger, 0xE and 0xF vendor words.

    Returns:
        ``[5]``: events, triggers, vendor words, words of unknown kind, events before any time.
    """
    counts = np.zeros(5, np.int64)
    high = np.int64(-1)
    wraps = np.int64(0)
    for word in words:
        kind = word >> 28
        if kind <= 1:
            if high < 0:
                counts[4] += 1
                continue
            k = counts[0]
            counts[0] += 1
            if k < t.size:
                t[k] = (wraps << 34) | (high << 6) | ((np.int64(word) >> 22) & 0x3F)
                x[k] = (word >> 11) & 0x7FF
                y[k] = word & 0x7FF
                p[k] = kind == 1
        elif kind == 0x8:
            new = np.int64(word & 0x0FFFFFFF)
            # The counter has come round if it fell by more than half of its range.
            if high - new > 1 << 27:
                wraps += 1
            high = new
        elif kind == 0xA:
            counts[1] += 1
        elif kind >= 0xE:
            counts[2] += 1
        else:
            counts[3] += 1
    return counts


@numba.njit(nogil=True, cache=True)
def decode_evt3(  # noqa: C901  (one flat table of cases, and a call per word would cost)
    words: Words16, t: I64, x: U16, y: U16, p: Bools
) -> I64:
    """Decode EVT 3.0: 16-bit words that change a state, the kind in the top 4 bits.

    Kinds: 0x0 sets y; 0x2 is one event at x with a polarity; 0x3 sets the x and polarity of the
    vectors 0x4 (12 pixels, one bit each) and 0x5 (8 pixels); 0x6 and 0x8 are the 12 low and the 12
    high bits of time; 0xA external trigger; 0x7, 0xE and 0xF vendor words.

    Returns:
        ``[5]``: events, triggers, vendor words, words of unknown kind, events before any time or
        row.
    """
    counts = np.zeros(5, np.int64)
    high = np.int64(-1)
    now = np.int64(-1)
    wraps = np.int64(0)
    row = np.int64(-1)
    base = np.int64(-1)
    polarity = False
    for word in words:
        kind = word >> 12
        value = np.int64(word & 0xFFF)
        if kind == 0x0:
            row = value & 0x7FF
        elif kind == 0x2 or kind == 0x4 or kind == 0x5:
            if kind == 0x2:
                start, bits, width = value & 0x7FF, np.int64(1), 1
                positive = (value >> 11) == 1
            else:
                width = 12 if kind == 0x4 else 8
                start, bits, positive = base, value & ((1 << width) - 1), polarity
                if base >= 0:
                    base += width
            place = start
            while bits:
                if bits & 1:
                    if now < 0 or row < 0 or start < 0:
                        counts[4] += 1
                    else:
                        k = counts[0]
                        counts[0] += 1
                        if k < t.size:
                            t[k] = now
                            x[k] = place if place < FARTHEST else FARTHEST
                            y[k] = row
                            p[k] = positive
                bits >>= 1
                place += 1
        elif kind == 0x3:
            base = value & 0x7FF
            polarity = (value >> 11) == 1
        elif kind == 0x6:
            if high >= 0:
                now = (wraps << 24) | (high << 12) | value
        elif kind == 0x8:
            # The counter has come round if it fell by more than half of its range.
            if high - value > 1 << 11:
                wraps += 1
            if value != high:
                # The low bits that follow are yet to come; those of the old time do not belong.
                now = (wraps << 24) | (value << 12)
            high = value
        elif kind == 0xA:
            counts[1] += 1
        elif kind == 0x7 or kind >= 0xE:
            counts[2] += 1
        else:
            counts[3] += 1
    return counts
