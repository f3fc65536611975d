"""The picture of ``stereo inspect``: both views, the rate over time, and disparities.

title
[left events ]  [right events ]      with thin lines along rows: the same edge must touch one
[rate        ]  [disparity    ]
"""

import cv2
import numpy as np
import numpy.typing as npt
from jaxtyping import UInt8

from data.events import Events
from data.recording import CAMERAS, Camera, Recording
from stereo.color import CANVAS, FAINT, INK, OFF, ON, PAPER, Color, color_table
from stereo.draw import TEXT_HEIGHT, Picture, put_text, shorten, text_width
from stereo.inspection.measure import Inspection
from stereo.inspection.tally import CameraTally
from stereo.inspection.truth import BINS_PER_PX

CAMERA_COLORS: dict[Camera, Color] = {"left": (120, 190, 255), "right": (255, 178, 92)}

BUSY = 0.75
"""Where the rates of the parts of a recording are sorted, the one at this share is shown."""

COVERED = 0.06
"""Events that are shown, as a share of the pixels."""

LONGEST_US = 100_000
"""Events farther apart are not shown together."""

_PANEL_WIDTH = 480
_MARGIN = 12
_TITLE_HEIGHT = 34
_CAPTION_HEIGHT = 26
_PLOT_HEIGHT = 170
_LINES = 8
_TICKS = 5
_PLOT: Color = (36, 38, 44)
_GRID: Color = (58, 60, 66)
_LINE: Color = (196, 200, 206)


def draw(inspection: Inspection, recording: Recording | None = None) -> Picture:
    """Draw what was found.

    Args:
        inspection: the findings.
        recording: the recording that was inspected, for its rectified events; without it the counts
            per pixel are drawn instead.

    Returns:
        ``[rows, columns, 3]`` uint8 RGB.
    """
    panels = {
        camera: _fit(_view(inspection, recording, camera))
        for camera in CAMERAS
        if camera in inspection.tallies
    }
    first = next(iter(panels.values()))
    height, width = first[0].shape[:2]
    frame_width = _MARGIN + len(panels) * (width + _MARGIN)
    frame_height = _TITLE_HEIGHT + 2 * _CAPTION_HEIGHT + height + _PLOT_HEIGHT + 3 * _MARGIN + 16
    frame = np.empty((frame_height, frame_width, 3), np.uint8)
    frame[:] = CANVAS
    document = inspection.document
    note = f", {document['note']}" if document["note"] else ""
    title = f"{document['name']} ({document['layout']}{note}), {document['duration_s']:.3f} s"
    put_text(frame, shorten(title, frame_width - 2 * _MARGIN), _MARGIN, 22)
    top = _TITLE_HEIGHT + _CAPTION_HEIGHT
    for camera, (picture, caption) in panels.items():
        x = 2 * _MARGIN + width if camera == "right" and len(panels) == 2 else _MARGIN
        shown = picture[:height, :width]
        _draw_lines(shown)
        frame[top : top + shown.shape[0], x : x + shown.shape[1]] = shown
        put_text(frame, shorten(caption, width), x, top - 7, CAMERA_COLORS[camera])
    top += height + _MARGIN + _CAPTION_HEIGHT
    _draw_rates(frame, inspection, _MARGIN, top, width)
    if len(panels) == 2:
        _draw_disparity(frame, inspection, 2 * _MARGIN + width, top, width)
    return frame


def _view(
    inspection: Inspection, recording: Recording | None, camera: Camera
) -> tuple[UInt8[np.ndarray, "H W 3"], str]:
    """Return the picture of one camera and its caption."""
    tally = inspection.tallies[camera]
    if recording is None:
        return _draw_counts(tally), f"{camera}: events per pixel"
    events = _some_events(inspection, recording, camera)
    seen = recording.rectify(camera, events).inside(recording.width, recording.height)
    picture = np.empty((recording.height, recording.width, 3), np.uint8)
    picture[:] = PAPER
    column, row = (np.floor(axis + np.float32(0.5)).astype(np.intp) for axis in (seen.x, seen.y))
    picture[row, column] = np.array([OFF, ON], np.uint8)[seen.p.astype(np.intp)]
    kind = "raw" if recording.rectify_map(camera) is None else "rectified"
    length_ms = (int(events.t[-1]) - int(events.t[0])) / 1e3 if len(events) else 0.0
    return picture, f"{camera}, {kind}: {len(events):,} events of {length_ms:.1f} ms"


def _some_events(inspection: Inspection, recording: Recording, camera: Camera) -> Events:
    """Return raw events of a lively moment, the same for both cameras."""
    left = inspection.tallies["left"]
    busy = np.flatnonzero(left.rate)
    order = busy[np.argsort(left.rate[busy], kind="stable")]
    chosen = int(order[int(BUSY * (order.size - 1))]) if order.size else 0
    start = left.span_us[0] + chosen * left.bin_us
    wanted = max(500, int(COVERED * recording.width * recording.height))
    length = 1_000
    while length < LONGEST_US:
        found = len(recording.events("left", start, start + length))
        if found >= wanted:
            break
        length = min(2 * length, LONGEST_US)
    return recording.events(camera, start, start + length)


