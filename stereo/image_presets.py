"""Named configurations of classifiers; each function returns one in full."""

from collections.abc import Callable

from data.images.augment import CIFAR100_COLOR, IMAGENET_COLOR, ImageAugment
from stereo.classifier_config import ClassifierConfig, ClassifierNetwork, ClassifierTraining

Preset = Callable[[], ClassifierConfig]
IMAGE_PRESETS: dict[str, Preset] = {}

CIFAR_IMAGES = 50_000
"""Training images of CIFAR-10 and CIFAR-100."""


def preset(function: Preset) -> Preset:
    """Register a preset under its function's name."""
    IMAGE_PRESETS[function.__name__] = function
    return function


def steps_of(epochs: int, images: int, batch: int) -> int:
    """Return the steps of a number of epochs; what does not fill a batch is left out."""
    return epochs * (images // batch)


@preset
def cifar10_spikedhs() -> ClassifierConfig:
    """CIFAR-10 with the network and the training that SpikeDHS published (100 epochs, GPU)."""
    batch = 50
    return ClassifierConfig(
        name="cifar10_spikedhs",
        task="cifar10",
        network=ClassifierNetwork(steps=6, channels=48, auxiliary=5),
        augment=ImageAugment(cutout=16),
        train=ClassifierTraining(
            steps=steps_of(100, CIFAR_IMAGES, batch), batch=batch, learning_rate=0.025,
            weight_decay=3e-4, clip_norm=5.0, evaluate_every=CIFAR_IMAGES // batch, seed=12345,
        ),
    )  # fmt: skip


@preset
def cifar100_spikedhs() -> ClassifierConfig:
    """CIFAR-100 with the network and the training that SpikeDHS published (100 epochs, GPU)."""
    batch = 50
    mean, std = CIFAR100_COLOR
    return ClassifierConfig(
        name="cifar100_spikedhs",
        task="cifar100",
        network=ClassifierNetwork(steps=6, channels=48, auxiliary=5, classes=100),
        augment=ImageAugment(cutout=16, mean=mean, std=std),
        train=ClassifierTraining(
            steps=steps_of(100, CIFAR_IMAGES, batch), batch=batch, learning_rate=0.025,
            weight_decay=3e-4, clip_norm=5.0, evaluate_every=CIFAR_IMAGES // batch, seed=12345,
        ),
    )  # fmt: skip


@preset
def cifar10_cpu() -> ClassifierConfig:
    """CIFAR-10 on two CPU cores: narrow, two time steps, an hour of training."""
    batch = 128
    return ClassifierConfig(
        name="cifar10_cpu",
        task="cifar10",
        network=ClassifierNetwork(steps=2, channels=16, stem_strides=(2,), pool="average"),
        augment=ImageAugment(cutout=8, label_smoothing=0.1),
        train=ClassifierTraining(
            steps=steps_of(10, CIFAR_IMAGES, batch), batch=batch, optimizer="adamw",
            learning_rate=4e-3, warmup=400, weight_decay=0.05, clip_norm=1.0, ema=0.998,
            checkpoint_every=200, seed=1,
        ),
    )  # fmt: skip


@preset
def imagenet() -> ClassifierConfig:
    """ImageNet at 224 x 224 with the genotype found on CIFAR: two strides in the stem (GPUs)."""
    batch, images = 256, 1_281_167
    mean, std = IMAGENET_COLOR
    return ClassifierConfig(
        name="imagenet",
        task="imagenet",
        network=ClassifierNetwork(
            steps=6, channels=48, stem_strides=(2, 2), classes=1000, height=224, width=224,
        ),
        augment=ImageAugment(crop_padding=0, label_smoothing=0.1, mean=mean, std=std),
        train=ClassifierTraining(
            steps=steps_of(100, images, batch), batch=batch, learning_rate=0.1,
            warmup=steps_of(5, images, batch), weight_decay=4e-5, clip_norm=5.0, ema=0.9999,
            evaluate_every=images // batch,
        ),
    )  # fmt: skip


@preset
def tiny_imagenet_cpu() -> ClassifierConfig:
    """Tiny-ImageNet, or any folders of small pictures, on two CPU cores.

    Two strides in the stem, so that cells work at the sizes that the genotype was found at on
    CIFAR. 1,200 steps are 15 epochs of 10,000 pictures; all 100,000 of Tiny-ImageNet want more.
    """
    mean, std = IMAGENET_COLOR
    return ClassifierConfig(
        name="tiny_imagenet_cpu",
        task="imagenet",
        network=ClassifierNetwork(
            steps=2, channels=16, stem_strides=(2, 2), pool="average", classes=200, height=64,
            width=64,
        ),
        augment=ImageAugment(
            crop_padding=0, cutout=16, label_smoothing=0.1, mean=mean, std=std
        ),
        train=ClassifierTraining(
            steps=1200, batch=128, optimizer="adamw", learning_rate=4e-3, warmup=120,
            weight_decay=0.05, clip_norm=1.0, ema=0.998, checkpoint_every=100,
        ),
    )  # fmt: skip


@preset
def cifar10_dvs() -> ClassifierConfig:
    """CIFAR10-DVS: ten classes of events, 48 x 48, ten frames."""
    return ClassifierConfig(
        name="cifar10_dvs",
        task="cifar10-dvs",
        network=ClassifierNetwork(
            steps=10, channels=16, stem_strides=(1,), classes=10, inputs=2, frames=True,
            height=48, width=48,
        ),
        augment=ImageAugment(crop_padding=5, label_smoothing=0.1),
        train=ClassifierTraining(
            steps=steps_of(100, 9000, 64), batch=64, optimizer="adamw", learning_rate=2e-3,
            warmup=500, weight_decay=0.02, clip_norm=1.0, ema=0.998,
        ),
    )  # fmt: skip


@preset
def dvs_gesture() -> ClassifierConfig:
    """DVS-Gesture: eleven gestures in events, 64 x 64, sixteen frames."""
    return ClassifierConfig(
        name="dvs_gesture",
        task="dvs-gesture",
        network=ClassifierNetwork(
            steps=16, channels=16, stem_strides=(2,), classes=11, inputs=2, frames=True,
            height=64, width=64,
        ),
        augment=ImageAugment(crop_padding=5, label_smoothing=0.1),
        train=ClassifierTraining(
            steps=steps_of(200, 1176, 16), batch=16, optimizer="adamw", learning_rate=2e-3,
            warmup=500, weight_decay=0.02, clip_norm=1.0, ema=0.998,
        ),
    )  # fmt: skip


@preset
def tiny_images() -> ClassifierConfig:
    """A classifier of seconds, for tests and for trying a change."""
    return ClassifierConfig(
        name="tiny_images",
        task="imagenet",
        network=ClassifierNetwork(steps=2, channels=2, classes=2, height=16, width=16),
        augment=ImageAugment(crop_padding=1),
        train=ClassifierTraining(
            steps=4, batch=4, optimizer="adamw", learning_rate=1e-2, warmup=1, ema=0.9,
            checkpoint_every=2,
        ),
    )  # fmt: skip
