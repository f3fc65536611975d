"""Fixtures of the data tests."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data():
    """Return the folder of real recordings, or skip."""
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    folder = Path(os.environ.get("STEREO_REAL_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no real recordings at {folder}; set STEREO_REAL_DATA to their folder")
    return folder
