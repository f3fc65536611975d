"""MVSEC's calibration: ``camchain-imucam-<scene>.yaml`` and the rectification maps as text.

cam0 is the left, cam1 the right DAVIS. ``projection_matrix`` of cam1 holds ``-f B`` at [0][3];
``rectification_matrix`` takes camera axes to rectified axes, ``T_cn_cnm1`` points of cam0 to cam1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from data.camera import Calibration, FisheyeLens, Lens
from data.errors import RecordingError
from data.recording import CAMERAS, Camera

F64 = npt.NDArray[np.float64]

YAML_NAMES: dict[Camera, str] = {"left": "cam0", "right": "cam1"}

MOST_PIXELS = 1 << 22
"""A claimed sensor larger than this is damage: its maps alone would fill the memory."""

SAME_VIEW_PX = 1e-6
"""How far the two rectified views may differ in focal length and principal point."""

MAP_DECIMALS = 4
"""Digits after the point in the published map files."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CamChain:
    """What ``camchain-imucam-<scene>.yaml`` says.

    Attributes:
        calibration: of the rectified pair.
        lenses: the raw cameras.
        width: columns of each sensor.
        height: rows.
    """

    calibration: Calibration
    lenses: dict[Camera, FisheyeLens]
    width: int
    height: int


def read_camchain(path: Path) -> CamChain:
    """Read the calibration of a scene.

    Raises:
        RecordingError: a file that is no YAML, lacks a key, or describes no rectified pair.
    """
    try:
        # The same as safe_load, ten times as fast where PyYAML was built with its C library.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        content = yaml.load(path.read_text(encoding="utf-8"), loader)
        return _camchain(content)
    except (
        OSError, yaml.YAMLError, KeyError, TypeError, ValueError, OverflowError, AttributeError,
        IndexError, RecursionError,
    ) as error:  # fmt: skip
        reason = " ".join(str(error).split()) or type(error).__name__
        raise RecordingError(
            f"{path} is no usable calibration ({type(error).__name__}: {reason}). Expected MVSEC's "
            "camchain yaml with cam0 and cam1, each with intrinsics, equidistant "
            "distortion_coeffs, resolution, projection_matrix and rectification_matrix; copy the "
            "file again, or remove it to work without calibration."
        ) from error


def camchain(
    lenses: Mapping[Camera, Lens], calibration: Calibration, width: int, height: int
) -> dict[str, Any]:
    """Return the content of the yaml for an event pair."""
    left, right = (lenses[camera].rotation for camera in CAMERAS)
    # In rectified axes, which both cameras share, the right one stands at (b, 0, 0).
    step = np.eye(4)
    step[:3, :3] = right.T @ left
    step[:3, 3] = right.T @ np.array([-calibration.baseline_m, 0.0, 0.0])
    content: dict[str, Any] = {}
    for camera, name in YAML_NAMES.items():
        lens = lenses[camera]
        projection = np.zeros((3, 4))
        projection[0, 0] = projection[1, 1] = calibration.focal_px
        projection[:, 2] = calibration.cx_px, calibration.cy_px, 1.0
        projection[0, 3] = 0.0 if camera == "left" else -calibration.fb
        content[name] = {
            "projection_matrix": projection.tolist(),
            "rectification_matrix": lens.rotation.tolist(),
            "camera_model": "pinhole",
            "distortion_coeffs": list(lens.distortion),
            "distortion_model": lens.model,
            "intrinsics": list(lens.camera_matrix),
            "resolution": [width, height],
            "rostopic": f"/davis/{camera}/image_raw",
        }
    content["cam1"]["T_cn_cnm1"] = step.tolist()
    return content


