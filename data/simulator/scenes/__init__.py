"""Scenes by name. To add a family put a file into this folder: every module here is imported."""

import importlib
import pkgutil

from data.simulator.scenes.registry import SCENES, Family, find_scene, scene

__all__ = ["SCENES", "Family", "find_scene", "scene"]

for _module in sorted(found.name for found in pkgutil.iter_modules(__path__)):
    importlib.import_module(f"{__name__}.{_module}")
