"""The MVSEC layout: reading a sequence and its preprocessed form, writing, splits, protocols."""

from data.mvsec.ddes import DdesRecording
from data.mvsec.protocol import Protocol, named_protocol
from data.mvsec.recording import MvsecRecording
from data.mvsec.splits import SOURCES, Part, Split, published_split
from data.mvsec.writer import GreyFrames, write_mvsec

__all__ = [
    "SOURCES",
    "DdesRecording",
    "GreyFrames",
    "MvsecRecording",
    "Part",
    "Protocol",
    "Split",
    "named_protocol",
    "published_split",
    "write_mvsec",
]
