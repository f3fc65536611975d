"""Recordings of any two event cameras: one file each, calibrated or not."""

from data.cameras.pair import PairRecording

__all__ = ["PairRecording"]
