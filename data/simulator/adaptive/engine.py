"""Both cameras, chunk by chunk: tables, threads, and events in order of time.

The rows of both cameras are shared out over threads that run compiled code without Python's lock;
every pixel is its own story, so who does what when changes nothing.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.events import Events
from data.recording import CAMERAS, Camera
from data.simulator.adaptive import kernels
from data.simulator.pixels.kernels import STATE
from data.simulator.rig import Rig
from data.simulator.scene import Scene
from data.simulator.sensor import Sensor, sensor_row, stray_events
from data.simulator.tables import bounds_table, frame_table, pyramid, solid_table, twist_table

TICK_US = 1000.0
"""Between two ticks poses run on straight lines."""
TICKS_PER_CHUNK = 16
"""The longest step is a chunk; a body is looked for where it is during a chunk."""
CHUNKS_PER_SEGMENT = 32
"""Tables and unsorted events are kept for a segment at a time, so memory follows the events."""
LEAST_STEP_US = 20.0
"""The shortest step for the sake of motion, half a pixel at 25,000 px/s; reported if reached."""

FIRST_ROOM = 4096
"""Events that there is room for at first, for eight rows and a segment."""

Columns = tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]


@dataclass(frozen=True, kw_only=True)
class Steps:
    """How finely time was sampled.

    Attributes:
        largest_motion_px: bound of the image motion in any step.
        floored: how often a step could not be as short as the motion asked for: chunks of time of
            a tile, or 1 for the whole recording where time is sampled evenly.
        largest_change: largest change of log radiance between two samples among those that had to
            be halved, as a share of half the pixel's smaller threshold, jumps aside; below 1. None
            where it was not bounded.
        jumps: changes beyond that within 64 us: the edge of a body passed, the radiance jumped.
    """

    largest_motion_px: float
    floored: int
    largest_change: float | None = None
    jumps: int | None = None


@dataclass(frozen=True, eq=False)
class _Segment:
    """Tables of one camera for one stretch of time."""

    ticks: npt.NDArray[np.float64]
    chunks: npt.NDArray[np.int64]
    frames: npt.NDArray[np.float64]
    twist: npt.NDArray[np.float64]
    bounds: npt.NDArray[np.float64]


class _CameraRun:
    """One camera on its way: its pixels, and how to take some rows through a segment."""

    def __init__(
        self, scene: Scene, rig: Rig, camera: Camera, sensor: Sensor, *, seed: int, light_hz: float,
        duration_us: int, tiles: tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]],
    ) -> None:  # fmt: skip
        chance = np.random.SeedSequence([seed, CAMERAS.index(camera)])
        self._scene, self._rig, self._eye = scene, rig, rig.eye_x_m(camera)
        self._key = camera_key(seed, camera)
        self._sensor = sensor_row(sensor, light_hz)
        view = np.array([rig.calibration.focal_px, scene.sky])
        self._world = (solid_table(scene), *tiles, view)
        self._rays = rig.rays(camera)
        self._pixels = np.zeros((rig.height, rig.width, STATE))
        stray = stray_events(
            sensor, (rig.height, rig.width), duration_us, np.random.default_rng(chance)
        )
        order = np.argsort(stray[0], kind="stable")
        self._stray: Columns = stray[0][order], stray[1][order]
        self._room = FIRST_ROOM

    def tables(self, ticks: npt.NDArray[np.float64]) -> _Segment:
        """Return the tables of the stretch that ``ticks`` spans."""
        chunks = np.unique(np.append(np.arange(0, ticks.size, TICKS_PER_CHUNK), ticks.size - 1))
        frames = frame_table(self._scene, ticks * 1e-6, self._eye)
        margin = 1.0 / self._rig.calibration.focal_px
        return _Segment(
            ticks,
            chunks,
            frames,
            twist_table(frames, float(ticks[1] - ticks[0])),
            bounds_table(self._scene, frames, chunks, margin),
        )

    def rows(
        self, segment: _Segment, first: int
    ) -> tuple[Columns, npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Take the tile row at ``first`` through a segment; return events, ends and statistics."""
        part = slice(first, first + kernels.TILE_ROWS)
        pixels = self._pixels[part].reshape(-1, STATE)
        before = pixels.copy()
        scratch = _scratch(segment, self._rig.width)
        ends = np.empty(segment.chunks.size - 1, np.int64)
        room = self._room
        while True:
            statistics = np.zeros(kernels.STATISTICS)
            times, where = np.empty(room, np.int64), np.empty(room, np.int32)
            count = kernels.play_rows(
                segment.ticks, segment.chunks, segment.frames, segment.twist, segment.bounds,
                self._world, self._rays[part], first, bool(segment.ticks[0] == 0.0), pixels,
                self._sensor, self._key, LEAST_STEP_US, scratch, times, where, ends, statistics,
            )  # fmt: skip
            if count <= room:
                break
            pixels[:] = before
            room = count
        self._room = max(self._room, int(1.2 * count))
        return (times[:count].copy(), where[:count].copy()), ends, statistics

    def merge(
        self, segment: _Segment, parts: list[tuple[Columns, npt.NDArray[np.int64]]], end_us: int
    ) -> Iterator[Columns]:
        """Yield the events of each chunk in order of time; ties keep the order of the pixels."""
        for c in range(segment.chunks.size - 1):
            begin = int(segment.ticks[segment.chunks[c]])
            until = min(end_us, int(segment.ticks[segment.chunks[c + 1]]))
            pieces = []
            for (t, w), ends in parts:
                here = slice(ends[c - 1] if c else 0, ends[c])
                pieces.append((t[here], w[here]))
            first, last = np.searchsorted(self._stray[0], (begin, until))
            pieces.append((self._stray[0][first:last], self._stray[1][first:last]))
            times = np.concatenate([t for t, _ in pieces])
            where = np.concatenate([w for _, w in pieces])
            # A chunk is shorter than 2**16 us, and NumPy sorts 16 bits by radix.
            order = np.argsort((times - begin).astype(np.uint16), kind="stable")
            times, where = times[order], where[order]
            stop = np.searchsorted(times, end_us) if until == end_us else times.size
            yield times[:stop], where[:stop]


