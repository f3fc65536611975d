"""The columns of an open ``events.h5``: checked, and read without h5py's own bookkeeping.

HDF5 converts types more slowly than NumPy, and h5py's selections take as long as reading a block.
"""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from data.dsec.hdf5 import check_written
from data.errors import RecordingError

Columns = tuple[h5py.Dataset, ...]

COLUMNS = ("events/t", "events/x", "events/y", "events/p")


def read_rows(column: h5py.Dataset, start: int, out: npt.NDArray[Any]) -> None:
    """Fill ``out``, of the column's own type, with its rows from ``start`` on."""
    if out.size:
        rows = column.id.get_space()
        rows.select_hyperslab((start,), (out.size,))
        column.id.read(h5py.h5s.create_simple((out.size,)), rows, out)


def row_bytes(columns: Columns) -> int:
    """Return how much memory one row of all columns takes."""
    return int(sum(column.dtype.itemsize for column in columns))


def read_block(
    columns: Columns, start: int, stop: int, buffer: npt.NDArray[np.uint8]
) -> list[npt.NDArray[Any]]:
    """Read part of the columns, each in its own type, into one piece of memory."""
    parts: dict[int, npt.NDArray[Any]] = {}
    place = 0
    # The widest first, so that each begins at a multiple of its width.
    for which in sorted(range(len(columns)), key=lambda c: -columns[c].dtype.itemsize):
        size = (stop - start) * columns[which].dtype.itemsize
        parts[which] = buffer[place : place + size].view(columns[which].dtype)
        read_rows(columns[which], start, parts[which])
        place += size
    return [parts[which] for which in range(len(columns))]


def all_inside(places: npt.NDArray[np.integer], size: int) -> bool:
    """Return whether all columns or rows are on a sensor with ``size`` of them."""
    if places.size == 0:
        return True
    return int(places.max()) < size and (places.dtype.kind == "u" or int(places.min()) >= 0)


def as_signs(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return where the polarity is positive: 0/1 as DSEC has it, or -1/1."""
    if values.dtype == np.uint8 and (values.size == 0 or int(values.max()) <= 1):
        return values.view(np.bool_)
    return values > 0


def before(times: npt.NDArray[np.integer], t: int) -> int:
    """Return how many of the sorted times lie before ``t``, which need not fit their type."""
    if times.size == 0 or t <= int(times[0]):
        return 0
    if t > int(times[-1]):
        return int(times.size)
    return int(np.searchsorted(times, times.dtype.type(t), side="left"))


def check_columns(path: Path, file: h5py.File) -> int:
    """Return the number of events of a file whose columns are as they should be."""
    names = [*COLUMNS, "ms_to_idx"]
    missing = [name for name in names if not isinstance(file.get(name), h5py.Dataset)]
    if missing:
        raise RecordingError(
            f"{path} lacks {', '.join(missing)}. Expected DSEC's datasets events/t, "
            "events/x, events/y, events/p and ms_to_idx; is it the file of another data set?"
        )
    kinds = dict.fromkeys(names, "ui") | {"events/p": "uib"}
    odd = {
        name: str(file[name].dtype) for name in names if file[name].dtype.kind not in kinds[name]
    }
    if odd:
        raise RecordingError(f"{path} holds {odd}. Expected integers, times in us.")
    shapes = {name: file[name].shape for name in COLUMNS}
    if len(set(shapes.values())) != 1 or len(shapes["events/t"]) != 1:
        raise RecordingError(
            f"The columns in {path} have shapes {shapes}. Expected four of one length; "
            "the file was not written to its end."
        )
    count = int(shapes["events/t"][0])
    if count == 0:
        raise RecordingError(f"{path} has no events. Stereo needs both cameras.")
    for name in COLUMNS:
        check_written(path, file[name])
    return count


def read_offset(path: Path, file: h5py.File) -> int:
    """Return ``t_offset``; 0 where there is none."""
    if "t_offset" not in file:
        return 0
    dataset = file["t_offset"]
    if not isinstance(dataset, h5py.Dataset):
        raise RecordingError(f"t_offset in {path} is a group. Expected one number.")
    if dataset.size != 1 or dataset.dtype.kind not in "iu":
        raise RecordingError(
            f"t_offset in {path} has shape {dataset.shape} and type {dataset.dtype}. Expected one "
            "number, whole microseconds."
        )
    return int(np.asarray(dataset[()]).reshape(-1)[0])
