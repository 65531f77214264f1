"""Datasets: registry, sources, splits, audit of leakage, formula sets."""
