"""Recordings on disk as the data of the task ``stereo``."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from data.augment import (
    Augmentation,
    ContrastJitter,
    Crop,
    EventDrop,
    GeometricAugmentation,
    NoiseEvents,
    SwapCameras,
    VerticalFlip,
)
from data.datasets import StereoWindows, Validity
from data.draws import Draw
from data.encode import ENCODINGS
from data.images.order import BatchOrder
from data.mvsec.files import DATA_END
from data.recording import CAMERAS, Camera, Recording, is_generated
from data.sample_cache import CachedSamples
from stereo.config import StereoConfig
from stereo.errors import StereoError
from stereo.tasks.divide import Division, divide
from stereo.tasks.generated import GeneratedData
from stereo.tasks.mixed import mixed
from stereo.tasks.roots import Reading, find_root
from stereo.tasks.stereo_data import HELD_OUT_SEED, Held, Origin, Samples, Stream
from stereo.tasks.task import Source

COUNTED_EVENTS = 100_000_000
"""Dropped events are counted beforehand if the recordings hold no more events than this."""

READ_US = 1_000_000
"""Length of what is read at a time to count them."""

SENSOR_CHANGES: tuple[Augmentation, ...] = (
    ContrastJitter(least_contrast=0.6),
    EventDrop(most_share=0.2),
    NoiseEvents(most_hz=1.0),
)
"""Of ``data.augment=events``: lower contrast, lost events, false events (per pixel and second)."""

Index = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class AtLeast:
    """The ground truth that another rule counts, from a least disparity on.

    Attributes:
        rule: the other one; None for all ground truth.
        disparity_px: the least.
    """

    rule: Validity | None
    disparity_px: float

    def mask(self, recording: Recording, index: int) -> npt.NDArray[np.bool_]:
        """Return ``[H, W]``, True where ground truth ``index`` of ``recording`` counts."""
        near: npt.NDArray[np.bool_] = recording.disparity(index) >= self.disparity_px
        return near if self.rule is None else near & self.rule.mask(recording, index)


@dataclass(frozen=True, eq=False)
class Shuffled:
    """Some items in an order without end, another permutation in each epoch.

    Attributes:
        items: ``[N]``.
        seed: of the permutations, 0 or more.
    """

    items: Index
    seed: int

    def __call__(self, number: int) -> Draw:
        """Return the item of sample ``number``, with its epoch, on which augmentations depend."""
        order = BatchOrder(length=self.items.size, batch=1, seed=self.seed)
        return Draw(int(self.items[order.indices(number)[0]]), order.epoch(number))


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What there is to train on.

    Attributes:
        sequences: recordings.
        windows: with ground truth at their end.
        skipped: ground truths without a whole window of events before them, not among the windows.
        size: rows and columns of the smallest sensor.
        events: stored, per camera.
    """

    sequences: int
    windows: int
    skipped: int
    size: tuple[int, int]
    events: dict[Camera, int]


