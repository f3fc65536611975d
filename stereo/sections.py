"""What all configurations can do: change fields by their dotted names, be read from documents."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

from stereo.errors import StereoError

Config = TypeVar("Config", bound="Sections")


@dataclass(frozen=True, kw_only=True)
class Sections:
    """What all configurations can do: each is a name and sections, which are dataclasses.

    A subclass names its task in the class attribute ``task``, or has it as a field.
    """

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document."""
        return {"task": getattr(self, "task", ""), **asdict(self)}

    def override(self: Config, assignments: Mapping[str, str]) -> Config:
        """Return a copy with dotted fields replaced, such as ``{"train.steps": "100"}``.

        Raises:
            StereoError: no such field, or a value of the wrong type.
        """
        changes: dict[str, dict[str, Any]] = {}
        for path, text in assignments.items():
            section, _, name = path.partition(".")
            group: Any = getattr(self, section, None) if name else None
            names = [f.name for f in fields(group)] if is_dataclass(group) else []
            if name not in names:
                sections = (f.name for f in fields(self) if is_dataclass(getattr(self, f.name)))
                known = ", ".join(f"{section}.{n}" for n in names) or ", ".join(
                    f"{s}.*" for s in sections
                )
                raise StereoError(f"No configuration field {path!r}; known: {known}.")
            changes.setdefault(section, {})[name] = _parse(group, name, text)
        return replace(self, **{s: self._changed(s, found) for s, found in changes.items()})

    def _changed(self, section: str, found: Mapping[str, Any]) -> Any:
        """Return a section with new values, all at once: they may need each other."""
        try:
            return replace(getattr(self, section), **found)
        except ValueError as error:
            told = [f"{section}.{name} cannot be {value}" for name, value in found.items()]
            if len(told) > 1:
                values = ", ".join(f"{name}={value}" for name, value in found.items())
                told = [f"{section} cannot have {values}"]
            raise StereoError(f"{told[0]}: {error}") from error


def read_sections(kind: type, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a configuration from its JSON document.

    Sections are dataclasses; one that the document does not have keeps its defaults, so that
    configurations written before it existed can be read.

    Raises:
        StereoError: unknown or missing keys, or values that a section refuses.
    """
    found: dict[str, Any] = {}
    try:
        for f in fields(kind):
            section = f.default_factory if is_dataclass(f.default_factory) else None
            if section is None:
                found[f.name] = document[f.name]
            elif f.name in document:
                found[f.name] = section(**_tuples(document[f.name]))
    except (KeyError, TypeError, ValueError) as error:
        raise StereoError(f"The configuration is malformed: {error}.") from error
    unknown = set(document) - {f.name for f in fields(kind)} - {"task"}
    if unknown:
        raise StereoError(f"The configuration is malformed: unknown {sorted(unknown)}.")
    return found


def _tuples(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return a section with tuples for JSON's lists."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in section.items()}


def _parse(group: Any, name: str, text: str) -> Any:
    """Read ``text`` as the type that the field has now."""
    kind = type(getattr(group, name))
    try:
        value = text if kind is str else json.loads(text)
    except json.JSONDecodeError as error:
        raise StereoError(f"{name} must be of type {kind.__name__}, got {text!r}.") from error
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if kind is tuple and isinstance(value, list):
        value = tuple(value)
    if type(value) is not kind:
        raise StereoError(f"{name} must be of type {kind.__name__}, got {text!r}.")
    return value
