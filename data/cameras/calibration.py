"""Calibration files for recordings that have none of their own.

Three kinds are known by what they hold: our own (keys ``left``, ``right``, ``right_from_left``),
DSEC's ``cam_to_cam.yaml``, and Kalibr's or MVSEC's camchain (``cam0``, ``cam1``). Where the file
says how the views were rectified, that is used; otherwise OpenCV rectifies the pair here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import yaml

from data.camera import Calibration, FisheyeLens, Lens
from data.errors import RecordingError
from data.recording import CAMERAS, Camera

F64 = npt.NDArray[np.float64]
Size = tuple[int, int]

LENSES: dict[str, type[Lens]] = {Lens.model: Lens, FisheyeLens.model: FisheyeLens}
"""Distortion models by their name in files."""

LONGEST_FILE = 1 << 20
"""Bytes; a calibration takes a few thousand."""

EXPECTED = (
    "Expected our own calibration (left and right, each with resolution, camera_matrix, "
    "distortion_model and distortion_coeffs; right_from_left with rotation and translation_m), "
    "DSEC's cam_to_cam.yaml, or a camchain yaml of Kalibr or MVSEC (cam0 and cam1)"
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Geometry:
    """A rectified pair: its calibration, and the way there from the raw pixels.

    Attributes:
        calibration: of the rectified pair.
        maps: forward maps ``[H, W, 2]``.
        lenses: the raw cameras.
    """

    calibration: Calibration
    maps: dict[Camera, npt.NDArray[np.float32]]
    lenses: dict[Camera, Lens]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Raw:
    """One camera as a file describes it, before rectification."""

    model: str
    matrix: tuple[float, float, float, float]
    coefficients: tuple[float, float, float, float]
    size: Size

    def lens(self, rotation: F64) -> Lens:
        return LENSES[self.model](
            camera_matrix=self.matrix, distortion=self.coefficients, rotation=rotation
        )


def read_geometry(path: str | Path, size: Size | None = None) -> Geometry:
    """Read a calibration file of any known kind.

    Args:
        path: the file.
        size: width and height of the sensors of the recording; None takes the file's.

    Raises:
        RecordingError: no such file, no known kind, impossible numbers, or other sensors.
    """
    path = Path(path).expanduser()
    content = _load(path)
    try:
        found, lenses, sizes = _geometry(content)
    except RecordingError as error:
        raise RecordingError(f"{path}: {error}") from error
    except (
        KeyError, TypeError, ValueError, OverflowError, AttributeError, IndexError, cv2.error,
    ) as error:  # fmt: skip
        reason = " ".join(str(error).split())
        raise RecordingError(
            f"{path} is no usable calibration ({type(error).__name__}: {reason:.200}). {EXPECTED}."
        ) from error
    wanted = size or sizes["left"]
    for camera in CAMERAS:
        if sizes[camera] != wanted:
            raise RecordingError(
                f"{path} is the calibration of a {camera} sensor of {sizes[camera]} (width, "
                f"height), but the recording has {wanted}. Give the calibration of these cameras, "
                "or the right size of the sensor (--width and --height)."
            )
    maps = {c: lenses[c].rectify_map(found, *wanted) for c in CAMERAS}
    for camera in CAMERAS:
        if not np.isfinite(maps[camera]).all():
            raise RecordingError(
                f"{path}: the lens of the {camera} camera cannot be inverted over its whole "
                "sensor. Check camera_matrix, distortion_model and distortion_coeffs."
            )
    return Geometry(calibration=found, maps=maps, lenses=lenses)


def stated_resolution(path: str | Path) -> Size | None:
    """Return width and height of the left sensor that a calibration states, None if unreadable."""
    try:
        _, _, sizes = _geometry(_load(Path(path).expanduser()))
    except (
        KeyError, TypeError, ValueError, OverflowError, AttributeError, IndexError, cv2.error,
    ):  # fmt: skip
        return None
    return sizes["left"]


def _load(path: Path) -> Mapping[str, Any]:
    """Return the content of a YAML file."""
    if not path.is_file():
        raise RecordingError(f"There is no calibration file {path}. {EXPECTED}.")
    if path.stat().st_size > LONGEST_FILE:
        raise RecordingError(f"{path} is too large for a calibration file. {EXPECTED}.")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise RecordingError(f"{path} is no YAML ({reason:.200}). {EXPECTED}.") from error
    if not isinstance(content, Mapping):
        raise RecordingError(f"{path} holds no keys. {EXPECTED}.")
    return content


Found = tuple[Calibration, dict[Camera, Lens], dict[Camera, Size]]


def _geometry(content: Mapping[str, Any]) -> Found:
    """Return calibration, lenses and sensor sizes; wrong content raises one of several errors."""
    if "disparity_to_depth" in content:
        return _dsec(content)
    if "right_from_left" in content:
        raws = {c: _raw(content[c], "camera_matrix") for c in CAMERAS}
        turn = _numbers(content["right_from_left"]["rotation"])
        move = _numbers(content["right_from_left"]["translation_m"], (3,))
        return _rectify(raws, _rotation(turn), move)
    if "cam0" in content and "cam1" in content:
        return _camchain(content)
    raise ValueError(f"the keys {sorted(map(str, content))[:8]} belong to no known kind")


def _dsec(content: Mapping[str, Any]) -> Found:
    """DSEC: cam0 and cam3 are the event cameras, their rectification is given."""
    names: dict[Camera, str] = {"left": "0", "right": "3"}
    calibration = Calibration.from_q(_numbers(content["disparity_to_depth"]["cams_03"], (4, 4)))
    raws = {c: _raw(content["intrinsics"][f"cam{n}"], "camera_matrix") for c, n in names.items()}
    lenses = {
        c: raws[c].lens(_rotation(_numbers(content["extrinsics"][f"R_rect{n}"], (3, 3))))
        for c, n in names.items()
    }
    return calibration, lenses, {c: raws[c].size for c in CAMERAS}


def _camchain(content: Mapping[str, Any]) -> Found:
    """Kalibr's camchain; MVSEC's adds the rectification that belongs to its maps."""
    names: dict[Camera, str] = {"left": "cam0", "right": "cam1"}
    raws = {c: _raw(content[n], "intrinsics") for c, n in names.items()}
    if any("projection_matrix" not in content[n] for n in names.values()):
        step = _numbers(content["cam1"]["T_cn_cnm1"], (4, 4))
        return _rectify(raws, _rotation(step[:3, :3]), step[:3, 3])
    projections = {c: _numbers(content[n]["projection_matrix"], (3, 4)) for c, n in names.items()}
    left, right = projections["left"], projections["right"]
    if np.abs(left[:, :3] - right[:, :3]).max() > 1e-6 or left[0, 0] <= 0:
        raise ValueError("the two projection matrices are not of one rectified pair")
    calibration = Calibration(
        focal_px=float(left[0, 0]),
        cx_px=float(left[0, 2]),
        cy_px=float(left[1, 2]),
        baseline_m=-float(right[0, 3]) / float(left[0, 0]),
    )
    lenses = {
        c: raws[c].lens(_rotation(_numbers(content[n]["rectification_matrix"], (3, 3))))
        for c, n in names.items()
    }
    return calibration, lenses, {c: raws[c].size for c in CAMERAS}


def _raw(block: Mapping[str, Any], matrix_key: str) -> _Raw:
    """Return one camera of a file."""
    model = str(block.get("distortion_model", Lens.model))
    if model not in LENSES:
        raise ValueError(f"the distortion model {model!r} is none of {', '.join(LENSES)}")
    fx, fy, cx, cy = (float(v) for v in _numbers(block[matrix_key], (4,)))
    if fx <= 0 or fy <= 0:
        raise ValueError(f"the focal lengths {fx} and {fy} are not positive")
    k = [float(v) for v in _numbers(block["distortion_coeffs"], (4,))]
    width, height = (int(v) for v in _numbers(block["resolution"], (2,)))
    if not (0 < width <= 8192 and 0 < height <= 8192):
        raise ValueError(f"a resolution of {width} x {height} is not possible")
    return _Raw(
        model=model,
        matrix=(fx, fy, cx, cy),
        coefficients=(k[0], k[1], k[2], k[3]),
        size=(width, height),
    )


def _rectify(raws: Mapping[Camera, _Raw], turn: F64, move: F64) -> Found:
    """Rectify a pair with OpenCV's method (Bouguet): each camera turns half of the way.

    Args:
        raws: the two cameras.
        turn: ``[3, 3]``, left camera axes to right camera axes.
        move: ``[3]`` meters, the left camera's place in the right camera's axes.
    """
    left, right = raws["left"], raws["right"]
    if left.size != right.size:
        raise ValueError(f"the cameras have the resolutions {left.size} and {right.size}")
    # Equidistant coefficients mean nothing to this function; without them only the frame of the
    # rectified view differs, never its geometry.
    bent = all(raw.model == Lens.model for raw in raws.values())
    turns = cv2.stereoRectify(
        _matrix(left.matrix),
        np.array(left.coefficients if bent else (0.0,) * 4),
        _matrix(right.matrix),
        np.array(right.coefficients if bent else (0.0,) * 4),
        left.size,
        turn,
        move.reshape(3, 1),
        flags=cv2.CALIB_ZERO_DISPARITY,
        alpha=-1,
    )
    projection = np.asarray(turns[3], np.float64)
    if abs(projection[1, 3]) > abs(projection[0, 3]) or projection[0, 3] >= 0:
        raise ValueError(
            f"the right camera stands at {(-turn.T @ move).round(4).tolist()} m as the left camera "
            "sees it (x right, y down); expected it to the right. Exchange the two recordings, or "
            "invert rotation and translation"
        )
    calibration = Calibration(
        focal_px=float(projection[0, 0]),
        cx_px=float(projection[0, 2]),
        cy_px=float(projection[1, 2]),
        baseline_m=-float(projection[0, 3]) / float(projection[0, 0]),
    )
    lenses = {"left": left.lens(np.asarray(turns[0])), "right": right.lens(np.asarray(turns[1]))}
    return calibration, lenses, {c: raws[c].size for c in CAMERAS}  # type: ignore[return-value]


def _matrix(values: tuple[float, float, float, float]) -> F64:
    fx, fy, cx, cy = values
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float64)


def _rotation(values: F64) -> F64:
    """Return a ``[3, 3]`` rotation; three numbers are an axis times an angle in radians."""
    if values.shape == (3,):
        return np.asarray(cv2.Rodrigues(values)[0], np.float64)
    if values.shape != (3, 3) or np.abs(values @ values.T - np.eye(3)).max() > 1e-4:
        raise ValueError(f"{values.tolist()} is no rotation")
    if np.linalg.det(values) < 0:
        raise ValueError(f"{values.tolist()} mirrors")
    return values


def _numbers(values: Any, shape: tuple[int, ...] | None = None) -> F64:
    """Return finite numbers of a shape."""
    array = np.array(values, np.float64)
    if (shape is not None and array.shape != shape) or not np.isfinite(array).all():
        raise ValueError(f"expected finite numbers of shape {shape}, got {values!r:.200}")
    return array
