"""The composition head: which elements a crystal of N atoms holds, and how many of each.

The head of CDVAE predicts one distribution that all atoms share; rounding N times it to whole numbers mixes
alternatives (half S, half Se) and breaks stoichiometry. Here the atoms are told one after the other, sorted
by electronegativity, each given z_con, the elements so far and the number of atoms still to come: the same
loss per atom, but a joint distribution, from which whole compositions can be drawn.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional


@lru_cache(maxsize=1)
def electronegativity_ranks(elements: int) -> Tensor:
    """Return the rank of each element class by Pauling electronegativity, then atomic number, (elements,).

    Elements without a value (noble gases) come last.
    """
    from pymatgen.core import Element

    def key(number: int) -> tuple[float, int]:
        value = Element.from_Z(number).data.get("X")
        if isinstance(value, (int, float)) and value == value:
            return float(value), number
        return 9.0, number

    order = sorted(range(1, elements + 1), key=key)
    ranks = torch.empty(elements, dtype=torch.long)
    for rank, number in enumerate(order):
        ranks[number - 1] = rank
    return ranks


class CompositionHead(nn.Module):
    """Element of the next atom, given z_con and the atoms before it."""

    ranks: Tensor

    def __init__(self, joined_width: int, width: int, elements: int, max_atoms: int) -> None:
        super().__init__()
        self.elements, self.max_atoms = elements, max_atoms
        self.of_joined = nn.Linear(joined_width, width)
        self.of_counts = nn.Linear(2 * elements, width, bias=False)
        self.of_total = nn.Embedding(max_atoms + 1, width)
        self.of_remaining = nn.Embedding(max_atoms + 1, width)
        self.output = nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, elements))
        self.register_buffer("ranks", electronegativity_ranks(elements).clone())

    def forward(self, joined: Tensor, before: Tensor, total: Tensor, remaining: Tensor) -> Tensor:
        """Return element logits (n, elements).

        `joined` (n, joined_width); `before` (n, elements): atoms of each element so far; `total`, `remaining`
        (n,): atoms of the crystal and atoms still to come, this one included.
        """
        counts = torch.cat([torch.log1p(before), (before > 0).to(before.dtype)], dim=-1)
        hidden = self.of_joined(joined) + self.of_counts(counts)
        hidden = hidden + self.of_total(total.clamp(max=self.max_atoms))
        return self.output(hidden + self.of_remaining(remaining.clamp(max=self.max_atoms)))

    def loss(self, joined: Tensor, types: Tensor, atom_counts: Tensor, crystal_of_atom: Tensor) -> Tensor:
        """Return the mean cross entropy per atom.

        `joined` (crystals, joined_width), `types` and `crystal_of_atom` (atoms,), `atom_counts` (crystals,).
        """
        order = torch.argsort(crystal_of_atom * self.elements + self.ranks[types], stable=True)
        sorted_types = types[order]
        indicator = functional.one_hot(sorted_types, self.elements).to(joined.dtype)
        # Running sum over all atoms, minus what the crystals before hold.
        running = indicator.cumsum(0) - indicator
        first = atom_counts.cumsum(0) - atom_counts
        before = running - running[first].index_select(0, crystal_of_atom)
        place = torch.arange(len(types), device=types.device) - first[crystal_of_atom]
        total = atom_counts[crystal_of_atom]
        logits = self(joined.index_select(0, crystal_of_atom), before, total, total - place)
        return functional.cross_entropy(logits, sorted_types)

    @torch.no_grad()
    def sample(
        self, joined: Tensor, atom_counts: Tensor, uniform: Tensor, allowed: Tensor, temperature: float
    ) -> Tensor:
        """Return atoms per element (crystals, elements); they add up to `atom_counts` (crystals,).

        `uniform` (crystals, max atoms): draws in [0, 1); `allowed` (elements,): elements that may occur;
        `temperature`: divides the logits.
        """
        counts = joined.new_zeros(len(joined), self.elements)
        last_rank = torch.full_like(atom_counts, -1)
        for place in range(int(atom_counts.max())):
            remaining = (atom_counts - place).clamp(min=0)
            logits = self(joined, counts, atom_counts, remaining).double() / temperature
            possible = allowed & (self.ranks >= last_rank[:, None])
            cumulative = logits.masked_fill(~possible, float("-inf")).softmax(-1).cumsum(-1)
            drawn = (cumulative <= uniform[:, place, None] * cumulative[:, -1:]).sum(-1)
            drawn = drawn.clamp(max=self.elements - 1)
            active = remaining > 0
            counts[active, drawn[active]] += 1
            last_rank = torch.where(active, self.ranks[drawn], last_rank)
        return counts.long()
