"""Frozen configuration of a network and of its training; presets return it in full."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import nas
from data.encode import ENCODINGS
from nas.dgs import DGS
from nas.genotype import Genotype
from stereo.cost_volume import VOLUMES
from stereo.errors import StereoError
from stereo.sections import Sections, read_sections

OPTIMIZERS = ("adamw", "sgd")
TRUTHS = ("sparse", "dense")
CHANGES = ("none", "pixels", "events")


@dataclass(frozen=True, kw_only=True)
class EncodingConfig:
    """How a window of events becomes ``[T, C, H, W]``.

    Attributes:
        name: in ``data.encode.ENCODINGS``.
        steps: ``T``, time steps per window.
        bins: sub-bins per time step; they become channels.
        window_us: length of a window, microseconds.
    """

    name: str = "spikes"
    steps: int = 2
    bins: int = 4
    window_us: int = 50_000

    def __post_init__(self) -> None:
        """Refuse what cannot be encoded."""
        if self.name not in ENCODINGS:
            raise StereoError(
                f"Unknown encoding {self.name!r}; known: {', '.join(sorted(ENCODINGS))}."
            )
        if min(self.steps, self.bins, self.window_us) < 1:
            raise StereoError("An encoding needs at least one step, one bin and one microsecond.")


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Widths of the network around the genotype.

    Attributes:
        genotype: name of a file in ``nas/genotypes`` or the genotype itself.
        feature_channels: channels of a level-0 node of the feature net.
        matching_channels: channels of a level-0 node of the matching net.
        stem_channels: channels of the first, full-resolution layer.
        volume_channels: learned channels that each camera gives to the cost volume.
        volume: name in ``stereo.cost_volume.VOLUMES``.
        max_disparity: largest disparity searched, pixels.
    """

    genotype: str = "spikedhs"
    feature_channels: int = 4
    matching_channels: int = 4
    stem_channels: int = 8
    volume_channels: int = 8
    volume: str = "coincidence"
    max_disparity: int = 48

    def __post_init__(self) -> None:
        """Refuse empty layers."""
        widths = (self.feature_channels, self.matching_channels)
        if min(*widths, self.stem_channels, self.volume_channels, self.max_disparity) < 1:
            raise StereoError("All channel counts and the largest disparity must be positive.")
        if self.volume not in VOLUMES:
            raise StereoError(
                f"Unknown cost volume {self.volume!r}; known: {', '.join(sorted(VOLUMES))}."
            )