def camera_key(seed: int, camera: Camera) -> int:
    """Return the key of all that a camera's pixels draw."""
    chance = np.random.SeedSequence([seed, CAMERAS.index(camera)])
    # 63 bits, so that the key is the same number in every integer type.
    return int(chance.generate_state(1, np.uint64)[0] >> np.uint64(1))


def simulate(
    scene: Scene,
    rig: Rig,
    sensors: dict[Camera, Sensor],
    *,
    duration_us: int,
    seed: int,
    light_hz: float = 0.0,
    threads: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> tuple[dict[Camera, Events], Steps]:
    """Return the raw events of both cameras with ``0 <= t < duration_us``, and how time was cut.

    Args:
        scene: what there is to see.
        rig: where the cameras stand and how their lenses bend.
        sensors: their pixels.
        duration_us: microseconds.
        seed: of everything random.
        light_hz: frequency of a small flicker of the light, 0 for none.
        threads: how many share the work, None for as many as there are processors; no matter for
            the result.
        progress: called with the share done, 0 to 1.
    """
    tiles = pyramid(scene.textures)
    runs = {
        camera: _CameraRun(
            scene, rig, camera, sensors[camera], seed=seed, light_hz=light_hz,
            duration_us=duration_us, tiles=tiles,
        ) for camera in CAMERAS
    }  # fmt: skip
    ticks = np.linspace(0.0, duration_us, 1 + max(1, int(np.ceil(duration_us / TICK_US))))
    per_segment = TICKS_PER_CHUNK * CHUNKS_PER_SEGMENT
    starts = range(0, ticks.size - 1, per_segment)
    first_rows = range(0, rig.height, kernels.TILE_ROWS)
    jobs = len(starts) * len(CAMERAS) * len(first_rows)
    done = 0
    found: dict[Camera, list[Columns]] = {camera: [] for camera in CAMERAS}
    total = np.zeros(kernels.STATISTICS)
    with ThreadPoolExecutor(threads or _processors()) as pool:
        for start in starts:
            part = ticks[start : start + per_segment + 1]
            segments = {camera: run.tables(part) for camera, run in runs.items()}
            futures = {
                camera: [pool.submit(run.rows, segments[camera], row) for row in first_rows]
                for camera, run in runs.items()
            }
            for camera, run in runs.items():
                parts = []
                for future in futures[camera]:
                    columns, ends, statistics = future.result()
                    parts.append((columns, ends))
                    total = _add(total, statistics)
                    done += 1
                    if progress is not None:
                        progress(done / jobs)
                found[camera].extend(run.merge(segments[camera], parts, duration_us))
    steps = Steps(
        largest_motion_px=float(total[kernels.FASTEST]),
        largest_change=float(total[kernels.LARGEST]),
        jumps=int(total[kernels.JUMPS]),
        floored=int(total[kernels.FLOORED]),
    )
    return {camera: _events(found[camera], rig.width) for camera in CAMERAS}, steps


def _scratch(segment: _Segment, width: int) -> kernels.Scratch:
    """Return the arrays that the kernels work in: they allocate nothing themselves."""
    bodies, tiles = segment.frames.shape[1], -(-width // kernels.TILE_COLUMNS)
    longest = float(np.diff(segment.ticks[segment.chunks]).max())
    return (
        np.empty((2 + int(longest / LEAST_STEP_US), bodies, 12)),
        np.empty((tiles, kernels.WORK, kernels.TILE_ROWS * kernels.TILE_COLUMNS)),
        np.empty((1, 2, 12)),
        np.empty((64, 2)),
        np.empty((tiles, 4)),
        np.empty(bodies, np.int64),
        np.empty((2, 2), np.int64),
    )


def _processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _add(total: npt.NDArray[np.float64], part: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return statistics taken together: counts are added, extremes compared."""
    both = total + part
    for place in (kernels.FASTEST, kernels.LARGEST):
        both[place] = max(total[place], part[place])
    return both


def _events(found: list[Columns], width: int) -> Events:
    """Return one record of the chunks of a camera."""
    times = np.concatenate([np.empty(0, np.int64), *(t for t, _ in found)])
    where = np.concatenate([np.empty(0, np.int32), *(w for _, w in found)])
    pixel = where >> 1
    return Events(
        t=times,
        x=(pixel % width).astype(np.uint16),
        y=(pixel // width).astype(np.uint16),
        p=(where & 1).astype(np.bool_),
    )
