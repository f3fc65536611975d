"""What the READMEs tell a reader to type works: snippets run, commands and options exist."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from stereo.cli import app
from stereo.presets import PRESETS

ROOT = Path(__file__).parents[1]
READMES = [ROOT / "README.md", *sorted(ROOT.glob("*/README.md"))]
BLOCK = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)

PRELUDES = {
    "profile(model": (
        "import torch\n"
        "model = torch.nn.Sequential(torch.nn.Linear(3, 2))\n"
        "model.forward = lambda a, b: model[0](a) + model[0](b)\n"
        "left = right = torch.ones(1, 3)\n"
    ),
    "ExpectedEnergy(": (
        "import torch\n"
        "relaxed = torch.nn.Sequential(torch.nn.Linear(3, 2))\n"
        "relaxed.forward = lambda a, b: relaxed[0](a) + relaxed[0](b)\n"
        "relaxed[0].gate = torch.tensor(0.5, requires_grad=True)\n"
        "left = right = torch.ones(1, 3)\n"
        "task_loss, weight = torch.tensor(1.0), 0.1\n"
    ),
    'open_recording("zurich': (
        "from pathlib import Path\nfrom data.simulator import simulate_dsec\n"
        "simulate_dsec(Path('zurich_city_04_a'), scene='studio', seed=1, duration_s=0.1,"
        " width=64, height=48)\n"
    ),
    '"pair.npz"': (
        "import numpy as np\nt_us = right_t_us = np.arange(9)\n"
        "x = y = right_x = right_y = np.arange(9)\np = right_p = np.arange(9) % 2\n"
    ),
    "StereoStream(": (
        "import numpy as np\nfrom data import Events\n"
        "start_us, show = 0, lambda *_: None\n"
        "some = Events(t=np.arange(9), x=np.ones(9, np.uint16), y=np.ones(9, np.uint16),"
        " p=np.ones(9, bool))\n"
        "cameras = [(some, some, 50_000)]\n"
    ),
}
"""What a snippet takes for granted, by something that it contains."""


def blocks(*languages):
    found = [
        (path.relative_to(ROOT), text)
        for path in READMES
        for language, text in BLOCK.findall(path.read_text(encoding="utf-8"))
        if language in languages
    ]
    assert found
    return found


def commands():
    lines = [line for _, text in blocks("", "bash") for line in text.splitlines()]
    parts = [part for line in lines for part in line.split("&&")]
    words = [shlex.split(part, comments=True) for part in parts]
    return [w for w in words if w and Path(w[0]).name == "stereo"]


@pytest.mark.parametrize(("path", "code"), blocks("python"))
def test_snippets_run(path, code, tmp_path):
    prelude = "".join(text for mark, text in PRELUDES.items() if mark in code)
    for package in ("nas", "data", "energy", "stereo"):
        (tmp_path / package).symlink_to(ROOT / package)
    # Smaller than the documented size, to be quick.
    code = code.replace("duration_s=0.3)", "duration_s=0.1, width=64, height=48)")
    done = subprocess.run(
        [sys.executable, "-c", prelude + code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_commands_and_options_exist(words):
    known = typer.main.get_command(app).commands
    if len(words) == 1 or words[1].startswith("-"):
        return
    command = known[words[1]]
    options = {name for parameter in command.params for name in parameter.opts} | {"--help"}
    assert {word for word in words if word.startswith("--")} <= options
    if words[1] == "presets" and len(words) > 2:
        assert words[2] in PRESETS


def test_the_two_commands_are_there_to_the_letter():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/stereo infer\n" in text
    test = "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/pytest\n"
    assert test in text


def test_every_link_leads_somewhere():
    for path in READMES:
        prose = re.sub(r"`[^`]*`", "", BLOCK.sub("", path.read_text(encoding="utf-8")))
        for target in re.findall(r"\]\(([^)#]+)\)", prose):
            if "://" not in target:
                assert (path.parent / target).exists(), f"{path}: {target}"
