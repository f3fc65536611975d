"""The structure is part of the product: these rules fail when it bends."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("stereo", "nas", "energy", "data")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}


def relative(path):
    return str(path.relative_to(ROOT))


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0]


def test_there_is_something_to_look_at():
    assert len(FILES) > 40
    assert {path.relative_to(ROOT).parts[0] for path in FILES} == set(PACKAGES)


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_imports_form_a_star(path):
    package = path.relative_to(ROOT).parts[0]
    if package != "stereo":
        assert not set(imported(TREES[path])) & (set(PACKAGES) - {package})


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_files_and_functions_are_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 75, f"{node.name} is long"


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_only_the_command_line_prints_and_nothing_evaluates_text(path):
    calls = {
        node.func.id
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not calls & {"eval", "exec"}
    if "cli" not in path.parts and path.name != "__main__.py":
        assert "print" not in calls


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_modules_define_and_do_nothing(path):
    allowed = (
        ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign,
    )  # fmt: skip
    for node in TREES[path].body:
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        guard = isinstance(node, ast.If) and ast.unparse(node.test) in (
            "TYPE_CHECKING",
            "__name__ == '__main__'",
        )
        body = node.body if isinstance(node, ast.For) else [node]
        registration = all(isinstance(n, ast.Expr) and isinstance(n.value, ast.Call) for n in body)
        assert docstring or guard or registration or isinstance(node, allowed), ast.unparse(node)


def modules_after(*command):
    code = f"import sys, json\n{command[0]}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_help_does_not_import_torch():
    loaded = modules_after("import stereo.cli")
    assert "typer" in loaded, "the probe sees imports at all"
    assert not loaded & {"torch", "numba", "cv2", "h5py", "av"}


def test_importing_has_no_effects(tmp_path):
    code = "import stereo.infer, stereo.train, data.simulator, energy, nas"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert list(tmp_path.iterdir()) == []


def test_the_top_level_is_closed():
    done = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    tracked = {Path(line).parts[0] for line in done.stdout.splitlines()}
    known = {*PACKAGES, "tests", "pyproject.toml", "README.md", "LICENSE"}
    assert {name for name in tracked if not name.startswith(".")} <= known
