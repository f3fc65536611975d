"""One HDF5 file that may be read in any process, and whose damage is a RecordingError."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  (registers filters beyond gzip, which copies of the data set use)
import numpy as np
import numpy.typing as npt

from data.errors import RecordingError
from data.hdf5 import HDF5_FAULTS, chunk_bytes, is_complete

CHUNK_CACHE = 8 << 20
"""Bytes of chunks that HDF5 keeps decompressed; neighboring windows share them."""

LARGEST_CHUNK = 1 << 28
"""Bytes; a chunk is decompressed whole, so a larger one would break the bound on memory."""


class Hdf5File:
    """An HDF5 file, opened lazily in each process, so that it may be pickled or live through forks.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: h5py.File | None = None
        self._process = 0
        self._kept: dict[str, h5py.Dataset] = {}

    @contextmanager
    def reading(self) -> Iterator[h5py.File]:
        """Give the open file; turn what HDF5 says about damage into a RecordingError.

        Whatever goes wrong, the file is closed: nobody is left holding a file that was refused.
        """
        try:
            if self._file is None or self._process != os.getpid():
                self._kept = {}
                self._file = h5py.File(self.path, "r", rdcc_nbytes=CHUNK_CACHE)
                self._process = os.getpid()
            yield self._file
        except RecordingError:
            self.close()
            raise
        except HDF5_FAULTS as error:
            self.close()
            size = self.path.stat().st_size if self.path.is_file() else 0
            reason = " ".join(str(error).split()) or type(error).__name__
            raise RecordingError(
                f"{self.path} cannot be read as HDF5 ({reason}). The file is missing, empty, "
                f"truncated or damaged ({size} bytes); copy or download it again."
            ) from error

    def rows(self, name: str, start: int, stop: int) -> npt.NDArray[np.generic]:
        """Return rows ``[start, stop)`` of a dataset.

        The dataset is looked up once: that takes longer than reading a few rows.
        """
        with self.reading() as file:
            if name not in self._kept:
                found = find_dataset(file, name)
                if found is None:
                    raise RecordingError(
                        f"There is no {name} in {self.path}. Copy or download the file again."
                    )
                self._kept[name] = found
            return np.asarray(self._kept[name][start:stop])

    def close(self) -> None:
        """Close the file; the next read opens it again."""
        self._kept = {}
        file, self._file = self._file, None
        if file is not None and self._process == os.getpid():
            with suppress(*HDF5_FAULTS):  # a damaged file may fail to close, too
                file.close()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_file": None, "_kept": {}}


def find_dataset(file: h5py.File, name: str) -> h5py.Dataset | None:
    """Return the dataset of that name, None if there is none."""
    found = file.get(name)
    return found if isinstance(found, h5py.Dataset) else None


def check_complete(path: Path, dataset: h5py.Dataset) -> None:
    """Refuse a dataset that claims more than the file holds: it would read as zeros.

    Raises:
        RecordingError: missing chunks, or chunks too large to be read one by one.
    """
    if dataset.is_virtual or dataset.external:
        return
    if chunk_bytes(dataset) > LARGEST_CHUNK:
        raise RecordingError(
            f"{dataset.name} in {path} is stored in chunks of {chunk_bytes(dataset):,} bytes, each "
            "of which must be read whole. Write it again in smaller chunks, for example with "
            "h5repack."
        )
    if not is_complete(dataset):
        raise RecordingError(
            f"{dataset.name} in {path} claims {dataset.shape} numbers, but parts of it were never "
            "written. Copy or download the file again."
        )
