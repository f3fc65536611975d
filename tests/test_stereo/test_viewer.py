"""The live view: what is logged, and what is said where rerun is missing."""

import sys
from importlib.util import find_spec

import pytest
import torch
from reference.recordings import FakeRecording

from stereo.errors import StereoError
from stereo.network import HybridStereo
from stereo.presets import PRESETS
from stereo.stream import run_windows
from stereo.viewer import viewer
from stereo.windows import Window

WINDOWS = [Window(t0_us=t, t1_us=t + 50_000) for t in (0, 50_000)]


@pytest.mark.skipif(
    find_spec("rerun") is None, reason="rerun is not installed (pip install '.[view]')"
)
@pytest.mark.parametrize("stamps", [(100_000, 200_000), ()], ids=["calibrated", "uncalibrated"])
def test_a_file_holds_the_windows(tmp_path, stamps):
    torch.manual_seed(0)
    recording, network = FakeRecording(stamps=stamps), HybridStereo(PRESETS["tiny"]()).eval()
    with viewer(recording, tmp_path / "a.rrd") as show:
        for result in run_windows(recording, network, WINDOWS):
            show(result)
    written = (tmp_path / "a.rrd").read_bytes()
    assert written.startswith(b"RRF")
    for name in (b"disparity", b"events", *([b"points"] if stamps else [])):
        assert name in written


def test_without_rerun_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(StereoError, match=r"'\.\[view\]'"), viewer(FakeRecording()):
        pass
