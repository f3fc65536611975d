"""Neurons and networks that are compiled have the results of eager mode."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from reference.compiled_neurons import CHECKS

ROOT = Path(__file__).parents[2]
COMPILERS = [os.environ.get("CXX", "g++"), "clang++"]
HAS_COMPILER = any(map(shutil.which, COMPILERS))

pytestmark = pytest.mark.slow  # a process of its own, and C++ to compile


@pytest.fixture(scope="module")
def tracebacks():
    """Run all checks in one process; return their tracebacks by name."""
    names = [name for name in CHECKS if HAS_COMPILER or "inductor" not in name]
    script = ROOT / "tests" / "reference" / "compiled_neurons.py"
    done = subprocess.run(
        [sys.executable, str(script), *names], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", CHECKS)
def test_compiled_equals_eager(name, tracebacks):
    if "inductor" in name and not HAS_COMPILER:
        pytest.skip(f"inductor compiles C++, and none of {COMPILERS} is on the path")
    assert tracebacks[name] == "", tracebacks[name]
