"""Depth from two event cameras with a searched hybrid spiking/analog network."""

__version__ = "0.1.0"