class Recordings:
    """See ``stereo.tasks.stereo_data.StereoData``.

    Training sees random crops of the rectified views, changed as ``data.augment`` says. The halves
    are whole sequences, or blocks of time where there are few sequences (``divide``); no two
    windows of different halves share events. Evaluation sees whole frames as they are, in the
    order of the split.

    With a cache, encoded frames that are not augmented before they are encoded are kept there.

    Args:
        config: network, training and ``data``.
        source: folder, cache and workers.

    Raises:
        StereoError: a folder that is no data set, or not one as the configuration says.
    """

    def __init__(self, config: StereoConfig, source: Source) -> None:
        assert source.data is not None
        self.config, self.source = config, source
        self.folder = Path(source.data)
        self.root = find_root(self.folder, config.data)
        self.parts = self.root.parts
        self._parts: dict[str, StereoWindows] = {}
        self._changed: dict[int, Samples] = {}
        self._divided: dict[int, Division] = {}

    def training(self, seed: int) -> Stream:
        """Return all training windows, another order in each epoch."""
        items = np.arange(len(self.windows("train")), dtype=np.int64)
        return self._mixed(_shuffled(self._trained(seed), items, seed), seed)

    def halves(self, seed: int) -> tuple[Stream, Stream]:
        """Return the two halves of the training windows."""
        samples = self._trained(seed)
        first, second = self.division(seed).halves
        held_out = seed + HELD_OUT_SEED
        return (
            self._mixed(_shuffled(samples, first, seed), seed),
            self._mixed(_shuffled(samples, second, held_out), held_out),
        )

    def _mixed(self, stream: Stream, seed: int) -> Stream:
        """Return training windows with as many generated ones as ``data.generated`` says."""
        clips = GeneratedData(self.config, self.source).training(seed)
        return mixed(stream, clips, self.config.data.generated, seed)

    def division(self, seed: int) -> Division:
        """Return how the training windows are divided into halves; found once for each seed."""
        if seed not in self._divided:
            self._divided[seed] = self._divide(seed)
        return self._divided[seed]

    def _divide(self, seed: int) -> Division:
        windows = self.windows("train")
        ends, sequence = np.empty((2, len(windows)), np.int64)
        for item in range(len(windows)):
            recording, truth = windows.at(item)
            ends[item] = recording.disparity_t_us[truth]
            sequence[item], _ = windows.where(item)
        windows.close()
        return divide(sequence, ends, self.config.window_us, seed)

    def held(self, part: str, samples: int | None = None) -> Held:
        """Return whole frames of a part, spread evenly over it if fewer are wanted than it has."""
        windows = self.windows(part)
        if samples is None and part == "validation":
            samples = self.config.data.validation or None
        places = _spread(len(windows), samples)
        least = self.config.data.min_disparity
        said = [self.root.protocol(part)]
        if least:
            said.append(f"disparity from {least:g} px")
        if len(places) < len(windows):
            said.append(f"{len(places)} of {len(windows)} frames")
        if missing := sum(windows.skipped.values()):
            said.append(f"{missing} frames without a whole window of events left out")
        return Held(
            samples=self._kept(windows),
            places=places,
            protocol="; ".join(said),
            origin=_Origins(windows),
            generated=all(is_generated(place) for place in _places(windows)),
            workers=self.source.workers,
            if_empty=f"None of the {len(places)} frames of {part} in {self.folder} has ground "
            "truth that counts; give more frames, or a smaller data.min_disparity.",
        )

    def example(self, samples: int) -> Held:
        """Return whole frames of the last part, spread evenly."""
        return replace(self.held(self.parts[-1], samples), workers=0)

    def windows(self, part: str) -> StereoWindows:
        """Return the windows of a part, "train" too, without augmentation.

        Raises:
            RecordingError: recordings that are missing or cannot be used.
        """
        if part not in self._parts:
            self._parts[part] = self._read(part)
        return self._parts[part]

    @cached_property
    def survey(self) -> Survey:
        """What there is to train on."""
        windows = self.windows("train")
        events: dict[Camera, int] = dict.fromkeys(CAMERAS, 0)
        sizes = []
        for item in self._first_items:
            recording, _ = windows.at(item)
            sizes.append((recording.height, recording.width))
            for camera in CAMERAS:
                events[camera] += recording.total[camera]
        windows.close()
        return Survey(
            sequences=len(_places(windows)),
            windows=len(windows),
            skipped=sum(windows.skipped.values()),
            size=(min(rows for rows, _ in sizes), min(columns for _, columns in sizes)),
            events=events,
        )

    def dropped(self) -> dict[Camera, int] | None:
        """Return the events outside the sensor, per camera, of all that is trained on.

        To count them everything is read; None where that would take too long.
        """
        if sum(self.survey.events.values()) > COUNTED_EVENTS:
            return None
        windows, dropped = self.windows("train"), dict.fromkeys(CAMERAS, 0)
        for item in self._first_items:
            for camera, count in dropped_events(windows.at(item)[0]).items():
                dropped[camera] += count
        windows.close()
        return dropped

    @property
    def _first_items(self) -> list[int]:
        """The first training window of each recording that has any."""
        windows = self.windows("train")
        first: dict[int, int] = {}
        for item in range(len(windows)):
            first.setdefault(windows.where(item)[0], item)
        return list(first.values())

    def notes(self, *, halves: bool = False) -> list[str]:
        """Return what was found, what is left out, and how the halves are divided."""
        found, setting = self.survey, self.config.data
        stored = ", ".join(f"{camera} {found.events[camera]:,}" for camera in CAMERAS)
        dropped = self.dropped()
        lost = f"not counted beforehand (more than {COUNTED_EVENTS:,} events)"
        if dropped is not None:
            lost = ", ".join(f"{camera} {dropped[camera]:,}" for camera in CAMERAS)
        notes = [
            f"{self.folder}: {self.root.title}. Training: {found.sequences} sequences, "
            f"{found.windows:,} windows of {self.config.window_us / 1e3:g} ms "
            f"({found.skipped:,} ground truths without a whole window left out).",
            f"Events: {stored}; dropped because they lie outside the sensor: {lost}.",
        ]
        if setting.generated:
            notes.append(f"{100 * setting.generated:g} % of the training windows are generated.")
        if halves:
            division = self.division(self.config.train.seed)
            sizes = " and ".join(f"{half.size:,}" for half in division.halves)
            notes.append(
                f"Halves by {division.by}: {sizes} windows; {division.left_out:,} between them "
                "left out."
            )
        if self.source.cache is not None and setting.augment == "events":
            notes.append(
                "data.augment=events changes events before they are encoded, so only frames of "
                "evaluations are cached; data.augment=pixels lets training use the cache."
            )
        return notes

    def _read(self, part: str, augmentations: tuple[Augmentation, ...] = ()) -> StereoWindows:
        encoding = self.config.encoding
        reading: Reading = {
            "encoding": ENCODINGS[encoding.name](bins=encoding.bins),
            "steps": encoding.steps,
            "window_us": self.config.window_us,
            "augmentations": augmentations,
            "seed": self.config.train.seed,
        }
        windows = self.root.windows(part, reading)
        least = self.config.data.min_disparity
        if not least:
            return windows
        return replace(windows, validity=AtLeast(rule=windows.validity, disparity_px=least))

    def _trained(self, seed: int) -> Samples:
        """Return the training windows as they are trained on: cropped, and perhaps changed."""
        if seed not in self._changed:
            self._changed[seed] = self._make_changed(seed)
        return self._changed[seed]

    def _make_changed(self, seed: int) -> Samples:
        setting, size = self.config.train, self.survey.size
        if setting.crop_height > size[0] or setting.crop_width > size[1]:
            raise StereoError(
                f"A crop of {setting.crop_height} rows and {setting.crop_width} columns does not "
                f"fit into the {size[0]} x {size[1]} pixels of {self.folder}; choose a smaller "
                "train.crop_height or train.crop_width."
            )
        crop = Crop(
            height=setting.crop_height, width=setting.crop_width, shift=self.config.data.shift,
            farthest_px=float(self.config.max_disparity),
        )  # fmt: skip
        pixels: tuple[GeometricAugmentation, ...] = (crop, VerticalFlip(), SwapCameras())
        chosen = self.config.data.augment
        if chosen == "events":
            windows = self.windows("train")
            return replace(windows, augmentations=(*pixels, *SENSOR_CHANGES), seed=seed)
        changes = pixels if chosen == "pixels" else (crop,)
        if self.source.cache is None:
            return replace(self.windows("train"), augmentations=changes, seed=seed)
        return self._kept(self.windows("train"), changes, seed)

    def _kept(
        self,
        windows: StereoWindows,
        augmentations: tuple[GeometricAugmentation, ...] = (),
        seed: int = 0,
    ) -> Samples:
        """Return the samples of windows, through the cache if there is one."""
        if self.source.cache is None:
            return windows
        return CachedSamples(
            windows, self.source.cache / "samples", augmentations=augmentations, seed=seed
        )


