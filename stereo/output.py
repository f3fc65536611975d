"""The result folder of an inference: ``disparity.mp4``, ``report.json``, a file for each window.

What is in the folder comes from one run. ``report.json`` is written first with
``"complete": false`` and replaced at the end, so a stopped run is told from a finished one, and a
later run knows that the old files are ours to replace.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt16

from data.camera import Calibration
from stereo.atomic import write_json, write_png
from stereo.color import colorize
from stereo.errors import StereoError
from stereo.point_cloud import points_m, stored_depth, write_ply

COMMAND = "stereo infer"
Disparity = Float32[np.ndarray, "H W"]
LEVELS_PER_PX = 256
"""Unit of the PNGs: they hold disparity times this, as DSEC's do."""


def stored_disparity(disparity: Disparity) -> UInt16[np.ndarray, "H W"]:
    """Return disparity as 16-bit PNGs hold it: times 256, rounded.

    Every finite estimate is stored, at least as 1 (1/256 px) and at most as 65535; 0 stands for no
    estimate.

    Args:
        disparity: ``[H, W]`` pixels; NaN or infinite = no estimate.
    """
    levels = np.where(np.isfinite(disparity), disparity, 0).astype(np.float64) * LEVELS_PER_PX
    stored = np.clip(np.rint(levels), 1, 65535).astype(np.uint16)
    stored[~np.isfinite(disparity)] = 0
    return stored


def _write_disparity(path: Path, disparity: Disparity, _: Calibration | None) -> None:
    write_png(path, stored_disparity(disparity))


def _write_depth(path: Path, disparity: Disparity, calibration: Calibration | None) -> None:
    assert calibration is not None
    write_png(path, stored_depth(disparity, calibration))


def _write_points(path: Path, disparity: Disparity, calibration: Calibration | None) -> None:
    assert calibration is not None
    points, pixels = points_m(disparity, calibration)
    colors = colorize(disparity, disparity > 0, top=_top(disparity), name="turbo")
    write_ply(path, points, colors[pixels[:, 1], pixels[:, 0]])


def _top(disparity: Disparity) -> float:
    return max(1.0, float(disparity.max(initial=1.0)))


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Something that is written for every window.

    Attributes:
        suffix: of the files.
        write: writes one.
        metric: whether it needs a calibration.
    """

    suffix: str
    write: Callable[[Path, Disparity, Calibration | None], None]
    metric: bool = False


KEPT: dict[str, Kept] = {
    "disparity": Kept(suffix=".png", write=_write_disparity),
    "depth": Kept(suffix=".png", write=_write_depth, metric=True),
    "points": Kept(suffix=".ply", write=_write_points, metric=True),
}
"""By the name of the folder: disparity and depth as 16-bit PNGs, points as PLY."""


class ResultFolder:
    """Where an inference writes.

    Args:
        path: the folder; made if missing. Results of an earlier inference in it are removed.
        keeps: names in ``KEPT``: what is written for every window.
        calibration: of the recording; None where there is none.

    Raises:
        StereoError: the folder cannot be made, or holds files of another origin; or depth is asked
            for without a calibration.
    """

    def __init__(
        self,
        path: Path,
        keeps: Sequence[str] = ("disparity",),
        calibration: Calibration | None = None,
    ) -> None:
        self.path = path.absolute()
        self.keeps, self.calibration = tuple(keeps), calibration
        self.video = self.path / "disparity.mp4"
        self.report = self.path / "report.json"
        metric = [name for name in self.keeps if KEPT[name].metric]
        if metric and calibration is None:
            raise StereoError(
                f"This recording has no calibration, which {' and '.join(metric)} need: meters "
                "follow from focal length and baseline. Give one with --calibration."
            )
        try:
            self._prepare()
        except OSError as error:
            raise StereoError(
                f"Results cannot be written to {path} ({error.strerror or error}). Give a folder "
                "that you may write to with --out."
            ) from error

    def folder(self, name: str) -> Path:
        """Return where the files of one kind lie."""
        return self.path / name

    def write(self, index: int, disparity: Disparity) -> None:
        """Write what is kept of window ``index``.

        Args:
            index: number of the window, counted from 0.
            disparity: ``[H, W]`` pixels; NaN or infinite = no estimate.
        """
        for name in self.keeps:
            kept = KEPT[name]
            kept.write(self.folder(name) / f"{index:06d}{kept.suffix}", disparity, self.calibration)

    def write_report(self, document: dict[str, Any], *, complete: bool = True) -> None:
        """Write ``report.json``."""
        write_json(self.report, {"command": COMMAND, "complete": complete, **document})

    def _prepare(self) -> None:
        """Make the folders and remove what an earlier inference left in them."""
        self.path.mkdir(parents=True, exist_ok=True)
        old = {n: sorted(self.folder(n).glob(f"*{kept.suffix}")) for n, kept in KEPT.items()}
        for name, files in old.items():
            if files and not self._is_ours():
                kind = KEPT[name].suffix[1:].upper()
                raise StereoError(
                    f"{self.folder(name)} already holds {len(files)} {kind} files that were not "
                    "written by an inference (there is no report.json of one beside it). Give "
                    "another folder with --out."
                )
        self.write_report({}, complete=False)
        for file in chain.from_iterable(old.values()):
            file.unlink()
        for name in self.keeps:
            self.folder(name).mkdir(exist_ok=True)
        self.video.unlink(missing_ok=True)

    def _is_ours(self) -> bool:
        """Tell whether the folder's report is one of ours."""
        try:
            document = json.loads(self.report.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return False
        return isinstance(document, dict) and document.get("command") == COMMAND
