"""The tasks ``cifar10``, ``cifar100`` and ``imagenet``: static images."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from data.errors import RecordingError
from data.images.cifar import read_cifar
from data.images.folders import ImageFolder
from data.images.loading import evaluation_batches, image_batches
from data.images.order import BatchOrder
from stereo.classifier_config import ClassifierConfig
from stereo.errors import StereoError
from stereo.tasks.classify import EVALUATION_BATCH, ClassifierTask, Scored
from stereo.tasks.task import Source


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """Images of one origin.

    Attributes:
        expected: what to download, and where to put it.
        read: gives ``train`` or ``test`` of a folder, for a configuration.
    """

    expected: str
    read: Callable[[Path, str, ClassifierConfig], Any]


class ImageTask(ClassifierTask):
    """A classifier bound to images; see ``stereo.tasks.task.Task``.

    Args:
        config: network and training.
        source: where the images are.

    Raises:
        StereoError: no folder of images, or a network for something else than square RGB images.
    """

    def __init__(self, config: ClassifierConfig, source: Source) -> None:
        super().__init__(config, source)
        if config.task not in SETS:
            raise StereoError(f"No images belong to the task {config.task!r}.")
        network = config.network
        if network.frames or network.inputs != 3 or network.height != network.width:
            raise StereoError(
                f"The task {config.task} has square images of three colors; the network is for "
                f"{network.inputs} x {network.height} x {network.width}"
                f"{' frames of events' if network.frames else ''}."
            )
        self.set = SETS[config.task]
        if source.data is None:
            raise StereoError(
                f"The task {config.task} needs --data with its images. {self.set.expected}"
            )

    def samples_of(self, part: str) -> Any:
        """Read the images of ``train`` or ``test``."""
        assert self.source.data is not None
        try:
            return self.set.read(self.source.data, part, self.config)
        except RecordingError as error:
            raise StereoError(f"{error} {self.set.expected}") from error

    def training_batches(self, samples: Any, order: BatchOrder, first: int) -> Iterator[Scored]:
        """Yield the batches of the steps from ``first`` on, without end."""
        return image_batches(
            samples, order, first, augment=self.config.augment, seed=self.config.train.seed,
            workers=self.source.workers,
        )  # fmt: skip

    def evaluation_batches(self, samples: Any) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield all images in their order, unchanged, with their labels."""
        return evaluation_batches(
            samples, EVALUATION_BATCH, augment=self.config.augment, workers=self.source.workers
        )


def _cifar(classes: int, folder: str) -> ImageSet:
    def read(root: Path, part: str, config: ClassifierConfig) -> Any:
        if config.network.height != 32:
            raise StereoError(f"CIFAR images have 32 rows, the network {config.network.height}.")
        return read_cifar(root, classes=classes, part="test" if part == "test" else "train")

    name = f"cifar-{classes}"
    return ImageSet(
        expected=f"Download {name}-binary.tar.gz (or {name}-python.tar.gz) from "
        f"https://www.cs.toronto.edu/~kriz/cifar.html, unpack it, and give the folder {folder}, or "
        "the archive itself, as --data.",
        read=read,
    )


def _folders(root: Path, part: str, config: ClassifierConfig) -> ImageFolder:
    """Return class folders; ``val`` is tested on, as ImageNet's test set has no labels."""
    size = config.network.height
    train = ImageFolder(root, part="train", size=size)
    if part == "train":
        return train
    return ImageFolder(root, part="val", size=size, classes=train.classes)


SETS = {
    "cifar10": _cifar(10, "cifar-10-batches-bin"),
    "cifar100": _cifar(100, "cifar-100-binary"),
    "imagenet": ImageSet(
        expected="Expected ImageNet's training and validation images (from https://image-net.org, "
        "with an account there), or another set, as DATA/train/<class>/<image> and "
        "DATA/val/<class>/<image>; give DATA as --data.",
        read=_folders,
    ),
}
