"""DSEC's ``cam_to_cam.yaml``: read what depth needs, write everything that loaders look for.

cam0 = left event, cam1 = left frame, cam2 = right frame, cam3 = right event camera; camRectN is the
rectified view of camN. ``T_XY`` takes points of camera Y to camera X, ``R_rectN`` points of camN to
camRectN; lengths in meters.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from data.camera import Calibration, Lens
from data.errors import RecordingError
from data.recording import Camera

FRAME_SCALE = 2.25
"""Frame pixels per event pixel: 1440 x 1080 beside 640 x 480."""

FRAME_PLACES = (0.075, 0.925)
"""Where the frame cameras stand between the event cameras, as shares of the event baseline."""

F64 = npt.NDArray[np.float64]


def read_calibration(path: Path) -> Calibration:
    """Return the calibration of the rectified event pair, from ``disparity_to_depth/cams_03``.

    Raises:
        RecordingError: a file that is no YAML, lacks the matrix, or holds an impossible one.
    """
    try:
        content = yaml.safe_load(path.read_text())
        q = np.array(content["disparity_to_depth"]["cams_03"], np.float64)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise RecordingError(
            f"{path} has no usable disparity_to_depth/cams_03 ({type(error).__name__}: {reason}). "
            "Expected DSEC's cam_to_cam.yaml with a 4 x 4 matrix there; copy the file again, or "
            "remove it to work without depth."
        ) from error
    try:
        return Calibration.from_q(q)
    except RecordingError as error:
        raise RecordingError(f"{path}, disparity_to_depth/cams_03: {error}") from error


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
