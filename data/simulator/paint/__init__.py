"""How surfaces look: where a point lies on them, and the texture there."""
