"""Where tensors live."""

from __future__ import annotations

import torch

DEVICES = ("auto", "cpu", "cuda")


def resolve_device(name: str) -> torch.device:
    """Return the device of a setting: 'cpu', 'cuda', or 'auto' for CUDA when the job has it.

    Raises:
        ValueError: another name, or 'cuda' where there is none.
    """
    if name not in DEVICES:
        raise ValueError(f"device is {name!r}; choose one of {', '.join(DEVICES)}")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device is 'cuda', but this job sees no CUDA device; set device to auto or cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")
