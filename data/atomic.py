"""Write a folder completely or not at all."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data.errors import RecordingError


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside ``path`` to fill; it takes the name ``path`` on success.

    A process that is killed meanwhile leaves at most a hidden temporary folder, never a ``path``
    that is half written. All files reach the disk before the name is given.

    Raises:
        RecordingError: ``path`` exists, also if another process has written it meanwhile.
    """
    exists = f"{path} exists already. Remove it, or choose another place for the recording."
    if path.exists():
        raise RecordingError(exists)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not tempfile.mkdtemp: its folder could be entered by nobody but its maker.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    temporary.mkdir()
    try:
        yield temporary
        for file in temporary.rglob("*"):
            _flush(file)
        try:
            temporary.rename(path)
        except OSError as error:
            if path.exists():
                raise RecordingError(exists) from error
            raise
        _flush(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _flush(path: Path) -> None:
    """Force a file or the entries of a folder to the disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows opens no folders and needs no such flush.
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
