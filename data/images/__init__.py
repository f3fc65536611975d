"""Images with classes: CIFAR, folders, the order of batches, augmentation, loading."""

from data.images.arrays import Images
from data.images.augment import (
    CIFAR10_COLOR,
    CIFAR100_COLOR,
    IMAGENET_COLOR,
    ImageAugment,
    augment_batch,
    normalize,
)
from data.images.cifar import read_cifar
from data.images.folders import ImageFolder
from data.images.loading import (
    evaluation_batches,
    event_batches,
    event_evaluation_batches,
    image_batches,
)
from data.images.order import BatchOrder, halves

__all__ = [
    "CIFAR10_COLOR",
    "CIFAR100_COLOR",
    "IMAGENET_COLOR",
    "BatchOrder",
    "ImageAugment",
    "ImageFolder",
    "Images",
    "augment_batch",
    "evaluation_batches",
    "event_batches",
    "event_evaluation_batches",
    "halves",
    "image_batches",
    "normalize",
    "read_cifar",
]
