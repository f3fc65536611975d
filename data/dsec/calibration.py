"""DSEC's calibration: read what depth and rectification need, write what loaders look for.

cam0 = left event, cam1 = left frame, cam2 = right frame, cam3 = right event camera; camRectN is the
rectified view of camN. ``T_XY`` takes points of camera Y to camera X, ``R_rectN`` points of camN to
camRectN; lengths in meters.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import yaml

from data.camera import Calibration, Lens
from data.dsec.stamps import read_text
from data.errors import RecordingError
from data.recording import Camera

FRAME_SCALE = 2.25
"""Frame pixels per event pixel: 1440 x 1080 beside 640 x 480."""

FRAME_PLACES = (0.075, 0.925)
"""Where the frame cameras stand between the event cameras, as shares of the event baseline."""

EVENT_CAMERAS: Mapping[Camera, int] = {"left": 0, "right": 3}
"""Numbers of the event cameras."""

LARGEST_TEXT = 1 << 17
"""Characters of a calibration; a real one has 7000."""

LARGEST_DEPTH = 4000
"""Characters of a line, and brackets of a file: neither allows deeper nesting, which YAML's parsers
follow by recursion."""

LARGEST_BASELINE_M = 1e4

LARGEST_FOCAL_PX = 1e6

LARGEST_ERROR_PX = 0.1
"""Of a rectify map that is made here; it is 5e-4 for the lenses of DSEC."""

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class RawView:
    """One event camera of the file: its lens, its size, and its rectified view.

    Attributes:
        lens: the raw camera.
        width: columns.
        height: rows.
        rectified: focal length and principal point of the rectified view (camRect).
    """

    lens: Lens
    width: int
    height: int
    rectified: Calibration

    def rectify_map(self) -> npt.NDArray[np.float32]:
        """Return ``[H, W, 2]`` float32, the forward map as in ``rectify_map.h5``.

        Raises:
            RecordingError: a lens model that cannot be inverted on this image.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            forward = self.lens.rectify_map(self.rectified, self.width, self.height)
            error_px = self._error_px(forward)
        # Written so that NaN fails too.
        if not error_px < LARGEST_ERROR_PX:
            raise RecordingError(
                f"The lens with camera matrix {self.lens.camera_matrix} and distortion "
                f"{self.lens.distortion} cannot be undone: pixels come back {error_px} px away. "
                "The calibration is damaged, or not of this camera."
            )
        return forward

    def _error_px(self, forward: npt.NDArray[np.float32]) -> float:
        """Return how far from its raw pixel a rectified one is at most, when bent again."""
        focal = self.rectified.focal_px
        rays = np.ones((self.height * self.width, 3))
        rays[:, 0] = (forward[..., 0].ravel() - self.rectified.cx_px) / focal
        rays[:, 1] = (forward[..., 1].ravel() - self.rectified.cy_px) / focal
        fx, fy, cx, cy = self.lens.camera_matrix
        matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float64)
        raw, _ = cv2.projectPoints(
            rays @ self.lens.rotation, np.zeros(3), np.zeros(3), matrix,
            np.asarray(self.lens.distortion),
        )  # fmt: skip
        y, x = np.mgrid[: self.height, : self.width]
        pixels = np.stack([x, y], axis=-1).reshape(-1, 2)
        return float(np.abs(raw.reshape(-1, 2) - pixels).max())


def read_calibration(path: Path) -> Calibration:
    """Return the calibration of the rectified event pair, from ``disparity_to_depth/cams_03``.

    Raises:
        RecordingError: a file that is no YAML, lacks the matrix, or holds an impossible one.
    """
    content = _content(path)
    q = _numbers(path, content, "disparity_to_depth/cams_03", (4, 4))
    try:
        calibration = Calibration.from_q(q)
    except RecordingError as error:
        raise RecordingError(f"{path}, disparity_to_depth/cams_03: {error}") from error
    if not (
        calibration.baseline_m < LARGEST_BASELINE_M and calibration.focal_px < LARGEST_FOCAL_PX
    ):
        raise RecordingError(
            f"{path}, disparity_to_depth/cams_03: a baseline of {calibration.baseline_m} m and a "
            f"focal length of {calibration.focal_px} px are beyond any camera. Copy the file again."
        )
    return calibration


