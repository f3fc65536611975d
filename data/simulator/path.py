"""Smooth motion in six degrees of freedom: sums of slow waves of position and orientation."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vector = tuple[float, float, float]
Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Wave:
    """``amplitude * (sin(2 pi hz t + phase) - sin(phase))``: nothing at time zero.

    Attributes:
        amplitude: meters, or radians of a rotation vector.
        hz: frequency.
        phase: radians.
    """

    amplitude: Vector
    hz: float
    phase: float

    def at(self, t_s: Array) -> Array:
        """Return ``[K, 3]`` at times ``[K]`` seconds."""
        wave = np.sin(2 * np.pi * self.hz * t_s + self.phase) - np.sin(self.phase)
        return np.outer(wave, self.amplitude)


@dataclass(frozen=True, kw_only=True)
class Path:
    """Translation and rotation over time; both are zero at time zero.

    Attributes:
        shifts: their sum is the position, meters.
        turns: their sum is the rotation vector, radians.
        turn_rate: a steady rotation on top, radians per second.
    """

    shifts: tuple[Wave, ...] = ()
    turns: tuple[Wave, ...] = ()
    turn_rate: Vector = (0.0, 0.0, 0.0)

    def position(self, t_s: Array) -> Array:
        """Return ``[K, 3]`` meters."""
        return sum((wave.at(t_s) for wave in self.shifts), np.zeros((t_s.size, 3)))

    def rotation_vector(self, t_s: Array) -> Array:
        """Return ``[K, 3]`` radians."""
        steady = np.outer(t_s, self.turn_rate)
        return sum((wave.at(t_s) for wave in self.turns), steady)


def rotations(vectors: Array) -> Array:
    """Return ``[K, 3, 3]`` rotation matrices of rotation vectors ``[K, 3]`` (Rodrigues)."""
    angle = np.linalg.norm(vectors, axis=1)[:, None, None]
    safe = np.where(angle > 1e-12, angle, 1.0)
    x, y, z = np.moveaxis(vectors[:, :, None, None] / safe[:, None], 1, 0)
    zero = np.zeros_like(x)
    cross = np.concatenate(
        [
            np.concatenate([zero, -z, y], axis=2),
            np.concatenate([z, zero, -x], axis=2),
            np.concatenate([-y, x, zero], axis=2),
        ],
        axis=1,
    )
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)


def random_path(
    rng: np.random.Generator,
    *,
    speed_m_s: float,
    turn_rad_s: float,
    hz: tuple[float, float] = (0.2, 1.5),
    flatten: Vector = (1.0, 1.0, 1.0),
) -> Path:
    """Return a random smooth path.

    Args:
        rng: source of chance.
        speed_m_s: root mean square speed of the translation.
        turn_rad_s: root mean square rate of the rotation.
        hz: range of the frequencies of its waves.
        flatten: factors on the three axes of the translation.
    """

    def waves(rate: float, scale: Vector) -> tuple[Wave, ...]:
        made = []
        for _ in range(3):
            frequency = float(np.exp(rng.uniform(np.log(hz[0]), np.log(hz[1]))))
            direction = rng.standard_normal(3) * np.asarray(scale)
            # Three waves of rms rate / sqrt 3 each; a sine of amplitude a has rms a / sqrt 2.
            size = rate * np.sqrt(2.0 / 3.0) / (2 * np.pi * frequency)
            a = direction / max(float(np.linalg.norm(direction)), 1e-9) * size
            made.append(
                Wave(
                    amplitude=(float(a[0]), float(a[1]), float(a[2])),
                    hz=frequency,
                    phase=float(rng.uniform(0.0, 2 * np.pi)),
                )
            )
        return tuple(made)

    return Path(shifts=waves(speed_m_s, flatten), turns=waves(turn_rad_s, (1.0, 1.0, 1.0)))
