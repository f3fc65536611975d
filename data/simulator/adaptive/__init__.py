"""The adaptive engine: pixels sampled as often as what they see needs."""
