"""An event-camera simulator: analytic scenes, two bent lenses, pixels with faults."""

from data.simulator.recordings import builtin_recording, simulate_dsec
from data.simulator.scenes import SCENES
from data.simulator.sensors import SENSORS

__all__ = ["SCENES", "SENSORS", "builtin_recording", "simulate_dsec"]
