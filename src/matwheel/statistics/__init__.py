"""Scores of predictions, and paired comparisons of them."""
