"""Writer of one sequence in MVSEC's own layout, as its published loaders expect it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import yaml

from data.atomic import new_folder
from data.camera import Calibration, FisheyeLens
from data.errors import RecordingError
from data.events import Events
from data.mvsec.calibration import camchain, write_maps
from data.mvsec.constants import FOCAL_TIMES_BASELINE, scene_of
from data.mvsec.depth import IMAGES, STAMPS
from data.mvsec.files import DATA_END, TRUTH_END
from data.mvsec.splits import SPLIT_FILE, Split
from data.recording import CAMERAS, Camera
from data.writing import check_events, check_truth, write_mark

CHUNK_ROWS = 1 << 14
"""Events per HDF5 chunk (512 kB before compression)."""

LARGEST_DISPARITY = float(np.finfo(np.float32).max)
"""Pixels; stored as depth, any finite one."""


@dataclass(frozen=True, kw_only=True, eq=False)
class GreyFrames:
    """The grey pictures that a DAVIS takes beside its events.

    Attributes:
        images: ``[M, H, W]`` uint8, raw view.
        t_us: ``[M]`` stamps on the clock of the events, increasing.
    """

    images: npt.NDArray[np.uint8]
    t_us: npt.NDArray[np.int64]


def write_mvsec(
    path: str | Path,
    *,
    sequence: str,
    left: Events,
    right: Events,
    lenses: Mapping[Camera, FisheyeLens],
    calibration: Calibration,
    disparity: npt.NDArray[np.float32],
    disparity_t_us: npt.NDArray[np.int64],
    t_offset_us: int,
    width: int,
    height: int,
    frames: Mapping[Camera, GreyFrames] | None = None,
    split: Split | None = None,
    generated: Mapping[str, Any] | None = None,
) -> None:
    """Write the folder of a scene with one sequence, completely or not at all.

    It holds ``<sequence>_data.hdf5``, ``<sequence>_gt.hdf5`` and ``<scene>_calib/`` with the
    camchain yaml and the four map files. Ground truth is stored as depth, ``f B / disparity``
    float32, NaN where there is none.

    Args:
        path: the folder to make.
        sequence: name with a number, not that of a sequence of MVSEC.
        left: raw events at pixels of the distorted view.
        right: the same of the right camera.
        lenses: the raw cameras, from which the maps follow.
        calibration: of the rectified pair.
        disparity: ``[K, H, W]`` pixels of the left rectified view, 0 = none.
        disparity_t_us: ``[K]`` stamps on the clock of the events, increasing.
        t_offset_us: added to every time; events and stamps then are unix microseconds.
        width: columns of both sensors.
        height: rows of both sensors.
        frames: grey pictures of some cameras; MVSEC's readers look for ``image_raw``.
        split: which frames are for training, validation and test; the published ranges begin after
            the end of a short sample.
        generated: how the recording was made; kept in ``generated.json``, by which everything
            that reads it knows that its numbers are not those of a real recording.

    Raises:
        RecordingError: ``path`` exists, or something cannot be stored in this layout.
    """
    _check_name(sequence)
    events: dict[Camera, Events] = {"left": left, "right": right}
    for camera, record in events.items():
        check_events(camera, record, width, height, "MVSEC")
        _check_times(camera, record, t_offset_us)
    check_truth(disparity, disparity_t_us, width, height, LARGEST_DISPARITY)
    scene = scene_of(sequence)
    with new_folder(Path(path)) as folder:
        with h5py.File(folder / f"{sequence}{DATA_END}", "w") as file:
            for camera, record in events.items():
                _write_events(file, camera, record, t_offset_us)
            for camera, grey in (frames or {}).items():
                _write_frames(file, camera, grey, events[camera].t, t_offset_us)
        if disparity_t_us.size:
            with h5py.File(folder / f"{sequence}{TRUTH_END}", "w") as file:
                _write_truth(file, disparity, disparity_t_us + t_offset_us, calibration.fb)
        place = folder / f"{scene}_calib"
        place.mkdir()
        content = camchain(lenses, calibration, width, height)
        text = yaml.safe_dump(content, sort_keys=False)
        (place / f"camchain-imucam-{scene}.yaml").write_text(text, encoding="utf-8")
        for camera in CAMERAS:
            pixels = lenses[camera].rectify_map(calibration, width, height)
            write_maps(place, scene, camera, pixels)
        if split is not None:
            split.save(folder / f"{sequence}{SPLIT_FILE}")
        write_mark(folder, generated)


def _write_events(file: h5py.File, camera: Camera, events: Events, t_offset_us: int) -> None:
    """Write the table of one camera."""
    table = np.empty((len(events), 4), np.float64)
    table[:, 0], table[:, 1] = events.x, events.y
    # Divided, not multiplied by 1e-6: the nearest number, from which the microsecond comes back.
    table[:, 2] = (events.t + t_offset_us) / 1e6
    table[:, 3] = np.where(events.p, 1.0, -1.0)
    rows = min(CHUNK_ROWS, len(events))
    file.create_dataset(
        f"davis/{camera}/events", data=table, chunks=(rows, 4), compression="gzip",
        compression_opts=4, shuffle=True,
    )  # fmt: skip


def _write_frames(
    file: h5py.File,
    camera: Camera,
    grey: GreyFrames,
    event_t_us: npt.NDArray[np.int64],
    t_offset_us: int,
) -> None:
    """Write the pictures of one camera, their stamps and the nearest event of each."""
    after = np.clip(np.searchsorted(event_t_us, grey.t_us), 1, max(event_t_us.size - 1, 1))
    before = after - 1
    nearer = grey.t_us - event_t_us[before] <= event_t_us[after] - grey.t_us
    name = f"davis/{camera}/image_raw"
    file.create_dataset(name, data=grey.images, compression="gzip", shuffle=True)
    file.create_dataset(f"{name}_ts", data=(grey.t_us + t_offset_us) / 1e6)
    file.create_dataset(f"{name}_event_inds", data=np.where(nearer, before, after).astype(np.int64))


def _write_truth(
    file: h5py.File,
    disparity: npt.NDArray[np.float32],
    stamps: npt.NDArray[np.int64],
    fb_px_m: float,
) -> None:
    """Write the depth images and their absolute stamps."""
    known = disparity > 0
    depth = np.full(disparity.shape, np.nan, np.float32)
    depth[known] = fb_px_m / disparity[known].astype(np.float64)
    file.create_dataset(
        IMAGES, data=depth, chunks=(1, *depth.shape[1:]), compression="gzip", shuffle=True
    )
    file.create_dataset(STAMPS, data=stamps / 1e6)


def _check_name(sequence: str) -> None:
    """Refuse names that cannot be told from real ones, or that readers could not take apart."""
    scene = scene_of(sequence)
    if scene in FOCAL_TIMES_BASELINE:
        raise RecordingError(
            f"{sequence!r} is a sequence of MVSEC itself. Choose another name, so that nobody "
            "takes what is written here for it."
        )
    if scene == sequence or not scene or not all(c.isalnum() or c == "_" for c in sequence):
        raise RecordingError(
            f"{sequence!r} is no name of a sequence. Expected letters, digits and underscores, and "
            "a number at the end, such as generated_room1."
        )


def _check_times(camera: Camera, events: Events, t_offset_us: int) -> None:
    """Refuse times that the layout cannot hold."""
    if len(events) == 0:
        raise RecordingError(f"There are no {camera} events. MVSEC's readers need both cameras.")
    ends = int(events.t[0]) + t_offset_us, int(events.t[-1]) + t_offset_us
    if ends[0] < 0 or ends[1] > 2**32 * 1_000_000:
        raise RecordingError(
            f"The {camera} events run from {ends[0]} to {ends[1]} us. MVSEC stores unix seconds, 0 "
            "to 2**32; choose another t_offset_us."
        )
