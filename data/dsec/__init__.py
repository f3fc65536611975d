"""The DSEC layout: finding, reading and writing sequences, and the published splits."""

from data.dsec.layout import SequencePaths
from data.dsec.recording import DsecRecording
from data.dsec.splits import SPLITS, find_sequences
from data.dsec.writer import write_dsec

__all__ = ["SPLITS", "DsecRecording", "SequencePaths", "find_sequences", "write_dsec"]
