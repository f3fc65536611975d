"""Generated windows as the data of the task ``stereo``: no end, no files."""

from dataclasses import dataclass, replace

from data.augment import Crop
from data.encode import ENCODINGS
from data.generated import GeneratedWindows
from stereo.config import StereoConfig
from stereo.tasks.stereo_data import ENDLESS, HELD_OUT_SEED, Held, Stream
from stereo.tasks.task import Source

VALIDATION_SEED = 15_485_863
"""Added to a training's seed: generated clips of their own for what is not trained on."""


@dataclass(frozen=True)
class GeneratedData:
    """See ``stereo.tasks.stereo_data.StereoData``; the halves are clips of two seeds."""

    config: StereoConfig
    source: Source

    parts = ("validation",)

    def training(self, seed: int) -> Stream:
        """Return windows of the training clips."""
        return Stream(samples=self.windows(seed), item=int)

    def halves(self, seed: int) -> tuple[Stream, Stream]:
        """Return windows of the training clips and of as many others."""
        return self.training(seed), self.training(seed + HELD_OUT_SEED)

    def held(self, part: str, samples: int | None = None) -> Held:
        """Return windows of clips that were never trained on, at most ``train.validation``."""
        del part  # there is one
        most = self.config.train.validation
        return self._validation(min(samples or most, most))

    def example(self, samples: int) -> Held:
        """Return windows of clips that were never trained on."""
        return self._validation(samples)

    def notes(self, *, halves: bool = False) -> list[str]:
        """Return nothing: the configuration says all."""
        del halves
        return []

    def windows(self, seed: int, length: int = ENDLESS) -> GeneratedWindows:
        """Return the windows of a seed as they are trained on.

        Clips are wider than the part of them that is seen by as much as its right view may shift.
        """
        plain, shift = self._plain(seed, length), self.config.data.shift
        if not shift:
            return plain
        crop = Crop(
            height=plain.height, width=plain.width, shift=shift,
            farthest_px=float(self.config.max_disparity),
        )  # fmt: skip
        return replace(plain, width=plain.width + shift, crop=crop)

    def _plain(self, seed: int, length: int) -> GeneratedWindows:
        config, setting = self.config, self.config.train
        return GeneratedWindows(
            encoding=ENCODINGS[config.encoding.name](bins=config.encoding.bins),
            steps=config.encoding.steps,
            window_us=config.window_us,
            width=setting.crop_width,
            height=setting.crop_height,
            clips=setting.clips,
            length=length,
            seed=seed,
            cache=self.source.cache,
            flashes=setting.flashes,
        )

    def _validation(self, length: int) -> Held:
        limit = self.config.max_disparity
        windows = self._plain(self.config.train.seed + VALIDATION_SEED, length)
        return Held(
            samples=replace(windows, augment=False),
            places=tuple(range(length)),
            limit=limit,
            generated=True,
            if_empty=f"None of the {length} generated windows has ground truth within {limit} px; "
            "give a larger train.validation.",
        )
