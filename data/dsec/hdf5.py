"""HDF5 files as DSEC has them: opened with an error that helps, and looked at before they are read.

What a file claims is compared with its size, so that a damaged header cannot ask for a terabyte.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401  (registers the Blosc filter with h5py)

from data.errors import RecordingError
from data.hdf5 import HDF5_FAULTS, chunk_bytes, is_complete

LARGEST_RATIO = 4096
"""Bytes that one stored byte may stand for. Events reach 3 to 10, equal events some 1000."""

CACHE_BYTES = 1 << 20
"""HDF5's own cache of unpacked chunks, per dataset."""

LARGEST_CACHE_BYTES = 1 << 26
"""The same for files whose chunks are larger: without room a chunk is unpacked at each read."""


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what h5py says about a damaged file into a RecordingError."""
    try:
        yield
    except RecordingError:
        raise
    except HDF5_FAULTS as error:
        size = f"{path.stat().st_size} bytes" if path.is_file() else "gone by now"
        reason = " ".join(str(error).split())
        raise RecordingError(
            f"{path} cannot be read as HDF5 ({reason}). The file is empty, truncated or "
            f"damaged ({size}); copy or download it again."
        ) from error


def open_hdf5(path: Path, *, cache_bytes: int = CACHE_BYTES) -> h5py.File:
    """Open a file for reading; wrap in ``readable``."""
    return h5py.File(path, "r", rdcc_nbytes=cache_bytes)


def check_written(path: Path, dataset: h5py.Dataset) -> None:
    """Refuse a dataset that claims what cannot be in the file, or was not written to its end.

    HDF5 reads zeros wherever nothing was written, and zeros are events like any other.

    Raises:
        RecordingError: it does.
    """
    size = path.stat().st_size
    claimed = dataset.size * dataset.dtype.itemsize
    if claimed > LARGEST_RATIO * size:
        raise RecordingError(
            f"{dataset.name} in {path} claims {dataset.size} values, which do not fit into a file "
            f"of {size} bytes. The file is damaged; copy or download it again."
        )
    if dataset.is_virtual or dataset.external:
        raise RecordingError(
            f"{dataset.name} in {path} keeps its values in other files. Expected all data in one "
            "file; copy it with h5repack."
        )
    if not is_complete(dataset):
        raise RecordingError(
            f"Parts of {dataset.name} in {path} were never written. Its writer did not finish; "
            "copy or download the file again."
        )


def cache_bytes_for(dataset: h5py.Dataset, least: int) -> int:
    """Return the cache that holds at least one chunk of a dataset, up to a limit."""
    return max(least, min(chunk_bytes(dataset), LARGEST_CACHE_BYTES))
