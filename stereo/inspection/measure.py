"""The job ``stereo inspect``: what a recording is, from one pass over its events."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from data.cameras.columns import CameraEvents
from data.cameras.memory import KNOWN_SENSORS
from data.errors import RecordingError
from data.recording import CAMERAS, Camera, Recording
from data.rows import RowOffset, estimate_row_offset
from stereo.inspection.findings import findings
from stereo.inspection.tally import CameraFacts, CameraTally
from stereo.inspection.truth import TruthFacts, look_at_truth

FIRST_WINDOW_US = 50_000
FEW_EVENTS, MANY_EVENTS = 100_000, 1_000_000
"""Windows grow and shrink so that each holds about so many events: memory stays bounded."""

BLOCK = 1 << 20
"""Stored events that are looked at together where there is no recording to cut windows from."""

LARGEST_GUESS = 2048
"""Columns and rows up to which events at odd places are taken for a sensor."""

Progress = Callable[[float, float], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Inspection:
    """The outcome of ``inspect``.

    Attributes:
        document: what ``--json`` prints.
        tallies: of each camera, with rates and events per pixel.
        cameras: what was found of each camera.
        truth: None without ground truth.
        rows: None where there is no pair to measure.
    """

    document: dict[str, Any]
    tallies: dict[Camera, CameraTally]
    cameras: dict[Camera, CameraFacts]
    truth: TruthFacts | None
    rows: RowOffset | None


def inspect_recording(
    recording: Recording,
    progress: Progress = lambda _done, _all: None,
    *,
    source: str = "",
    right: str | None = None,
    generated: bool = False,
) -> Inspection:
    """Describe a recording that can be used.

    Args:
        recording: two cameras; read once from its first to its last window.
        progress: called with the events seen and all events.
        source: the recording as the user named it.
        right: the file of the right camera, if one was named.
        generated: whether it came from a simulator.

    Raises:
        RecordingError: the recording turned out to be damaged.
    """
    tallies = {
        c: CameraTally(recording.width, recording.height, recording.span_us) for c in CAMERAS
    }
    everything = sum(recording.total.values())
    for t0, t1 in _windows(recording, tallies):
        for camera in CAMERAS:
            events = recording.events(camera, t0, t1)
            x, y = events.x.astype(np.uint16, copy=False), events.y.astype(np.uint16, copy=False)
            tallies[camera].add(events.t, x, y, events.p)
        progress(sum(tally.seen for tally in tallies.values()), everything)
    unsorted: Mapping[Camera, int] = getattr(recording, "unsorted", {})
    skipped: Mapping[Camera, Mapping[str, int]] = getattr(recording, "skipped", {})
    cameras = {
        c: tallies[c].facts(
            events=recording.total[c],
            dropped=recording.dropped[c],
            sorted_away=unsorted.get(c, 0),
            skipped=skipped.get(c),
        )
        for c in CAMERAS
    }
    rows, truth = estimate_row_offset(recording), look_at_truth(recording)
    first, last = recording.span_us
    document = _document(
        source=source,
        right=right,
        name=recording.name,
        layout=recording.layout,
        cameras=cameras,
        span_us=recording.span_us,
    ) | {
        "note": "generated data" if generated else None,
        "overlap_s": (last - first) / 1e6,
        "row_offset_px": rows.offset_px if rows.reliable else None,
        "row_offset": rows.to_dict() if rows.windows else None,
        "calibration": _calibration(recording, tallies),
        "ground_truth": None if truth is None else truth.to_dict(),
    }
    document["findings"] = findings(document)
    return Inspection(document=document, tallies=tallies, cameras=cameras, truth=truth, rows=rows)


def inspect_stored(
    cameras: Mapping[Camera, CameraEvents],
    *,
    source: str,
    right: str | None,
    name: str,
    layout: str,
    problem: str | None,
    size: tuple[int, int] | None = None,
) -> Inspection:
    """Describe what is stored of one camera, or of two that cannot be used together.

    Args:
        cameras: one camera or both, with at least one event in all.
        source: the recording as the user named it.
        right: the file of the right camera, if one was named.
        name: for titles.
        layout: the format or layout.
        problem: why it cannot be used as a recording; None if it is a single camera.
        size: width and height of the sensors; by default as stated, else the smallest usual one
            that holds 99 % of the events.
    """
    tallies: dict[Camera, CameraTally] = {}
    facts: dict[Camera, CameraFacts] = {}
    for camera, stored in cameras.items():
        if len(stored) == 0:
            continue
        width, height = size or stored.size or _smallest_sensor(stored)
        tally = CameraTally(width, height, (int(stored.t.min()), int(stored.t.max())))
        for start in range(0, len(stored), BLOCK):
            part = slice(start, start + BLOCK)
            tally.add(stored.t[part], stored.x[part], stored.y[part], stored.p[part])
        tallies[camera] = tally
        facts[camera] = tally.facts(events=len(stored), skipped=stored.skipped)
    if not facts:
        raise RecordingError(f"{source} has no events. {problem or ''}")
    spans = [tally.span_us for tally in tallies.values()]
    first, last = max(s[0] for s in spans), min(s[1] for s in spans)
    both = len(spans) == len(CAMERAS)
    document = _document(
        source=source,
        right=right,
        name=name,
        layout=layout,
        cameras=facts,
        span_us=(min(s[0] for s in spans), max(s[1] for s in spans)),
    ) | {"problem": problem, "overlap_s": max(0, last - first) / 1e6 if both else None}
    document["findings"] = findings(document)
    return Inspection(document=document, tallies=tallies, cameras=facts, truth=None, rows=None)


def _document(
    *,
    source: str,
    right: str | None,
    name: str,
    layout: str,
    cameras: Mapping[Camera, CameraFacts],
    span_us: tuple[int, int],
) -> dict[str, Any]:
    """Return the document with everything that may be absent set to None."""
    return {
        "recording": source,
        "right": right,
        "name": name,
        "layout": layout,
        "note": None,
        "problem": None,
        "t_us": list(span_us),
        "duration_s": (span_us[1] - span_us[0]) / 1e6,
        "cameras": {c: cameras[c].to_dict() if c in cameras else None for c in CAMERAS},
        "overlap_s": None,
        "row_offset_px": None,
        "row_offset": None,
        "calibration": None,
        "ground_truth": None,
        "picture": None,
    }


def _windows(
    recording: Recording, tallies: Mapping[Camera, CameraTally]
) -> Iterator[tuple[int, int]]:
    """Cut the shared time into windows, each as long as the one before suggests."""
    start, last = recording.span_us
    length, seen = FIRST_WINDOW_US, 0
    while start <= last:
        end = min(start + length, last + 1)
        yield start, end
        now = sum(tally.seen for tally in tallies.values())
        if now - seen < FEW_EVENTS:
            length *= 2
        elif now - seen > MANY_EVENTS:
            length = max(1, length // 2)
        start, seen = end, now


def _calibration(
    recording: Recording, tallies: Mapping[Camera, CameraTally]
) -> dict[str, Any] | None:
    """Return the calibration, and the share of events that rectification moves off the image."""
    maps = {c: recording.rectify_map(c) for c in CAMERAS}
    found = recording.calibration
    if found is None and maps["left"] is None:
        return None
    return {
        "focal_px": found.focal_px if found else None,
        "cx_px": found.cx_px if found else None,
        "cy_px": found.cy_px if found else None,
        "baseline_m": found.baseline_m if found else None,
        "depth_at_1px_m": found.fb if found else None,
        "off_image_share": {
            c: None if maps[c] is None else _off_image(maps[c], tallies[c].image) for c in CAMERAS
        },
    }


def _off_image(
    rectify_map: npt.NDArray[np.float32] | None, image: npt.NDArray[np.uint32]
) -> float | None:
    """Return the share of events whose rectified pixel lies off the image."""
    total = int(image.sum())
    if rectify_map is None or total == 0:
        return None
    height, width = image.shape
    x, y = rectify_map[..., 0], rectify_map[..., 1]
    inside = (x >= -0.5) & (x < width - 0.5) & (y >= -0.5) & (y < height - 0.5)
    return int(image[~inside].sum()) / total


def _smallest_sensor(stored: CameraEvents) -> tuple[int, int]:
    """Return the smallest usual sensor that holds 99 % of the events, else what they reach."""
    for width, height in KNOWN_SENSORS:
        if np.mean((stored.x < width) & (stored.y < height)) >= 0.99:
            return width, height
    return (
        min(int(stored.x.max()) + 1, LARGEST_GUESS),
        min(int(stored.y.max()) + 1, LARGEST_GUESS),
    )
