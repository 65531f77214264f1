"""Where tensors live."""

from __future__ import annotations

import os

import torch

from matwheel.core.errors import InputError

DEVICES = ("auto", "cpu", "cuda")


def resolve_device(name: str) -> torch.device:
    """Return the device of a setting: 'cpu', 'cuda', or 'auto' for CUDA when the job has it.

    In a SLURM job 'auto' takes CUDA only if SLURM gave the job a device, which it then names in
    CUDA_VISIBLE_DEVICES: where it does not confine jobs, one that asked for no GPU sees those of all others.

    With CUDA, convolutions and recurrent layers then compute in float32 as on a CPU; torch would let them
    round to TF32, which has 10 bits. And sums are added in a fixed order where torch has a kernel for it, so
    that a seed gives the same bits on the same GPU; it warns of operations that it has none for.

    Raises:
        InputError: another name, or 'cuda' where there is none.
    """
    if name not in DEVICES:
        raise InputError(f"device is {name!r}; choose one of {', '.join(DEVICES)}")
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "device is 'cuda', but this job sees no CUDA device; set device to auto or cpu, or ask for a GPU "
            "and install a CUDA build of torch (docs/gpu.md)"
        )
    if name == "cpu" or not torch.cuda.is_available() or (name == "auto" and _of_other_jobs()):
        return torch.device("cpu")
    torch.backends.cudnn.allow_tf32 = False
    # cuBLAS reads it when it starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    # It is on by default, and fills every new tensor before it is written.
    # A property of the module's class, which the checker cannot see.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return torch.device("cuda")


def loading_device(name: str) -> str:
    """Return the setting for a model that was trained with this one: what CUDA made, a CPU can use."""
    return "auto" if name == "cuda" else name


def _of_other_jobs() -> bool:
    """Say whether the devices that this process sees may be those of other SLURM jobs."""
    return "SLURM_JOB_ID" in os.environ and "CUDA_VISIBLE_DEVICES" not in os.environ