def _draw_counts(tally: CameraTally) -> UInt8[np.ndarray, "H W 3"]:
    """Return the events per pixel, brighter = more, on a logarithmic scale."""
    level = np.log1p(tally.image.astype(np.float64))
    top = max(float(np.quantile(level, 0.999)), 1e-9)
    return color_table("viridis")[np.clip(level / top * 255, 0, 255).astype(np.intp)]


def _draw_lines(picture: Picture) -> None:
    """Draw thin lines along rows, behind the events."""
    rows = np.arange(1, _LINES) * picture.shape[0] // _LINES
    lines = picture[rows]
    lines[(lines == np.array(PAPER, np.uint8)).all(axis=-1)] = _LINE
    picture[rows] = lines


def _fit(panel: tuple[UInt8[np.ndarray, "H W 3"], str]) -> tuple[Picture, str]:
    """Return a panel enlarged by a whole number to a legible width, or made smaller."""
    picture, caption = panel
    height, width = picture.shape[:2]
    scale = max(1, min(round(_PANEL_WIDTH / width), 2 * _PANEL_WIDTH // height))
    if scale > 1:
        return picture.repeat(scale, axis=0).repeat(scale, axis=1), caption
    if width > 2 * _PANEL_WIDTH or height > 2 * _PANEL_WIDTH:
        part = min(2 * _PANEL_WIDTH / width, 2 * _PANEL_WIDTH / height)
        size = max(1, round(width * part)), max(1, round(height * part))
        return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA)), caption
    return picture, caption


def _draw_rates(frame: Picture, inspection: Inspection, x: int, y: int, width: int) -> None:
    """Draw events per second over time, both cameras on one scale."""
    rates = {c: t.rate / (t.bin_us / 1e6) for c, t in inspection.tallies.items()}
    top = max(float(rate.max()) for rate in rates.values()) or 1.0
    put_text(frame, f"events per second, up to {_short(top)}", x, y - 7)
    _axes(frame, x, y, width, 0.0, inspection.document["duration_s"], "s")
    first = inspection.document["t_us"][0]
    whole = max(1, inspection.document["t_us"][1] - first)
    for camera, rate in rates.items():
        tally = inspection.tallies[camera]
        middles = tally.span_us[0] - first + (np.arange(rate.size) + 0.5) * tally.bin_us
        keep = middles <= whole + tally.bin_us
        _line(
            frame,
            x + np.clip(middles[keep] / whole, 0, 1) * (width - 1),
            y + (1 - rate[keep] / top) * (_PLOT_HEIGHT - 1),
            CAMERA_COLORS[camera],
        )


def _draw_disparity(frame: Picture, inspection: Inspection, x: int, y: int, width: int) -> None:
    """Draw how often each disparity occurs: by ground truth, else by the fit of the events."""
    if inspection.truth is not None and inspection.truth.histogram.any():
        histogram = inspection.truth.histogram
        last = int(np.flatnonzero(histogram)[-1]) + 1
        values = histogram[:last] / histogram.max()
        caption, low, high = "disparity of the ground truth", 0.0, last / BINS_PER_PX
    elif inspection.rows is not None and inspection.rows.reliable:
        values = np.array(inspection.rows.fit)
        near = inspection.rows.nearest_px
        caption = "how well the views fit, over disparity"
        low, high = float(near), float(near + values.size)
    else:
        put_text(frame, "disparity: not known", x, y - 7, FAINT)
        return
    put_text(frame, shorten(caption, width), x, y - 7)
    _axes(frame, x, y, width, low, high, "px")
    places = np.linspace(0, values.size, width, endpoint=False).astype(np.intp)
    heights = np.rint(values[places] * (_PLOT_HEIGHT - 1)).astype(int)
    for column, bar in enumerate(heights):
        if bar > 0:
            frame[y + _PLOT_HEIGHT - bar : y + _PLOT_HEIGHT, x + column] = INK


def _axes(frame: Picture, x: int, y: int, width: int, low: float, high: float, unit: str) -> None:
    """Draw the ground of a plot and the values along it."""
    frame[y : y + _PLOT_HEIGHT, x : x + width] = _PLOT
    frame[y + _PLOT_HEIGHT - 1, x : x + width] = FAINT
    base = y + _PLOT_HEIGHT + TEXT_HEIGHT + 2
    for part in range(_TICKS):
        share = part / (_TICKS - 1)
        label = f"{low + share * (high - low):.3g}" + (f" {unit}" if share == 1 else "")
        place = round(share * (width - 1))
        frame[y : y + _PLOT_HEIGHT, x + place] = np.maximum(
            frame[y : y + _PLOT_HEIGHT, x + place], np.array(_GRID, np.uint8)
        )
        # The outermost labels stay between the ends of the plot.
        left = min(max(0, place - text_width(label) // 2), width - text_width(label))
        put_text(frame, label, x + left, base, FAINT)


def _line(
    frame: Picture, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], color: Color
) -> None:
    """Draw a line through points."""
    points = np.stack([x, y], axis=1).round().astype(np.int32)[:, None]
    cv2.polylines(frame, [points], isClosed=False, color=color, thickness=1, lineType=cv2.LINE_AA)


def _short(value: float) -> str:
    """Return a number with three digits and k or M."""
    for size, mark in ((1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{mark}"
    return f"{value:.3g}"
