"""Searched networks: neurons, cells, genotypes and what is built from them."""
