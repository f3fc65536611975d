"""Options of all commands that open a recording of any two cameras."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from data.recording import Recording
    from data.rows import RowOffset

Right = Annotated[
    Path | None,
    typer.Option(
        help="File of the right camera (.raw, .aedat4, .h5, .npz); then the other is one too."
    ),
]
CalibrationFile = Annotated[
    Path | None,
    typer.Option(
        "--calibration", help="Calibration (yaml) of cameras that have none of their own."
    ),
]
Width = Annotated[
    int | None, typer.Option(help="Columns of each sensor.", show_default="stated or guessed")
]
Height = Annotated[
    int | None, typer.Option(help="Rows of each sensor.", show_default="stated or guessed")
]
OffsetUs = Annotated[int, typer.Option(help="Added to the times of the right camera, us.")]
Uncalibrated = Annotated[
    bool, typer.Option("--uncalibrated", help="Disparity only; rows are aligned by the events.")
]
Sort = Annotated[bool, typer.Option("--sort", help="Sort unsorted events instead of refusing.")]
WindowMs = Annotated[
    float | None,
    typer.Option(help="Length of a window.", show_default="what the network was trained with"),
]
MaxDisparity = Annotated[
    int | None,
    typer.Option(help="Largest disparity searched, pixels.", show_default="the network's"),
]


def describe_rows(found: "RowOffset") -> str:
    """Say in one line what was measured and what was done about it."""
    measured = (
        f"{found.offset_px:+.2f} px (confidence {found.confidence:.2f}, {found.windows} windows)"
    )
    if found.reliable:
        return f"Row offset, right minus left: {measured}; corrected"
    return f"Row offset, right minus left: not measurable, {measured}; nothing corrected"


@dataclass(frozen=True)
class CameraFiles:
    """What the options name; the fields are those of ``data.opening.open_cameras``."""

    path: Path
    right: Path | None
    calibration: Path | None
    width: int | None
    height: int | None
    offset_us: int
    sort: bool

    @contextmanager
    def opened(self, uncalibrated: bool) -> "Iterator[tuple[Recording, RowOffset | None]]":
        """Give the open recording; if uncalibrated with its rows aligned, and by how much.

        Raises:
            RecordingError: what the readers refuse.
            StereoError: a calibration is given for what is to be uncalibrated.
        """
        from data.opening import open_cameras
        from data.rows import without_calibration
        from stereo.cli.console import progress
        from stereo.errors import StereoError

        if uncalibrated and self.calibration is not None:
            raise StereoError("Give either --calibration FILE or --uncalibrated, not both.")
        with open_cameras(
            self.path,
            right=self.right,
            calibration=self.calibration,
            width=self.width,
            height=self.height,
            offset_us=self.offset_us,
            sort=self.sort,
        ) as recording:
            if not uncalibrated:
                yield recording, None
                return
            with progress("Measuring the row offset") as advance:
                aligned, found = without_calibration(recording, lambda share: advance(share, 1.0))
            yield aligned, found


def warn_if_raw(recording: "Recording") -> None:
    """Warn on standard error that nothing is known about the geometry of the cameras."""
    if recording.calibration is None and recording.rectify_map("left") is None:
        typer.echo(
            "Warning: these cameras are not calibrated: disparity of raw pixels, no depth, rows as "
            "they are. Give --calibration FILE, or --uncalibrated to align the rows.",
            err=True,
        )
