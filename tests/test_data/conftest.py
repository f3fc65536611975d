"""Fixtures of the data tests."""

import jaxtyping
import pytest
from reference.pairs import small_pair

from data.dsec.writer import write_dsec


@pytest.fixture
def without_shape_checks():
    """Let wrong types through to the code's own checks, as for a user."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def pair():
    """Return the content of the small recording."""
    return small_pair()


@pytest.fixture
def sequence(tmp_path, pair):
    """Write the small recording and return its folder, free to be damaged."""
    path = tmp_path / "hall_00_a"
    write_dsec(path, **pair)
    return path
