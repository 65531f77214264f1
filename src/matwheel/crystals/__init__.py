"""Crystals as data: tables, registry, splits, audit, neighbour graphs."""
