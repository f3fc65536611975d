"""Rays, textures, pictures and exact ground truth of scenes."""
