"""The variational autoencoder of Con-CDVAE (Ye et al., J. Mater. Inf. 2024; CDVAE: Xie et al., ICLR 2022).

encoder → z; (z, condition) → z_con; from z_con: number of atoms, cell, composition, and the decoder's
scores; from z: the property.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from matwheel.compositions.element_features import element_features
from matwheel.generators.con_cdvae.composition_head import CompositionHead
from matwheel.generators.con_cdvae.crystal_tensors import ELEMENTS, CrystalBatch, CrystalTensors
from matwheel.generators.con_cdvae.decoders import make_decoder
from matwheel.generators.con_cdvae.lattices import lattice_parameters, scaled_parameters
from matwheel.generators.con_cdvae.neighbours import nearest_images
from matwheel.generators.con_cdvae.settings import ConCDVAESettings
from matwheel.predictors.graph_convolutions import GaussianBasis, GraphConvolution, GraphTensors

_NOISE_WIDTH = 32
_LARGEST_STANDARD_LABEL = 4.0


def noise_levels(settings: ConCDVAESettings) -> Tensor:
    """Return the standard deviations of the displacements, geometric and falling, shape (levels,), Å."""
    first, last = math.log(settings.largest_noise_angstrom), math.log(settings.smallest_noise_angstrom)
    return torch.linspace(first, last, settings.noise_levels, dtype=torch.float64).exp().float()


def type_noise_levels(settings: ConCDVAESettings) -> Tensor:
    """Return the weights of the composition in the noisy elements, geometric and falling, shape (levels,)."""
    first, last = math.log(settings.largest_type_noise), math.log(settings.smallest_type_noise)
    return torch.linspace(first, last, settings.noise_levels, dtype=torch.float64).exp().float()


def sinusoidal(position: Tensor, width: int) -> Tensor:
    """Return sines and cosines of positions in [0, 1] (n,) at geometric frequencies, shape (n, width)."""
    frequencies = torch.exp(torch.linspace(0, math.log(200.0), width // 2, device=position.device))
    angles = position[:, None] * frequencies * math.pi
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def perceptron(*widths: int) -> nn.Sequential:
    """Return linear layers of these widths with SiLU between them."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.SiLU()]
    return nn.Sequential(*layers[:-1])


def _signed_log(labels: Tensor) -> Tensor:
    """As `matwheel.training.label_scale.signed_log`, for tensors."""
    return labels.sign() * labels.abs().log1p()


