"""Depth and points in meters from disparity, and the files that hold them.

Axes are those of the rectified left camera: x right, y down, z ahead.
"""

import io
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64, UInt8, UInt16

from data.camera import Calibration
from stereo.atomic import write_bytes

MILLIMETERS = 1000
"""Unit of depth images: a 16-bit PNG reaches 65.535 m."""

VERTEX = np.dtype(
    [(axis, "<f4") for axis in "xyz"] + [(color, "u1") for color in ("red", "green", "blue")]
)
"""One point of a PLY file."""

_TYPES = {"<f4": "float", "|u1": "uchar"}


def stored_depth(
    disparity: Float32[np.ndarray, "H W"], calibration: Calibration
) -> UInt16[np.ndarray, "H W"]:
    """Return depth as 16-bit PNGs hold it: millimeters, 0 for none or for more than 65.535 m.

    Args:
        disparity: ``[H, W]`` pixels; not positive or not finite = no estimate.
        calibration: of the recording.
    """
    depth = calibration.depth_m(_known(disparity)).astype(np.float64) * MILLIMETERS
    depth[~(depth < 2**16 - 0.5)] = 0
    return np.rint(depth).astype(np.uint16)


def points_m(
    disparity: Float32[np.ndarray, "H W"], calibration: Calibration, least_px: float = 1.0
) -> tuple[Float32[np.ndarray, "N 3"], Int64[np.ndarray, "N 2"]]:
    """Return the points that have an estimate, and their pixels (column, row).

    ``z = f b / d``, ``x = (u - cx) z / f``, ``y = (v - cy) z / f``.

    Args:
        disparity: ``[H, W]`` pixels; not positive or not finite = no estimate.
        calibration: of the recording.
        least_px: points of less disparity are left out: they lie anywhere up to infinity.
    """
    known = _known(disparity)
    rows, columns = np.nonzero((known > 0) & (known >= least_px))
    z = calibration.depth_m(known[rows, columns])
    x = (columns - calibration.cx_px) * z / calibration.focal_px
    y = (rows - calibration.cy_px) * z / calibration.focal_px
    points = np.stack([x, y, z], axis=1).astype(np.float32)
    return points, np.stack([columns, rows], axis=1)


def write_ply(
    path: Path, points: Float32[np.ndarray, "N 3"], colors: UInt8[np.ndarray, "N 3"]
) -> None:
    """Write a binary PLY file that appears whole or not at all.

    Args:
        path: of the file.
        points: meters.
        colors: red, green and blue.

    Reference: G. Turk, The PLY Polygon File Format, 1994.
    """
    vertices = np.empty(len(points), VERTEX)
    for place, axis in enumerate("xyz"):
        vertices[axis] = points[:, place]
    for place, color in enumerate(("red", "green", "blue")):
        vertices[color] = colors[:, place]
    head = ["ply", "format binary_little_endian 1.0", f"element vertex {len(points)}"]
    head += [f"property {_TYPES[str(VERTEX[name].str)]} {name}" for name in VERTEX.names or ()]
    file = io.BytesIO()
    file.write("\n".join([*head, "end_header", ""]).encode("ascii"))
    file.write(vertices.tobytes())
    write_bytes(path, file.getvalue())


def _known(disparity: Float32[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W"]:
    """Return disparity with 0 for no estimate."""
    return np.where(np.isfinite(disparity), disparity, np.float32(0))
