"""The default network of the MPVAE: it reads a gene as a set of sites and writes it site by site.

What it writes keeps the site symmetry by construction: only letters that the space group has, a position
without free coordinates at most once, elements and letters in the order of a gene.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn
from torch.nn import functional

from matwheel.generators.mpvae.representation import (
    ELEMENT_TOKENS,
    END,
    MOST_SITES,
    MOST_TAKERS,
    SiteSequences,
    element_table,
    position_tables,
)
from matwheel.generators.mpvae.settings import MPVAESettings
from matwheel.training.random_draws import Dropout, gumbel_noise
from matwheel.wyckoff.wyckoff_positions import LETTERS, SPACE_GROUPS

_FORBIDDEN = -1e9


class SiteNetwork(nn.Module):
    """Encoder over sites, property head on the latent mean, recurrent decoder of sites.

    All methods take space groups, elements and letters as `SiteSequences` has them.
    """

    primitive_atoms: Tensor
    fixed: Tensor
    exists: Tensor
    features: Tensor
    groups: Tensor
    element_features: Tensor

    def __init__(self, settings: MPVAESettings, properties: int) -> None:
        super().__init__()
        width, vector, latent = settings.width, settings.embedding_width, settings.latent_width
        self.settings = settings
        for name, table in position_tables().items():
            self.register_buffer(name, table.clone(), persistent=False)
        self.register_buffer("element_features", element_table().clone(), persistent=False)
        self.element_embedding = nn.Embedding(ELEMENT_TOKENS, vector)
        self.element_projection = nn.Linear(self.element_features.shape[1], vector)
        self.position_embedding = nn.Embedding((SPACE_GROUPS + 1) * len(LETTERS), vector)
        self.position_projection = nn.Linear(self.features.shape[-1], vector)
        self.group_embedding = nn.Embedding(SPACE_GROUPS + 1, vector)
        self.group_projection = nn.Linear(self.groups.shape[-1], vector)
        for embedding in (self.element_embedding, self.position_embedding, self.group_embedding):
            nn.init.normal_(embedding.weight, std=0.1)
        self.reader = nn.Sequential(
            nn.Linear(3 * vector + 3, width), nn.GELU(), Dropout(settings.dropout), nn.Linear(width, width)
        )
        self.mixer = nn.Sequential(
            nn.Linear(2 * width, width), nn.GELU(), Dropout(settings.dropout), nn.Linear(width, width)
        )
        self.to_latent = nn.Sequential(
            nn.Linear(2 * width + vector, width), nn.GELU(), nn.Linear(width, 2 * latent)
        )
        self.head = nn.Sequential(
            nn.Linear(latent, width),
            nn.GELU(),
            Dropout(settings.dropout),
            nn.Linear(width, properties + 7),
        )
        self.to_group = nn.Sequential(nn.Linear(latent, width), nn.GELU(), nn.Linear(width, SPACE_GROUPS + 1))
        self.to_state = nn.Linear(latent + vector, width)
        self.writer = nn.GRU(latent + 3 * vector + 1, width, batch_first=True)
        self.to_element = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, ELEMENT_TOKENS))
        self.to_letter = nn.Sequential(nn.Linear(width + vector, width), nn.GELU(), nn.Linear(width, vector))
        self.to_takers = nn.Sequential(
            nn.Linear(width + 2 * vector, width // 2), nn.GELU(), nn.Linear(width // 2, MOST_TAKERS)
        )
        self.properties = properties

    def encoder_parts(self) -> list[nn.Module]:
        """Return what a fine-tuning may leave as it is: the first half of the encoder."""
        return [
            self.element_embedding,
            self.element_projection,
            self.position_projection,
            self.group_projection,
            self.reader,
        ]

    def encode(self, genes: SiteSequences) -> tuple[Tensor, Tensor]:
        """Return mean and logarithm of the variance of the latent vectors, each of shape (n, latent)."""
        present = (genes.element > 0).unsqueeze(-1).float()
        group = self._groups(genes.space_group)
        atoms = self.primitive_atoms[genes.space_group].gather(1, genes.letter) * genes.takers
        total = atoms.sum(dim=1, keepdim=True).clamp(min=1)
        share = (atoms / total).unsqueeze(-1)
        numbers = torch.cat([share, (1 + atoms).log()[..., None], (1 + genes.takers).log()[..., None]], -1)
        sites = torch.cat(
            [
                self._elements(genes.element),
                self._positions(genes.space_group, genes.letter),
                group.unsqueeze(1).expand(-1, genes.element.shape[1], -1),
                numbers,
            ],
            dim=-1,
        )
        sites = self.reader(sites)
        mean = (sites * share).sum(dim=1, keepdim=True).expand_as(sites)
        sites = sites + self.mixer(torch.cat([sites, mean], dim=-1))
        number = present.sum(dim=1).clamp(min=1)
        pooled = torch.cat(
            [(sites * share).sum(dim=1), (sites * present).sum(dim=1) / number.sqrt(), group], dim=-1
        )
        mean, log_variance = self.to_latent(pooled).chunk(2, dim=-1)
        return mean, log_variance.clamp(-8.0, 4.0)

    def predict(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Return scaled properties, shape (n, properties), and logits of the crystal system, shape (n, 7)."""
        out = self.head(latent)
        return out[:, : self.properties], out[:, self.properties :]

    def reconstruction(self, latent: Tensor, genes: SiteSequences) -> dict[str, Tensor]:
        """Return the negative logarithms of the probability of each gene's parts, each of shape (n,)."""
        n, steps = genes.element.shape
        group_loss = functional.cross_entropy(self._group_logits(latent), genes.space_group, reduction="none")
        # One step more than there are sites: the end is written too.
        target_element = functional.pad(genes.element, (0, 1))
        states = self._states(latent, genes)
        element_logits = self.to_element(states)
        before = functional.pad(genes.element, (1, 0))
        places = torch.arange(ELEMENT_TOKENS, device=latent.device)
        # Elements ascend; the end may always come.
        element_logits = element_logits.masked_fill(
            (places < before.unsqueeze(-1)) & (places != END), _FORBIDDEN
        )
        written = torch.arange(steps + 1, device=latent.device) <= (genes.element > 0).sum(1, keepdim=True)
        element_loss = functional.cross_entropy(
            element_logits.flatten(0, 1), target_element.flatten(), reduction="none"
        ).view(n, steps + 1)
        element_loss = (element_loss * written).sum(dim=1)
        present = genes.element > 0
        states = states[:, :-1]
        letter_logits = self._letter_logits(states, genes.element, genes.space_group)
        letter_logits = letter_logits.masked_fill(~self._open_letters(genes), _FORBIDDEN)
        letter_loss = functional.cross_entropy(
            letter_logits.flatten(0, 1), genes.letter.flatten(), reduction="none"
        ).view(n, steps)
        takers_logits = self._takers_logits(states, genes.element, genes.space_group, genes.letter)
        takers_loss = functional.cross_entropy(
            takers_logits.flatten(0, 1), (genes.takers - 1).clamp(min=0).flatten(), reduction="none"
        ).view(n, steps)
        return {
            "space_group": group_loss,
            "sites": element_loss + ((letter_loss + takers_loss) * present).sum(dim=1),
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
        """Decode latent vectors into genes.

        Args:
            latent: shape (n, latent).
            temperature: of the draws; 0 takes the most probable.
            element_numbers: how many elements a gene may have.
            largest_atoms: atoms that the primitive cell may have.
            space_groups: first and last number that may be drawn.
            true_groups: space groups to take instead of drawn ones, shape (n,).

        Returns:
            One gene per row. A row whose positions ran out may have fewer elements than asked for.
        """
        n, device = len(latent), latent.device
        logits = self._group_logits(latent)
        numbers = torch.arange(SPACE_GROUPS + 1, device=device)
        logits[:, (numbers < space_groups[0]) | (numbers > space_groups[1])] = _FORBIDDEN
        groups = _draw(logits, temperature) if true_groups is None else true_groups
        genes = SiteSequences(
            groups, *(torch.zeros(n, MOST_SITES, dtype=torch.long, device=device) for _ in range(3))
        )
        atoms_of_letter = self.primitive_atoms[groups]
        fixed, exists = self.fixed[groups], self.exists[groups]
        taken = torch.zeros(n, len(LETTERS), dtype=torch.bool, device=device)
        atoms = torch.zeros(n, dtype=torch.long, device=device)
        element = torch.zeros(n, dtype=torch.long, device=device)
        letter = torch.full((n,), -1, dtype=torch.long, device=device)
        elements = torch.zeros(n, dtype=torch.long, device=device)
        open_rows = torch.ones(n, dtype=torch.bool, device=device)
        places = torch.arange(ELEMENT_TOKENS, device=device)
        letters = torch.arange(len(LETTERS), device=device)
        may_end = torch.zeros(max(element_numbers) + 1, dtype=torch.bool, device=device)
        may_end[sorted(element_numbers)] = True
        state = self._first_state(latent, groups)
        previous = torch.zeros(n, 2 * self.settings.embedding_width + 1, device=device)
        for step in range(MOST_SITES):
            output, state = self.writer(self._input(latent, groups, previous).unsqueeze(1), state)
            output = output[:, 0]
            fits = exists & ~(fixed & taken) & (atoms[:, None] + atoms_of_letter <= largest_atoms)
            # The same element goes on with later letters only; a new one may take any that is left.
            later = fits & (letters > letter[:, None])
            allowed = torch.zeros(n, ELEMENT_TOKENS, dtype=torch.bool, device=device)
            allowed |= (places == element[:, None]) & later.any(dim=1, keepdim=True) & (elements > 0)[:, None]
            new = (places > element[:, None]) & fits.any(dim=1, keepdim=True)
            allowed |= new & (elements < max(element_numbers))[:, None]
            allowed[:, END] = may_end[elements] | ~allowed[:, 1:].any(dim=1)
            chosen = _draw(self.to_element(output).masked_fill(~allowed, _FORBIDDEN), temperature)
            open_rows = open_rows & (chosen != END)
            if not open_rows.any():
                break
            chosen = torch.where(open_rows, chosen, torch.ones_like(chosen))
            usable = torch.where((chosen == element)[:, None], later, fits)
            letter_logits = self._letter_logits(output[:, None], chosen[:, None], groups)[:, 0]
            drawn = _draw(letter_logits.masked_fill(~usable, _FORBIDDEN), temperature)
            logits = self._takers_logits(output[:, None], chosen[:, None], groups, drawn[:, None])[:, 0]
            each = atoms_of_letter.gather(1, drawn[:, None]).clamp(min=1)
            number = torch.arange(1, MOST_TAKERS + 1, device=device)
            too_many = (atoms[:, None] + number * each > largest_atoms) & (number > 1)
            takers = _draw(logits.masked_fill(too_many, _FORBIDDEN), temperature) + 1
            for target, value in ((genes.element, chosen), (genes.letter, drawn), (genes.takers, takers)):
                target[:, step] = torch.where(open_rows, value, torch.zeros_like(value))
            elements = elements + ((chosen != element) & open_rows).long()
            taken[torch.arange(n, device=device), drawn] |= open_rows
            atoms = atoms + torch.where(open_rows, takers * each[:, 0], torch.zeros_like(atoms))
            element, letter = chosen, drawn
            previous = self._written(chosen, groups, drawn, takers)
        return genes

    def _elements(self, places: Tensor) -> Tensor:
        table = self.element_embedding.weight + self.element_projection(self.element_features)
        return table[places]

    def _positions(self, groups: Tensor, letters: Tensor) -> Tensor:
        embedded = self.position_embedding(groups[:, None] * len(LETTERS) + letters)
        return embedded + self.position_projection(self.features[groups[:, None], letters])

    def _groups(self, groups: Tensor) -> Tensor:
        return self.group_embedding(groups) + self.group_projection(self.groups[groups])

    def _group_logits(self, latent: Tensor) -> Tensor:
        logits = self.to_group(latent)
        return torch.cat([torch.full_like(logits[:, :1], _FORBIDDEN), logits[:, 1:]], dim=1)

    def _written(self, element: Tensor, groups: Tensor, letter: Tensor, takers: Tensor) -> Tensor:
        """Return what the writer is told of the site it has just written, shape (n, …)."""
        position = self._positions(groups, letter[:, None])[:, 0]
        return torch.cat([self._elements(element), position, takers.float().log()[:, None]], dim=-1)

    def _input(self, latent: Tensor, groups: Tensor, previous: Tensor) -> Tensor:
        return torch.cat([latent, self._groups(groups), previous], dim=-1)

    def _first_state(self, latent: Tensor, groups: Tensor) -> Tensor:
        return torch.tanh(self.to_state(torch.cat([latent, self._groups(groups)], dim=-1))).unsqueeze(0)

    def _states(self, latent: Tensor, genes: SiteSequences) -> Tensor:
        """Return the writer's state before each site and before the end, shape (n, sites + 1, width)."""
        steps = genes.element.shape[1]
        sites = torch.cat(
            [
                self._elements(genes.element),
                self._positions(genes.space_group, genes.letter),
                genes.takers.clamp(min=1).float().log()[..., None],
            ],
            dim=-1,
        )
        previous = functional.pad(sites, (0, 0, 1, 0))
        common = torch.cat([latent, self._groups(genes.space_group)], dim=-1)
        inputs = torch.cat([common.unsqueeze(1).expand(-1, steps + 1, -1), previous], dim=-1)
        return self.writer(inputs, self._first_state(latent, genes.space_group))[0]

    def _letter_logits(self, states: Tensor, elements: Tensor, groups: Tensor) -> Tensor:
        query = self.to_letter(torch.cat([states, self._elements(elements)], dim=-1))
        every = torch.arange(len(LETTERS), device=groups.device).expand(len(groups), -1)
        return query @ self._positions(groups, every).transpose(1, 2)

    def _takers_logits(self, states: Tensor, elements: Tensor, groups: Tensor, letters: Tensor) -> Tensor:
        known = torch.cat([states, self._elements(elements), self._positions(groups, letters)], dim=-1)
        logits = self.to_takers(known)
        only_one = self.fixed[groups].gather(1, letters).unsqueeze(-1)
        several = torch.arange(MOST_TAKERS, device=groups.device) > 0
        return logits.masked_fill(only_one & several, _FORBIDDEN)

    def _open_letters(self, genes: SiteSequences) -> Tensor:
        """Return which letters each site could have taken after the sites before it, (n, sites, 27)."""
        present = (genes.element > 0).unsqueeze(-1)
        one_hot = functional.one_hot(genes.letter, len(LETTERS)).bool() & present
        taken = functional.pad(one_hot.long().cumsum(dim=1)[:, :-1], (0, 0, 1, 0)) > 0
        exists, fixed = self.exists[genes.space_group][:, None], self.fixed[genes.space_group][:, None]
        same = functional.pad(genes.element[:, 1:] == genes.element[:, :-1], (1, 0)).unsqueeze(-1)
        before = functional.pad(genes.letter[:, :-1], (1, 0)).unsqueeze(-1)
        passed = same & (torch.arange(len(LETTERS), device=genes.letter.device) <= before)
        open_letters = exists & ~(fixed & taken) & ~passed
        # Behind the end anything goes: those steps count nothing.
        return open_letters | ~present


def _draw(logits: Tensor, temperature: float) -> Tensor:
    """Draw one category per row; the Gumbel trick takes one random number per category and row."""
    if temperature == 0:
        return logits.argmax(dim=-1)
    return (logits / temperature + gumbel_noise(logits)).argmax(dim=-1)
