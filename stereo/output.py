"""The result folder of an inference: ``disparity.mp4``, ``disparity/*.png``, ``report.json``.

What is in the folder comes from one run. ``report.json`` is written first with
``"complete": false`` and replaced at the end, so a stopped run is told from a finished one, and a
later run knows that the old files are ours to replace.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt16

from stereo.atomic import write_json, write_png
from stereo.errors import StereoError

COMMAND = "stereo infer"
LEVELS_PER_PX = 256
"""Unit of the PNGs: they hold disparity times this, as DSEC's do."""


def stored_disparity(disparity: Float32[np.ndarray, "H W"]) -> UInt16[np.ndarray, "H W"]:
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


class ResultFolder:
    """Where an inference writes.

    Args:
        path: the folder; made if missing. Results of an earlier inference in it are removed.

    Raises:
        StereoError: the folder cannot be made, or holds PNGs of another origin.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.video = self.path / "disparity.mp4"
        self.disparity = self.path / "disparity"
        self.report = self.path / "report.json"
        try:
            self._prepare()
        except OSError as error:
            raise StereoError(
                f"Results cannot be written to {path} ({error.strerror or error}). Give a folder "
                "that you may write to with --out."
            ) from error

    def write_disparity(self, index: int, disparity: Float32[np.ndarray, "H W"]) -> None:
        """Write the estimate of window ``index``.

        Args:
            index: number of the window, counted from 0.
            disparity: ``[H, W]`` pixels; NaN or infinite = no estimate.
        """
        write_png(self.disparity / f"{index:06d}.png", stored_disparity(disparity))

    def write_report(self, document: dict[str, Any], *, complete: bool = True) -> None:
        """Write ``report.json``."""
        write_json(self.report, {"command": COMMAND, "complete": complete, **document})

    def _prepare(self) -> None:
        """Make the folder and remove what an earlier inference left in it."""
        self.disparity.mkdir(parents=True, exist_ok=True)
        pictures = sorted(self.disparity.glob("*.png"))
        if pictures and not self._is_ours():
            raise StereoError(
                f"{self.disparity} already holds {len(pictures)} PNG files that were not written "
                "by an inference (there is no report.json of one beside it). Give another folder "
                "with --out."
            )
        self.write_report({}, complete=False)
        for picture in pictures:
            picture.unlink()
        self.video.unlink(missing_ok=True)

    def _is_ours(self) -> bool:
        """Tell whether the folder's report is one of ours."""
        try:
            document = json.loads(self.report.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return False
        return isinstance(document, dict) and document.get("command") == COMMAND
