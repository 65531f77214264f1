"""Wyckoff genes: positions, permutations, tables of genes, and crystals built from them."""