@dataclass(frozen=True, kw_only=True)
class Optimization:
    """What the training loop of every task needs to know.

    Attributes:
        steps: optimizer steps.
        batch: samples per step, over all processes and accumulated parts together.
        optimizer: "adamw" or "sgd".
        learning_rate: peak; cosine to zero after a linear warm-up.
        warmup: steps of the warm-up.
        momentum: of SGD (Nesterov); AdamW has its own.
        weight_decay: of either.
        clip_norm: largest gradient norm.
        accumulate: parts that a batch is cut into, one forward and backward pass for each; batch
            norms see one part at a time.
        rate_weight: weight of the mean firing rate of the layers, which pays for energy; searches
            train their weights with it too.
        spike_weight: likewise of the share of all places where a spike could be that have one, the
            cost volume's too; all spikes cost the same, those of large and of small layers.
        synapse_weight: likewise of the share of all synapses that spikes reach, so that a spike
            costs what it causes: energy. Searches have a budget for that and do without.
        synapse_ramp: of the steps, the first ones, over which that weight grows from nothing, so
            that a network learns what to see before it learns to do so with few spikes.
        analog_share: of the steps, the first ones, which train the analog twin: the same weights,
            rectifiers for neurons. Spiking neurons go on from there (Rathi et al., ICLR 2020).
        ema: decay of the averaged weights that are evaluated and shipped; 0 for no averaging.
        dgs: whether surrogate temperatures are searched on the way, as section ``dgs`` says.
        checkpoint_every: steps between two saved states.
        evaluate_every: steps between two evaluations, the best of which is kept; 0 for none.
        pictures: samples that every evaluation draws into ``pictures/`` of the run folder, where
            the task draws any; the same ones each time.
        seed: of everything random.
    """

    steps: int = 2600
    batch: int = 1
    optimizer: str = "adamw"
    learning_rate: float = 3e-3
    warmup: int = 100
    momentum: float = 0.9
    weight_decay: float = 1e-4
    clip_norm: float = 1.0
    accumulate: int = 1
    rate_weight: float = 0.2
    spike_weight: float = 0.0
    synapse_weight: float = 0.0
    synapse_ramp: float = 0.0
    analog_share: float = 0.0
    ema: float = 0.998
    dgs: bool = False
    checkpoint_every: int = 100
    evaluate_every: int = 0
    pictures: int = 4
    seed: int = 1

    def __post_init__(self) -> None:
        """Refuse a training that cannot run."""
        if min(self.steps, self.batch, self.accumulate, self.checkpoint_every) < 1:
            raise StereoError(
                "A training needs steps, batch, accumulate and checkpoint_every of at least 1, got "
                f"{self.steps}, {self.batch}, {self.accumulate} and {self.checkpoint_every}."
            )
        for name in ("analog_share", "synapse_ramp"):
            if not 0 <= getattr(self, name) <= 1:
                raise StereoError(
                    f"train.{name} is a part of the steps, from 0 to 1, got {getattr(self, name)}."
                )
        if self.batch % self.accumulate:
            raise StereoError(
                f"train.accumulate cuts a batch into equal parts; {self.batch} samples do not make "
                f"{self.accumulate}."
            )
        if self.optimizer not in OPTIMIZERS:
            raise StereoError(
                f"Unknown optimizer {self.optimizer!r}; known: {', '.join(OPTIMIZERS)}."
            )
        if not (self.learning_rate > 0 and self.clip_norm > 0):
            raise StereoError("The learning rate and the largest gradient norm must be positive.")
        if not (0 <= self.ema <= 1 and 0 <= self.momentum < 1):
            raise StereoError(
                "train.ema lies from 0 to 1 and train.momentum from 0 to below 1, got "
                f"{self.ema} and {self.momentum}."
            )
        prices = (self.rate_weight, self.spike_weight, self.synapse_weight)
        counted = (self.warmup, self.evaluate_every, self.pictures)
        if min(self.weight_decay, *prices, *counted) < 0:
            raise StereoError(
                "train.warmup, weight_decay, rate_weight, spike_weight, synapse_weight, "
                "evaluate_every and pictures cannot be negative."
            )


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Optimization):
    """Optimization on generated scenes or on recordings.

    Attributes:
        clips: number of different generated clips; step ``n`` draws from all of them.
        flashes: share of these in which a light is switched on before things without texture.
        crop_height: rows of a training crop.
        crop_width: columns of a training crop.
        l1_weight: weight of the smooth L1 distance between soft argmax and ground truth.
        plane_weight: weight of the cross-entropy over disparity planes, the loss of the published
            logs; with ``l1_weight=0`` the only one.
        step_weight: weight of the mean loss after each earlier time step beside that after the
            last one; an estimate is then useful before the window has ended.
        validation: generated windows that an evaluation takes, of clips never trained on.
    """

    clips: int = 600
    flashes: float = 0.0
    crop_height: int = 129
    crop_width: int = 192
    l1_weight: float = 1.0
    plane_weight: float = 1.0
    step_weight: float = 0.0
    validation: int = 64

    def __post_init__(self) -> None:
        """Refuse a training that cannot run."""
        super().__post_init__()
        if min(self.clips, self.crop_height, self.crop_width, self.validation) < 1:
            raise StereoError("A training needs clips, rows, columns and validation windows.")
        if not 0 <= self.flashes <= 1:
            raise StereoError(f"train.flashes is a share from 0 to 1, got {self.flashes}.")
        if min(self.l1_weight, self.plane_weight, self.step_weight) < 0 or not (
            self.l1_weight or self.plane_weight
        ):
            raise StereoError(
                "train.l1_weight, plane_weight and step_weight cannot be negative, and one of the "
                f"first two must be positive; got {self.l1_weight}, {self.plane_weight} and "
                f"{self.step_weight}."
            )


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which recordings on disk are used, and how; generated windows need nothing of it.

    Attributes:
        kind: of the folder, a name in ``stereo.tasks.roots.KINDS``; "auto" to find out by looking.
        split: of DSEC ``secff`` (31 sequences to train on, 10 for validation) or ``tes`` (36 and
            5), or ``all`` 41 for a submission, with nothing held out; of MVSEC 1, 2 or 3 as DDES
            has them, ``StereoSpike-1`` or ``EMatch-1`` and so on, or a file that
            ``data.mvsec.Split`` wrote. Empty for ``secff`` and 1; a suite is divided already.
        truth: of MVSEC "sparse" (pixels of the last 15,000 left events, as DDES) or "dense".
        partial: of DSEC and suites, go on although recordings are missing; the numbers then are not
            those of the split.
        min_disparity: smaller ground truth does not count, pixels; 0 for all.
        augment: what training changes besides its random crops: "none"; "pixels" for views upside
            down and mirrored with the cameras swapped; "events" for these and lost and false events
            and lower contrast. With "events" no sample comes twice, so no cache can hold it.
        shift: columns by which the right crops of half of the training windows lie farther to the
            right, at most, so that their disparities are larger and none is usual.
        generated: share of the training windows that are generated clips instead, 0 to 1; with few
            recordings it keeps a network from learning their scenes by heart.
        validation: frames that an evaluation on the part ``validation`` takes, spread evenly; 0 for
            all.
    """

    kind: str = "auto"
    split: str = ""
    truth: str = "sparse"
    partial: bool = False
    min_disparity: float = 0.0
    augment: str = "events"
    shift: int = 0
    generated: float = 0.0
    validation: int = 0

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        for name, known in (("truth", TRUTHS), ("augment", CHANGES)):
            if getattr(self, name) not in known:
                raise StereoError(
                    f"Unknown data.{name} {getattr(self, name)!r}; known: {', '.join(known)}."
                )
        if not 0 <= self.generated <= 1:
            raise StereoError(f"data.generated is a share from 0 to 1, got {self.generated}.")
        if not 0 <= self.min_disparity < float("inf") or min(self.validation, self.shift) < 0:
            raise StereoError(
                "data.min_disparity, validation and shift cannot be negative or infinite, got "
                f"{self.min_disparity}, {self.validation} and {self.shift}."
            )


@dataclass(frozen=True, kw_only=True)
class StereoConfig(Sections):
    """Everything that defines a network and its training.

    Attributes:
        name: of the preset it came from.
        encoding: events to tensors.
        network: widths.
        train: optimization.
        data: which recordings, where they are not generated.
        dgs: search of surrogate temperatures, where ``train.dgs`` asks for it.
    """

    task: ClassVar[str] = "stereo"

    name: str
    encoding: EncodingConfig = field(default_factory=EncodingConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    data: DataConfig = field(default_factory=DataConfig)
    dgs: DGS = field(default_factory=DGS)

    @property
    def window_us(self) -> int:
        """Length of a window, microseconds."""
        return self.encoding.window_us

    @property
    def max_disparity(self) -> int:
        """Largest disparity searched, pixels."""
        return self.network.max_disparity

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "StereoConfig":
        """Build a configuration from its JSON document.

        Raises:
            StereoError: unknown or missing keys.
        """
        return cls(**read_sections(cls, document))


def load_genotype(name: str) -> Genotype:
    """Return the genotype of that name in ``nas/genotypes``, or of that file."""
    shipped = Path(nas.__file__).with_name("genotypes") / f"{name}.json"
    return Genotype.load(shipped if shipped.is_file() else name)
