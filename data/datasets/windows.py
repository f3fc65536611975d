"""Windows of recordings with ground truth at their end, as samples."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float32

from data.augment import Augmentation, StereoEvents, augment
from data.datasets.opened import Opened, Part
from data.datasets.plan import Cut, usable_truths
from data.draws import generator_of
from data.encode import Encoding
from data.errors import RecordingError
from data.events import Events
from data.identity import code_digest, describe, describe_recording, digest
from data.pair import encode_pair
from data.recording import CAMERAS, Recording
from data.sample import StereoSample

Given = str | Path | Recording | Part
Tensors = tuple[Float32[np.ndarray, "T C H W"], Float32[np.ndarray, "T C H W"]]
Frames = tuple[Float32[np.ndarray, "FT C H1 W1"], Float32[np.ndarray, "FT C H1 W1"]]


@runtime_checkable
class Validity(Protocol):
    """Says which pixels of a ground truth count, for example MVSEC's sparse protocol."""

    def mask(self, recording: Recording, index: int) -> Bool[np.ndarray, "H W"]:
        """Return ``[H, W]``, True where ground truth ``index`` of ``recording`` counts."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StereoWindows(torch.utils.data.Dataset[StereoSample]):
    """One item for every ground truth that has all its windows of events before it.

    The description is frozen and picklable; recordings given by path are looked at once when it is
    made, and opened again where items are read, in each process for itself. Item ``i`` depends on
    the description, ``i`` and, with augmentations, the epoch of a ``Draw``; never on the process.

    Attributes:
        recordings: one or several paths, open recordings, or ``Part``s of them.
        encoding: events to tensors.
        steps: time steps T of each window.
        window_us: length of a window by time, microseconds; None with ``window_events``.
        window_events: size of a window by number: the last so many events of each camera, cut to
            the time that both cover.
        frames: windows in a row, the last ends at the ground truth; they follow one another on the
            first axis, so a sample is ``[frames * steps, C, H, W]``, oldest first.
        augmentations: applied one after another to the rectified events before they are encoded.
        seed: of the augmentations, 0 or more.
        validity: restricts the ground truth further; None to take all that is known.
        most_open: recordings that stay open per process.
        skipped: ground truths without all their windows, per recording; not in ``len``.

    Raises:
        RecordingError: a recording that cannot be used, or no ground truth in any of them.
        ValueError: a description without meaning.
    """

    recordings: Given | Sequence[Given]
    encoding: Encoding
    steps: int
    window_us: int | None = None
    window_events: int | None = None
    frames: int = 1
    augmentations: Sequence[Augmentation] = ()
    seed: int = 0
    validity: Validity | None = None
    most_open: int = 48
    skipped: Mapping[str, int] = field(init=False, repr=False)
    _opened: Opened = field(init=False, repr=False)
    _cut: Cut = field(init=False, repr=False)
    _index: npt.NDArray[np.int64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the description and find the ground truths; all recordings are closed again."""
        if min(self.steps, self.most_open) < 1 or self.seed < 0:
            raise ValueError(
                "steps and most_open must be at least 1 and seed at least 0, got "
                f"{self.steps}, {self.most_open} and {self.seed}."
            )
        given: Any = self.recordings
        if isinstance(given, str | Path | Recording | Part):
            given = (given,)
        parts = tuple(_part(one) for one in given)
        cut = Cut(window_us=self.window_us, window_events=self.window_events, frames=self.frames)
        opened = Opened(parts, self.most_open)
        index, skipped = _survey(parts, opened, cut)
        opened.close()
        values = {"recordings": parts, "augmentations": tuple(self.augmentations), "_cut": cut,
                  "skipped": skipped, "_opened": opened, "_index": index}  # fmt: skip
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, index: int) -> StereoSample:
        """Return item ``index``; a ``Draw`` says the epoch too.

        Raises:
            IndexError: no such item; the first is 0.
            RecordingError: the recording turned out to be damaged.
        """
        recording, truth = self.at(index)
        t_us = int(recording.disparity_t_us[truth])
        disparity = np.ascontiguousarray(recording.disparity(truth), np.float32)
        known = np.isfinite(disparity) & (disparity > 0)
        valid = known & self._counts(recording, truth)
        disparity = np.where(known, disparity, np.float32(0))
        if self.augmentations or self.window_us is None:
            rng = generator_of(self.seed, index)
            (left, right), disparity, valid = self._by_events(
                recording, t_us, disparity, valid, rng
            )
        else:
            left, right = _in_a_row(
                [
                    encode_pair(recording, self.encoding, steps=self.steps, t0_us=t0, t1_us=t1)
                    for t0, t1 in self._cut.bounds(t_us)
                ]
            )
        return StereoSample(
            left=torch.from_numpy(left),
            right=torch.from_numpy(right),
            disparity=torch.from_numpy(disparity),
            valid=torch.from_numpy(valid),
            t_us=t_us,
            meta={"recording": recording.name, "truth": truth},
        )

    def at(self, index: int) -> tuple[Recording, int]:
        """Return the open recording of item ``index`` and the number of its ground truth."""
        part, truth = self.where(index)
        return self._opened[part], truth

    def where(self, index: int) -> tuple[int, int]:
        """Return the places of item ``index`` among ``recordings`` and their ground truths."""
        if not 0 <= index < len(self):
            raise IndexError(f"Window {index} of {len(self)}.")
        part, truth = self._index[int(index)]
        return int(part), int(truth)

    def identities(self) -> Iterator[dict[str, Any]]:
        """Give what each item depends on, in their order; equal means an equal sample.

        Raises:
            TypeError: a validity, encoding or recording that cannot be described by value.
        """
        kinds = [type(self.encoding)] + ([] if self.validity is None else [type(self.validity)])
        shared = {
            name: describe(getattr(self, name))
            for name in ("encoding", "steps", "window_us", "window_events", "frames", "validity",
                         "augmentations")
        } | {"code": code_digest(*kinds)}  # fmt: skip
        if self.augmentations:
            shared["seed"] = self.seed
        whole: dict[int, str] = {}
        for part, truth in self._index:
            if part not in whole:
                recording = self._opened[int(part)]
                given = self._opened.given(int(part))
                whole[part] = digest(describe_recording(recording, given) | shared)
            yield {"windows": whole[part], "truth": int(truth)}

    def close(self) -> None:
        """Close the recordings that this process has opened; a later read opens them again."""
        self._opened.close()

    def _counts(self, recording: Recording, truth: int) -> Bool[np.ndarray, "H W"]:
        """Return where the validity lets the ground truth count."""
        size = (recording.height, recording.width)
        if self.validity is None:
            return np.ones(size, np.bool_)
        mask = self.validity.mask(recording, truth)
        if mask.shape != size or mask.dtype != np.bool_:
            raise RecordingError(
                f"The validity of ground truth {truth} of {recording.name} is {mask.dtype} "
                f"{mask.shape}. Expected bool {size}, the size of the sensors."
            )
        return mask

    def _by_events(
        self,
        recording: Recording,
        t_us: int,
        disparity: Float32[np.ndarray, "H W"],
        valid: Bool[np.ndarray, "H W"],
        rng: np.random.Generator,
    ) -> tuple[Frames, Float32[np.ndarray, "H1 W1"], Bool[np.ndarray, "H1 W1"]]:
        """Read, rectify, augment and encode the events of all frames."""
        if self.window_us is None:
            frames = self._cut.by_number(recording, t_us)
            bounds = [span for span, _ in frames]
            raw = [_joined([pair[camera] for _, pair in frames]) for camera in range(2)]
        else:
            bounds = self._cut.bounds(t_us)
            raw = [recording.events(camera, bounds[0][0], t_us) for camera in CAMERAS]
        left, right = (
            recording.rectify(camera, events) for camera, events in zip(CAMERAS, raw, strict=True)
        )
        pair = StereoEvents(
            left=left, right=right, disparity=disparity, valid=valid, t0_us=bounds[0][0], t1_us=t_us
        )
        pair = augment(pair, self.augmentations, rng)
        tensors = [
            self.encoding.pair(
                pair.left, pair.right, steps=self.steps, height=pair.height, width=pair.width,
                t0_us=t0, t1_us=t1,
            )
            for t0, t1 in bounds
        ]  # fmt: skip
        return _in_a_row(tensors), pair.disparity, pair.valid


