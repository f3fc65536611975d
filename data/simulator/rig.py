"""Two event cameras side by side: geometry, lenses, and the disparity they should see."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.camera import Calibration, Lens
from data.recording import Camera
from data.simulator.kernels import ground_truth
from data.simulator.rays import kernels as rays_kernels
from data.simulator.scene import Body, Scene, Shape, surface_points
from data.simulator.tables import frame_table, pyramid, solid_table


@dataclass(frozen=True, kw_only=True, eq=False)
class Rig:
    """A calibrated pair of event cameras.

    Attributes:
        calibration: of the rectified pair.
        width: columns of each sensor.
        height: rows of each sensor.
        lenses: the raw cameras; None for ideal cameras whose raw view is the rectified one.
    """

    calibration: Calibration
    width: int
    height: int
    lenses: Mapping[Camera, Lens] | None = None

    def eye_x_m(self, camera: Camera) -> float:
        """Return where the camera stands along the baseline."""
        return 0.0 if camera == "left" else self.calibration.baseline_m

    def rays(self, camera: Camera) -> npt.NDArray[np.float32]:
        """Return ``[H, W, 2]``, the rectified direction ``(x/z, y/z)`` of every raw pixel.

        Simulating on the raw grid is what makes the rectification map of the recording needed.
        """
        if self.lenses is None:
            y, x = np.mgrid[0 : self.height, 0 : self.width]
            pixels = np.stack([x, y], axis=-1).astype(np.float32)
        else:
            pixels = self.lenses[camera].rectify_map(self.calibration, self.width, self.height)
        center = np.array([self.calibration.cx_px, self.calibration.cy_px], np.float32)
        return (pixels - center) / np.float32(self.calibration.focal_px)

    def disparity(self, scene: Scene, t_us: int) -> npt.NDArray[np.float32]:
        """Return ``[H, W]`` disparity of the left rectified view, 0 where the right sees nothing.

        Pixels are 0 where a body hides the point from the right camera, where it falls left of the
        right image, and where the ray meets no body. ``d = f b / z`` exactly.
        """
        seconds = np.array([t_us * 1e-6])
        if not scene.even_steps:
            return self._truth(scene, seconds)
        left, right = (scene.pose_table(seconds, self.eye_x_m(c))[0] for c in ("left", "right"))
        out = np.empty((self.height, self.width), np.float32)
        c = self.calibration
        ground_truth(
            left, right, scene.body_table(), c.focal_px, c.cx_px, c.cy_px, c.baseline_m, out
        )
        return out

    def _truth(self, scene: Scene, seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        """Return ``disparity`` for scenes of any shape."""
        frames = np.concatenate(
            [frame_table(scene, seconds, self.eye_x_m(c)) for c in ("left", "right")]
        )
        out = np.empty((self.height, self.width), np.float32)
        c = self.calibration
        geometry = np.array([c.focal_px, c.cx_px, c.cy_px, c.baseline_m])
        rays_kernels.ground_truth(frames, solid_table(scene), geometry, out)
        return out

    def log_radiance(self, scene: Scene, camera: Camera, t_us: int) -> npt.NDArray[np.float32]:
        """Return ``[H, W]``, the log radiance that each raw pixel of a camera sees at a time."""
        texels, starts = pyramid(scene.textures)
        out = np.empty((self.height, self.width), np.float32)
        rays_kernels.picture(
            frame_table(scene, np.array([t_us * 1e-6]), self.eye_x_m(camera)), solid_table(scene),
            texels, starts, np.array([self.calibration.focal_px, scene.sky]), self.rays(camera),
            out,
        )  # fmt: skip
        return out

    def fastest_px_per_s(self, scene: Scene, duration_us: int) -> float:
        """Return the largest image motion among visible surface points, pixels per second."""
        times = np.linspace(0.0, duration_us * 1e-6, 9)
        step_s = 1e-4
        fastest = 0.0
        for body in scene.bodies:
            points = _surface(body)
            now, later = (self._project(scene, body, points, t) for t in (times, times + step_s))
            size = np.array([self.width, self.height])
            inside = (now > -0.1 * size) & (now < 1.1 * size)  # false where unknown
            seen = inside.all(axis=-1) & np.isfinite(later).all(axis=-1)
            speed = np.linalg.norm(later - now, axis=-1)[seen] / step_s
            fastest = max(fastest, float(speed.max(initial=0.0)))
        return fastest

    def _project(
        self,
        scene: Scene,
        body: Body,
        points: npt.NDArray[np.float64],
        t_s: npt.NDArray[np.float64],
    ) -> npt.NDArray[np.float64]:
        """Return ``[K, P, 2]`` pixels of surface points ``[P, 3]`` given in the body's axes."""
        one = Scene(bodies=(body,), textures=scene.textures, motion=scene.motion)
        table = one.pose_table(t_s, 0.0)[:, 0]
        where = surface_points(table, body, points)
        # A point behind the camera, or within a tenth of the body's distance, is in no picture.
        depth = np.where(where[..., 2:] > 0.1 * body.center[2], where[..., 2:], np.nan)
        c = self.calibration
        return np.asarray(
            where[..., :2] / depth * c.focal_px + np.array([c.cx_px, c.cy_px]), np.float64
        )


def _surface(body: Body) -> npt.NDArray[np.float64]:
    """Return ``[P, 3]`` sample points of a body in its own axes, meters."""
    grid = np.linspace(-1.0, 1.0, 9)
    half_u, half_v = body.half_size
    depth = 0.0
    if body.shape == Shape.BALL:
        half_v, depth = half_u, -half_u
    if body.shape == Shape.PLANE:
        # Four times its distance is far beyond any field of view used here.
        half_u = half_v = 4.0 * body.center[2]
    u, v = np.meshgrid(grid * half_u, grid * half_v)
    return np.stack([u.ravel(), v.ravel(), np.full(u.size, depth)], axis=-1)
