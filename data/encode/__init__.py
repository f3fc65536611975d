"""Encodings: events of a window as dense tensors."""

from data.encode.encodings import ENCODINGS, Encoding, Spikes, Voxel, register, voxel_grid

__all__ = ["ENCODINGS", "Encoding", "Spikes", "Voxel", "register", "voxel_grid"]
