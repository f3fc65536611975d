"""Whose energy is counted: a stereo network of ours, or any module that a user's function makes."""

import copy
import importlib
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nas.fold import fold_norms
from stereo.checkpoint import channels_last, load_network
from stereo.config import StereoConfig
from stereo.errors import StereoError
from stereo.network import HybridStereo, SpikeInput
from stereo.presets import PRESETS

DEFAULT_PRESET = "small"
"""Gives the widths of a genotype without a preset."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A network to account for.

    Attributes:
        module: in eval mode.
        name: what it is, in words.
        notes: what a reader must know about it.
        fresh: whether its batch norms know nothing of its input yet.
    """

    module: nn.Module
    name: str
    notes: tuple[str, ...] = ()
    fresh: bool = False

    @property
    def stereo(self) -> HybridStereo | None:
        """The module if it is a stereo network of ours."""
        return self.module if isinstance(self.module, HybridStereo) else None


def stereo_subject(
    *,
    run: Path | None = None,
    preset: str | None = None,
    genotype: str | None = None,
    seed: int = 0,
) -> Subject:
    """Return a trained network, or a fresh one of a preset or genotype; the shipped one if none.

    Args:
        run: run folder; excludes the other two.
        preset: name in ``PRESETS``.
        genotype: file, or name of one in ``nas/genotypes``; with the widths of the preset.
        seed: of fresh weights.

    Raises:
        StereoError: unknown preset, unusable run folder, or a run folder with another choice.
        GenotypeError: the genotype is not valid.
    """
    if preset is None and genotype is None:
        return Subject(
            module=load_network(run), name="the shipped network" if run is None else str(run)
        )
    if run is not None:
        raise StereoError(
            "Give --run for trained weights, or --preset and --genotype for fresh ones, not both."
        )
    config = _preset(preset or DEFAULT_PRESET)
    name = f"preset {config.name}" if preset else f"genotype {genotype}"
    notes = [
        "fresh weights, untrained, batch norms set by the first input: firing rates, and with them "
        "the accumulates, are not those of a trained network; the cost of analog layers and of the "
        "analog twin does not depend on weights"
    ]
    if genotype is not None:
        config = replace(config, network=replace(config.network, genotype=genotype))
        notes.append(f"widths and encoding of preset {config.name}")
        name = f"genotype {genotype}" + (f" in preset {config.name}" if preset else "")
    name += ", untrained"
    return Subject(module=fresh_network(config, seed), name=name, notes=tuple(notes), fresh=True)


def fresh_network(config: StereoConfig, seed: int) -> HybridStereo:
    """Return a network with fresh weights, in eval mode; the global random state stays as it was.

    Raises:
        GenotypeError: the genotype is not valid.
        StereoError: it is not one of a stereo network.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return HybridStereo(config).eval()


def settled(subject: Subject, draw: Callable[[int], tuple[Tensor, ...]]) -> Subject:
    """Return a fresh stereo network as training would find it: batch norms set by the first input.

    Without this they would pass its currents on unscaled, and most layers would never fire. The
    norms are then folded into their convolutions, as those of a trained network are.

    Args:
        subject: with a stereo network of ours; not touched.
        draw: gives the input of a number.

    Raises:
        StereoError: the input is too small for a norm: it has a single value per channel.
    """
    network = copy.deepcopy(subject.stereo)
    if network is None:
        return replace(subject, fresh=False)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            module.momentum = 1.0  # the statistics of this input replace the initial ones
    try:
        with torch.no_grad():
            network.train()(*draw(0))
    except ValueError as error:
        raise StereoError(
            f"The input is too small for a fresh network: {error}. Give a larger one with --input."
        ) from error
    return replace(subject, module=channels_last(fold_norms(network)), fresh=False)


def _preset(name: str) -> StereoConfig:
    if name not in PRESETS:
        raise StereoError(f"There is no preset {name!r}; known: {', '.join(sorted(PRESETS))}.")
    return PRESETS[name]()


class SpikingInputs(nn.Module):
    """A model whose inputs are declared to be spikes; its layers are found under ``model``.

    Args:
        model: takes tensors of zeros and ones.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.entry = SpikeInput()
        self.model = model
        if hasattr(model, "batch_dim"):
            self.batch_dim = model.batch_dim

    def forward(self, *inputs: Tensor) -> Any:
        """Return what the model returns."""
        return self.model(*(self.entry(x) for x in inputs))


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Let modules in ``folder`` be imported inside the block, as Python does for a script there."""
    place = str(folder.resolve())
    sys.path.insert(0, place)
    try:
        yield
    finally:
        sys.path.remove(place)


def load_model(spec: str, seed: int = 0) -> Subject:
    """Import a user's factory and return what it makes.

    Args:
        spec: ``package.module:factory``; the factory is called without arguments. It may be a
            class, and lie deeper, as ``module:Class.method``.
        seed: of torch's global generator while the factory runs; its state is left as it was.

    Raises:
        StereoError: nothing of that name, or the factory raises or returns no module. The message
            says what was tried.
    """
    module_name, colon, path = spec.partition(":")
    if not (colon and module_name and path):
        raise StereoError(
            f"--model wants PACKAGE.MODULE:FACTORY such as my_networks.tiny:build, got {spec!r}."
        )
    factory: object = _imported(module_name, spec)
    for attribute in path.split("."):
        owner, factory = factory, getattr(factory, attribute, None)
        if factory is None:
            raise StereoError(
                f"--model {spec}: {_title(owner)} has no {attribute!r}. It offers: "
                f"{_offers(owner)}."
            )
    if isinstance(factory, nn.Module):
        raise StereoError(
            f"--model {spec}: {path} is a module already; give a function that makes one, such as "
            f"`def build(): return {path}`."
        )
    if not callable(factory):
        raise StereoError(
            f"--model {spec}: {path} is of type {type(factory).__name__} and cannot be called; "
            "expected a class or function without arguments that returns a torch module."
        )
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            made = factory()
    except Exception as error:
        raise StereoError(f"--model {spec}: {path}() failed: {told(error)}.") from error
    if not isinstance(made, nn.Module):
        raise StereoError(
            f"--model {spec}: {path}() returned {type(made).__name__}, not a torch module."
        )
    notes = ("weights as the factory made them",) if any(True for _ in made.parameters()) else ()
    return Subject(module=made.eval(), name=spec, notes=notes)


def told(error: BaseException) -> str:
    """Say what went wrong in a user's code, and where."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f", at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}: {error}{where}"


def _imported(name: str, spec: str) -> object:
    """Import a module; everything that its code can do wrong is the user's to mend."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name == missing or name.startswith(f"{missing}."):
            raise StereoError(
                f"--model {spec}: there is no module {missing!r}. It is looked for in the current "
                f"folder ({Path.cwd()}) and among the installed packages; give PACKAGE.MODULE "
                "with dots and without .py."
            ) from error
        raise StereoError(
            f"--model {spec}: {name} imports {missing!r}, which is missing."
        ) from error
    except (Exception, SystemExit) as error:
        raise StereoError(f"--model {spec}: importing {name} failed: {told(error)}.") from error


def _title(owner: object) -> str:
    return str(getattr(owner, "__name__", type(owner).__name__))


def _offers(owner: object) -> str:
    """List what could have been meant: public callables, at most ten."""
    names = [n for n in dir(owner) if not n.startswith("_") and callable(getattr(owner, n, None))]
    return ", ".join(names[:10]) + (" ..." if len(names) > 10 else "") if names else "nothing"
