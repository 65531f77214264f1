"""Real DFT by GPAW in an environment of its own, and how a potential compares with it."""
