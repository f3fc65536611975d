"""Writer of one sequence in DSEC's own layout, as its published loaders expect it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import h5py
import hdf5plugin
import numpy as np
import numpy.typing as npt
import yaml

from data.atomic import new_folder
from data.camera import Calibration, Lens
from data.dsec.calibration import cam_to_cam
from data.dsec.stamps import Submission
from data.dsec.truth import DISPARITY_SCALE
from data.errors import RecordingError
from data.events import Events
from data.recording import Camera
from data.writing import check_events, check_truth, write_mark

FRAMES_PER_TRUTH = 2
"""Frames come at 20 Hz and ground truth at 10 Hz, and its images are numbered by frame."""

CHUNK = 1 << 16
"""Events per HDF5 chunk."""


def write_dsec(
    path: str | Path,
    *,
    left: Events,
    right: Events,
    lenses: Mapping[Camera, Lens],
    calibration: Calibration,
    disparity: npt.NDArray[np.float32],
    disparity_t_us: npt.NDArray[np.int64],
    t_offset_us: int,
    width: int,
    height: int,
    image_t_us: npt.NDArray[np.int64] | None = None,
    submission: Submission | None = None,
    generated: Mapping[str, Any] | None = None,
) -> None:
    """Write a sequence folder, completely or not at all.

    Args:
        path: the folder to make.
        left: raw events, ``0 <= t < 2**32`` us, at pixels of the distorted view.
        right: the same of the right camera.
        lenses: the raw cameras, from which the rectify maps follow.
        calibration: of the rectified pair.
        disparity: ``[K, H, W]`` pixels of the left rectified view, 0 = none, below 256. It is
            rounded to 1/256 pixel.
        disparity_t_us: ``[K]`` stamps on the clock of the events, increasing. Without any, no
            disparity is written, as in a test sequence.
        t_offset_us: added to every time by the reader.
        width: columns of both sensors.
        height: rows of both sensors.
        image_t_us: ``[F]`` stamps of the frames on the same clock, twice as many per second as
            ground truths, for ``images/timestamps.txt``; the frames themselves are not written.
        submission: of a test sequence, what has to be estimated, for ``<sequence>.csv``; its stamps
            on the same clock.
        generated: how the recording was made; kept in ``generated.json``, by which everything
            that reads it knows that its numbers are not those of a real recording.

    Raises:
        RecordingError: ``path`` exists, or something cannot be stored in this layout.
    """
    events: dict[Camera, Events] = {"left": left, "right": right}
    for camera, record in events.items():
        check_events(camera, record, width, height, "DSEC")
        _check_times(camera, record)
    check_truth(disparity, disparity_t_us, width, height, (2**16 - 1) / DISPARITY_SCALE)
    _check_frames(disparity_t_us, image_t_us, submission)
    with new_folder(Path(path)) as folder:
        for camera, record in events.items():
            place = folder / "events" / camera
            place.mkdir(parents=True)
            _write_events(place / "events.h5", record, t_offset_us)
            rectify_map = lenses[camera].rectify_map(calibration, width, height)
            with h5py.File(place / "rectify_map.h5", "w") as file:
                file.create_dataset("rectify_map", data=rectify_map, **_compression())
        (folder / "calibration").mkdir()
        content = cam_to_cam(lenses, calibration, width, height)
        text = yaml.safe_dump(content, sort_keys=False)
        (folder / "calibration" / "cam_to_cam.yaml").write_text(text)
        _write_truth(folder / "disparity", disparity, disparity_t_us + t_offset_us)
        if image_t_us is not None:
            (folder / "images").mkdir()
            _write_stamps(folder / "images" / "timestamps.txt", image_t_us + t_offset_us)
        if submission is not None:
            absolute = replace(submission, t_us=submission.t_us + t_offset_us)
            (folder / f"{Path(path).name}.csv").write_text(absolute.to_csv())
        write_mark(folder, generated)


def ms_to_idx(t_us: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """Return, for every whole millisecond up to the last event, the first event at or after it.

    Args:
        t_us: ``[N]`` sorted times from 0.

    Returns:
        ``[t_us[-1] // 1000 + 1]``, entry 0 is 0; ``[1]`` without events.
    """
    last_ms = int(t_us[-1]) // 1000 if t_us.size else 0
    table = np.searchsorted(t_us, 1000 * np.arange(last_ms + 1), side="left")
    return table.astype(np.uint64)


def _write_events(path: Path, events: Events, t_offset_us: int) -> None:
    """Write ``events.h5`` with the types of the data set."""
    columns = {"t": (events.t, "<u4"), "x": (events.x, "<u2"), "y": (events.y, "<u2"),
               "p": (events.p, "u1")}  # fmt: skip
    with h5py.File(path, "w") as file:
        for name, (values, dtype) in columns.items():
            file.create_dataset(
                f"events/{name}",
                data=values.astype(dtype),
                chunks=(CHUNK,),
                maxshape=(None,),
                **_compression(),
            )
        file.create_dataset("ms_to_idx", data=ms_to_idx(events.t), dtype="<u8", **_compression())
        file.create_dataset("t_offset", data=np.int64(t_offset_us))


def _write_truth(
    folder: Path, disparity: npt.NDArray[np.float32], stamps: npt.NDArray[np.int64]
) -> None:
    """Write the disparity images and their absolute stamps; nothing if there are none."""
    if stamps.size == 0:
        return
    (folder / "event").mkdir(parents=True)
    stored = np.rint(disparity * np.float32(DISPARITY_SCALE)).astype(np.uint16)
    for k, image in enumerate(stored):
        done, png = cv2.imencode(".png", image)
        if not done:
            raise RuntimeError(f"OpenCV could not encode disparity image {k}.")
        (folder / "event" / f"{FRAMES_PER_TRUTH * k:06d}.png").write_bytes(png.tobytes())
    _write_stamps(folder / "timestamps.txt", stamps)


def _write_stamps(path: Path, stamps: npt.NDArray[np.int64]) -> None:
    """Write one stamp per line."""
    path.write_text("".join(f"{t}\n" for t in stamps))


def _compression() -> hdf5plugin.Blosc:
    """Return the filter of the data set: Blosc (HDF5 id 32001) with Zstandard inside."""
    return hdf5plugin.Blosc(cname="zstd", clevel=5, shuffle=hdf5plugin.Blosc.SHUFFLE)


def _check_times(camera: Camera, events: Events) -> None:
    """Refuse times that the layout cannot hold."""
    if len(events) and (events.t[0] < 0 or events.t[-1] >= 2**32):
        raise RecordingError(
            f"The {camera} events run from {events.t[0]} to {events.t[-1]} us. DSEC stores times "
            "from 0 to 2**32 - 1 us; subtract the start and give it as t_offset_us."
        )


def _check_frames(
    truth_t_us: npt.NDArray[np.int64],
    image_t_us: npt.NDArray[np.int64] | None,
    submission: Submission | None,
) -> None:
    """Refuse a test sequence with ground truth, and stamps that contradict those of the frames."""
    if submission is not None and truth_t_us.size:
        raise RecordingError(
            "A test sequence (submission) has no ground truth; leave out one of them."
        )
    if image_t_us is None:
        return
    if (np.diff(image_t_us) <= 0).any():
        raise RecordingError("The stamps of the frames must increase.")
    frames, stamps = FRAMES_PER_TRUTH * np.arange(truth_t_us.size), truth_t_us
    if submission is not None:
        frames, stamps = submission.file_index, submission.t_us
    if frames.size and frames[-1] >= image_t_us.size:
        raise RecordingError(
            f"There are {image_t_us.size} stamps of frames, but image {frames[-1]} is named; "
            "images are numbered by frame."
        )
    if (image_t_us[frames] != stamps).any():
        raise RecordingError(
            "The stamps of the ground truth (or submission) must be those of the frames that its "
            f"images are named after: ground truth k is frame {FRAMES_PER_TRUTH} k."
        )
