"""Training windows from generated scenes: every index is another world, every draw reproducible."""

import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from data.augment.geometry import Crop
from data.camera import Calibration
from data.encode import Encoding
from data.events import Events
from data.flash import flash_clip
from data.recording import CAMERAS, Camera
from data.sample import StereoSample
from data.simulator.clip import Clip, play
from data.simulator.rig import Rig
from data.simulator.scenes import SCENES
from data.simulator.sensor import Sensor

STAMPS_US = (50_000, 85_000, 120_000)
"""Ground truth of each clip; the first leaves room for the longest window."""

SCENE_SHARES = {"room": 0.75, "studio": 0.1, "toss": 0.15}
"""How often training draws each scene; in "toss" most of the picture is silent."""

FLASH = 1
"""Beside a clip's seed for whether it is a flash."""

Image = npt.NDArray[np.float32]


def random_sensors(rng: np.random.Generator) -> dict[Camera, Sensor]:
    """Return two cameras of one make: alike, but neither equal nor ideal."""
    base = float(rng.uniform(0.1, 0.25))
    noise = float(10 ** rng.uniform(-1.5, 0.7))
    off_ratio = float(rng.uniform(0.8, 1.25))
    bias_off = float(rng.choice([0.0, 0.0, 0.0, 1.0]))
    sensors: dict[Camera, Sensor] = {}
    for camera in CAMERAS:
        on = max(0.08, base * float(rng.uniform(0.75, 1.33)))
        sensors[camera] = Sensor(
            on_threshold=on,
            off_threshold=max(0.08, on * off_ratio),
            mismatch=float(rng.uniform(0.02, 0.06)),
            refractory_us=float(rng.uniform(100.0, 1000.0)),
            noise_hz=noise,
            hot_share=float(10 ** rng.uniform(-5, -3)),
            bias_off=bias_off,
        )
    return sensors


