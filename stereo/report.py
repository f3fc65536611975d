"""The report of an inference: everything that its numbers depend on, as one JSON document."""

import platform
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import av
import cv2
import numba
import numpy as np
import torch

import stereo
from data.recording import CAMERAS, Recording
from stereo.metrics import Accuracy
from stereo.network import HybridStereo
from stereo.options import InferOptions
from stereo.output import ResultFolder
from stereo.stream import WindowResult
from stereo.windows import Window, covered_us

RATE_NOTE = (
    "encoding of both cameras and the network, batch 1; without reading, rectifying, drawing and "
    "writing, and without the first window, which warms up"
)

_PACKAGES = {"torch": torch, "numpy": np, "numba": numba, "opencv": cv2, "av": av}


def describe(
    *,
    recording: Recording,
    network: HybridStereo,
    options: InferOptions,
    windows: list[Window],
    last: WindowResult | None,
    folder: ResultFolder,
    fps: Fraction,
    windows_per_s: float,
    executor: Mapping[str, Any],
    seconds: Mapping[str, float],
    accuracy: Accuracy | None,
    energy: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the content of ``report.json``; absent values are None.

    Args:
        recording: what was looked at; its count of dropped events is read now.
        network: what looked.
        options: what was asked for.
        windows: all of them.
        last: result of the last window, whose counts cover the whole run.
        folder: where the results lie.
        fps: frames per second of the video.
        windows_per_s: rate of encoding and network.
        executor: who ran the network.
        seconds: wall-clock time by stage.
        accuracy: averages, None without ground truth.
        energy: JSON document of the energy report.
    """
    return {
        "recording": options.source,
        "name": recording.name,
        "layout": recording.layout,
        "note": "generated data" if options.generated else None,
        "windows": len(windows),
        "window_us": windows[0].t1_us - windows[0].t0_us,
        "step_us": options.step_us,
        "t_us": [window.t1_us for window in windows],
        "windows_per_s": windows_per_s,
        "windows_per_s_counts": RATE_NOTE,
        "executor": dict(executor),
        "video": str(folder.video),
        "video_fps": float(fps),
        "video_speed": covered_us(windows) / 1e6 / float(len(windows) / fps),
        "disparity": str(folder.disparity),
        "width": recording.width,
        "height": recording.height,
        "max_disparity_px": options.max_disparity or network.config.max_disparity,
        "events": dict(last.read) if last else None,
        "dropped_events": dict(recording.dropped),
        "outside_image": dict(last.outside_image) if last else None,
        "row_offset": None if options.row_offset is None else dict(options.row_offset),
        "outside_windows": _outside_windows(recording, last),
        "accuracy": accuracy.to_json() if accuracy else None,
        "energy": dict(energy),
        "network": {
            "name": options.network_name,
            "preset": network.config.name,
            "parameters": sum(p.numel() for p in network.parameters()),
        },
        "seed": options.seed,
        "seconds": dict(seconds),
        "threads": torch.get_num_threads(),
        "device": str(next(network.parameters()).device),
        "versions": {
            "stereo": stereo.__version__,
            "python": platform.python_version(),
            **{name: str(package.__version__) for name, package in _PACKAGES.items()},
        },
    }


def _outside_windows(recording: Recording, last: WindowResult | None) -> dict[str, int] | None:
    """Return the events that no window held: before or after the time that both cameras cover."""
    if last is None:
        return None
    return {c: recording.total[c] - recording.dropped[c] - last.read[c] for c in CAMERAS}
