"""Errors whose message alone tells a user what to do."""

from __future__ import annotations


class InputError(ValueError):
    """Wrong data or settings; the message names the file or setting, the row and the remedy."""
