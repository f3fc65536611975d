"""The Python batches of CIFAR, which are pickles, read without trusting them.

A pickle is a program. The one in a batch needs four names: NumPy's array, its type, the function
that makes an empty array, and one that turns text into bytes. Here each of them is a stand-in of
this file, so that nothing of the file reaches even NumPy before it was looked at; any other name
is refused before anything runs.
"""

import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import UInt8

from data.errors import RecordingError

BROKEN = (
    pickle.UnpicklingError, AttributeError, EOFError, IndexError, KeyError, MemoryError,
    OverflowError, TypeError, ValueError,
)  # fmt: skip
"""What Python raises for bytes that are no pickle, or half of one."""


def read_pickle(content: bytes, where: str) -> dict[str, Any]:
    """Return the dictionary that a Python batch of CIFAR holds.

    Bytes and text stay as they are, but for the keys, which become text; arrays of bytes become
    NumPy arrays.

    Args:
        content: of the file; written by Python 2 or 3.
        where: name of the file for messages.

    Raises:
        RecordingError: a pickle that asks for anything else than arrays, or a damaged one.
    """
    try:
        found = _Unpickler(io.BytesIO(content), encoding="bytes").load()
    except RecordingError as error:
        raise RecordingError(f"{where}: {error}") from None
    except BROKEN as error:
        raise RecordingError(
            f"{where} cannot be read as a Python batch ({type(error).__name__}: {error}). The file "
            "is truncated or damaged; download it again."
        ) from error
    if not isinstance(found, dict):
        raise RecordingError(
            f"{where} holds a {type(found).__name__}. Expected a dictionary, as in the Python "
            "batches of CIFAR."
        )
    return {
        _text(key): value.array(where) if isinstance(value, _Array) else value
        for key, value in found.items()
    }


class _Type:
    """Stands for ``numpy.dtype``; only the code counts, for the order of bytes has no meaning."""

    def __init__(self, code: object, *_: object) -> None:
        self.code = _text(code)

    def __setstate__(self, state: object) -> None:
        """Leave the rest of a type alone."""


class _Array:
    """Stands for an array until its content was looked at."""

    def __init__(self) -> None:
        self.state: Any = None

    def __setstate__(self, state: object) -> None:
        self.state = state

    def array(self, where: str) -> UInt8[np.ndarray, "..."]:
        """Return the array.

        Raises:
            RecordingError: an array of another type than bytes, or of another size than it says.
        """
        match self.state:
            case (_, tuple(shape), _Type(code="u1" | "|u1"), fortran, bytes(raw)) if all(
                isinstance(count, int) and count >= 0 for count in shape
            ):
                size = 1
                for count in shape:
                    size *= count
                if len(raw) == size:
                    flat: npt.NDArray[np.uint8] = np.frombuffer(raw, np.uint8)
                    # The first axis runs fastest in a Fortran array.
                    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)
        raise RecordingError(
            f"{where} holds an array that is no array of bytes (uint8), or whose content has not "
            "the size that it states. The file is damaged, or is not of CIFAR."
        )


class _ArrayName:
    """Stands for the name ``numpy.ndarray``, which may be given, but not called."""


def _empty_array(kind: object, *_: object) -> _Array:
    if kind is not _ArrayName:
        raise RecordingError("asks for an array of a type of its own. It is not read.")
    return _Array()


def _encoded(text: str, code: object) -> bytes:
    """Return what Python 3 wrote as text because protocol 2 knows no bytes."""
    if _text(code) not in ("latin1", "latin-1"):
        raise RecordingError(f"asks for the text code {code!r}. It is not read.")
    return text.encode("latin-1")


KNOWN: dict[tuple[str, str], Callable[..., object]] = {
    ("numpy", "dtype"): _Type,
    ("numpy", "ndarray"): _ArrayName,
    ("numpy.core.multiarray", "_reconstruct"): _empty_array,
    ("numpy._core.multiarray", "_reconstruct"): _empty_array,
    ("_codecs", "encode"): _encoded,
}
"""All that a batch may ask for."""


class _Unpickler(pickle.Unpickler):
    """Knows no names but those of ``KNOWN``."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in of a name.

        Raises:
            RecordingError: another name.
        """
        if (module, name) not in KNOWN:
            raise RecordingError(
                f"asks Python for {module}.{name}, which the batches of CIFAR do not. It may be "
                "made to do harm, and is not read. Download the binary version instead."
            )
        return KNOWN[module, name]


def _text(key: object) -> str:
    return key.decode("latin-1") if isinstance(key, bytes) else str(key)
