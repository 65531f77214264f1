"""Scores, paired statistics, generator metrics and figures."""