def read_views(path: Path) -> dict[Camera, RawView]:
    """Return the raw views of both event cameras, enough to make their rectify maps.

    Raises:
        RecordingError: a file that is no YAML, lacks an entry, or holds impossible ones.
    """
    content, baseline_m = _content(path), read_calibration(path).baseline_m
    views: dict[Camera, RawView] = {}
    for camera, n in EVENT_CAMERAS.items():
        place = f"intrinsics/cam{n}"
        camera_matrix = _numbers(path, content, f"{place}/camera_matrix", (4,))
        distortion = _numbers(path, content, f"{place}/distortion_coeffs", (4,))
        size = _numbers(path, content, f"{place}/resolution", (2,))
        rotation = _numbers(path, content, f"extrinsics/R_rect{n}", (3, 3))
        new = _numbers(path, content, f"intrinsics/camRect{n}/camera_matrix", (4,))
        model = _entry(path, content, f"{place}/distortion_model")
        width, height = int(size[0]), int(size[1])
        if model != "radtan" or (width, height) != tuple(size) or min(width, height) < 1:
            raise RecordingError(
                f"{path}, {place}: distortion model {str(model)[:20]!r}, resolution "
                f"{size.tolist()}. Expected 'radtan' and whole columns and rows."
            )
        if not (min(*camera_matrix[:2], *new[:2]) > 0 and abs(new[0] - new[1]) <= 1e-6 * new[0]):
            raise RecordingError(
                f"{path}: cam{n} has the camera matrix {camera_matrix.tolist()} and camRect{n} "
                f"{new.tolist()}. Expected positive focal lengths, both of camRect{n} equal."
            )
        _check_rotation(path, f"extrinsics/R_rect{n}", rotation)
        fx, fy, cx, cy = (float(value) for value in camera_matrix)
        k1, k2, p1, p2 = (float(value) for value in distortion)
        views[camera] = RawView(
            lens=Lens(camera_matrix=(fx, fy, cx, cy), distortion=(k1, k2, p1, p2),
                      rotation=rotation),
            width=width, height=height,
            rectified=Calibration(focal_px=float(new[0]), cx_px=float(new[2]),
                                  cy_px=float(new[3]), baseline_m=baseline_m),
        )  # fmt: skip
    return views


def read_cam_to_lidar(path: Path) -> F64:
    """Return ``T_lidar_camRect1`` ``[4, 4]``: points of the rectified left frame camera to LiDAR.

    Raises:
        RecordingError: a file that is no YAML, or holds no rigid motion under this name.
    """
    name = "T_lidar_camRect1"
    transform = _numbers(path, _content(path), name, (4, 4))
    _check_rotation(path, name, transform[:3, :3])
    if (transform[3] != (0, 0, 0, 1)).any():
        raise RecordingError(f"{path}, {name}: the last row is {transform[3]}, not 0 0 0 1.")
    return transform


def cam_to_cam(
    lenses: Mapping[Camera, Lens], calibration: Calibration, width: int, height: int
) -> dict[str, Any]:
    """Return the content of ``cam_to_cam.yaml`` for an event pair, ready for YAML.

    DSEC has two frame cameras between its event cameras, and loaders expect their keys. Here they
    are ideal: without distortion, parallel to the rectified event views, on the same baseline.

    Args:
        lenses: the two event cameras.
        calibration: of the rectified event pair.
        width: columns of the event cameras.
        height: rows of the event cameras.
    """
    size, frame_size = (width, height), (round(width * FRAME_SCALE), round(height * FRAME_SCALE))
    frame = _frame_calibration(calibration)
    ideal = Lens(camera_matrix=_matrix(frame), distortion=(0.0,) * 4, rotation=np.eye(3))
    cameras = (lenses["left"], ideal, ideal, lenses["right"])
    steps = _transforms(lenses, calibration)
    intrinsics: dict[str, Any] = {}
    for n, lens in enumerate(cameras):
        is_event = n in (0, 3)
        common = {
            "camera_type": "event" if is_event else "frame",
            "camera_location": "left" if n < 2 else "right",
            "camera_model": "pinhole",
            "resolution": list(size if is_event else frame_size),
        }
        intrinsics[f"cam{n}"] = common | {
            "is_rectified": False,
            "distortion_coeffs": list(lens.distortion),
            "distortion_model": "radtan",
            "camera_matrix": list(lens.camera_matrix),
        }
        if n:
            intrinsics[f"cam{n}"]["T_cn_cnm1"] = steps[n - 1].tolist()
        intrinsics[f"camRect{n}"] = common | {
            "is_rectified": True,
            "camera_matrix": list(_matrix(calibration if is_event else frame)),
        }
    extrinsics = {f"T_{n}{n - 1}": steps[n - 1].tolist() for n in (1, 2, 3)}
    extrinsics |= {f"R_rect{n}": lens.rotation.tolist() for n, lens in enumerate(cameras)}
    return {
        "intrinsics": intrinsics,
        "extrinsics": extrinsics,
        "disparity_to_depth": {"cams_03": calibration.q.tolist(), "cams_12": frame.q.tolist()},
    }


