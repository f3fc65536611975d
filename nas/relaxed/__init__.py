"""The relaxed network: everything of a search space at once, weighted by what is believed of it."""
