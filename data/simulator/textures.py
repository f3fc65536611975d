"""Procedural log-radiance tiles, in float so that no 8-bit step looks like an edge."""

import numpy as np
import numpy.typing as npt

TILE = 256
"""Rows and columns of a tile; a power of two, because the renderer wraps with a bit mask."""


def noise_tile(rng: np.random.Generator, roughness: float) -> npt.NDArray[np.float32]:
    """Return periodic noise whose amplitude falls with frequency to the power ``roughness``.

    Args:
        rng: source of chance.
        roughness: 0 is white noise, 2 is smooth clouds.

    Returns:
        ``[TILE, TILE]`` float32, zero mean, unit deviation.
    """
    frequency = np.fft.fftfreq(TILE) * TILE
    radius = np.hypot(frequency[:, None], frequency[None, :])
    radius[0, 0] = 1.0
    spectrum = np.fft.fft2(rng.standard_normal((TILE, TILE))) * radius**-roughness
    # Nothing above a quarter of the sampling rate: bilinear sampling would alias it.
    spectrum[radius > TILE / 4] = 0.0
    spectrum[0, 0] = 0.0
    tile = np.fft.ifft2(spectrum).real
    unit: npt.NDArray[np.float32] = (tile / tile.std()).astype(np.float32)
    return unit


def shapes_tile(rng: np.random.Generator, count: int) -> npt.NDArray[np.float32]:
    """Return overlapping rectangles and discs of random brightness, wrapped at the borders.

    Returns:
        ``[TILE, TILE]`` float32, zero mean, unit deviation.
    """
    tile = np.zeros((TILE, TILE), np.float32)
    for _ in range(count):
        cx, cy = rng.uniform(0, TILE, 2)
        half_w, half_h = TILE * rng.uniform(0.02, 0.14, 2)
        x = np.arange(np.floor(cx - half_w), np.ceil(cx + half_w) + 1)
        y = np.arange(np.floor(cy - half_h), np.ceil(cy + half_h) + 1)[:, None]
        u, v = (x - cx) / half_w, (y - cy) / half_h
        round_one = rng.random() < 0.5
        inside = u**2 + v**2 < 1 if round_one else (np.abs(u) < 1) & (np.abs(v) < 1)
        rows, columns = np.nonzero(inside)
        where = (y[rows, 0].astype(int) % TILE, x[columns].astype(int) % TILE)
        tile[where] = rng.standard_normal()
    tile -= tile.mean()
    return tile / max(float(tile.std()), 1e-6)


def random_tile(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return a mixture of noise and shapes with a random log contrast.

    Returns:
        ``[TILE, TILE]`` float32 log radiance around a random mean.
    """
    share = rng.uniform(0.0, 1.0)
    noise = noise_tile(rng, rng.uniform(0.6, 1.6))
    shapes = shapes_tile(rng, int(rng.integers(20, 120)))
    contrast = rng.uniform(0.35, 1.0)
    mixed = share * noise + (1.0 - share) * shapes
    tile = rng.uniform(-0.7, 0.7) + contrast * mixed / float(mixed.std())
    return tile.astype(np.float32)


def repeating_tile(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return stripes, checks, dots or bricks that repeat a whole number of times per tile.

    Edges are softened over about a texel; a faint noise keeps real walls' imperfection.

    Returns:
        ``[TILE, TILE]`` float32 log radiance around a random mean.
    """
    kind = int(rng.integers(4))
    across, down = (int(n) for n in rng.choice([16, 32], 2))
    y, x = np.mgrid[0:TILE, 0:TILE] / TILE
    u, v = np.sin(2 * np.pi * across * x), np.sin(2 * np.pi * down * y)
    if kind == 0:
        pattern = u if rng.random() < 0.5 else v
    elif kind == 1:
        pattern = u * v
    elif kind == 2:
        pattern = np.cos(2 * np.pi * across * x) + np.cos(2 * np.pi * down * y) - 0.8
    else:
        # Bricks: every other course is moved by half a brick; the joints are dark.
        course = np.floor(down * y)
        along = (across / 2 * x + 0.5 * (course % 2)) % 1.0
        joint = np.maximum(np.abs(along - 0.5) - 0.42, np.abs(down * y - course - 0.5) - 0.38)
        pattern = -joint * 6.0
    soft = np.tanh(1.5 * pattern)
    tile = (soft - soft.mean()) / max(float(soft.std()), 1e-6)
    tile = rng.uniform(-0.5, 0.5) + rng.uniform(0.2, 0.5) * (tile + 0.08 * noise_tile(rng, 1.0))
    painted: npt.NDArray[np.float32] = tile.astype(np.float32)
    return painted
