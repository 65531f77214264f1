"""Symmetry of a crystal: spglib's datasets, standard cells, prototypes."""
