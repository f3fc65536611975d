"""A disk cache of encoded samples."""

from data.sample_cache.samples import CacheCounts, CachedSamples, CacheSize, Identified

__all__ = ["CacheCounts", "CacheSize", "CachedSamples", "Identified"]
