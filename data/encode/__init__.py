"""Encodings: events of a window as dense tensors."""

from data.encode.base import ENCODINGS, Encoding, register
from data.encode.pixels import PixelMap
from data.encode.recent import MixedDensity, TimeSurface
from data.encode.slotted import Counts, Spikes, StackNumber, StackTime
from data.encode.tonic_transform import TonicEncoding
from data.encode.voxel import Voxel, VoxelTrilinear, voxel_grid

__all__ = [
    "ENCODINGS",
    "Counts",
    "Encoding",
    "MixedDensity",
    "PixelMap",
    "Spikes",
    "StackNumber",
    "StackTime",
    "TimeSurface",
    "TonicEncoding",
    "Voxel",
    "VoxelTrilinear",
    "register",
    "voxel_grid",
]