class _Origins:
    """Says which sequence an item belongs to, and its calibration."""

    def __init__(self, windows: StereoWindows) -> None:
        self._windows = windows
        self._places = _places(windows)
        self._known: dict[int, Origin] = {}

    def __call__(self, item: int) -> Origin:
        part, _ = self._windows.where(item)
        if part not in self._known:
            calibration = self._windows.at(item)[0].calibration
            self._known[part] = Origin(
                sequence=self._places[part].name.removesuffix(DATA_END),
                fb=None if calibration is None else calibration.fb,
            )
        return self._known[part]


def _shuffled(samples: Samples, items: Index, seed: int) -> Stream:
    return Stream(samples=samples, item=Shuffled(items, seed), length=int(items.size))


def dropped_events(recording: Recording) -> dict[Camera, int]:
    """Return how many events lie outside the sensor, per camera; reads all that both cover."""
    first, last = recording.span_us
    for camera in CAMERAS:
        for start in range(first, last + 1, READ_US):
            recording.events(camera, start, min(start + READ_US, last + 1))
    return dict(recording.dropped)


def _places(windows: StereoWindows) -> list[Path]:
    """Return the path of each recording."""
    parts: Any = windows.recordings
    return [part.recording for part in parts]


def _spread(count: int, wanted: int | None) -> tuple[int, ...]:
    """Return items spread evenly over all."""
    if wanted is None or wanted >= count:
        return tuple(range(count))
    return tuple(np.linspace(0, count - 1, wanted).astype(np.int64).tolist())
