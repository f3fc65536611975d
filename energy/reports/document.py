"""Frozen dataclasses as plain JSON values, and back again with every type checked."""

import json
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any

from energy.errors import EnergyError


def plain(value: Any) -> Any:
    """Return dataclasses, mappings and sequences as dictionaries and lists."""
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def to_text(document: Mapping[str, Any]) -> str:
    """Return strict JSON.

    Raises:
        EnergyError: a number is not finite, which JSON cannot say.
    """
    try:
        return json.dumps(document, indent=1, allow_nan=False)
    except ValueError as error:
        raise EnergyError(
            "The report holds a number that is not finite, so it cannot be written as JSON; look "
            "for zero or infinite prices in its technology."
        ) from error


def read(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file.

    Raises:
        EnergyError: there is no such file, or something else in it.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except OSError as error:
        raise EnergyError(f"Cannot read the report {path}: {error.strerror}.") from error
    except ValueError as error:
        raise EnergyError(f"{path} is no JSON document: {error}.") from error
    if not isinstance(found, dict):
        raise EnergyError(f"{path} holds no report: a JSON object was expected.")
    return found


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no number of JSON")


def build(cls: type, document: Any, where: str) -> Any:
    """Return the dataclass that ``plain`` wrote.

    Keys without a field are left to the caller; fields with a default may be absent.

    Args:
        cls: dataclass.
        document: dictionary.
        where: name of the place, for messages.

    Raises:
        EnergyError: a key is missing or its value has another type.
    """
    if not isinstance(document, dict):
        raise EnergyError(f"{where} must be an object, got {_shown(document)}.")
    hints = typing.get_type_hints(cls)
    values = {}
    for field in fields(cls):
        if field.name in document:
            place = f"{where}.{field.name}"
            values[field.name] = convert(hints[field.name], document[field.name], place)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise EnergyError(f"{where} has no {field.name!r}; it is not a report of this version.")
    return cls(**values)


def convert(hint: Any, value: Any, where: str) -> Any:
    """Return ``value`` as what the type hint says.

    Raises:
        EnergyError: it is something else.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in arguments:
            return None
        return convert(next(a for a in arguments if a is not type(None)), value, where)
    if origin in (tuple, list, Sequence):
        return _sequence(tuple if origin is Sequence else origin, arguments, value, where)
    if origin in (dict, Mapping):
        if not isinstance(value, dict):
            raise EnergyError(f"{where} must be an object, got {_shown(value)}.")
        return {key: convert(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if is_dataclass(hint) and isinstance(hint, type):
        return build(hint, value, where)
    accepted = (int, float) if hint is float else hint
    # True is an int to Python, and a wrong count to us.
    if not isinstance(value, accepted) or (isinstance(value, bool) and hint is not bool):
        raise EnergyError(f"{where} must be of type {hint.__name__}, got {_shown(value)}.")
    return value


def _sequence(origin: Any, arguments: tuple[Any, ...], value: Any, where: str) -> Any:
    if not isinstance(value, list):
        raise EnergyError(f"{where} must be a list, got {_shown(value)}.")
    if origin is tuple and Ellipsis not in arguments:
        if len(arguments) != len(value):
            raise EnergyError(f"{where} must have {len(arguments)} items, got {len(value)}.")
        hints: Sequence[Any] = arguments
    else:
        hints = [arguments[0]] * len(value)
    pairs = zip(hints, value, strict=True)
    return origin(convert(hint, item, f"{where}[{i}]") for i, (hint, item) in enumerate(pairs))


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
