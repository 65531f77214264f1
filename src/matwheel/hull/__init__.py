"""Energies above hulls: reference phases and structures, corrections, verdicts."""
