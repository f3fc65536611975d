"""Events to tensors: recordings, encodings, samples and the event-camera simulator."""

from data.camera import Calibration
from data.errors import RecordingError
from data.events import Events

__all__ = ["Calibration", "Events", "RecordingError"]
