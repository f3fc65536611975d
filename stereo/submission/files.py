"""What a DSEC disparity submission is on disk: its list, its names, a folder or a zip of images.

A zip comes from anywhere, so its directory is judged before anything is unpacked, and nothing of it
is ever written to the disk.
"""

import stat
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from data.dsec import find_sequences
from data.dsec.layout import SequencePaths, walk_sequences
from data.dsec.splits import TEST
from data.dsec.stamps import Submission, read_submission
from stereo.atomic import replacing
from stereo.errors import StereoError

IMAGE_SIZE = (480, 640)
"""Rows and columns of an image: the left event camera's (DSEC, disparity submission format)."""

LARGEST_FILE = 1 << 22
"""Bytes; the largest PNG of 480 x 640 numbers of 16 bits has 0.62 MB."""

MOST_ENTRIES = 100_000
"""Of a folder or zip; a submission has some hundred."""

ZIP_STAMP = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can hold; ours all have it, so equal images give equal zips."""

ADVICE = (
    "Download test_disparity_timestamps.zip of DSEC, unpack it and give its folder with --data."
)


class UnreadableError(Exception):
    """One file of a submission that cannot be read; the message says what was found."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One file or folder of a submission.

    Attributes:
        name: its path in the submission, with ``/`` between the parts.
        is_folder: whether it is a folder.
        fault: why it must not be read at all, in words; None if nothing speaks against it.
        read: returns the content; raises ``UnreadableError``.
    """

    name: str
    is_folder: bool
    fault: str | None
    read: Callable[[], bytes]


def image_name(index: int) -> str:
    """Return the file name of the image of a frame, ``000080.png`` for 80."""
    return f"{index:06d}.png"


def official_list(
    data: Path, names: Sequence[str], found: Mapping[str, SequencePaths] | None = None
) -> dict[str, Submission]:
    """Return what has to be estimated in each of some test sequences.

    Args:
        data: the data set in any arrangement, or a folder of the official csv files alone.
        names: sequences.
        found: those of them that are on this disk; looked for unless given.

    Raises:
        RecordingError: a csv that is damaged.
        StereoError: a csv that is missing.
    """
    if not data.is_dir():
        raise StereoError(f"There is no folder {data}. {ADVICE}")
    if found is None:
        found = sequences_on_disk(data)
    lists, missing = {}, []
    for name in names:
        places = [data / f"{name}.csv", data / "test_disparity_timestamps" / f"{name}.csv"]
        beside = found[name].submission if name in found else None
        path = beside or next((place for place in places if place.is_file()), None)
        if path is None:
            missing.append(name)
        else:
            lists[name] = read_submission(path)
    if missing:
        raise StereoError(
            f"{data} has no csv that says when the disparity of {', '.join(missing)} is wanted. "
            f"Expected <sequence>.csv for each test sequence. {ADVICE}"
        )
    return lists


def sequences_on_disk(data: Path) -> dict[str, SequencePaths]:
    """Return the test sequences that lie below a folder, by name; possibly none.

    Raises:
        RecordingError: a sequence that is there twice.
        StereoError: a folder that cannot be entered.
    """
    try:
        if not any(folder.name in TEST for folder in walk_sequences(data)):
            return {}
    except OSError as error:
        raise StereoError(f"{data} cannot be searched for sequences ({error}).") from error
    return {paths.name: paths for paths in find_sequences(data, "test")}


@contextmanager
def opened(path: Path) -> Iterator[list[Entry]]:
    """Give everything that a submission holds, in order of name.

    Raises:
        StereoError: no folder and no zip, or one with far too many entries.
    """
    if path.is_dir():
        yield _limited(path, list_folder(path))
        return
    if not path.is_file():
        raise StereoError(f"There is no {path}. Give the folder or the zip of a submission.")
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise StereoError(
            f"{path} is no zip that can be opened ({error}). Expected the zip of a submission, or "
            "its folder; make or copy it again."
        ) from error
    with archive:
        infos = sorted(archive.infolist(), key=lambda info: info.orig_filename)
        yield _limited(path, (_zipped(archive, info) for info in infos))


def list_folder(root: Path) -> Iterator[Entry]:
    """Yield what is below a folder; links to folders are named, not entered."""
    for path in sorted(root.iterdir()):
        yield from _on_disk(root, path)


def write_zip(path: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Write a zip atomically; equal files in equal order give equal bytes, whatever the machine.

    Images are compressed already, so they are stored as they are.

    Args:
        path: of the zip.
        files: names with ``/`` between their parts, and contents.
    """
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, content in files:
            info = zipfile.ZipInfo(name, ZIP_STAMP)
            info.create_system = 3  # Unix, also where it is written on Windows
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(info, content)


def _limited(path: Path, entries: Iterable[Entry]) -> list[Entry]:
    """Return the entries, unless there are absurdly many."""
    found: list[Entry] = []
    for entry in entries:
        if len(found) == MOST_ENTRIES:
            raise StereoError(
                f"{path} holds more than {MOST_ENTRIES:,} files. A submission has some hundred; "
                "give the folder or the zip of one."
            )
        found.append(entry)
    return found


def _on_disk(root: Path, path: Path) -> Iterator[Entry]:
    """Yield a file, or a folder and what is in it."""
    name = path.relative_to(root).as_posix()
    fault = None
    if path.is_symlink() and not path.is_file():
        fault = f"a link to {path.readlink()}"
    elif not path.is_dir() and not path.is_file():
        fault = "something that is neither a file nor a folder"
    folder = fault is None and path.is_dir()
    yield Entry(name=name, is_folder=folder, fault=fault, read=lambda: _read_file(path))
    if folder:
        for child in sorted(path.iterdir()):
            yield from _on_disk(root, child)


def _read_file(path: Path) -> bytes:
    """Return the content of a file that is small enough."""
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise UnreadableError(f"{size:,} bytes")
        return path.read_bytes()
    except OSError as error:
        raise UnreadableError(f"a file that cannot be read ({error.strerror or error})") from error


def _zipped(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Entry:
    """Return one entry of a zip."""
    name = info.orig_filename
    folder = name.endswith("/")
    return Entry(
        name=name.removesuffix("/"),
        is_folder=folder,
        fault=_zip_fault(info),
        read=lambda: _read_zipped(archive, info),
    )


def _zip_fault(info: zipfile.ZipInfo) -> str | None:
    """Return what makes an entry of a zip a trap for whoever unpacks it."""
    name = info.orig_filename
    parts = name.removesuffix("/").split("/")
    kind = stat.S_IFMT(info.external_attr >> 16) if info.create_system == 3 else 0
    if name.startswith("/") or (len(name) > 1 and name[1] == ":"):
        return "an absolute path"
    if ".." in parts:
        return "a path that leaves the folder it is unpacked in (..)"
    if "\\" in name:
        return "a path with backslashes, which unpacks to another name on every system"
    if "\0" in name or not name.isprintable() or "" in parts or "." in parts:
        return "a path with empty parts, dots or control characters"
    if kind == stat.S_IFLNK:
        return "a link"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "something that is neither a file nor a folder"
    if info.flag_bits & 1:
        return "an encrypted file"
    return None


def _read_zipped(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Return the content of an entry; no more than ``LARGEST_FILE`` is ever unpacked."""
    try:
        with archive.open(info) as file:
            content = file.read(LARGEST_FILE + 1)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError,
            ValueError) as error:  # fmt: skip
        raise UnreadableError(f"an entry that cannot be unpacked ({error})") from error
    if len(content) > LARGEST_FILE:
        raise UnreadableError(f"more than {LARGEST_FILE:,} bytes")
    return content
