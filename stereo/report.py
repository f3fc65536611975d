"""The report of an inference: everything that its numbers depend on, as one JSON document."""

import platform
from collections.abc import Mapping
from dataclasses import asdict
from fractions import Fraction
from typing import Any

import av
import cv2
import numba
import numpy as np
import torch

import stereo
from data.recording import CAMERAS, Recording
from stereo.latency import Latency
from stereo.metrics import Accuracy
from stereo.network import HybridStereo
from stereo.options import InferOptions
from stereo.output import KEPT, ResultFolder
from stereo.stream import WindowResult
from stereo.windows import Window, covered_us

RATE_NOTE = (
    "rectifying and encoding of both cameras and the network, batch 1; without reading, drawing "
    "and writing, and without the first window, which warms up"
)
LATENCY_NOTE = (
    "from the end of a window to its estimate, as if events came live; counts what windows_per_s "
    "counts"
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
    latency: Latency | None,
    first_s: float,
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
        latency: of all windows but the first, which warms up.
        first_s: time that the first one took.
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
        "step_us": options.step(windows[0].t1_us - windows[0].t0_us),
        "t_us": [window.t1_us for window in windows],
        **_pace(latency, first_s),
        "stream": options.stream,
        "state": "carried" if executor["remembers"] else "at rest before each window",
        "executor": dict(executor),
        "video": str(folder.video),
        "video_fps": float(fps),
        "video_speed": covered_us(windows) / 1e6 / float(len(windows) / fps),
        **{name: str(folder.folder(name)) if name in folder.keeps else None for name in KEPT},
        "width": recording.width,
        "height": recording.height,
        "max_disparity_px": options.searched_px(network.config.max_disparity),
        "merged_pixels": options.merge,
        "events": dict(last.read) if last else None,
        "dropped_events": dict(recording.dropped),
        "outside_image": dict(last.outside_image) if last else None,
        "late_events": dict(last.late) if last else None,
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
        "threads": executor["threads"],
        "device": executor["device"],
        "versions": _versions(),
    }


def _pace(latency: Latency | None, first_s: float) -> dict[str, Any]:
    """Return rate and latencies, and what they count."""
    return {
        "windows_per_s": latency.windows_per_s if latency else None,
        "windows_per_s_counts": RATE_NOTE,
        "latency": asdict(latency) if latency else None,
        "latency_counts": LATENCY_NOTE,
        "first_window_s": first_s,
    }


def _versions() -> dict[str, str]:
    """Return the versions of what numbers depend on."""
    return {
        "stereo": stereo.__version__,
        "python": platform.python_version(),
        **{name: str(package.__version__) for name, package in _PACKAGES.items()},
    }


def _outside_windows(recording: Recording, last: WindowResult | None) -> dict[str, int] | None:
    """Return the events that no window held: before or after the time that both cameras cover."""
    if last is None:
        return None
    return {c: recording.total[c] - recording.dropped[c] - last.read[c] for c in CAMERAS}
