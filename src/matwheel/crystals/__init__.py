"""Crystals as data: the crystal, its tables, the one reader, neighbour graphs, dimensionality."""
