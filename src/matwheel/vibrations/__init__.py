"""Force constants, phonons, soft modes, and displacements along vibrations."""
