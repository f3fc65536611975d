"""Augmentations that keep stereo consistent, on rectified events before they are encoded."""

from data.augment.geometry import Crop, RowJitter, SwapCameras, VerticalFlip
from data.augment.pair import Augmentation, GeometricAugmentation, StereoEvents, augment
from data.augment.sensor import (
    ContrastJitter,
    EventDrop,
    NoiseEvents,
    PolarityNoise,
    ThresholdJitter,
    TimeJitter,
)
from data.augment.tonic_step import TonicTransform

__all__ = [
    "Augmentation",
    "ContrastJitter",
    "Crop",
    "EventDrop",
    "GeometricAugmentation",
    "NoiseEvents",
    "PolarityNoise",
    "RowJitter",
    "StereoEvents",
    "SwapCameras",
    "ThresholdJitter",
    "TimeJitter",
    "TonicTransform",
    "VerticalFlip",
    "augment",
]
