"""What a result depends on, in a form that can be compared and hashed.

Everything is described by value: settings by their type and fields, files by path, size and time of
change, arrays and code by a digest. What cannot be described is refused, never left out.
"""

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.recording import CAMERAS, Recording

HERE = Path(__file__).resolve().parent

SHARED_CODE = ("augment", "datasets", "encode", "camera.py", "events.py", "pair.py", "recording.py")
"""What every sample of this package goes through; the reader and the encoding come on top."""


def digest(description: Any) -> str:
    """Return 64 hexadecimal digits that stand for a description."""
    text = json.dumps(description, sort_keys=True, allow_nan=True)
    return hashlib.sha256(text.encode()).hexdigest()


def describe(value: Any) -> Any:
    """Return a value as JSON can hold it; equal values, and only these, are described alike.

    Raises:
        TypeError: something whose content is unknown; make it a frozen dataclass.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return {"path": str(value.resolve())}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        seen = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return {"dtype": value.dtype.str, "shape": list(value.shape), "sha256": seen}
    if is_dataclass(value) and not isinstance(value, type):
        kind = type(value)
        content = {field.name: describe(getattr(value, field.name)) for field in fields(value)}
        return {"type": f"{kind.__module__}.{kind.__qualname__}", "fields": content}
    if isinstance(value, Mapping):
        return {"items": [[describe(key), describe(value[key])] for key in sorted(value)]}
    if isinstance(value, Sequence):
        return [describe(one) for one in value]
    raise TypeError(
        f"A {type(value).__qualname__} cannot be described, so nothing could tell when it has "
        "changed. Make it a frozen dataclass."
    )


def describe_recording(recording: Recording, given: Path | Recording) -> dict[str, Any]:
    """Return all that the content of an open recording depends on.

    Args:
        recording: open.
        given: its path, or the recording itself.

    Raises:
        TypeError: a recording that holds no path, so that nothing ties it to files.
    """
    paths = sorted(set(held_paths([given, vars(recording)])))
    if not paths:
        raise TypeError(
            f"The recording {recording.name!r} belongs to no file, so nothing could tell when it "
            "has changed. Give its path."
        )
    return {
        "layout": recording.layout,
        "files": [describe_file(file) for path in paths for file in _files(path)],
        "size": [recording.width, recording.height],
        "span_us": list(recording.span_us),
        "total": describe(dict(recording.total)),
        "calibration": describe(recording.calibration),
        "disparity_t_us": describe(recording.disparity_t_us),
        "rectify_maps": [describe(recording.rectify_map(camera)) for camera in CAMERAS],
        "code": code_digest(type(recording)),
    }


def held_paths(values: Iterable[Any], depth: int = 4) -> Iterator[Path]:
    """Give the paths that exist among values and in what they hold.

    A reader names its files in attributes, lists of images, or objects that read one file each; so
    this finds them wherever they lie, also outside of the path by which the recording was opened.
    """
    for value in values:
        if isinstance(value, Path):
            if value.exists():
                yield value.resolve()
        elif depth > 0:
            if isinstance(value, Mapping):
                yield from held_paths(value.values(), depth - 1)
            elif isinstance(value, list | tuple):
                yield from held_paths(value, depth - 1)
            elif type(value).__module__.split(".")[0] == HERE.name and hasattr(value, "__dict__"):
                yield from held_paths(vars(value).values(), depth - 1)


def describe_file(path: Path) -> list[Any]:
    """Return path, size and time of the last change of a file."""
    state = path.stat()
    return [str(path), state.st_size, state.st_mtime_ns]


def code_digest(*types: type) -> str:
    """Return a digest of the code that makes samples, and of the modules of some types.

    Of a type in a package within ``data``, the whole package counts.
    """
    places = {HERE / name for name in SHARED_CODE}
    for kind in types:
        file = getattr(sys.modules.get(kind.__module__), "__file__", None)
        if file is not None:
            place = Path(file).resolve()
            inner = HERE in place.parents and place.parent != HERE
            places.add(place.parent if inner else place)
    seen = hashlib.sha256()
    for file in sorted({file for place in places for file in _files(place, "*.py")}):
        seen.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return seen.hexdigest()


def _files(path: Path, pattern: str = "*") -> list[Path]:
    """Return a file itself, or the files below a folder."""
    return sorted(p for p in path.rglob(pattern) if p.is_file()) if path.is_dir() else [path]