def read_maps(paths: Mapping[str, Path], camera: Camera) -> npt.NDArray[np.float32]:
    """Return ``[H, W, 2]`` float32 from a camera's two map files.

    ``map[y, x]`` is the rectified ``(x, y)`` of the raw pixel (x, y).

    Raises:
        RecordingError: text that is no table of finite numbers, or two tables of different sizes.
    """
    tables = [_read_table(paths[f"{camera}_{axis}"]) for axis in "xy"]
    if tables[0].shape != tables[1].shape:
        raise RecordingError(
            f"The rectification maps of the {camera} camera have the sizes {tables[0].shape} and "
            f"{tables[1].shape} ({paths[f'{camera}_x']}). Expected one number for each pixel of "
            "the sensor in both; unpack the calibration again."
        )
    return np.stack(tables, axis=-1).astype(np.float32)


def write_maps(folder: Path, scene: str, camera: Camera, pixels: npt.NDArray[np.float32]) -> None:
    """Write a map ``[H, W, 2]`` as MVSEC's two text files, four decimals."""
    for axis, name in enumerate("xy"):
        path = folder / f"{scene}_{camera}_{name}_map.txt"
        np.savetxt(path, pixels[..., axis], fmt=f"%.{MAP_DECIMALS}f")


def _camchain(content: Any) -> CamChain:
    """Return the checked content; whatever is wrong raises one of the errors caught above."""
    lenses: dict[Camera, FisheyeLens] = {}
    projections: dict[Camera, F64] = {}
    sizes: dict[Camera, tuple[int, int]] = {}
    for camera, name in YAML_NAMES.items():
        block = content[name]
        if block["distortion_model"] != FisheyeLens.model:
            raise ValueError(f"{name} has the distortion model {block['distortion_model']!r}")
        fx, fy, cx, cy = (float(v) for v in _numbers(block["intrinsics"], (4,)))
        k1, k2, k3, k4 = (float(v) for v in _numbers(block["distortion_coeffs"], (4,)))
        lenses[camera] = FisheyeLens(
            camera_matrix=(fx, fy, cx, cy),
            distortion=(k1, k2, k3, k4),
            rotation=_numbers(block["rectification_matrix"], (3, 3)),
        )
        projections[camera] = _numbers(block["projection_matrix"], (3, 4))
        width, height = _numbers(block["resolution"], (2,))
        sizes[camera] = int(width), int(height)
    width_px, height_px = sizes["left"]
    if sizes["left"] != sizes["right"] or not (
        width_px > 0 and height_px > 0 and width_px * height_px <= MOST_PIXELS
    ):
        raise ValueError(f"the resolutions are {sizes['left']} and {sizes['right']}")
    left, right = projections["left"], projections["right"]
    if np.abs(left[:, :3] - right[:, :3]).max() > SAME_VIEW_PX or left[0, 0] != left[1, 1]:
        raise ValueError("the two projection matrices are not of one rectified pair")
    focal = float(left[0, 0])
    if focal == 0:
        raise ValueError("the focal length is 0")
    calibration = Calibration(
        focal_px=focal,
        cx_px=float(left[0, 2]),
        cy_px=float(left[1, 2]),
        baseline_m=-float(right[0, 3]) / focal,
    )
    return CamChain(calibration=calibration, lenses=lenses, width=width_px, height=height_px)


def _numbers(values: Any, shape: tuple[int, ...]) -> F64:
    """Return finite numbers of a shape."""
    array = np.array(values, np.float64)
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"expected finite numbers of shape {shape}, got {values!r:.200}")
    return array


def _read_table(path: Path) -> F64:
    """Return the ``[H, W]`` numbers of a map file."""
    try:
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
        table = np.array([line for line in lines if line], np.float64)
    except (OSError, ValueError) as error:
        raise RecordingError(
            f"{path} cannot be read as a table of numbers ({' '.join(str(error).split())}). "
            "Expected one row per row of the sensor; unpack the calibration again."
        ) from error
    if table.ndim != 2 or table.size == 0 or not np.isfinite(table).all():
        raise RecordingError(
            f"{path} holds {'NaN or infinity' if table.size else 'nothing'}. Expected one "
            "rectified coordinate for each pixel of the sensor; unpack the calibration again."
        )
    return table
