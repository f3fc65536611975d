"""Frozen configuration of a classifier and of its training."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from data.images.augment import ImageAugment
from nas.dgs import DGS
from stereo.config import Optimization
from stereo.errors import StereoError
from stereo.sections import Sections, read_sections

POOLS = ("spiking", "average")


@dataclass(frozen=True, kw_only=True)
class ClassifierNetwork:
    """Widths and sizes of a classifier around its genotype.

    Attributes:
        genotype: name of a file in ``nas/genotypes`` or the genotype itself.
        steps: ``T``, time steps: of the network for images, of the recording for events.
        channels: of a level-0 node (the published "filter multiplier").
        outputs: nodes concatenated at the end of a cell (the published "block multiplier").
        stem_strides: of the convolutions before the cells, one each.
        stem_channels: of the last of them, the others have half; 0 for those of a cell's output.
        pool: "spiking" fires after the global average, as published; "average" does not.
        auxiliary: layer behind which a second head stands in training, counted from 0; -1 for none.
        classes: to tell apart.
        inputs: channels of the input.
        frames: whether the input is one event frame per time step instead of one image.
        height: rows of the input.
        width: columns of the input.
    """

    genotype: str = "spikedhs_cifar"
    steps: int = 6
    channels: int = 48
    outputs: int = 3
    stem_strides: tuple[int, ...] = (1,)
    stem_channels: int = 0
    pool: str = "spiking"
    auxiliary: int = -1
    classes: int = 10
    inputs: int = 3
    frames: bool = False
    height: int = 32
    width: int = 32

    def __post_init__(self) -> None:
        """Refuse empty layers."""
        sizes = (self.steps, self.channels, self.outputs, self.inputs, self.height, self.width)
        if min(sizes) < 1 or self.stem_channels < 0 or self.classes < 2:
            raise StereoError(
                "A classifier needs steps, channels, outputs, inputs, height and width of at least "
                f"1, and two classes; got {self}."
            )
        if not self.stem_strides or any(
            isinstance(s, bool) or not isinstance(s, int) or s < 1 for s in self.stem_strides
        ):
            raise StereoError(
                f"network.stem_strides is one number of at least 1 for each convolution, such as "
                f"[2, 2]; got {list(self.stem_strides)}."
            )
        if self.pool not in POOLS:
            raise StereoError(f"network.pool is {' or '.join(POOLS)}, got {self.pool!r}.")
        if self.auxiliary < -1:
            raise StereoError(f"network.auxiliary is a layer, or -1; got {self.auxiliary}.")

    @property
    def stem_widths(self) -> tuple[int, ...]:
        """Channels of each convolution before the cells."""
        last = self.stem_channels or self.outputs * self.channels
        return (max(1, last // 2),) * (len(self.stem_strides) - 1) + (last,)


@dataclass(frozen=True, kw_only=True)
class ClassifierTraining(Optimization):
    """Optimization of a classifier.

    Attributes:
        auxiliary_weight: of the auxiliary head's loss.
        held_out: training samples kept back to be evaluated on while training. With 0 the test set
            takes their place, and the best of several evaluations is then chosen on it.
    """

    steps: int = 100_000
    batch: int = 50
    optimizer: str = "sgd"
    learning_rate: float = 0.025
    warmup: int = 0
    weight_decay: float = 3e-4
    clip_norm: float = 5.0
    rate_weight: float = 0.0
    ema: float = 0.0
    checkpoint_every: int = 1000
    auxiliary_weight: float = 0.4
    held_out: int = 0

    def __post_init__(self) -> None:
        """Refuse a training that cannot run."""
        super().__post_init__()
        if self.auxiliary_weight < 0 or self.held_out < 0:
            raise StereoError("train.auxiliary_weight and train.held_out cannot be negative.")


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig(Sections):
    """Everything that defines a classifier and its training.

    Attributes:
        name: of the preset it came from.
        task: name in ``stereo.tasks.TASKS``.
        network: widths and sizes.
        augment: how training images are changed.
        train: optimization.
        dgs: search of surrogate temperatures, where ``train.dgs`` asks for it.
    """

    name: str
    task: str
    network: ClassifierNetwork = field(default_factory=ClassifierNetwork)
    augment: ImageAugment = field(default_factory=ImageAugment)
    train: ClassifierTraining = field(default_factory=ClassifierTraining)
    dgs: DGS = field(default_factory=DGS)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "ClassifierConfig":
        """Build a configuration from its JSON document.

        Raises:
            StereoError: unknown or missing keys, or values that a section refuses.
        """
        return cls(**read_sections(cls, document))
