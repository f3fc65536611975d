"""An event-camera simulator: analytic scenes, two bent lenses, pixels with faults."""

from data.simulator.recordings import builtin_recording, simulate_dsec
from data.simulator.scenes import SCENES

__all__ = ["SCENES", "builtin_recording", "simulate_dsec"]
