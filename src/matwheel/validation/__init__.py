"""Validation: the machine-learned stand-in for DFT, energies above the hull, phonons, and real DFT."""
