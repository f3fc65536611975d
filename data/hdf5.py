"""What every reader of HDF5 has to know: what damage looks like, and what was never written."""

import math

import h5py

HDF5_FAULTS: tuple[type[Exception], ...] = (
    OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError, OverflowError,
    AttributeError, NotImplementedError, IndexError,
)  # fmt: skip
"""What h5py and HDF5 were seen to raise for damaged files: each of these, depending on the byte."""


def chunk_bytes(dataset: h5py.Dataset) -> int:
    """Return the bytes of one chunk, unpacked; 0 if the dataset is in one piece."""
    return int(math.prod(dataset.chunks) * dataset.dtype.itemsize) if dataset.chunks else 0


def is_complete(dataset: h5py.Dataset) -> bool:
    """Return whether all of a dataset was written; HDF5 reads zeros where nothing was."""
    if dataset.size == 0:
        return True
    if dataset.chunks is None:
        return bool(dataset.id.get_storage_size() >= dataset.size * dataset.dtype.itemsize)
    sides = zip(dataset.shape, dataset.chunks, strict=True)
    needed = math.prod(-(-side // part) for side, part in sides)
    return bool(dataset.id.get_num_chunks() >= needed)
