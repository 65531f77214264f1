"""Machine-learned potentials: their registry, relaxation with them, the fast CPU code of SevenNet."""
