"""One window as a picture: events, disparity and, where there is any, ground truth and error.

``render`` is a pure function: the same input gives the same bytes. The range of the colors belongs
to the view, so it stays the same over a whole video. Pixels without a value are gray; a window
without ground truth shows empty panels that say so, never the picture of another time.

    title ............................ time
    [left events ]  [disparity    ] bar
    [ground truth]  [|error|      ] bar       (only where the recording has ground truth)
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from data import Calibration, Events
from stereo.color import ABSENT, CANVAS, FAINT, OFF, ON, PAPER, colorize
from stereo.draw import (
    Picture,
    color_bar,
    enlarge,
    put_text,
    shorten,
    text_width,
    tick_values,
)

ERROR_TOP_PX = 4.0
"""Error at the upper end of its color bar."""

_LEGIBLE_HEIGHT = 384
_MARGIN = 12
_TITLE_HEIGHT = 52
_CAPTION_HEIGHT = 26
_BAR_SPACE = 124
_NO_TRUTH = "no ground truth at this time"


@dataclass(frozen=True, kw_only=True)
class View:
    """What stays the same over the whole video.

    Attributes:
        title: first line: what is seen.
        subtitle: second line: how it was made.
        width: columns of the sensor.
        height: rows of the sensor.
        start_us: time that is shown as 0.
        top_px: disparity at the upper end of the color bar, positive.
        calibration: for the depths beside the bar; None shows pixels only.
        has_truth: whether to draw the panels of ground truth and error.
    """

    title: str
    subtitle: str
    width: int
    height: int
    start_us: int
    top_px: float
    calibration: Calibration | None
    has_truth: bool

    @property
    def scale(self) -> int:
        """Whole number by which small sensors are enlarged to be legible."""
        return max(1, -(-_LEGIBLE_HEIGHT // self.height))


def render(
    view: View,
    *,
    t_us: int | None,
    events: Events,
    disparity: Float32[np.ndarray, "H W"],
    truth: Float32[np.ndarray, "H W"] | None = None,
    caption: str | None = None,
) -> Picture:
    """Draw one window.

    Args:
        view: what all windows share.
        t_us: end of the window; None to show no time.
        events: rectified left events of the window; those outside the image are not drawn.
        disparity: ``[H, W]`` estimate in pixels; NaN or infinite = none.
        truth: ``[H, W]`` ground truth in pixels, 0 = none; None = no ground truth at this time.
        caption: of the events; their number unless given.

    Returns:
        ``[rows, columns, 3]`` uint8 RGB, both sizes even as H.264 needs them.
    """
    columns, rows = 2, 2 if view.has_truth else 1
    width, height = view.width * view.scale, view.height * view.scale
    frame_height = _TITLE_HEIGHT + rows * (_CAPTION_HEIGHT + height + _MARGIN)
    frame_width = _MARGIN + columns * (width + _MARGIN) + _BAR_SPACE
    frame = np.empty((_even(frame_height), _even(frame_width), 3), np.uint8)
    frame[:] = CANVAS

    left, right = _MARGIN, 2 * _MARGIN + width
    upper = _TITLE_HEIGHT + _CAPTION_HEIGHT
    lower = upper + height + _MARGIN + _CAPTION_HEIGHT
    bar = right + width + _MARGIN

    _draw_title(frame, view, t_us)
    _draw_events(frame, view, events, left, upper, caption or f"left events: {len(events):,}")
    _draw_disparity(frame, view, disparity, right, upper, "estimated disparity")
    color_bar(frame, bar, upper, height, name="turbo", labels=_disparity_labels(view))
    put_text(frame, "px" if view.calibration is None else "px = depth", bar, upper - 7)
    if view.has_truth:
        _draw_truth(frame, view, truth, left, lower)
        _draw_error(frame, view, disparity, truth, right, lower)
        color_bar(frame, bar, lower, height, name="magma", labels=_px_labels(ERROR_TOP_PX))
        put_text(frame, "px", bar, lower - 7)
    return frame


def _even(size: int) -> int:
    """Return the next even number."""
    return size + size % 2


def _draw_title(frame: Picture, view: View, t_us: int | None) -> None:
    """Write the two title lines, and the time at the right end of the first."""
    time = "" if t_us is None else f"t = {(t_us - view.start_us) / 1e6:.3f} s"
    place = frame.shape[1] - _MARGIN - text_width(time)
    put_text(frame, time, place, 22)
    put_text(frame, shorten(view.title, place - 3 * _MARGIN), _MARGIN, 22)
    subtitle = shorten(view.subtitle, frame.shape[1] - 2 * _MARGIN)
    put_text(frame, subtitle, _MARGIN, 43, FAINT)


def _paste(frame: Picture, view: View, picture: Picture, x: int, y: int, caption: str) -> int:
    """Place a panel and its caption; return the column behind the caption."""
    large = enlarge(picture, view.scale)
    frame[y : y + large.shape[0], x : x + large.shape[1]] = large
    return put_text(frame, shorten(caption, large.shape[1]), x, y - 7)


def _draw_events(frame: Picture, view: View, events: Events, x: int, y: int, caption: str) -> None:
    """Draw the events on paper; where several fall on one pixel the last one is seen."""
    picture = np.empty((view.height, view.width, 3), np.uint8)
    picture[:] = PAPER
    seen = events.inside(view.width, view.height)
    # A coordinate belongs to the pixel [k - 0.5, k + 0.5), as in the encodings.
    column, row = (np.floor(axis + np.float32(0.5)).astype(np.intp) for axis in (seen.x, seen.y))
    picture[row, column] = np.array([OFF, ON], np.uint8)[seen.p.astype(np.intp)]
    after = _paste(frame, view, picture, x, y, caption)
    for word, color in (("brighter", ON), ("darker", OFF)):
        after += 16
        frame[y - 18 : y - 6, after : after + 12] = PAPER
        frame[y - 17 : y - 7, after + 1 : after + 11] = color
        after = put_text(frame, word, after + 18, y - 7)


def _draw_disparity(
    frame: Picture,
    view: View,
    disparity: Float32[np.ndarray, "H W"],
    x: int,
    y: int,
    caption: str,
) -> None:
    """Draw a disparity map with the colors of the view."""
    picture = colorize(disparity, np.isfinite(disparity), top=view.top_px, name="turbo")
    _paste(frame, view, picture, x, y, caption)


def _draw_truth(
    frame: Picture, view: View, truth: Float32[np.ndarray, "H W"] | None, x: int, y: int
) -> None:
    """Draw the ground truth, or say that there is none now."""
    if truth is None:
        _draw_absent(frame, view, x, y, "ground truth")
        return
    masked = np.where(truth > 0, truth, np.float32(np.nan))
    _draw_disparity(frame, view, masked, x, y, "ground truth (colors of the disparity)")


def _draw_error(
    frame: Picture,
    view: View,
    disparity: Float32[np.ndarray, "H W"],
    truth: Float32[np.ndarray, "H W"] | None,
    x: int,
    y: int,
) -> None:
    """Draw the absolute error where there is ground truth, with its mean in the caption."""
    if truth is None:
        _draw_absent(frame, view, x, y, "absolute error")
        return
    error = np.abs(disparity - truth)
    valid = (truth > 0) & np.isfinite(error)
    picture = colorize(error, valid, top=ERROR_TOP_PX, name="magma")
    mean = f", mean {error[valid].mean():.2f} px" if valid.any() else ""
    _paste(frame, view, picture, x, y, f"absolute error{mean}")


def _draw_absent(frame: Picture, view: View, x: int, y: int, caption: str) -> None:
    """Draw a dim panel that says why it is empty."""
    picture = np.empty((view.height, view.width, 3), np.uint8)
    picture[:] = ABSENT
    _paste(frame, view, picture, x, y, caption)
    width, height = view.width * view.scale, view.height * view.scale
    words = shorten(_NO_TRUTH, width - 2 * _MARGIN)
    put_text(frame, words, x + (width - text_width(words)) // 2, y + height // 2, FAINT)


def _px_labels(top: float) -> list[str]:
    """Return the labels of a bar in pixels; the last color also stands for all that is above."""
    labels = [f"{value:.3g}" for value in tick_values(top)]
    return [*labels[:-1], f"{labels[-1]}+"]


def _disparity_labels(view: View) -> list[str]:
    """Return the labels of the disparity bar, with the depths in meters where calibrated."""
    labels = _px_labels(view.top_px)
    if view.calibration is None:
        return labels
    depths = view.calibration.depth_m(np.array(tick_values(view.top_px), np.float32))
    return [
        f"{label} = {depth:.3g} m" if np.isfinite(depth) else f"{label} = far"
        for label, depth in zip(labels, depths, strict=True)
    ]
