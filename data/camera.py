"""Calibration of a rectified stereo pair, and disparity <-> depth."""

from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
import numpy.typing as npt

from data.errors import RecordingError


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """A rectified stereo pair of pinhole cameras.

    Attributes:
        focal_px: focal length in pixels, equal for both rectified views.
        cx_px: column of the principal point, left rectified view.
        cy_px: row of the principal point.
        baseline_m: distance between the cameras in meters, positive.
    """

    focal_px: float
    cx_px: float
    cy_px: float
    baseline_m: float

    def __post_init__(self) -> None:
        """Refuse a geometry that has no depth."""
        if not (self.focal_px > 0 and self.baseline_m > 0):
            raise RecordingError(
                "A calibration needs a positive focal length and baseline, got "
                f"{self.focal_px} px and {self.baseline_m} m."
            )

    @property
    def fb(self) -> float:
        """Focal length times baseline, in pixel meters."""
        return self.focal_px * self.baseline_m

    @property
    def q(self) -> npt.NDArray[np.float64]:
        """The ``[4, 4]`` matrix that takes ``(x, y, disparity, 1)`` to homogeneous meters.

        Rows ``(1,0,0,-cx)``, ``(0,1,0,-cy)``, ``(0,0,0,f)``, ``(0,0,1/b,0)``, as in DSEC's
        ``disparity_to_depth`` and OpenCV's ``reprojectImageTo3D``.
        """
        q = np.zeros((4, 4))
        q[0, 0] = q[1, 1] = 1.0
        q[:3, 3] = -self.cx_px, -self.cy_px, self.focal_px
        q[3, 2] = 1.0 / self.baseline_m
        return q

    @classmethod
    def from_q(cls, q: npt.NDArray[np.float64]) -> "Calibration":
        """Build the calibration from a matrix as ``q`` returns it.

        Raises:
            RecordingError: not such a matrix, or one whose views have different principal points.
        """
        if q.shape != (4, 4) or not np.isfinite(q).all() or q[3, 2] == 0 or abs(q[3, 3]) > 1e-9:
            raise RecordingError(
                "A disparity-to-depth matrix needs the rows (1,0,0,-cx), (0,1,0,-cy), (0,0,0,f), "
                f"(0,0,1/b,0), got {q.tolist()}. Rectify both views to one principal point."
            )
        return cls(
            focal_px=float(q[2, 3]),
            cx_px=-float(q[0, 3]),
            cy_px=-float(q[1, 3]),
            baseline_m=1.0 / float(q[3, 2]),
        )

    def depth_m(self, disparity_px: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return depth ``f b / d`` in meters, infinite where disparity is not positive."""
        depth = np.full(disparity_px.shape, np.inf, np.float32)
        np.divide(np.float32(self.fb), disparity_px, out=depth, where=disparity_px > 0)
        return depth


@dataclass(frozen=True, kw_only=True, eq=False)
class Lens:
    """One real camera of the pair: where a raw pixel looks, and how its view was rectified.

    Attributes:
        model: name of the distortion model in calibration files.
        camera_matrix: ``(fx, fy, cx, cy)`` of the raw view, pixels.
        distortion: ``(k1, k2, p1, p2)``, OpenCV's radial-tangential model.
        rotation: ``[3, 3]``, raw camera frame to rectified camera frame.
    """

    model: ClassVar[str] = "radtan"

    camera_matrix: tuple[float, float, float, float]
    distortion: tuple[float, float, float, float]
    rotation: npt.NDArray[np.float64]

    def rectify_map(
        self, calibration: Calibration, width: int, height: int
    ) -> npt.NDArray[np.float32]:
        """Return the forward map of DSEC's ``rectify_map.h5``.

        Returns:
            ``[H, W, 2]`` float32; ``map[y, x]`` is the sub-pixel ``(x, y)`` at which the raw pixel
            ``(x, y)`` lies in the rectified view. It is not a ``cv2.remap`` map.
        """
        fx, fy, cx, cy = self.camera_matrix
        raw = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float64)
        focal = calibration.focal_px
        new = np.array(
            [[focal, 0, calibration.cx_px], [0, focal, calibration.cy_px], [0, 0, 1]], np.float64
        )
        y, x = np.mgrid[0:height, 0:width]
        pixels = np.stack([x, y], axis=-1).reshape(-1, 1, 2).astype(np.float64)
        rectified = cv2.undistortPoints(
            pixels, raw, np.asarray(self.distortion), R=self.rotation, P=new
        )
        return rectified.reshape(height, width, 2).astype(np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class FisheyeLens(Lens):
    """A lens whose distortion acts on the angle, MVSEC's model ``equidistant``.

    A ray at the angle ``a`` to the axis meets the sensor at the radius
    ``a (1 + k1 a^2 + k2 a^4 + k3 a^6 + k4 a^8)``, in units of the focal length (Kannala and Brandt,
    PAMI 2006; OpenCV's ``fisheye``).

    Attributes:
        distortion: ``(k1, k2, k3, k4)``.
    """

    model: ClassVar[str] = "equidistant"
    steps: ClassVar[int] = 10
    """Fixed-point steps from radius to angle: those that made MVSEC's published maps.

    The OpenCV of that time took ten; more change the corners of a published map by 0.02 pixel.
    Measured: ten reproduce all four maps of indoor_flying to the four decimals that they have.
    """

    def rectify_map(
        self, calibration: Calibration, width: int, height: int
    ) -> npt.NDArray[np.float32]:
        """Return the forward map of MVSEC's ``*_x_map.txt`` and ``*_y_map.txt``.

        Returns:
            ``[H, W, 2]`` float32 as for any ``Lens``. Infinite or NaN where the lens formula has no
            answer, which happens with coefficients of no real lens only.
        """
        fx, fy, cx, cy = self.camera_matrix
        k1, k2, k3, k4 = self.distortion
        row, column = np.mgrid[0:height, 0:width].astype(np.float64)
        with np.errstate(all="ignore"):
            x, y = (column - cx) / fx, (row - cy) / fy
            radius = np.hypot(x, y)
            angle = radius
            for _ in range(self.steps):
                a = angle * angle
                angle = radius / (1 + a * (k1 + a * (k2 + a * (k3 + a * k4))))
            # On the axis the ratio has the limit 1.
            ratio = np.divide(np.tan(angle), radius, out=np.ones_like(radius), where=radius > 0)
            ray = np.stack([x * ratio, y * ratio, np.ones_like(x)], axis=-1) @ self.rotation.T
            pixel = ray[..., :2] / ray[..., 2:] * calibration.focal_px
            pixel += np.array([calibration.cx_px, calibration.cy_px])
            return pixel.astype(np.float32)
