"""Published numbers of MVSEC and of the protocol of Tulyakov et al. (ICCV 2019, "DDES")."""

import re

from data.camera import Calibration

WIDTH, HEIGHT = 346, 260
"""Columns and rows of the DAVIS 346, the sensor of every sequence."""

FOCAL_TIMES_BASELINE = {
    "indoor_flying": 19.941772,
    "outdoor_night": 19.651191,
    "outdoor_day": 19.635287,
    "motorcycle": 19.430372,
}
"""Pixel meters by scene; the first three from DDES, the last from EventHub."""

INDOOR_FLYING = Calibration(
    focal_px=199.6530123165822,
    cx_px=177.43276376280926,
    cy_px=126.81215684365904,
    baseline_m=FOCAL_TIMES_BASELINE["indoor_flying"] / 199.6530123165822,
)
"""The rectified pair of indoor_flying, from its published ``projection_matrix``."""

PUBLISHED_DIGITS = 2e-5
"""Pixel meters by which a published constant may differ from the matrix it was rounded from."""


def canonical(sequence: str) -> str:
    """Return the name of a sequence as the data set writes it, ``indoor_flying1`` for either."""
    return re.sub(r"_(\d+)$", r"\1", sequence)


def scene_of(sequence: str) -> str:
    """Return the scene of a sequence: its name without the number, ``indoor_flying_2`` too."""
    return re.sub(r"_?\d+$", "", sequence)
