"""A disk cache of encoded samples: one small file each, found by all that the sample depends on.

A sample whose recording, window, encoding, rectification or code has changed has another name, so
nothing stale is ever read. Files appear whole, under a temporary name until then, and carry a
checksum: processes may write at the same time and be killed at any time. What is damaged all the
same is made again, and counted.
"""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from data.augment import GeometricAugmentation
from data.draws import generator_of
from data.errors import RecordingError
from data.identity import digest
from data.packing import PackingError
from data.sample import StereoSample
from data.sample_cache.file import decode, encode
from data.sample_cache.room import PARTIAL, SUFFIX, Room, delete, files_in, sweep

FORMAT = 1
"""Of the files; another one makes every name another."""

SLOTS = 65
"""One row of counts for the main process, and one for each worker; more workers share them."""


@runtime_checkable
class Identified(Protocol):
    """A data set that can say what each of its samples depends on."""

    def identities(self) -> Iterable[Any]:
        """Give a description that JSON can hold for each item, in their order."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> StereoSample: ...


@dataclass(frozen=True, kw_only=True)
class CacheCounts:
    """What happened since the cache was opened, in all processes that share it.

    Attributes:
        hits: samples read from their files.
        made: samples that had no file.
        damaged: files that could not be used, and were written again.
        unstored: samples that were made but not stored: no room below the limit or on the disk.
    """

    hits: int
    made: int
    damaged: int
    unstored: int


@dataclass(frozen=True, kw_only=True)
class CacheSize:
    """What a cache folder holds: number of files and bytes."""

    files: int
    bytes: int


@dataclass(frozen=True, eq=False)
class CachedSamples(torch.utils.data.Dataset[StereoSample]):
    """The samples of a data set, each made once and read from its file from then on.

    Attributes:
        dataset: what makes the samples; it must not augment them.
        folder: where the files lie, made if need be. Several caches may share it.
        augmentations: applied to each sample after it was read.
        seed: of the augmentations, 0 or more.
        limit_bytes: most that the folder may hold, None for any size. Files that nobody has used
            since this cache was opened make room, oldest first; those in use stay, for in training
            every sample is equally likely to come next, and to replace one by another gains
            nothing.
        compression: of zlib, 0 (none) to 9. The packing alone is small and quicker to read than a
            disk delivers; level 1 takes about another fifth (voxel grids) to 40 % (spikes) off.

    Raises:
        RecordingError: the folder cannot be made or read.
        ValueError: a data set that augments or cannot say what its samples depend on.
    """

    dataset: Identified
    folder: str | Path
    augmentations: Sequence[GeometricAugmentation] = ()
    seed: int = 0
    limit_bytes: int | None = None
    compression: int = 0
    _names: tuple[str, ...] = field(init=False, repr=False)
    _counts: Tensor = field(init=False, repr=False)
    _room: Room = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Name every sample, so that workers need not open recordings to look for files."""
        self._check()
        folder = Path(self.folder).expanduser()
        names = tuple(digest([FORMAT, identity]) for identity in self.dataset.identities())
        with _reported(folder):
            folder.mkdir(parents=True, exist_ok=True)
            sweep(folder)
        # Shared, so that what workers count is seen here.
        counts = torch.zeros((SLOTS, 4), dtype=torch.int64)
        counts.share_memory_()  # type: ignore[no-untyped-call]
        values = {"folder": folder, "augmentations": tuple(self.augmentations), "_names": names,
                  "_room": Room(folder, self.limit_bytes), "_counts": counts}  # fmt: skip
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _check(self) -> None:
        if not isinstance(self.dataset, Identified):
            raise ValueError(
                f"{type(self.dataset).__name__} cannot say what its samples depend on. A data set "
                "that is to be cached needs a method identities."
            )
        if getattr(self.dataset, "augmentations", ()) or getattr(self.dataset, "augment", False):
            raise ValueError(
                "The data set augments its samples, so a cache would freeze one draw of each. Give "
                "geometric augmentations to CachedSamples, or do not cache."
            )
        wrong = [one for one in self.augmentations if not isinstance(one, GeometricAugmentation)]
        if wrong:
            raise ValueError(
                f"{wrong[0]} changes events, which are encoded already. After a cache only "
                "geometric augmentations are possible: Crop, VerticalFlip, SwapCameras."
            )
        if self.seed < 0 or not 0 <= self.compression <= 9:
            raise ValueError(
                f"seed must be at least 0 and compression 0 to 9, got {self.seed} and "
                f"{self.compression}."
            )
        if self.limit_bytes is not None and self.limit_bytes < 0:
            raise ValueError(f"limit_bytes must be at least 0, got {self.limit_bytes}.")

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> StereoSample:
        """Return item ``index``; a ``Draw`` says the epoch of the augmentations too."""
        if not 0 <= index < len(self):
            raise IndexError(f"Sample {index} of {len(self)}.")
        sample = self._stored_or_made(int(index))
        if self.augmentations:
            rng = generator_of(self.seed, index)
            for augmentation in self.augmentations:
                sample = augmentation.on_sample(sample, rng)
        return sample

    def path(self, index: int) -> Path:
        """Return the file of item ``index``, there or not."""
        name = self._names[index]
        return Path(self.folder) / name[:2] / f"{name}{SUFFIX}"

    def counts(self) -> CacheCounts:
        """Return what happened since the cache was opened."""
        hits, made, damaged, unstored = (int(n) for n in self._counts.sum(dim=0))
        return CacheCounts(hits=hits, made=made, damaged=damaged, unstored=unstored)

    def size(self) -> CacheSize:
        """Return what the folder holds, files of other data sets included."""
        states = [state for _, state in files_in(Path(self.folder))]
        return CacheSize(files=len(states), bytes=sum(state.st_size for state in states))

    def clear(self) -> CacheSize:
        """Delete all samples in the folder, also those of other data sets; return what went."""
        files, size = 0, 0
        for path, state in files_in(Path(self.folder)):
            path.unlink(missing_ok=True)
            files, size = files + 1, size + state.st_size
        self._room.forget()
        return CacheSize(files=files, bytes=size)

    def _stored_or_made(self, index: int) -> StereoSample:
        path = self.path(index)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            content = None
        except OSError:
            content = b""
        if content is not None:
            try:
                sample = decode(content, self._names[index])
            except PackingError:
                self._count(damaged=1)
            else:
                self._room.used(path)
                self._count(hits=1)
                return sample
        sample = self.dataset[index]
        stored = self._store(path, encode(sample, self._names[index], self.compression))
        self._count(made=content is None, unstored=not stored)
        return sample

    def _store(self, path: Path, content: bytes) -> bool:
        """Write a file whole; False if there is no room for it."""
        if not self._room.make(len(content)):
            return False
        temporary = path.with_name(f".{uuid.uuid4().hex}{PARTIAL}")
        try:
            path.parent.mkdir(exist_ok=True)
            temporary.write_bytes(content)
            # Not flushed: after a power failure the checksum tells, and the sample is made again.
            temporary.replace(path)
        except OSError:
            # A full or read-only disk must not end a training; it is counted.
            delete(temporary)
            return False
        return True

    def _count(self, *, hits: int = 0, made: int = 0, damaged: int = 0, unstored: int = 0) -> None:
        worker = torch.utils.data.get_worker_info()
        slot = 0 if worker is None else 1 + worker.id % (SLOTS - 1)
        self._counts[slot] += torch.tensor([hits, made, damaged, unstored])


@contextmanager
def _reported(folder: Path) -> Iterator[None]:
    """Turn what the system says about the folder into a RecordingError."""
    try:
        yield
    except OSError as error:
        raise RecordingError(
            f"The cache folder {folder} cannot be used ({error}). Give a folder that can be made "
            "and written to, on a disk with room."
        ) from error
