"""Prophesee's ``.raw`` files: a text header, then EVT 2.0 or EVT 3.0 words.

Decoded here, because the libraries at hand do not get EVT 3.0 right: expelliarmus 1.1.12 gives
times twice as long as the stream's own clock, and stops at the first external trigger.
"""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data.cameras.columns import CameraEvents, stated_size
from data.cameras.kernels import decode_evt2, decode_evt3
from data.errors import RecordingError

LONGEST_HEADER = 1 << 16
"""Bytes in which a header must end."""

SKIPPED = ("external triggers", "vendor words", "unknown words", "events before the first time")
"""What the decoders count besides events, in their order."""

Columns = tuple[
    npt.NDArray[np.int64], npt.NDArray[np.uint16], npt.NDArray[np.uint16], npt.NDArray[np.bool_]
]

_DECODERS: dict[str, tuple[Callable[..., npt.NDArray[np.int64]], str]] = {
    "2": (decode_evt2, "<u4"),
    "3": (decode_evt3, "<u2"),
}


def read_evt(path: Path) -> CameraEvents:
    """Read one EVT 2.0 or EVT 3.0 file. Needs 13 bytes per event; the file itself is mapped.

    Times are those of the stream: 34 bits (EVT 2) or 24 bits (EVT 3, 16.8 s) that are continued
    over each wrap.

    Raises:
        RecordingError: no header, another encoding, an impossible size, or no words.
    """
    with path.open("rb") as file:
        fields, start = read_header(file.read(LONGEST_HEADER), path)
    encoding = _encoding(fields, path)
    decode, code = _DECODERS[encoding]
    dtype = np.dtype(code)
    length, rest = divmod(path.stat().st_size - start, dtype.itemsize)
    if length <= 0:
        raise RecordingError(f"{path} holds a header but no data. Record or copy it again.")
    words = np.memmap(path, dtype, mode="r", offset=start, shape=(length,))
    none = _columns(0)
    counts = decode(words, *none)
    t, x, y, p = _columns(int(counts[0]))
    decode(words, t, x, y, p)
    skipped = {name: int(n) for name, n in zip(SKIPPED, counts[1:], strict=True) if n}
    if rest:
        skipped["bytes of a cut word"] = rest
    return CameraEvents(
        format=f"evt{encoding}", t=t, x=x, y=y, p=p, size=_size(fields, path), skipped=skipped
    )


def read_header(head: bytes, path: Path) -> tuple[dict[str, str], int]:
    """Return the fields of the text header, keys in lower case, and where the words begin.

    Every line begins with ``% ``. ``% end`` closes the header; older files have none, so there the
    first line of another kind closes it.

    Raises:
        RecordingError: no header, or one without an end.
    """
    fields: dict[str, str] = {}
    start = 0
    while head[start : start + 2] == b"% ":
        end = head.find(b"\n", start)
        if end < 0:
            break
        line = head[start + 2 : end].decode("ascii", "replace").strip()
        start = end + 1
        key, _, value = line.partition(" ")
        if key.lower() == "end":
            return fields, start
        fields[key.lower()] = value.strip()
    if start == 0 or start >= LONGEST_HEADER:
        raise RecordingError(
            f"{path} has no Prophesee header. Expected lines that begin with '% ', among them "
            "'% evt 3.0' or '% evt 2.0', before the data."
        )
    return fields, start


def _encoding(fields: dict[str, str], path: Path) -> str:
    """Return "2" or "3"."""
    written = fields.get("format", "").split(";")[0].upper()
    named = {"EVT3": "3", "EVT2": "2"}.get(written)
    version = {"3.0": "3", "2.0": "2"}.get(fields.get("evt", ""))
    if written and version and named != version:
        raise RecordingError(
            f"The header of {path} contradicts itself: format {written}, evt {fields['evt']}."
        )
    found = named or (version if not written else None)
    if found is None:
        given = written or (f"evt {fields['evt']}" if "evt" in fields else "no encoding")
        raise RecordingError(
            f"The header of {path} names {given!r}. Expected EVT2 or EVT3 ('% evt 3.0' or "
            "'% format EVT3'); convert the file with Prophesee's metavision_file_to_hdf5 or record "
            "it in one of these."
        )
    return found


def _size(fields: dict[str, str], path: Path) -> tuple[int, int] | None:
    """Return width and height where the header states them."""
    parts = dict(part.split("=", 1) for part in fields.get("format", "").split(";") if "=" in part)
    if {"width", "height"} <= parts.keys():
        return stated_size(parts["width"], parts["height"], path)
    if "geometry" in fields:
        found = re.fullmatch(r"(\d+)x(\d+)", fields["geometry"])
        width, height = found.groups() if found else (fields["geometry"], "?")
        return stated_size(width, height, path)
    if {"width", "height"} <= fields.keys():
        return stated_size(fields["width"], fields["height"], path)
    return None


def _columns(count: int) -> Columns:
    """Return room for so many events."""
    x, y = np.empty(count, np.uint16), np.empty(count, np.uint16)
    return np.empty(count, np.int64), x, y, np.empty(count, np.bool_)
