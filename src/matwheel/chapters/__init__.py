"""The papers: what belongs to one of them only."""
