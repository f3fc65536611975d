"""An H.264 video that browsers play, written frame by frame.

Considered and rejected: ``cv2.VideoWriter``, whose wheels have no H.264 encoder; browsers refuse
what it can write.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import Colorspace
from av.video.stream import VideoStream
from jaxtyping import UInt8

from stereo.atomic import replacing

SHORTEST_S = 2
"""A video lasts at least this long, so that a short recording can be watched at all."""

FASTEST_FPS = 60

# Measured: the default preset is more than twice as slow, for files that are no smaller.
_X264 = {"preset": "veryfast", "crf": "20"}
_BT709 = 1


def frame_rate(frames: int, duration_us: int) -> Fraction:
    """Return frames per second: real time, slower where that would be too short or too fast.

    Args:
        frames: number of frames, at least 1.
        duration_us: time of the recording that the frames cover, positive.
    """
    real_time = Fraction(frames * 1_000_000, duration_us)
    slowest = Fraction(frames, SHORTEST_S)
    return min(real_time, slowest, Fraction(FASTEST_FPS)).limit_denominator(1000)


@contextmanager
def video_sink(path: Path, fps: Fraction) -> Iterator["VideoSink"]:
    """Give a sink for frames; the file appears at ``path`` when the block ends.

    Ctrl-C ends it too: the file then holds the frames until there and is complete in itself.
    After any other error nothing is left, and what stood at ``path`` before stays.

    Args:
        path: the file, ending in ``.mp4``; its folder must exist.
        fps: frames per second.

    Raises:
        ValueError: not one frame was written.
    """
    interrupt: KeyboardInterrupt | None = None
    with replacing(path) as temporary:
        # faststart puts the index in front, so that a browser can start before it has all.
        options = {"movflags": "+faststart"}
        with av.open(str(temporary), "w", format="mp4", options=options) as container:
            sink = VideoSink(container, fps)
            try:
                yield sink
            except KeyboardInterrupt as caught:
                interrupt = caught
            sink.finish()
        if sink.frames == 0:
            raise interrupt or ValueError("A video needs at least one frame.")
    if interrupt is not None:
        raise interrupt


class VideoSink:
    """Takes RGB frames of one size; made by ``video_sink``.

    Attributes:
        frames: number of frames taken so far.
    """

    def __init__(self, container: OutputContainer, fps: Fraction) -> None:
        self.frames = 0
        self._container = container
        self._fps = fps
        self._stream: VideoStream | None = None

    def write(self, picture: UInt8[np.ndarray, "H W 3"]) -> None:
        """Append a frame.

        Args:
            picture: ``[H, W, 3]`` RGB; sizes even, and equal for all frames.

        Raises:
            ValueError: an odd size, or another size than the first frame's.
        """
        height, width, _ = picture.shape
        if self._stream is None:
            if height % 2 or width % 2:
                raise ValueError(f"H.264 needs even sizes, got {width}x{height}.")
            self._stream = self._open(width, height)
        if (self._stream.width, self._stream.height) != (width, height):
            raise ValueError(f"All frames need the size of the first one, got {width}x{height}.")
        rgb = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame = rgb.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)
        frame.pts, frame.time_base = self.frames, 1 / self._fps
        self._container.mux(self._stream.encode(frame))
        self.frames += 1

    def finish(self) -> None:
        """Write what the encoder still holds back."""
        if self._stream is not None:
            self._container.mux(self._stream.encode(None))

    def _open(self, width: int, height: int) -> VideoStream:
        """Start the encoder, and say in the file which colors the numbers mean."""
        stream = self._container.add_stream("libx264", rate=self._fps, options=_X264)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        codec = stream.codec_context
        codec.colorspace = codec.color_primaries = codec.color_trc = _BT709
        return stream
