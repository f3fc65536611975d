"""Event tables in ``.npy`` files, whose claims are checked before memory is taken for them."""

import math
import tokenize
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from data.errors import RecordingError

# What NumPy's header parser was seen to raise for damaged files.
FAULTS = (
    OSError, ValueError, EOFError, SyntaxError, TypeError, KeyError, OverflowError, MemoryError,
    RecursionError, tokenize.TokenError, Warning,
)  # fmt: skip


def npy_rows(path: Path) -> int:
    """Return the number of rows of an ``N x 4`` float64 table, from its header.

    An empty array of any shape counts as a table without rows: so DDES stores "no events".

    Raises:
        RecordingError: no such file, or one that holds something else.
    """
    with _Opened(path) as (_, rows, _):
        return rows


def read_rows(path: Path, *, last_only: bool = False) -> npt.NDArray[np.float64]:
    """Return the table ``[N, 4]``, or the last row alone as ``[1, 4]``.

    Raises:
        RecordingError: no such file, or one that holds something else.
    """
    with _Opened(path) as (file, rows, fortran):
        if rows == 0:
            return np.empty((0, 4))
        if last_only and not fortran:
            file.seek(-32, 2)
            return np.frombuffer(file.read(32), "<f8").reshape(1, 4)
        table = np.frombuffer(file.read(rows * 32), "<f8")
        table = table.reshape(4, rows).T if fortran else table.reshape(rows, 4)
        return table[-1:] if last_only else table


class _Opened:
    """An open file with the number of its rows and whether its columns come first."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> tuple[BinaryIO, int, bool]:
        try:
            self._file = self._path.open("rb")
        except OSError as error:
            raise self._fault(error) from error
        try:
            rows, fortran = self._header()
        except RecordingError:
            self._file.close()
            raise
        except FAULTS as error:
            self._file.close()
            raise self._fault(error) from error
        return self._file, rows, fortran

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _header(self) -> tuple[int, bool]:
        version = np.lib.format.read_magic(self._file)
        readers = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        if version not in readers:
            raise ValueError(f"version {version}")
        shape, fortran, dtype = readers[version](self._file)
        size = self._path.stat().st_size - self._file.tell()
        if math.prod(shape) == 0:
            return 0, False
        if len(shape) != 2 or shape[1] != 4 or dtype != np.dtype("<f8") or shape[0] < 0:
            raise RecordingError(
                f"{self._path} holds {dtype} {shape}. Expected N x 4 float64 numbers, the time in "
                "seconds, x, y and the polarity of rectified events; convert the sequence again."
            )
        if shape[0] * 32 != size:
            raise RecordingError(
                f"{self._path} claims {shape[0]} events, {shape[0] * 32} bytes, but holds {size}. "
                "It was not written to its end; convert the sequence again."
            )
        return int(shape[0]), bool(fortran)

    def _fault(self, error: BaseException) -> RecordingError:
        reason = " ".join(str(error).split()) or type(error).__name__
        return RecordingError(
            f"{self._path} cannot be read as an .npy array ({reason}). The file is missing, empty "
            "or damaged; convert the sequence again."
        )