class ConditionEmbedding(nn.Module):
    """A label → standardised sign(y) log(1 + |y|) → Gaussians → two layers."""

    mean: Tensor
    deviation: Tensor
    centres: Tensor

    def __init__(self, width: int, centres: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("deviation", torch.ones(()))
        edge = _LARGEST_STANDARD_LABEL
        self.register_buffer("centres", torch.linspace(-edge, edge, centres))
        self.spacing = 2 * edge / (centres - 1)
        self.layers = perceptron(centres, width, width)

    def set_range(self, labels: Tensor) -> None:
        """Take mean and standard deviation from training labels (n,)."""
        values = _signed_log(labels.double())
        self.mean.copy_(values.mean())
        # Labels that are all equal have no spread to divide by.
        self.deviation.copy_(values.std(correction=0).clamp(min=1e-3))

    def standardised(self, labels: Tensor) -> Tensor:
        """Return labels on their logarithmic scale, standardised, shape (n,)."""
        return (_signed_log(labels) - self.mean) / self.deviation

    def forward(self, labels: Tensor) -> Tensor:
        """Return embeddings (n, width) of labels (n,); what lies beyond 4 deviations counts as 4."""
        value = self.standardised(labels).clamp(-_LARGEST_STANDARD_LABEL, _LARGEST_STANDARD_LABEL)
        return self.layers(torch.exp(-(((value[:, None] - self.centres) / self.spacing) ** 2)))


class Encoder(nn.Module):
    """Crystal graph convolutions → mean and log variance of z."""

    element_features: Tensor

    def __init__(self, settings: ConCDVAESettings) -> None:
        super().__init__()
        table = torch.from_numpy(element_features().copy())
        self.register_buffer("element_features", table)
        self.basis = GaussianBasis()
        self.embed = nn.Linear(table.shape[1], settings.encoder_width)
        self.convolutions = nn.ModuleList(
            GraphConvolution(settings.encoder_width, self.basis.width)
            for _ in range(settings.encoder_convolutions)
        )
        # The mean over atoms does not tell a cell from its supercell, so the number of atoms is added.
        self.output = perceptron(settings.encoder_width + 1, settings.hidden_width, 2 * settings.latent_width)

    def forward(self, graphs: GraphTensors) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of z, each (crystals, latent_width)."""
        nodes = self.embed(self.element_features).index_select(0, graphs.atomic_numbers)
        edge_features = self.basis(graphs.distance)
        for convolution in self.convolutions:
            nodes = convolution(nodes, graphs.source, graphs.target, edge_features, graphs.weight)
        counts = torch.bincount(graphs.crystal, minlength=graphs.crystals)[:, None].to(nodes.dtype)
        totals = nodes.new_zeros(graphs.crystals, nodes.shape[1]).index_add(0, graphs.crystal, nodes)
        mean, log_variance = self.output(torch.cat([totals / counts, counts.log()], dim=-1)).chunk(2, dim=-1)
        return mean, log_variance.clamp(-10.0, 5.0)


class ConditionalAutoencoder(nn.Module):
    """All of Con-CDVAE but the latent prior."""

    lattice_mean: Tensor
    lattice_deviation: Tensor
    lattice_minimum: Tensor
    lattice_maximum: Tensor
    seen_elements: Tensor
    noise: Tensor
    type_noise: Tensor

    def __init__(self, settings: ConCDVAESettings, max_atoms: int) -> None:
        super().__init__()
        self.settings, self.max_atoms = settings, max_atoms
        latent, hidden = settings.latent_width, settings.hidden_width
        self.encoder = Encoder(settings)
        self.condition = ConditionEmbedding(settings.condition_width, settings.condition_centres)
        self.join = perceptron(latent + settings.condition_width, hidden, hidden)
        self.atom_count_head = perceptron(hidden, hidden, max_atoms + 1)
        self.lattice_head = perceptron(hidden, hidden, 6)
        self.composition_head = CompositionHead(hidden, hidden, ELEMENTS, max_atoms)
        self.property_head = perceptron(latent, hidden, 1)
        self.decoder = make_decoder(settings, ELEMENTS, hidden + _NOISE_WIDTH)
        self.register_buffer("lattice_mean", torch.zeros(6))
        self.register_buffer("lattice_deviation", torch.ones(6))
        self.register_buffer("lattice_minimum", torch.zeros(6))
        self.register_buffer("lattice_maximum", torch.zeros(6))
        self.register_buffer("seen_elements", torch.zeros(ELEMENTS, dtype=torch.bool))
        self.register_buffer("noise", noise_levels(settings))
        self.register_buffer("type_noise", type_noise_levels(settings))

    def set_ranges(self, data: CrystalTensors) -> None:
        """Take all standardisations and ranges from the training crystals."""
        self.condition.set_range(data.labels)
        scaled = scaled_parameters(
            lattice_parameters(data.lattices.double()), torch.from_numpy(data.atom_counts)
        )
        self.lattice_mean.copy_(scaled.mean(0))
        self.lattice_deviation.copy_(scaled.std(0, correction=0).clamp(min=1e-3))
        self.lattice_minimum.copy_(scaled.min(0).values)
        self.lattice_maximum.copy_(scaled.max(0).values)
        for types in data.types:
            self.seen_elements[types] = True

    def joined(self, latent: Tensor, labels: Tensor) -> Tensor:
        """Return z_con (crystals, hidden_width) of z (crystals, latent_width) and labels (crystals,)."""
        return self.join(torch.cat([latent, self.condition(labels)], dim=-1))

    def dropped(self, joined: Tensor, generator: torch.Generator | None) -> Tensor:
        """Return z_con after dropout; as it is without a `generator`, which stands for training."""
        if generator is None or not self.settings.dropout:
            return joined
        kept = 1 - self.settings.dropout
        return joined * (torch.rand(joined.shape, generator=generator) < kept).to(joined.device) / kept

    def head_losses(
        self, joined: Tensor, batch: CrystalBatch, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Return the losses of atom number, cell and composition.

        With a `generator` the heads of atom number and composition, which overfit first, see z_con through
        dropout.
        """
        scaled = scaled_parameters(lattice_parameters(batch.lattices), batch.atom_counts)
        standard = (scaled - self.lattice_mean) / self.lattice_deviation
        # A validation crystal may have more atoms than any training crystal.
        counts = batch.atom_counts.clamp(max=self.max_atoms)
        lattice = functional.mse_loss(self.lattice_head(joined), standard)
        joined = self.dropped(joined, generator)
        return {
            "atom_count": functional.cross_entropy(self.atom_count_head(joined), counts),
            "lattice": lattice,
            "composition": self.composition_head.loss(
                joined, batch.types, batch.atom_counts, batch.crystal_of_atom
            ),
        }

    def latent_losses(
        self, mean: Tensor, log_variance: Tensor, latent: Tensor, labels: Tensor
    ) -> dict[str, Tensor]:
        """Return the Kullback-Leibler divergence from a unit Gaussian and the loss of the property."""
        divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(-1).mean()
        predicted = self.property_head(latent)[:, 0]
        return {
            "kl": divergence,
            "property": functional.mse_loss(predicted, self.condition.standardised(labels)),
        }

    def decoder_losses(
        self,
        joined: Tensor,
        batch: CrystalBatch,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Noise the crystals and return the losses of displacements and elements.

        Noisy elements are drawn from the crystal's own composition: in sampling the composition is fixed
        before the positions are, so this is what the decoder will meet.
        """
        device, crystals, atoms = joined.device, len(batch.counts), len(batch.types)
        # Levels that sampling leaves out are not learnt either.
        first = self.settings.first_level
        level = torch.randint(first, len(self.noise), (crystals,), generator=generator).to(device)
        type_level = torch.randint(len(self.noise), (crystals,), generator=generator).to(device)
        normal = torch.randn(atoms, 3, generator=generator).to(device)
        uniform = torch.rand(atoms, 1, generator=generator).to(device)
        noise = self.noise[level][batch.crystal_of_atom]
        inverse = torch.linalg.inv(batch.lattices)
        shift = torch.einsum("ai,aij->aj", normal * noise[:, None], inverse[batch.crystal_of_atom])
        noisy = batch.frac_coords + shift
        back = batch.frac_coords - noisy
        back = back - torch.floor(back + 0.5)
        target = torch.einsum("ai,aij->aj", back, batch.lattices[batch.crystal_of_atom]) / noise[:, None]
        clean = functional.one_hot(batch.types, ELEMENTS).to(joined.dtype)
        composition = joined.new_zeros(crystals, ELEMENTS).index_add(0, batch.crystal_of_atom, clean)
        composition = composition / batch.atom_counts[:, None]
        chance = (
            composition[batch.crystal_of_atom] * self.type_noise[type_level][batch.crystal_of_atom][:, None]
        )
        cumulative = (chance + clean).cumsum(-1)
        types = (cumulative < uniform * cumulative[:, -1:]).sum(-1).clamp(max=ELEMENTS - 1)
        displacement, logits = self.scores(
            types, noisy, batch.lattices, batch.counts, batch.crystal_of_atom, joined, level
        )
        return {
            "coordinate": 0.5 * ((displacement - target) ** 2).sum(-1).mean(),
            "type": functional.cross_entropy(logits, batch.types),
        }

    def scores(
        self,
        types: Tensor,
        frac_coords: Tensor,
        lattices: Tensor,
        counts: list[int],
        crystal_of_atom: Tensor,
        joined: Tensor,
        level: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return displacements in units of the noise (atoms, 3), Cartesian, and element logits.

        `level` (crystals,): position of each crystal's noise in `noise`.
        """
        settings = self.settings
        images = nearest_images(frac_coords, lattices, counts, settings.neighbours, settings.cutoff_angstrom)
        position = level.to(joined.dtype) / (len(self.noise) - 1)
        condition = torch.cat([joined, sinusoidal(position, _NOISE_WIDTH)], dim=-1)
        return self.decoder(types, images, condition, crystal_of_atom)

    def total_loss(self, losses: dict[str, Tensor]) -> Tensor:
        """Return the sum of losses by name, each with its weight of the settings."""
        return sum(getattr(self.settings, f"{name}_weight") * loss for name, loss in losses.items())
