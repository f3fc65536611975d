"""Text to files: the suffix names the form, and no reader sees half a file."""

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from energy.errors import EnergyError


def write(path: Path, forms: Mapping[str, Callable[[], str]]) -> Path:
    """Write the form that the suffix of ``path`` names, and return ``path``.

    Args:
        path: of the file; its folder is made if there is none.
        forms: functions that return the text, by suffix.

    Raises:
        EnergyError: another suffix, or a place that cannot be written.
    """
    form = forms.get(path.suffix.lower())
    if form is None:
        known = ", ".join(forms)
        raise EnergyError(f"Cannot write {path.name!r}: the suffix must be one of {known}.")
    text = form()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, text)
    except OSError as error:
        raise EnergyError(f"Cannot write {path}: {error.strerror}.") from error
    return path


def _replace(path: Path, text: str) -> None:
    """Write a temporary file beside ``path`` and let it take the place of ``path``."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        # No translation of line ends: those of CSV are CRLF everywhere.
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
            stream.write(text)
        # Temporary files are private; a report is as readable as any other new file.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
