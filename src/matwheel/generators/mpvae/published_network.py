"""The network of WyCryst: convolutions over a matrix of a gene, written back as a matrix.

Widths and weights are those of the public code; the losses are means over the batch, and the consistency of
formula and positions is differentiable: the expected number of atoms under the softmax of the space groups.
What it writes may break the symmetry; the screen of gene validity says which genes do.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn
from torch.nn import functional

from matwheel.generators.mpvae.representation import (
    ELEMENT_TOKENS,
    MOST_SITES,
    MOST_TAKERS,
    SiteSequences,
    element_table,
    position_tables,
)
from matwheel.generators.mpvae.settings import MPVAESettings
from matwheel.wyckoff.wyckoff_positions import LETTERS, SPACE_GROUPS

_ELEMENTS = ELEMENT_TOKENS - 1
_CHANNELS = (32, 64, 128)
# Atoms and features are scaled to about 1, so that no block drowns the others in the squared error.
_ATOM_SCALE = 10.0


class PublishedNetwork(nn.Module):
    """Convolutional encoder and decoder, a branch for the space group, and a property head."""

    multiplicity: Tensor
    element_features: Tensor

    def __init__(self, settings: MPVAESettings, properties: int, slots: int) -> None:
        super().__init__()
        self.settings, self.properties, self.slots = settings, properties, slots
        for name, table in position_tables().items():
            self.register_buffer(name, table.clone(), persistent=False)
        self.register_buffer("element_features", element_table().clone(), persistent=False)
        self.rows = _ELEMENTS + 2 + self.element_features.shape[1] + len(LETTERS)
        latent = settings.latent_width
        lengths = [self.rows]
        for _ in _CHANNELS:
            lengths.append((lengths[-1] + 1) // 2)
        self.lengths = lengths
        layers: list[nn.Module] = []
        for before, after in zip((slots, *_CHANNELS[:-1]), _CHANNELS, strict=True):
            layers += [
                nn.Conv1d(before, after, 5, stride=2, padding=2),
                nn.BatchNorm1d(after),
                nn.LeakyReLU(),
            ]
        self.convolutions = nn.Sequential(*layers)
        self.from_matrix = nn.Sequential(
            nn.Linear(_CHANNELS[-1] * lengths[-1], settings.width), nn.LeakyReLU()
        )
        self.from_group = nn.Sequential(
            nn.Linear(SPACE_GROUPS, 256), nn.LeakyReLU(), nn.Linear(256, 128), nn.LeakyReLU()
        )
        self.to_latent = nn.Linear(settings.width + 128, 2 * latent)
        self.head = nn.Sequential(
            nn.Linear(latent, 128),
            nn.LeakyReLU(),
            nn.Linear(128, 32),
            nn.LeakyReLU(),
            nn.Linear(32, properties + 7),
        )
        self.to_group = nn.Sequential(
            nn.Linear(latent, 128),
            nn.LeakyReLU(),
            nn.Linear(128, 256),
            nn.LeakyReLU(),
            nn.Linear(256, SPACE_GROUPS),
        )
        self.to_channels = nn.Sequential(
            nn.Linear(latent, settings.width),
            nn.LeakyReLU(),
            nn.Linear(settings.width, _CHANNELS[-1] * lengths[-1]),
            nn.LeakyReLU(),
        )
        back: list[nn.Module] = []
        for place, (before, after) in enumerate(
            zip(_CHANNELS[::-1], (*_CHANNELS[-2::-1], slots), strict=True)
        ):
            wanted, given = lengths[-2 - place], lengths[-1 - place]
            back.append(
                nn.ConvTranspose1d(
                    before, after, 5, stride=2, padding=2, output_padding=wanted - (2 * given - 1)
                )
            )
            if place < len(_CHANNELS) - 1:
                back += [nn.BatchNorm1d(after), nn.LeakyReLU()]
        self.to_matrix = nn.Sequential(*back)

    def encoder_parts(self) -> list[nn.Module]:
        """Return what the published fine-tuning leaves as it is: the convolutions and their normalisation."""
        return [self.convolutions]

    def matrix(self, genes: SiteSequences) -> Tensor:
        """Return the matrices of genes, shape (n, slots, rows): element, atoms, share, features, letters."""
        n, steps = genes.element.shape
        device = genes.element.device
        present = genes.element > 0
        starts = present.clone()
        starts[:, 1:] &= genes.element[:, 1:] != genes.element[:, :-1]
        slot = (starts.long().cumsum(dim=1) - 1).clamp(min=0)
        row = torch.arange(n, device=device)[:, None].expand(n, steps)
        letters = torch.zeros(n, self.slots, len(LETTERS), device=device)
        letters.index_put_(
            (row[present], slot[present], genes.letter[present]),
            genes.takers[present].float(),
            accumulate=True,
        )
        elements = torch.zeros(n, self.slots, dtype=torch.long, device=device)
        elements[row[starts], slot[starts]] = genes.element[starts]
        atoms = torch.einsum("nsl,nl->ns", letters, self.multiplicity[genes.space_group].float())
        share = atoms / atoms.sum(dim=1, keepdim=True).clamp(min=1)
        one_hot = functional.one_hot(elements, ELEMENT_TOKENS)[..., 1:].float()
        features = self.element_features[elements]
        return torch.cat(
            [one_hot, (atoms / _ATOM_SCALE)[..., None], share[..., None], features, letters], dim=-1
        )

    def encode(self, genes: SiteSequences) -> tuple[Tensor, Tensor]:
        """Return mean and logarithm of the variance of the latent vectors, each of shape (n, latent)."""
        matrix = self.from_matrix(self.convolutions(self.matrix(genes)).flatten(1))
        group = self.from_group(functional.one_hot(genes.space_group - 1, SPACE_GROUPS).float())
        mean, log_variance = self.to_latent(torch.cat([matrix, group], dim=-1)).chunk(2, dim=-1)
        return mean, log_variance.clamp(-8.0, 4.0)

    def predict(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Return scaled properties, shape (n, properties), and logits of the crystal system, shape (n, 7)."""
        out = self.head(latent)
        return out[:, : self.properties], out[:, self.properties :]

    def reconstruction(self, latent: Tensor, genes: SiteSequences) -> dict[str, Tensor]:
        """Return the parts of the loss of each gene, each of shape (n,)."""
        wanted, logits = self.matrix(genes), self.to_group(latent)
        written = self.to_matrix(self.to_channels(latent).unflatten(1, (_CHANNELS[-1], self.lengths[-1])))
        groups = functional.cross_entropy(logits, genes.space_group - 1, reduction="none")
        multiplicity = logits.softmax(dim=-1) @ self.multiplicity[1:].float()
        letters = written[..., -len(LETTERS) :].clamp(min=0)
        atoms = torch.einsum("nsl,nl->ns", letters, multiplicity)
        share = atoms / atoms.sum(dim=1, keepdim=True).clamp(min=1e-3)
        return {
            "space_group": groups,
            "sites": (written - wanted).square().sum(dim=(1, 2)),
            "formula": (share - wanted[..., _ELEMENTS + 1]).square().sum(dim=1),
        }

    @torch.no_grad()
    def write(
        self,
        latent: Tensor,
        *,
        temperature: float,
        element_numbers: Collection[int],
        largest_atoms: int,
        space_groups: tuple[int, int] = (1, SPACE_GROUPS),
        true_groups: Tensor | None = None,
    ) -> SiteSequences:
        """Decode latent vectors into genes by the most probable space group and element and rounded numbers.

        `temperature`, `element_numbers` and `largest_atoms` are those of `SiteNetwork.write` and change
        nothing here: the screen of gene validity judges what comes out.
        """
        n, device = len(latent), latent.device
        logits = self.to_group(latent)
        numbers = torch.arange(1, SPACE_GROUPS + 1, device=device)
        logits[:, (numbers < space_groups[0]) | (numbers > space_groups[1])] = -torch.inf
        groups = logits.argmax(dim=1) + 1 if true_groups is None else true_groups
        matrix = self.to_matrix(self.to_channels(latent).unflatten(1, (_CHANNELS[-1], self.lengths[-1])))
        elements = matrix[..., :_ELEMENTS].argmax(dim=-1) + 1
        empty = (matrix[..., _ELEMENTS] * _ATOM_SCALE).round() < 1
        letters = matrix[..., -len(LETTERS) :].round().long().clamp(0, MOST_TAKERS)
        letters[empty] = 0
        elements, order = elements.sort(dim=1, stable=True)
        letters = letters.gather(1, order[..., None].expand_as(letters))
        genes = SiteSequences(
            groups, *(torch.zeros(n, MOST_SITES, dtype=torch.long, device=device) for _ in range(3))
        )
        row, slot, letter = torch.nonzero(letters, as_tuple=True)
        first = torch.searchsorted(row, row)
        step = torch.arange(len(row), device=device) - first
        kept = step < MOST_SITES
        row, slot, letter, step = row[kept], slot[kept], letter[kept], step[kept]
        genes.element[row, step] = elements[row, slot]
        genes.letter[row, step] = letter
        genes.takers[row, step] = letters[row, slot, letter]
        return genes
