"""The tasks ``cifar10-dvs`` and ``dvs-gesture``: event frames of recordings that have a class."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from data.errors import RecordingError
from data.event_classes import EventAugment, EventClasses
from data.images.loading import event_batches, event_evaluation_batches
from data.images.order import BatchOrder
from stereo.classifier_config import ClassifierConfig
from stereo.errors import StereoError
from stereo.tasks.classify import EVALUATION_BATCH, ClassifierTask, Scored
from stereo.tasks.task import Source

EXPECTED = {
    "cifar10-dvs": "Download the ten archives of CIFAR10-DVS from "
    "https://figshare.com/articles/dataset/CIFAR10-DVS_New/4724671, unpack them, and give the "
    "folder with its ten folders of classes as --data.",
    "dvs-gesture": "Download DVS128 Gesture from https://research.ibm.com/interactive/dvsgesture, "
    "unpack it as Tonic does (ibmGestureTrain and ibmGestureTest), and give the folder with both "
    "as --data.",
}


class EventTask(ClassifierTask):
    """A classifier bound to event recordings; see ``stereo.tasks.task.Task``.

    Of the section ``augment``, ``flip``, ``crop_padding`` (pixels that frames roll by, at most) and
    ``label_smoothing`` are used; the rest is for pictures.

    Args:
        config: network and training.
        source: where the recordings are.

    Raises:
        StereoError: no folder of recordings, or a network for something else than event frames.
    """

    def __init__(self, config: ClassifierConfig, source: Source) -> None:
        super().__init__(config, source)
        if config.task not in EXPECTED:
            raise StereoError(f"No event recordings belong to the task {config.task!r}.")
        network = config.network
        if not network.frames or network.inputs != 2 or network.height != network.width:
            raise StereoError(
                f"The task {config.task} has square frames of two polarities: network.frames must "
                f"be true, network.inputs 2 and height equal to width; got {network}."
            )
        if source.data is None:
            raise StereoError(
                f"The task {config.task} needs --data with its recordings. {EXPECTED[config.task]}"
            )

    def samples_of(self, part: str) -> Any:
        """Read the recordings of ``train`` or ``test``."""
        assert self.source.data is not None
        network, augment = self.config.network, self.config.augment
        try:
            return EventClasses(
                self.config.task, self.source.data, "test" if part == "test" else "train",
                network.steps, network.height,
                augment=EventAugment(flip=augment.flip, roll=augment.crop_padding),
            )  # fmt: skip
        except RecordingError as error:
            raise StereoError(f"{error} {EXPECTED[self.config.task]}") from error

    def training_batches(self, samples: Any, order: BatchOrder, first: int) -> Iterator[Scored]:
        """Yield the batches of the steps from ``first`` on, without end."""
        return event_batches(
            samples, order, first, seed=self.config.train.seed,
            label_smoothing=self.config.augment.label_smoothing, workers=self.source.workers,
        )  # fmt: skip

    def evaluation_batches(self, samples: Any) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield all recordings in their order, unchanged, with their labels."""
        return event_evaluation_batches(samples, EVALUATION_BATCH, workers=self.source.workers)
