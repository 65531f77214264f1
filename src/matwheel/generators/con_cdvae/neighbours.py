"""The nearest periodic images of every atom, for many crystals at once.

The 27 cells around an atom hold its nearest images when the cell is Niggli-reduced or nearly so, and
when the fractional difference is taken to [-1/2, 1/2) first.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class NearestImages:
    """Neighbours in rows of equal length.

    Attributes:
        source: atom that each neighbour is an image of, shape (atoms, k).
        vector: Cartesian vector from the atom to the neighbour, shape (atoms, k, 3), Å.
        distance: shape (atoms, k), Å.
        weight: in [0, 1], falls smoothly to 0 at the nearer of the cut-off and the (k + 1)-th neighbour;
            shape (atoms, k). So neither two equally distant neighbours nor one that enters or leaves
            the list makes a jump.
    """

    source: Tensor
    vector: Tensor
    distance: Tensor
    weight: Tensor


def nearest_images(
    frac_coords: Tensor, lattices: Tensor, atom_counts: list[int], neighbours: int, cutoff_angstrom: float
) -> NearestImages:
    """Return the `neighbours` nearest images of each atom.

    Args:
        frac_coords: atoms of all crystals, one crystal after the other, shape (atoms, 3).
        lattices: shape (crystals, 3, 3), Å.
        atom_counts: atoms of each crystal; equal counts should stand together, each run is one operation.
        neighbours: k; at most 25, for an atom alone in its cell has 26 images.
        cutoff_angstrom: images beyond it get weight 0.
    """
    parts, first_atom, first_crystal = [], 0, 0
    while first_crystal < len(atom_counts):
        count, last = atom_counts[first_crystal], first_crystal + 1
        while last < len(atom_counts) and atom_counts[last] == count:
            last += 1
        crystals = last - first_crystal
        coords = frac_coords[first_atom : first_atom + crystals * count].reshape(crystals, count, 3)
        part = _of_equal_counts(coords, lattices[first_crystal:last], neighbours, cutoff_angstrom)
        parts.append((part[0] + first_atom, *part[1:]))
        first_atom += crystals * count
        first_crystal = last
    return NearestImages(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _of_equal_counts(
    coords: Tensor, lattices: Tensor, neighbours: int, cutoff_angstrom: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    crystals, count, _ = coords.shape
    steps = torch.arange(-1, 2, device=coords.device, dtype=coords.dtype)
    images = torch.cartesian_prod(steps, steps, steps)
    difference = coords[:, None, :, :] - coords[:, :, None, :]  # [crystal, to, from]
    difference = (difference - torch.floor(difference + 0.5)).reshape(crystals, count * count, 3)
    base = difference @ lattices
    shift = images @ lattices  # (crystals, 27, 3)
    # |b + s|² = b² + 2 b·s + s²: one matrix product instead of 27 vectors per pair.
    squared = 2 * torch.bmm(base, shift.transpose(1, 2))
    squared += (base * base).sum(-1, keepdim=True)
    squared += (shift * shift).sum(-1)[:, None, :]
    squared = squared.reshape(crystals, count, count, 27)
    itself = torch.arange(count, device=coords.device)
    squared[:, itself, itself, 13] = float("inf")
    kept = min(neighbours + 1, count * 27 - 1)
    found = squared.reshape(crystals, count, count * 27).topk(kept, dim=-1, largest=False, sorted=True)
    if kept < neighbours + 1:
        raise ValueError(f"{neighbours} neighbours asked for, but 27 cells of one atom hold 26")
    index = found.indices[..., :neighbours]
    pair, image = index // 27, index % 27
    base = base.reshape(crystals, count, count, 3)
    vector = torch.gather(base, 2, pair[..., None].expand(-1, -1, -1, 3))
    which = torch.arange(crystals, device=coords.device)[:, None, None]
    vector = vector + shift[which, image]
    distance = vector.norm(dim=-1)
    edge = found.values[..., neighbours:].clamp(min=1e-8).sqrt().clamp(max=cutoff_angstrom)
    weight = (1 - (distance / edge) ** 2).clamp(min=0) ** 2
    source = pair + which * count
    atoms = crystals * count
    return (
        source.reshape(atoms, neighbours),
        vector.reshape(atoms, neighbours, 3),
        distance.reshape(atoms, neighbours),
        weight.reshape(atoms, neighbours),
    )
