"""The DSEC layout: reading a sequence folder, and writing one."""

from data.dsec.recording import DsecRecording
from data.dsec.writer import write_dsec

__all__ = ["DsecRecording", "write_dsec"]
