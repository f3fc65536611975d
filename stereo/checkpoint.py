"""The run folder: everything that a network needs to be loaded, and a training to be resumed.

``weights.safetensors`` (averaged weights), ``config.json``, ``genotype.json``, ``metrics.jsonl``,
``about.json`` and ``state/latest.pt``. Every file is replaced atomically; nothing is unpickled.
"""

import json
import pickle
import platform
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn

import stereo
from nas.fold import fold_norms
from nas.genotype import Genotype
from stereo.atomic import replacing, write_bytes, write_json
from stereo.classifier import SpikingClassifier
from stereo.classifier_config import ClassifierConfig
from stereo.config import StereoConfig
from stereo.errors import StereoError
from stereo.network import HybridStereo
from stereo.temperatures import with_temperatures

Network = HybridStereo | SpikingClassifier
Module = TypeVar("Module", bound=nn.Module)

SHIPPED = Path(stereo.__file__).with_name("weights") / "searched"


def save_network(run: Path, network: Network, about: Mapping[str, Any]) -> None:
    """Write weights, configuration, genotype and origin of a network into a run folder.

    Weights that only training needs stay out; temperatures that were searched are in the genotype.
    """
    run.mkdir(parents=True, exist_ok=True)
    left_out = getattr(network, "training_only", ())
    weights = {
        name: value.contiguous()
        for name, value in network.state_dict().items()
        if not name.startswith(tuple(left_out))
    }
    write_json(run / "config.json", network.config.to_dict())
    with_temperatures(network.genotype, network).save(run / "genotype.json")
    versions = {
        "version": stereo.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
    write_json(run / "about.json", versions | dict(about))
    write_bytes(run / "weights.safetensors", save_tensors(weights))


def load_run(run: Path, *, fold: bool = True) -> Network:
    """Return the network of a run folder, whatever its task, in eval mode.

    Args:
        run: the folder.
        fold: fold batch norms into their convolutions, as inference wants it.

    Raises:
        StereoError: files missing, damaged, or not belonging together.
        GenotypeError: the genotype is not valid.
    """
    folder = Path(run)
    needed = ("weights.safetensors", "config.json", "genotype.json")
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        raise StereoError(
            f"{folder} is not a run folder: {', '.join(missing)} missing. Give the folder that "
            "`stereo train --run DIR` wrote, or leave --run out for the shipped network."
        )
    try:
        document = json.loads((folder / "config.json").read_text("utf-8"))
        network = _build(document, Genotype.load(folder / "genotype.json"))
        network.load_state_dict(load_tensors((folder / "weights.safetensors").read_bytes()))
    except (SafetensorError, RuntimeError, json.JSONDecodeError) as error:
        raise StereoError(
            f"The run folder {folder} is damaged or its files do not belong together: {error}"
        ) from error
    network.eval()
    return channels_last(fold_norms(network) if fold else network)


def load_network(run: Path | None = None, *, fold: bool = True) -> HybridStereo:
    """Return the stereo network of a run folder, in eval mode.

    Args:
        run: the folder; None for the weights that come with the package.
        fold: fold batch norms into their convolutions, as inference wants it.

    Raises:
        StereoError: files missing, damaged, not belonging together, or of another task.
        GenotypeError: the genotype is not valid.
    """
    network = load_run(SHIPPED if run is None else run, fold=fold)
    if not isinstance(network, HybridStereo):
        raise StereoError(
            f"{run} holds a network for the task {network.config.task}, which sees no depth; give "
            "the run folder of a training for the task stereo."
        )
    return network


def _build(document: Any, genotype: Genotype) -> Network:
    """Return the network that a configuration describes, with fresh weights."""
    if not isinstance(document, Mapping):
        raise StereoError("The configuration is malformed: it is not a table of sections.")
    if document.get("task", StereoConfig.task) == StereoConfig.task:
        return HybridStereo(StereoConfig.from_dict(document), genotype)
    return SpikingClassifier(ClassifierConfig.from_dict(document), genotype)


def channels_last(network: Module) -> Module:
    """Lay convolution weights out with channels last, which suits the CPU kernels."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        elif isinstance(module, nn.Conv3d):
            module.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return network


def save_state(run: Path, state: Mapping[str, Any]) -> None:
    """Write what resuming needs, atomically."""
    folder = run / "state"
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "latest.pt") as temporary:
        torch.save(dict(state), temporary)


def load_state(run: Path) -> dict[str, Any] | None:
    """Return the last saved state, None if there is none.

    Raises:
        StereoError: the file is damaged.
    """
    path = run / "state" / "latest.pt"
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise StereoError(
            f"Cannot resume from {path}, it is damaged; remove it to start again."
        ) from error
    return state
