"""Data sets: recordings as sequences of samples."""

from data.datasets.opened import Part
from data.datasets.registry import DATASETS, build_dataset
from data.datasets.windows import StereoWindows, Validity

__all__ = ["DATASETS", "Part", "StereoWindows", "Validity", "build_dataset"]
