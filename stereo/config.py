"""Frozen configuration of a network and of its training; presets return it in full."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import nas
from data.encode import ENCODINGS
from nas.genotype import Genotype
from stereo.cost_volume import VOLUMES
from stereo.errors import StereoError


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
class TrainConfig:
    """Optimisation on generated scenes.

    Attributes:
        steps: optimiser steps.
        batch: clips per step.
        clips: number of different generated clips; step ``n`` draws from all of them.
        learning_rate: peak of AdamW, cosine to zero after a linear warm-up.
        warmup: steps of the warm-up.
        weight_decay: of AdamW.
        clip_norm: largest gradient norm.
        crop_height: rows of a training crop.
        crop_width: columns of a training crop.
        plane_weight: weight of the cross-entropy over disparity planes beside the smooth L1.
        rate_weight: weight of the mean firing rate, which pays for energy.
        ema: decay of the averaged weights that are evaluated and shipped.
        checkpoint_every: steps between two saved states.
        seed: of everything random.
    """

    steps: int = 2600
    batch: int = 1
    clips: int = 600
    learning_rate: float = 3e-3
    warmup: int = 100
    weight_decay: float = 1e-4
    clip_norm: float = 1.0
    crop_height: int = 129
    crop_width: int = 192
    plane_weight: float = 1.0
    rate_weight: float = 0.2
    ema: float = 0.998
    checkpoint_every: int = 100
    seed: int = 1


@dataclass(frozen=True, kw_only=True)
class StereoConfig:
    """Everything that defines a network and its training.

    Attributes:
        name: of the preset it came from.
        encoding: events to tensors.
        network: widths.
        train: optimisation.
    """

    name: str
    encoding: EncodingConfig = field(default_factory=EncodingConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    @property
    def window_us(self) -> int:
        """Length of a window, microseconds."""
        return self.encoding.window_us

    @property
    def max_disparity(self) -> int:
        """Largest disparity searched, pixels."""
        return self.network.max_disparity

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "StereoConfig":
        """Build a configuration from its JSON document.

        Raises:
            StereoError: unknown or missing keys.
        """
        try:
            return cls(
                name=document["name"],
                encoding=EncodingConfig(**document["encoding"]),
                network=NetworkConfig(**document["network"]),
                train=TrainConfig(**document["train"]),
            )
        except (KeyError, TypeError) as error:
            raise StereoError(f"The configuration is malformed: {error}.") from error

    def override(self, assignments: Mapping[str, str]) -> "StereoConfig":
        """Return a copy with dotted fields replaced, such as ``{"train.steps": "100"}``.

        Raises:
            StereoError: no such field, or a value of the wrong type.
        """
        config: Any = self
        for path, text in assignments.items():
            section, _, name = path.partition(".")
            group: Any = getattr(config, section, None) if name else None
            names = [f.name for f in fields(group)] if group is not None else []
            if name not in names:
                known = (
                    ", ".join(f"{section}.{n}" for n in names) or "encoding.*, network.*, train.*"
                )
                raise StereoError(f"No configuration field {path!r}; known: {known}.")
            config = replace(
                config, **{section: replace(group, **{name: _parse(group, name, text)})}
            )
        overridden: StereoConfig = config
        return overridden


def _parse(group: Any, name: str, text: str) -> Any:
    """Read ``text`` as the type that the field has now."""
    kind = type(getattr(group, name))
    try:
        value = text if kind is str else json.loads(text)
    except json.JSONDecodeError as error:
        raise StereoError(f"{name} must be of type {kind.__name__}, got {text!r}.") from error
    if kind is float and isinstance(value, int):
        value = float(value)
    if type(value) is not kind:
        raise StereoError(f"{name} must be of type {kind.__name__}, got {text!r}.")
    return value


def load_genotype(name: str) -> Genotype:
    """Return the genotype of that name in ``nas/genotypes``, or of that file."""
    shipped = Path(nas.__file__).with_name("genotypes") / f"{name}.json"
    return Genotype.load(shipped if shipped.is_file() else name)
