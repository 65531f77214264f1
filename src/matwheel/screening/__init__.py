"""Screens: cheap tests that a generated crystal must pass."""