def make_clip(seed: int, width: int, height: int) -> Clip:
    """Simulate the clip of a seed with ideal lenses: raw pixels are rectified pixels."""
    rng = np.random.default_rng(seed)
    focal = float(rng.uniform(0.7, 1.2)) * width
    calibration = Calibration(
        focal_px=focal, cx_px=width / 2, cy_px=height / 2, baseline_m=float(rng.uniform(0.1, 0.6))
    )
    rig = Rig(calibration=calibration, width=width, height=height)
    scene = SCENES[str(rng.choice(list(SCENE_SHARES), p=list(SCENE_SHARES.values())))](rng, rig)
    return play(
        scene, rig, random_sensors(rng), duration_us=STAMPS_US[-1], disparity_t_us=STAMPS_US,
        seed=seed, light_hz=float(rng.choice([0.0, 0.0, 10.0, 50.0])),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class GeneratedWindows(torch.utils.data.Dataset[StereoSample]):
    """Augmented windows of generated clips; item ``i`` depends on ``seed`` and ``i`` alone.

    Attributes:
        encoding: events to tensors.
        steps: time steps per window.
        window_us: nominal window; each draw stretches it by up to a half.
        width: columns.
        height: rows.
        clips: number of different clips.
        length: number of items.
        seed: of everything.
        cache: folder that keeps simulated clips, None to simulate every time.
        augment: False for plain windows.
        flashes: share of the clips in which a light is switched on in the dark, 0 to 1.
        crop: of windows, after all else; None for the whole image.
    """

    encoding: Encoding
    steps: int
    window_us: int
    width: int
    height: int
    clips: int
    length: int
    seed: int
    cache: Path | None = None
    augment: bool = True
    flashes: float = 0.0
    crop: Crop | None = None

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> StereoSample:
        """Return window ``index``."""
        if not 0 <= index < self.length:
            raise IndexError(f"Window {index} of {self.length}.")
        rng = np.random.default_rng((self.seed, index))
        clip_seed = self.seed * 1_000_003 + int(rng.integers(self.clips))
        clip = self._clip(clip_seed)
        k = int(rng.integers(len(STAMPS_US)))
        stamp = STAMPS_US[k]
        stretch = float(rng.uniform(0.6, 1.4)) if self.augment else 1.0
        window_us = min(int(self.window_us * stretch), stamp)
        views = {c: events.window(stamp - window_us, stamp)
                 for c, events in (("left", clip.left), ("right", clip.right))}  # fmt: skip
        truth = clip.disparity[k]
        if self.augment:
            views = {c: thin(events, rng) for c, events in views.items()}
        left, right = self.encoding.pair(
            views["left"], views["right"], steps=self.steps, height=self.height, width=self.width,
            t0_us=stamp - window_us, t1_us=stamp,
        )  # fmt: skip
        if self.augment:
            left, right, truth = move_rows(left, right, truth, rng)
        disparity = torch.from_numpy(np.ascontiguousarray(truth))
        sample = StereoSample(
            left=torch.from_numpy(np.ascontiguousarray(left)),
            right=torch.from_numpy(np.ascontiguousarray(right)),
            disparity=disparity,
            valid=disparity > 0,
            t_us=stamp,
            meta={"clip": clip_seed},
        )
        return sample if self.crop is None else self.crop.on_sample(sample, rng)

    def _clip(self, seed: int) -> Clip:
        if self.flashes and np.random.default_rng((seed, FLASH)).random() < self.flashes:
            return flash_clip(seed, self.width, self.height, STAMPS_US)
        if self.cache is None:
            return make_clip(seed, self.width, self.height)
        name = f"clip-{self.width}x{self.height}-{seed}.npz"
        return cached(self.cache / name, lambda: make_clip(seed, self.width, self.height))


def thin(events: Events, rng: np.random.Generator) -> Events:
    """Return the events of a less sensitive camera: sometimes up to half are dropped at random."""
    share = float(rng.uniform(0.5, 1.0)) if rng.random() < 0.15 else 1.0
    return events if share == 1.0 else events.take(rng.random(len(events)) < share)


def move_rows(
    left: Image, right: Image, truth: Image, rng: np.random.Generator
) -> tuple[Image, Image, Image]:
    """Flip all views upside down half of the time; shift the right one by up to two rows.

    Real pairs are rarely rectified to the pixel, so the network must bear an offset of a row or
    two. Shapes: ``[T, C, H, W]``, ``[T, C, H, W]``, ``[H, W]``.
    """
    if rng.random() < 0.5:
        left, right, truth = left[..., ::-1, :], right[..., ::-1, :], truth[::-1]
    rows = int(rng.choice([0, 0, 0, 0, 0, 0, 1, -1, 2, -2]))
    if rows:
        right = np.roll(right, rows, axis=-2)
        right[..., slice(0, rows) if rows > 0 else slice(rows, None), :] = 0.0
    return left, right, truth


def cached(path: Path, make: Callable[[], Clip]) -> Clip:
    """Return the clip stored at ``path``, making and storing it first if need be.

    The file is written under another name and renamed, so that writers may race and die.
    """
    try:
        # Opened here, for np.load leaves a damaged file open.
        with path.open("rb") as file:
            return _unpack(np.load(file, allow_pickle=False))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        clip = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{os.getpid()}-{path.name}")
        with temporary.open("wb") as file:
            np.savez(file, **_pack(clip))
        temporary.replace(path)
        return clip


def _pack(clip: Clip) -> dict[str, Any]:
    out: dict[str, Any] = {
        "disparity": clip.disparity,
        "disparity_t_us": clip.disparity_t_us,
    }
    for name, events in (("left", clip.left), ("right", clip.right)):
        out |= {f"{name}_t": events.t, f"{name}_x": events.x, f"{name}_y": events.y}
        out[f"{name}_p"] = events.p
    return out


def _unpack(stored: "np.lib.npyio.NpzFile") -> Clip:
    left, right = (
        Events(**{axis: stored[f"{name}_{axis}"] for axis in "txyp"}) for name in CAMERAS
    )
    return Clip(
        left=left,
        right=right,
        disparity=stored["disparity"],
        disparity_t_us=stored["disparity_t_us"],
    )
