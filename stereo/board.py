"""Metrics of a training for TensorBoard, beside ``metrics.jsonl``, which holds the same."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from stereo.errors import StereoError
from stereo.tasks.task import Metrics

FOLDER = "tensorboard"
"""In the run folder."""


@contextmanager
def board(run: Path) -> Iterator[Callable[[int, Metrics], None]]:
    """Give what is told the metrics of every step; lines of a killed session are replaced.

    Args:
        run: run folder of the training.

    Raises:
        StereoError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise StereoError(
            "TensorBoard is not installed. Install it with pip install '.[tensorboard]' in the "
            "folder of this project, or leave out --tensorboard (metrics.jsonl holds the same)."
        ) from error
    writer: SummaryWriter | None = None

    def tell(step: int, metrics: Metrics) -> None:
        nonlocal writer
        if writer is None:
            writer = SummaryWriter(str(run / FOLDER), purge_step=step)
        for name, value in metrics.items():
            writer.add_scalar(name, value, step)

    try:
        yield tell
    finally:
        if writer is not None:
            writer.close()
