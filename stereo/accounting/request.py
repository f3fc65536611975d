"""What is asked for: which network, on which input; and the way from there to both."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from data.opening import open_cameras
from data.recording import Recording, is_generated
from stereo.accounting.inputs import (
    Chance,
    Inputs,
    file_inputs,
    file_pair,
    random_inputs,
    random_pairs,
    recorded_pairs,
)
from stereo.accounting.models import (
    SpikingInputs,
    Subject,
    importable,
    load_model,
    stereo_subject,
)
from stereo.accounting.shapes import Shape, parse_input
from stereo.errors import StereoError
from stereo.network import HybridStereo

Source = Callable[[HybridStereo, tuple[int, int] | None], Inputs]
"""Inputs of a stereo network at a size ``(height, width)``, or at the input's own."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """A network and an input, as a user names them.

    Attributes:
        run: run folder.
        preset: name of a preset, fresh weights.
        genotype: genotype file or name, fresh weights.
        model: ``package.module:factory`` of a user's own model.
        text: shapes or a path; the built-in recording unless given.
        width: columns of the middle part of a recording, or of random events.
        height: rows of it.
        spiking_input: whether the inputs of ``model`` are spikes, so that its first layer is paid
            in accumulates.
        samples: number of inputs; what suits the input unless given.
        chance: how random inputs are drawn; its seed is also that of fresh weights.

    Raises:
        StereoError: choices that exclude each other, or a number below 1.
    """

    run: Path | None = None
    preset: str | None = None
    genotype: str | None = None
    model: str | None = None
    text: str | None = None
    width: int | None = None
    height: int | None = None
    spiking_input: bool = False
    samples: int | None = None
    chance: Chance = field(default_factory=Chance)

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        others = (self.run, self.preset, self.genotype)
        if self.model is not None:
            if any(other is not None for other in others):
                raise StereoError(
                    "Give --model for a network of your own, or --run, --preset, --genotype for "
                    "one of ours, not both."
                )
            if self.text is None:
                raise StereoError(
                    f"--model {self.model} needs --input: the shapes that its forward takes, such "
                    "as 4x1x2x96x128 (several separated by commas), or a file of arrays."
                )
            if self.width is not None or self.height is not None:
                raise StereoError("--width and --height are for stereo networks; give --input.")
        elif self.spiking_input:
            raise StereoError("--spiking-input is for --model; the encoding of ours says it.")
        if self.spiking_input and self.chance.analog:
            raise StereoError("Random inputs are either spikes or analog; leave one option out.")
        for name in ("width", "height", "samples"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise StereoError(f"--{name} must be at least 1, got {value}.")
        if (self.width is None) != (self.height is None):
            raise StereoError("Give both --width and --height, or neither.")

    @property
    def size(self) -> tuple[int, int] | None:
        """``(height, width)``, None for that of the input."""
        if self.width is None or self.height is None:
            return None
        return self.height, self.width

    @property
    def seed(self) -> int:
        """Seed of everything random."""
        return self.chance.seed

    def subject(self) -> Subject:
        """Return the network.

        Raises:
            StereoError, GenotypeError: there is none of that name, or it is damaged.
        """
        if self.model is not None:
            found = load_model(self.model, self.seed)
            if not self.spiking_input:
                return found
            note = "inputs declared to be spikes"
            return replace(found, module=SpikingInputs(found.module), notes=(*found.notes, note))
        return stereo_subject(
            run=self.run, preset=self.preset, genotype=self.genotype, seed=self.seed
        )

    @contextmanager
    def opened(
        self, builtin: Callable[[], Path]
    ) -> Iterator[tuple[Subject, Inputs, Source | None]]:
        """Give the network, its inputs, and for stereo networks where more of them come from.

        A user's modules can be imported inside the block.

        Args:
            builtin: makes the built-in recording, where no input is named.

        Raises:
            RecordingError, StereoError, GenotypeError: what was named cannot be used.
        """
        given = None if self.text is None else parse_input(self.text)
        if self.model is not None:
            with importable(Path.cwd()):
                subject = self.subject()
                yield subject, self._free(given), None
            return
        subject = self.subject()
        network = subject.stereo
        if network is None:
            raise StereoError(f"{subject.name} is no stereo network.")
        if isinstance(given, tuple):
            source = self._random(given)
            yield subject, source(network, self.size), source
            return
        arrays = None if given is None else file_pair(network, given, self.samples)
        if arrays is not None:
            if self.size is not None:
                raise StereoError("--width and --height do not cut arrays of a file; leave them.")
            yield subject, arrays, self._random(())
            return
        path = builtin() if given is None else given
        with open_cameras(path) as recording:
            source = self._recorded(recording, path)
            yield subject, source(network, self.size), source

    def _free(self, given: tuple[Shape, ...] | Path | None) -> Inputs:
        """Return the inputs of a user's model."""
        if isinstance(given, Path):
            return file_inputs(given, self.samples)
        return random_inputs(given or (), self.chance, self.samples)

    def _random(self, shapes: tuple[Shape, ...]) -> Source:
        def source(network: HybridStereo, size: tuple[int, int] | None) -> Inputs:
            if size is not None and shapes and shapes != self._flat(size) and size == self.size:
                raise StereoError("Give the size with --input or with --width and --height.")
            wanted = shapes if size is None else self._flat(size)
            return random_pairs(network, wanted, self.chance, self.samples)

        return source

    def _recorded(self, recording: Recording, path: Path) -> Source:
        generated = is_generated(path)

        def source(network: HybridStereo, size: tuple[int, int] | None) -> Inputs:
            fits = size is None or (size[0] <= recording.height and size[1] <= recording.width)
            if size is not None and not fits and size != self.size:
                return random_pairs(network, self._flat(size), self.chance, self.samples)
            return recorded_pairs(network, recording, size, self.samples, generated=generated)

        return source

    @staticmethod
    def _flat(size: tuple[int, int]) -> tuple[Shape, ...]:
        """Return a size as ``--input WxH`` names it."""
        return ((size[1], size[0]),)
