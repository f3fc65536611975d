"""Named configurations; each function returns one in full."""

from collections.abc import Callable

from stereo.config import DataConfig, EncodingConfig, NetworkConfig, StereoConfig, TrainConfig

Preset = Callable[[], StereoConfig]
PRESETS: dict[str, Preset] = {}


def preset(function: Preset) -> Preset:
    """Register a preset under its function's name."""
    PRESETS[function.__name__] = function
    return function


@preset
def searched() -> StereoConfig:
    """The network that comes with the package: found by ``stereo search``, few spikes."""
    return StereoConfig(
        name="searched",
        encoding=EncodingConfig(bins=5),
        network=NetworkConfig(
            genotype="stereo_900uj", feature_channels=4, matching_channels=4, stem_channels=12,
            volume_channels=12, max_disparity=72,
        ),
        train=TrainConfig(
            steps=12_000, batch=2, analog_share=0.45, crop_height=84, crop_width=234,
            rate_weight=0.0, synapse_weight=1.5, synapse_ramp=0.6, flashes=0.1,
            checkpoint_every=200,
        ),
        data=DataConfig(generated=0.3, shift=48),
    )  # fmt: skip


@preset
def small() -> StereoConfig:
    """The published SpikeDHS genotype at a width for two CPU cores."""
    return StereoConfig(name="small")


@preset
def spikedhs() -> StereoConfig:
    """The genotype and widths that SpikeDHS published for MVSEC (filter multiplier 8)."""
    return StereoConfig(
        name="spikedhs",
        encoding=EncodingConfig(steps=5, bins=5),
        network=NetworkConfig(
            feature_channels=8, matching_channels=8, stem_channels=24, volume_channels=24
        ),
        train=TrainConfig(crop_height=200, crop_width=280),
    )


@preset
def tiny() -> StereoConfig:
    """A network of seconds, for tests and for trying a change."""
    return StereoConfig(
        name="tiny",
        encoding=EncodingConfig(steps=2, bins=1),
        network=NetworkConfig(
            feature_channels=2, matching_channels=2, stem_channels=4, volume_channels=4,
            max_disparity=15,
        ),
        train=TrainConfig(
            steps=4, batch=1, clips=2, crop_height=36, crop_width=48, warmup=1,
            checkpoint_every=2,
        ),
    )  # fmt: skip