def _part(given: Given) -> Part:
    """Return one recording of a data set in its full form."""
    part = given if isinstance(given, Part) else Part(recording=_place(given))
    return replace(part, recording=_place(part.recording))


def _place(given: str | Path | Recording) -> Path | Recording:
    return Path(given).expanduser() if isinstance(given, str | Path) else given


def _survey(
    parts: tuple[Part, ...], opened: Opened, cut: Cut
) -> tuple[npt.NDArray[np.int64], dict[str, int]]:
    """Return ``[N, 2]`` part and ground truth of every item, and how many are left out."""
    rows: list[npt.NDArray[np.int64]] = [np.empty((0, 2), np.int64)]
    skipped: dict[str, int] = {}
    for number, part in enumerate(parts):
        recording = opened[number]
        truths, missing = usable_truths(recording, cut, part.truths)
        rows.append(np.stack([np.full_like(truths, number), truths], axis=1))
        skipped[recording.name] = skipped.get(recording.name, 0) + missing
    index = np.concatenate(rows)
    if not len(index):
        raise RecordingError(
            f"None of the {len(parts)} recordings has ground truth with a whole window of events "
            f"before it (ground truths without: {skipped}). Give recordings with ground truth, or "
            "a shorter window."
        )
    return index, skipped


def _in_a_row(tensors: list[Tensors]) -> Frames:
    """Return the frames of each camera one after another along the time axis."""
    if len(tensors) == 1:
        return tensors[0]
    left, right = (np.concatenate([pair[camera] for pair in tensors]) for camera in range(2))
    return left, right


def _joined(parts: list[Events]) -> Events:
    """Return windows that follow one another as one."""
    if len(parts) == 1:
        return parts[0]
    t, x, y, p = (np.concatenate([getattr(e, name) for e in parts]) for name in "txyp")
    return Events.trusted(t=t, x=x, y=y, p=p)
