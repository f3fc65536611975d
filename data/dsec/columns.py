"""Files of the event cache: columns as ``.npy``, written piece by piece, proven when opened."""

import os
import zlib
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt

PROBE_BYTES = 1 << 16
"""How much of the beginning and of the end of a file is compared when it is opened."""


class DamagedError(Exception):
    """A file of the cache that is not as it was written; its text says what is wrong."""


class ColumnWriter:
    """Writes one ``.npy`` file without knowing its length at the start.

    Args:
        path: the file to make.
        dtype: of the column.

    Attributes:
        count: values written.
    """

    def __init__(self, path: Path, dtype: npt.DTypeLike) -> None:
        self.path = path
        self.dtype = np.dtype(dtype)
        self.count = 0
        self._sum = 0
        self._file: BinaryIO = path.open("wb")
        self._header_bytes = self._write_header()

    def add(self, values: npt.NDArray[Any]) -> None:
        """Append values of the column's type."""
        data = np.ascontiguousarray(values, self.dtype).view(np.uint8).data
        self._file.write(data)
        self._sum = zlib.crc32(data, self._sum)
        self.count += int(values.size)

    def finish(self) -> dict[str, Any]:
        """Write the true length and return what proves the file later."""
        self._file.seek(0)
        if self._write_header() != self._header_bytes:
            raise RuntimeError(f"NumPy gave headers of two lengths for {self.path.name}.")
        self._file.close()
        return {
            "count": self.count,
            "dtype": self.dtype.str,
            "bytes": self.path.stat().st_size,
            "ends": _sum_of_ends(self.path),
            "sum": self._sum,
        }

    def close(self) -> None:
        """Close the file, finished or not."""
        self._file.close()

    def _write_header(self) -> int:
        header = {"descr": self.dtype.str, "fortran_order": False, "shape": (self.count,)}
        np.lib.format.write_array_header_1_0(self._file, header)
        return self._file.tell()


def open_column(
    path: Path, proof: dict[str, Any], *, whole: bool = False, in_memory: bool = False
) -> npt.NDArray[Any]:
    """Return a column, read-only.

    Args:
        path: the ``.npy`` file.
        proof: what ``ColumnWriter.finish`` returned.
        whole: compare all of the values with their checksum, not only both ends of the file.
        in_memory: read it instead of mapping it, which would hold a file handle.

    Raises:
        DamagedError: another length, type, beginning or end than was written.
    """
    try:
        size = path.stat().st_size
        if size != proof["bytes"]:
            raise DamagedError(f"{path.name} has {size} bytes instead of {proof['bytes']}")
        if _sum_of_ends(path) != proof["ends"]:
            raise DamagedError(f"{path.name} was changed")
        dtype, count = np.dtype(proof["dtype"]), int(proof["count"])
        if count == 0:
            column: npt.NDArray[Any] = np.empty(0, dtype)
        else:  # a plain array: slicing a memmap takes far longer
            mode: Literal["r"] | None = None if in_memory else "r"
            column = np.asarray(np.load(path, mmap_mode=mode, allow_pickle=False))
    except (OSError, ValueError, TypeError, KeyError, EOFError) as error:
        raise DamagedError(f"{path.name} cannot be opened ({error})") from error
    if column.dtype != dtype or column.shape != (count,):
        raise DamagedError(f"{path.name} holds {column.dtype} {column.shape}")
    column.flags.writeable = False
    if whole and zlib.crc32(column.view(np.uint8).data) != proof["sum"]:
        raise DamagedError(f"{path.name} was changed")
    return column


def _sum_of_ends(path: Path) -> int:
    """Return a checksum of the beginning and the end of a file."""
    with path.open("rb") as file:
        total = zlib.crc32(file.read(PROBE_BYTES))
        file.seek(-min(PROBE_BYTES, file.seek(0, os.SEEK_END)), os.SEEK_END)
        return zlib.crc32(file.read(PROBE_BYTES), total)
