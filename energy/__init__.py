"""What one inference of a network costs, layer by layer: count, price, estimate, report."""

from energy.errors import EnergyError
from energy.profiling import profile
from energy.report import EnergyReport, mean_report
from energy.technology import TECHNOLOGIES, Technology

__all__ = [
    "TECHNOLOGIES",
    "EnergyError",
    "EnergyReport",
    "Technology",
    "mean_report",
    "profile",
]
