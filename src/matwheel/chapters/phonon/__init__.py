"""Phonon-informed datasets: configurations of a compound, what is learnt from them, and why."""