def _matrix(calibration: Calibration) -> tuple[float, float, float, float]:
    """Return ``(fx, fy, cx, cy)`` of the rectified view."""
    return calibration.focal_px, calibration.focal_px, calibration.cx_px, calibration.cy_px


def _frame_calibration(events: Calibration) -> Calibration:
    """Return the calibration of the frame pair that stands between the event cameras."""
    near, far = FRAME_PLACES
    # Pixel centers are whole numbers, so the image begins at -0.5 at either scale.
    return Calibration(
        focal_px=events.focal_px * FRAME_SCALE,
        cx_px=(events.cx_px + 0.5) * FRAME_SCALE - 0.5,
        cy_px=(events.cy_px + 0.5) * FRAME_SCALE - 0.5,
        baseline_m=events.baseline_m * (far - near),
    )


def _transforms(lenses: Mapping[Camera, Lens], calibration: Calibration) -> tuple[F64, F64, F64]:
    """Return T_10, T_21 and T_32, each ``[4, 4]``.

    In the rectified axes, which all four views share, camera N stands at ``(place, 0, 0)``.
    """
    places = [0.0, *(share * calibration.baseline_m for share in FRAME_PLACES)]
    places.append(calibration.baseline_m)
    to_rectified = (lenses["left"].rotation, np.eye(3), np.eye(3), lenses["right"].rotation)

    def step(n: int) -> F64:
        back = to_rectified[n].T
        transform = np.eye(4)
        transform[:3, :3] = back @ to_rectified[n - 1]
        transform[:3, 3] = back @ (places[n - 1] - places[n], 0.0, 0.0)
        return transform

    return step(1), step(2), step(3)


def _content(path: Path) -> Any:
    """Return what the YAML file holds."""
    text = read_text(path)
    longest = max(map(len, text.splitlines()), default=0)
    if max(longest, text.count("["), text.count("{")) > LARGEST_DEPTH or len(text) > LARGEST_TEXT:
        raise RecordingError(
            f"{path} has {len(text)} characters, {longest} of them in one line. Expected a "
            "calibration of some 7000; copy it again."
        )
    # The parser in C takes 4 ms for a real file, the other one 30; it is part of most builds.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return yaml.load(text, Loader=loader)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise RecordingError(
            f"{path} is no YAML ({type(error).__name__}: {reason}). Copy or download it again."
        ) from error


def _entry(path: Path, content: Any, place: str) -> Any:
    """Return the entry at a place such as ``extrinsics/R_rect0``."""
    for key in place.split("/"):
        if not isinstance(content, dict) or key not in content:
            raise RecordingError(
                f"{path} has no usable {place} ({key} is missing). Expected DSEC's calibration; "
                "copy the file again, or remove it to work without."
            )
        content = content[key]
    return content


def _numbers(path: Path, content: Any, place: str, shape: tuple[int, ...]) -> F64:
    """Return the array at a place; looks at no more of it than the shape allows."""
    entry = _entry(path, content, place)

    def fits(part: Any, sizes: tuple[int, ...]) -> bool:
        if not sizes:
            return isinstance(part, int | float) and abs(part) < float("inf")
        return (
            isinstance(part, list)
            and len(part) == sizes[0]
            and all(fits(item, sizes[1:]) for item in part)
        )

    if not fits(entry, shape):
        raise RecordingError(
            f"{path} has no usable {place} (it is no such array). Expected "
            f"{' x '.join(map(str, shape))} finite numbers; copy the file again, or remove it to "
            "work without."
        )
    try:
        return np.array(entry, np.float64)
    except OverflowError as error:
        raise RecordingError(f"{path}, {place}: {error}. Copy the file again.") from error


def _check_rotation(path: Path, place: str, rotation: F64) -> None:
    """Refuse a matrix that does not rotate; published ones are exact to 1e-9."""
    # Large entries first: their products would overflow.
    usable = np.abs(rotation).max() < 2 and np.abs(rotation @ rotation.T - np.eye(3)).max() < 1e-3
    if not (usable and np.linalg.det(rotation) > 0):
        raise RecordingError(
            f"{path}, {place}: {rotation.tolist()} is no rotation. Copy the file again."
        )
