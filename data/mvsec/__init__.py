"""The MVSEC layout: reading a sequence and its preprocessed form, writing, splits, protocols."""

from data.mvsec.recording import MvsecRecording
from data.mvsec.splits import SOURCES, Part, Split, published_split
from data.mvsec.writer import GreyFrames, write_mvsec

__all__ = [
    "SOURCES",
    "GreyFrames",
    "MvsecRecording",
    "Part",
    "Split",
    "published_split",
    "write_mvsec",
]
