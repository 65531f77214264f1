"""The default decoder: an E(3)-equivariant message-passing network over nearest periodic images.

After the idea of EGNN (Satorras et al., ICML 2021): messages depend on distances and scalar features, and
coordinates move along the vectors to the neighbours. Each layer also sums such vectors in several
channels, and their lengths go back into the scalar features, which lets angles be seen.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from matwheel.generators.con_cdvae.neighbours import NearestImages


class EquivariantLayer(nn.Module):
    """One message-passing layer: scalars (atoms, width) and vectors (atoms, vectors, 3)."""

    def __init__(self, width: int, vectors: int, distance_centres: int) -> None:
        super().__init__()
        # The map of [h_target, h_source, distance] split by operand: node parts once per node, not per edge.
        self.of_target = nn.Linear(width, width)
        self.of_source = nn.Linear(width, width, bias=False)
        self.of_distance = nn.Linear(distance_centres, width, bias=False)
        self.message = nn.Linear(width, width)
        self.direction = nn.Linear(width, vectors, bias=False)
        self.update = nn.Sequential(nn.Linear(2 * width + vectors, width), nn.SiLU(), nn.Linear(width, width))
        self.normalise = nn.LayerNorm(width)

    def forward(
        self, nodes: Tensor, source: Tensor, basis: Tensor, unit: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return new scalars (atoms, width) and this layer's vectors (atoms, vectors, 3).

        `source` (atoms, k), `basis` (atoms, k, distance_centres), `unit` (atoms, k, 3), `weight` (atoms, k).
        """
        atoms, places = source.shape
        normal = self.normalise(nodes)
        hidden = self.of_source(normal).index_select(0, source.reshape(-1)).reshape(atoms, places, -1)
        hidden = functional.silu(hidden + self.of_target(normal)[:, None] + self.of_distance(basis))
        hidden = functional.silu(self.message(hidden))
        weighted = weight[:, None, :]
        gathered = torch.bmm(weighted, hidden)[:, 0]
        vectors = torch.bmm((self.direction(hidden) * weight[..., None]).transpose(1, 2), unit)
        lengths = (vectors * vectors).sum(-1)
        change = self.update(torch.cat([normal, gathered * 0.25, torch.log1p(lengths)], dim=-1))
        return nodes + change, vectors


class EquivariantDecoder(nn.Module):
    """Displacements and elements of noisy crystals, given a vector per crystal and the noise level."""

    centres: Tensor

    def __init__(
        self,
        *,
        elements: int,
        condition_width: int,
        width: int,
        layers: int,
        vectors: int,
        distance_centres: int,
        cutoff_angstrom: float,
    ) -> None:
        super().__init__()
        self.element = nn.Embedding(elements, width)
        self.crystal = nn.Sequential(
            nn.Linear(condition_width, width), nn.SiLU(), nn.Linear(width, width * (layers + 1))
        )
        self.layers = nn.ModuleList(EquivariantLayer(width, vectors, distance_centres) for _ in range(layers))
        self.register_buffer("centres", torch.linspace(0, cutoff_angstrom, distance_centres))
        self.basis_width = cutoff_angstrom / (distance_centres - 1)
        self.mix = nn.Linear(width, vectors * layers)
        self.types = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, elements)
        )

    def forward(
        self, types: Tensor, images: NearestImages, condition: Tensor, crystal_of_atom: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return displacements to the clean positions in units of the noise, and element logits.

        Args:
            types: noisy elements, shape (atoms,).
            images: neighbours in the noisy crystals.
            condition: what is known of each crystal, noise level included, shape (crystals, condition_width).
            crystal_of_atom: shape (atoms,).

        Returns:
            Displacements (atoms, 3), equivariant under rotation and reflection of the crystal, and logits
            (atoms, elements), invariant.
        """
        crystal = self.crystal(condition).index_select(0, crystal_of_atom)
        parts = crystal.chunk(len(self.layers) + 1, dim=-1)
        nodes = self.element(types) + parts[0]
        basis = torch.exp(-(((images.distance[..., None] - self.centres) / self.basis_width) ** 2))
        unit = images.vector / images.distance.clamp(min=1e-6)[..., None]
        all_vectors = []
        for layer, part in zip(self.layers, parts[1:], strict=True):
            nodes, vectors = layer(nodes + part, images.source, basis, unit, images.weight)
            all_vectors.append(vectors)
        gates = self.mix(nodes)
        displacement = (gates[..., None] * torch.cat(all_vectors, dim=1)).sum(1)
        return displacement, self.types(nodes)
