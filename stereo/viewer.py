"""A live view of an inference in rerun, which is installed as the extra ``view``."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from data.recording import Recording
from stereo.color import OFF, ON, colorize
from stereo.errors import StereoError
from stereo.point_cloud import points_m
from stereo.stream import WindowResult

SECONDS = "seconds"
"""Name of the time line: since the recording's first event."""


@contextmanager
def viewer(
    recording: Recording, file: Path | None = None
) -> Iterator[Callable[[WindowResult], None]]:
    """Open a viewer; what is given shows every window as it comes.

    Events and disparity are pictures; points are shown where the recording is calibrated.

    Args:
        recording: that is looked at.
        file: write an ``.rrd`` file instead of opening a window.

    Raises:
        StereoError: rerun is not installed.
    """
    try:
        import rerun as rr
    except ImportError as error:
        raise StereoError(
            "The live view needs rerun. Install it with pip install '.[view]' in the folder of "
            "this project."
        ) from error
    stream = rr.RecordingStream(f"stereo {recording.name}")
    if file is None:
        stream.spawn()
    else:
        stream.save(file)
    stream.log("points", rr.ViewCoordinates.RDF, static=True)

    def show(result: WindowResult) -> None:
        seconds = (result.window.t1_us - recording.span_us[0]) / 1e6
        stream.set_time(SECONDS, duration=seconds)
        found = result.disparity
        top = max(1.0, float(np.quantile(found, 0.99)))
        colors = colorize(found, found > 0, top=top, name="turbo")
        stream.log("disparity", rr.Image(colors))
        events = result.events
        places = np.stack([events.x, events.y], axis=1)
        signs = np.where(events.p[:, None], np.array(ON), np.array(OFF)).astype(np.uint8)
        stream.log("events", rr.Points2D(places, colors=signs))
        if recording.calibration is not None:
            points, pixels = points_m(found, recording.calibration)
            seen = colors[pixels[:, 1], pixels[:, 0]]
            stream.log("points", rr.Points3D(points, colors=seen))

    try:
        yield show
    finally:
        stream.flush()
