"""Cells as six numbers that do not grow with the number of atoms: lengths / N^(1/3) and angles."""

from __future__ import annotations

import torch
from torch import Tensor


def lattice_parameters(lattices: Tensor) -> Tensor:
    """Return (crystals, 6): lengths a, b, c in Å and angles α, β, γ in degrees, of lattices (crystals, 3, 3).

    Rows of a lattice are its vectors.
    """
    lengths = lattices.norm(dim=-1)
    unit = lattices / lengths[..., None]
    cosines = torch.stack(
        [(unit[:, i] * unit[:, j]).sum(-1) for i, j in ((1, 2), (0, 2), (0, 1))], dim=-1
    ).clamp(-1, 1)
    return torch.cat([lengths, torch.rad2deg(torch.arccos(cosines))], dim=-1)


def lattice_matrices(parameters: Tensor) -> Tensor:
    """Return lattices (crystals, 3, 3) of parameters (crystals, 6); a along x, b in the plane of x and y.

    Three angles that no cell can have give NaN.
    """
    a, b, c = parameters[:, :3].unbind(-1)
    cosines = torch.cos(torch.deg2rad(parameters[:, 3:]))
    alpha, beta, gamma = cosines.unbind(-1)
    sine = torch.sqrt(1 - gamma**2)
    along_y = (alpha - beta * gamma) / sine
    along_z = torch.sqrt(1 - beta**2 - along_y**2)
    zero = torch.zeros_like(a)
    rows = [
        torch.stack([a, zero, zero], dim=-1),
        torch.stack([b * gamma, b * sine, zero], dim=-1),
        torch.stack([c * beta, c * along_y, c * along_z], dim=-1),
    ]
    return torch.stack(rows, dim=-2)


def scaled_parameters(parameters: Tensor, atom_counts: Tensor) -> Tensor:
    """Divide the lengths of parameters (crystals, 6) by N^(1/3)."""
    root = atom_counts.to(parameters.dtype)[:, None] ** (1 / 3)
    return torch.cat([parameters[:, :3] / root, parameters[:, 3:]], dim=-1)


def unscaled_parameters(parameters: Tensor, atom_counts: Tensor) -> Tensor:
    """Undo `scaled_parameters`."""
    root = atom_counts.to(parameters.dtype)[:, None] ** (1 / 3)
    return torch.cat([parameters[:, :3] * root, parameters[:, 3:]], dim=-1)
