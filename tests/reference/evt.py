"""EVT 2.0 and EVT 3.0 word by word, in plain Python: the slow twin of ``data.cameras.kernels``.

The words are also written here, from lists of events, for tests that need a file.
"""

import numpy as np

SKIPPED = ("external triggers", "vendor words", "unknown words", "events before the first time")


def slow_evt2(words):
    """Return a list of (t, x, y, p) and the counts of what is skipped."""
    events, skipped, high, wraps = [], dict.fromkeys(SKIPPED, 0), None, 0
    for word in map(int, words):
        kind = f"{word:08x}"[0]
        if kind in "01":
            if high is None:
                skipped["events before the first time"] += 1
            else:
                time = wraps * 2**34 + high * 64 + (word // 2**22) % 64
                events.append((time, (word // 2**11) % 2**11, word % 2**11, kind == "1"))
        elif kind == "8":
            new = word % 2**28
            if high is not None and high - new > 2**27:
                wraps += 1
            high = new
        elif kind == "a":
            skipped["external triggers"] += 1
        elif kind in "ef":
            skipped["vendor words"] += 1
        else:
            skipped["unknown words"] += 1
    return events, skipped


def slow_evt3(words):  # noqa: C901  (one case per kind of word)
    """Return a list of (t, x, y, p) and the counts of what is skipped."""
    events, skipped = [], dict.fromkeys(SKIPPED, 0)
    high = low = row = base = None
    base_polarity, wraps = False, 0

    def emit(column, polarity):
        if high is None or row is None or column is None:
            skipped["events before the first time"] += 1
        else:
            time = wraps * 2**24 + high * 2**12 + low
            events.append((time, min(column, 65_535), row, polarity))

    for word in map(int, words):
        kind, value = f"{word:04x}"[0], word % 2**12
        if kind == "0":
            row = value % 2**11
        elif kind == "2":
            emit(value % 2**11, value >= 2**11)
        elif kind == "3":
            base, base_polarity = value % 2**11, value >= 2**11
        elif kind in "45":
            width = {"4": 12, "5": 8}[kind]
            for bit, digit in enumerate(reversed(f"{value:012b}"[-width:])):
                if digit == "1":
                    emit(None if base is None else base + bit, base_polarity)
            base = None if base is None else base + width
        elif kind == "6":
            if high is not None:
                low = value
        elif kind == "8":
            if high is not None and high - value > 2**11:
                wraps += 1
            if value != high:
                high, low = value, 0
        elif kind == "a":
            skipped["external triggers"] += 1
        elif kind in "7ef":
            skipped["vendor words"] += 1
        else:
            skipped["unknown words"] += 1
    return events, skipped


def evt2_words(t, x, y, p):
    """Return the words of events with increasing times; time words where the high bits change."""
    words, high = [], None
    for time, column, row, polarity in zip(t, x, y, p, strict=True):
        if time // 64 != high:
            high = int(time) // 64
            words.append(0x8 << 28 | high % 2**28)
        kind = 1 if polarity else 0
        words.append(kind << 28 | int(time) % 64 << 22 | int(column) << 11 | int(row))
    return np.array(words, "<u4")


def evt3_words(t, x, y, p):
    """Return the words of events with increasing times, single events only."""
    words, high = [], None
    for time, column, row, polarity in zip(t, x, y, p, strict=True):
        time = int(time)
        steps = [time // 4096] if high is None else range(high + 1, time // 4096 + 1)
        words += [0x8 << 12 | step % 4096 for step in steps]
        high = time // 4096
        words += [0x6 << 12 | time % 4096, int(row), 0x2 << 12 | int(polarity) << 11 | int(column)]
    return np.array(words, "<u2")


def raw_bytes(words, *, evt, size=(640, 480), end=True):
    """Return the bytes of a ``.raw`` file."""
    lines = [f"% evt {evt}.0", f"% geometry {size[0]}x{size[1]}"] + ["% end"] * end
    return "".join(f"{line}\n" for line in lines).encode() + words.tobytes()
