"""The pixel of an event camera."""
