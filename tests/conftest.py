"""Set-up for all tests: run-time shape checks, fixed seeds, the folder of real recordings.

The checks must be installed before the packages are imported, hence the code at module level.
"""

import os
import random
import sys
from pathlib import Path

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

TESTS = Path(__file__).resolve().parent
REPOSITORY = TESTS.parent

sys.path.insert(0, str(TESTS))  # for `from reference.metrics import ...`


def checked_modules():
    """Name the modules whose annotations are checked: all but compiled kernels, packages, the CLI.

    A package's name would stand for everything in it, kernels included. The command line names
    types that it imports for the type checker only. Two modules see every torch function of a
    counted model, so that checking them would take most of the time of the tests of energy.
    """
    hot = {"energy/counter.py", "energy/provenance.py"}
    for package in ("data", "nas", "energy", "stereo"):
        for path in sorted((REPOSITORY / package).rglob("*.py")):
            kernel = path.stem.endswith("kernels")
            if (
                path.stem not in ("__init__", "__main__")
                and path.parent.name != "cli"
                and not kernel
                and path.relative_to(REPOSITORY).as_posix() not in hot
            ):
                yield ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)


# The numeric tower makes int acceptable where float is annotated, as it is for mypy.
CHECKER = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
install_import_hook(list(checked_modules()), CHECKER)


# A test takes long where it compiles a kernel, or where the machine is busy; neither is a fault.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Keep torch to one thread: the tensors are so small that more threads take longer."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seeds():
    """Give every test the same global seeds; tests of chance use generators of their own."""
    import torch

    random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def real_data():
    """Return the folder of real recordings, or skip."""
    folder = Path(os.environ.get("STEREO_REAL_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real recordings at {folder}; set STEREO_REAL_DATA to their folder")
    return folder
