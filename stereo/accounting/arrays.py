"""Inputs of a network from a file of arrays: ``.npy``, ``.npz`` or ``.safetensors``."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from stereo.errors import StereoError

SUFFIXES = (".npy", ".npz", ".safetensors")


def read_arrays(path: Path) -> dict[str, Tensor]:
    """Return the arrays of a file as tensors, by name.

    Those of an ``.npz`` come as they are stored, those of a ``.safetensors`` in the order of their
    names; the one of an ``.npy`` has an empty name. Floating-point numbers of any precision, bytes
    and truth values become float32, as convolutions want them; other integers become int64, as
    embeddings want them.

    Raises:
        StereoError: no such file, of no known kind, damaged, or arrays of objects or text.
    """
    if not path.is_file():
        raise StereoError(
            f"There is no file {path}. Give --input a shape such as 4x1x2x96x128, or a file "
            f"({', '.join(SUFFIXES)})."
        )
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise StereoError(
            f"{path} is no file of arrays that can be read; expected {', '.join(SUFFIXES)}."
        )
    try:
        found = _read(path, suffix)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, SafetensorError) as error:
        raise StereoError(
            f"{path} cannot be read as {suffix}: {error}. It must hold plain numbers; save it "
            "again with numpy or safetensors."
        ) from error
    if not found:
        raise StereoError(f"{path} holds no array.")
    return {name: _tensor(path, name, array) for name, array in found.items()}


def _read(path: Path, suffix: str) -> Mapping[str, np.ndarray | Tensor]:
    if suffix == ".safetensors":
        return dict(sorted(load_file(path).items()))
    # Opened here, because numpy leaves a damaged archive open.
    with path.open("rb") as stream:
        loaded = np.load(stream, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"": loaded}
        with loaded:
            return {name: loaded[name] for name in loaded.files}


def _tensor(path: Path, name: str, array: np.ndarray | Tensor) -> Tensor:
    """Return an array as the tensor that a network takes."""
    title = f"The array {name!r} of {path}" if name else f"The array of {path}"
    if isinstance(array, np.ndarray):
        if array.dtype.kind not in "fiub":
            raise StereoError(f"{title} holds {array.dtype}; expected plain real numbers.")
        wide = array.astype(np.int64 if array.dtype.kind in "iu" else np.float32)
        tensor = torch.from_numpy(np.ascontiguousarray(wide))
        small = array.dtype.itemsize == 1
    else:
        if array.is_complex():
            raise StereoError(f"{title} holds {array.dtype}; expected plain real numbers.")
        tensor, small = array, array.element_size() == 1
    floating = small or tensor.is_floating_point()
    tensor = tensor.to(torch.float32 if floating else torch.int64)
    if floating and not bool(torch.isfinite(tensor).all()):
        raise StereoError(f"{title} holds NaN or infinity; energy is counted on finite numbers.")
    return tensor
