"""Crystal generators, their conditions, and the null generators beside them."""
