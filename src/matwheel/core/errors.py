"""Errors whose message alone tells a user what to do."""

from __future__ import annotations


class InputError(ValueError):
    """Wrong data or settings; the message names the file or setting, the row and the remedy."""


def one_line(error: BaseException, longest: int = 300) -> str:
    """Return what an error says in one line, shortened if it says too much; its type if it says nothing."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= longest else text[: longest - 3] + "..."
