"""Folders of this product outside of any recording."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return the user's cache folder for this product: ``$XDG_CACHE_HOME`` or ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "stereo"
