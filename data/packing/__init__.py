"""Arrays of samples as few bytes, without loss."""

from data.packing.codec import PackingError, pack, unpack

__all__ = ["PackingError", "pack", "unpack"]
