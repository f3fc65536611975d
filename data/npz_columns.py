"""Columns of numbers from a file, checked and brought to int64."""

import lzma
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Container, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data.errors import RecordingError
from data.recording import Camera

EXPECTED = (
    "Expected either two tables 'left' and 'right' of N x 4 columns t_us, x, y, p, or the eight "
    "columns 'left_t', 'left_x', 'left_y', 'left_p', 'right_t', 'right_x', 'right_y', 'right_p'."
)

ARCHIVE_ERRORS: tuple[type[Exception], ...] = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    tokenize.TokenError,
    SyntaxError,
    OSError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,
    MemoryError,
    OverflowError,
)
"""What ``numpy.load`` raises on damaged archives: of zip, of its filters, of the array headers."""

Column = npt.NDArray[np.int64]
Arrays = Mapping[str, npt.NDArray[np.generic]]


def load_npz(
    path: Path, wanted: Container[str] | None = None
) -> dict[str, npt.NDArray[np.generic]]:
    """Return the arrays of an archive, pickled ones refused.

    Args:
        path: the file.
        wanted: the keys to read, None for all.

    Raises:
        RecordingError: not an archive, or damaged.
    """
    try:
        # NumPy leaves a file that it opened itself open where the archive is damaged.
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
            return {key: file[key] for key in file.files if wanted is None or key in wanted}
    except ARCHIVE_ERRORS as error:
        raise RecordingError(
            f"{path} cannot be read as an .npz archive ({' '.join(str(error).split())}). The file "
            "is truncated, damaged or of another kind; copy it again, or write it with "
            "numpy.savez_compressed."
        ) from error


def camera_columns(path: Path, arrays: Arrays, camera: Camera) -> dict[str, Column]:
    """Return t, x, y, p of one camera, each ``[N]`` int64, in the file's order.

    Args:
        path: named in errors.
        arrays: the arrays of the file by key, with at least one of this camera.
        camera: which camera.

    Raises:
        RecordingError: a table without four columns, a missing column, unequal lengths, numbers
            that are not whole, negative coordinates, polarity that is neither 0/1 nor -1/1.
    """
    where = f"the {camera} camera in {path}"
    columns = {
        name: whole_numbers(column, f"'{name}' of {where}")
        for name, column in _given(path, arrays, camera).items()
    }
    for name in "xy":
        if columns[name].size and columns[name].min() < 0:
            raise RecordingError(
                f"'{name}' of {where} is negative ({columns[name].min()}). Expected raw pixel "
                "coordinates counted from 0 at the top left corner."
            )
    values = set(np.unique(columns["p"]).tolist())
    if not (values <= {0, 1} or values <= {-1, 1}):
        raise RecordingError(
            f"The polarity of {where} takes the values {sorted(values)[:8]}. Expected 0 and 1, or "
            "-1 and 1. Check the order of the columns: t_us, x, y, p."
        )
    return columns


def _given(path: Path, arrays: Arrays, camera: Camera) -> dict[str, npt.NDArray[np.generic]]:
    """Return the four columns as they are in the file, of one length."""
    if camera in arrays:
        table = arrays[camera]
        if table.ndim != 2 or table.shape[1] != 4:
            raise RecordingError(
                f"'{camera}' in {path} has shape {table.shape}. Expected N x 4: one row per event, "
                "columns t_us, x, y, p."
            )
        return dict(zip("txyp", table.T, strict=True))
    missing = [f"{camera}_{name}" for name in "txyp" if f"{camera}_{name}" not in arrays]
    if missing:
        raise RecordingError(f"{path} lacks {', '.join(missing)}. {EXPECTED}")
    columns = {name: arrays[f"{camera}_{name}"] for name in "txyp"}
    shapes = {name: column.shape for name, column in columns.items()}
    if len(set(shapes.values())) != 1 or len(shapes["t"]) != 1:
        raise RecordingError(
            f"The {camera} columns in {path} have shapes {shapes}. Expected four columns of one "
            "length, one number per event."
        )
    return columns


def whole_numbers(column: npt.NDArray[np.generic], what: str) -> Column:
    """Return a column as int64; refuse what is not a whole number."""
    if column.dtype.kind not in "buif":
        raise RecordingError(f"{what} has type {column.dtype}. Expected integers or floats.")
    # Contiguous, because everything downstream walks the columns one by one.
    column = np.ascontiguousarray(column)
    if column.dtype.kind == "f":
        column = column.astype(np.float64, copy=False)
        if not np.isfinite(column).all():
            count = int((~np.isfinite(column)).sum())
            raise RecordingError(
                f"{what} is NaN or infinite in {count} of {column.size} events. Expected finite "
                "numbers; remove those events before saving the recording."
            )
        if (column != np.rint(column)).any() or (np.abs(column) >= 2.0**62).any():
            raise RecordingError(
                f"{what} holds numbers that are not whole. Expected t in microseconds (seconds "
                "must be multiplied by 1e6 and rounded) and x, y as raw pixels, not rectified ones."
            )
    elif column.dtype == np.uint64 and column.size and int(column.max()) >= 2**62:
        raise RecordingError(f"{what} reaches {column.max()}. Expected numbers below 2**62.")
    return column.astype(np.int64)
