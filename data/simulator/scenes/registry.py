"""The registry of scenes: each builds a random world for a rig from a generator."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.errors import RecordingError
from data.simulator.rig import Rig
from data.simulator.scene import Scene

Tiles = npt.NDArray[np.float32]
Pictures = Callable[[np.random.Generator, int], Tiles]
"""Draws so many pictures as ``[n, S, S]`` log radiance."""


@dataclass(frozen=True)
class Family:
    """Worlds of one kind.

    Attributes:
        name: in the registry.
        build: makes a world from a generator and a rig, and from pictures if it needs them.
        needs_pictures: whether its textures are pictures of the user's.
    """

    name: str
    build: Callable[..., Scene]
    needs_pictures: bool = False

    def __call__(
        self, rng: np.random.Generator, rig: Rig, pictures: Pictures | None = None
    ) -> Scene:
        """Return a random world.

        Raises:
            RecordingError: pictures are missing, or given to a scene that paints its own.
        """
        if self.needs_pictures and pictures is None:
            raise RecordingError(
                f"The scene {self.name!r} is painted with pictures; give a folder of them "
                "(--textures DIR)."
            )
        if not self.needs_pictures and pictures is not None:
            raise RecordingError(
                f"The scene {self.name!r} paints its own textures; pictures (--textures) are for "
                f"{', '.join(sorted(n for n, f in SCENES.items() if f.needs_pictures))}."
            )
        built: Scene = (
            self.build(rng, rig, pictures) if self.needs_pictures else self.build(rng, rig)
        )
        return built


SCENES: dict[str, Family] = {}


def scene(
    name: str, *, needs_pictures: bool = False
) -> Callable[[Callable[..., Scene]], Callable[..., Scene]]:
    """Register a scene under ``name``; refuses a name that is taken."""

    def register(build: Callable[..., Scene]) -> Callable[..., Scene]:
        if name in SCENES:
            raise ValueError(f"Scene {name!r} is registered already.")
        SCENES[name] = Family(name, build, needs_pictures)
        return build

    return register


def find_scene(name: str) -> Family:
    """Return the family called ``name``.

    Raises:
        RecordingError: there is none.
    """
    if name not in SCENES:
        raise RecordingError(f"Unknown scene {name!r}; known: {', '.join(sorted(SCENES))}.")
    return SCENES[name]
