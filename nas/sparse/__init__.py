"""Inference on lists of spikes: work for what fires, none for what is silent."""
