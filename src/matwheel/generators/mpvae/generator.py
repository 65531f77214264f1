"""The MPVAE: fitted to genes with properties, it predicts these and draws new genes near chosen ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from matwheel.core.errors import InputError
from matwheel.core.files import atomic_path
from matwheel.core.progress import Log, log_to_stderr
from matwheel.core.seeds import derive_seed
from matwheel.generators.mpvae.published_network import PublishedNetwork
from matwheel.generators.mpvae.representation import (
    SiteSequences,
    arrays_of_sequences,
    can_be_represented,
    site_sequences,
)
from matwheel.generators.mpvae.settings import MPVAESettings, settings_from_mapping
from matwheel.generators.mpvae.site_network import SiteNetwork
from matwheel.training import random_draws
from matwheel.training.checkpoints import TrainingCheckpoint
from matwheel.training.devices import resolve_device
from matwheel.training.resumable_training import TrainingPlan, train_network
from matwheel.wyckoff.wyckoff_genes import GeneArrays, WyckoffGene
from matwheel.wyckoff.wyckoff_permutations import augmented
from matwheel.wyckoff.wyckoff_positions import crystal_system

PROPERTIES = ("formation_energy_ev_per_atom", "band_gap_ev")
_BATCH = 8192
_FEWEST_LOOKS = 1


@dataclass(frozen=True, eq=False)
class _Examples:
    """Genes with what is to be predicted of them.

    Attributes:
        sequences: the genes.
        values, known: standardised properties, 0 where unknown, and whether known; shape (n, properties).
        systems: crystal systems, shape (n,).
    """

    sequences: SiteSequences
    values: Tensor
    known: Tensor
    systems: Tensor

    def rows(self, rows: NDArray[np.int64] | slice) -> tuple[SiteSequences, Tensor, Tensor, Tensor]:
        return self.sequences.rows(rows), self.values[rows], self.known[rows], self.systems[rows]


@contextmanager
def _without_gradients(parts: Sequence[nn.Module]) -> Iterator[None]:
    """Keep the weights of some parts as they are while others are trained."""
    for part in parts:
        part.requires_grad_(False)
    try:
        yield
    finally:
        for part in parts:
            part.requires_grad_(True)


class MPVAE:
    """A variational autoencoder of Wyckoff genes whose latent space carries formation energy and band gap.

    Pre-training learns all training rows with their formation energy, fine-tuning the rows with a band gap
    above 0 with both properties (Yamazaki et al., Fig. 1b).
    """

    name = "mpvae"

    def __init__(self, settings: MPVAESettings | None = None) -> None:
        self.settings = settings or MPVAESettings()
        self.device = resolve_device(self.settings.device)
        self.element_numbers: tuple[int, ...] = ()
        self._network: SiteNetwork | PublishedNetwork | None = None
        self._centre = torch.zeros(len(PROPERTIES))
        self._scale = torch.ones(len(PROPERTIES))

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Return an unfitted model: a preset with single settings changed.

        Raises:
            InputError: unknown setting or a value out of range.
        """
        return cls(settings_from_mapping(settings))

    def pretrain(
        self,
        genes: Sequence[WyckoffGene],
        labels: NDArray[np.float64],
        *,
        validation_genes: Sequence[WyckoffGene],
        validation_labels: NDArray[np.float64],
        seed: int,
        checkpoint: TrainingCheckpoint | None = None,
        log: Log = log_to_stderr,
    ) -> dict[str, Any]:
        """Learn genes and formation energies of all training rows; return a report that JSON can hold.

        Without transfer only the scales and fresh weights are made.

        Args:
            genes: training genes.
            labels: formation energy (eV/atom) and band gap (eV), shape (n, 2), NaN where unknown.
            validation_genes, validation_labels: rows that choose the state that is kept.
            seed: of weights, batches, dropout and latent noise.
            checkpoint: where the state is kept between interruptions.
            log: gets a line every few seconds.

        Raises:
            InputError: no rows that can be learnt from.
            FloatingPointError: the loss is not finite.
        """
        self._start(genes, labels, seed)
        if not self.settings.transfer:
            return {"steps": 0, "kept_step": 0, "rows": 0, "curve": []}
        columns = torch.tensor([True, False])
        return self._train(
            "pre-training", genes, labels, validation_genes, validation_labels, columns,
            frozen=[], steps=self.settings.pretraining_steps, rate=self.settings.pretraining_rate,
            seed=seed, checkpoint=checkpoint, log=log,
        )  # fmt: skip

    def fine_tune(
        self,
        genes: Sequence[WyckoffGene],
        labels: NDArray[np.float64],
        *,
        validation_genes: Sequence[WyckoffGene],
        validation_labels: NDArray[np.float64],
        seed: int,
        checkpoint: TrainingCheckpoint | None = None,
        log: Log = log_to_stderr,
    ) -> dict[str, Any]:
        """Go on with the rows whose band gap is above 0, for both properties; arguments as in `pretrain`.

        Raises:
            InputError: the model has no weights yet, or no row has a gap.
        """
        network = self._fitted()
        with_gap = (labels[:, 1] > 0) & np.array([self.learns_from(gene) for gene in genes], dtype=bool)
        validation_with_gap = validation_labels[:, 1] > 0
        rows = int(with_gap.sum())
        if not rows:
            raise InputError(
                "MPVAE: no training row that is small enough has a band gap above 0, so there is nothing to "
                "fine-tune on; add rows with gaps to the dataset"
            )
        if rows == 1:
            log("WARNING: one training row has a band gap above 0; what is fine-tuned will know little else")
        if not validation_with_gap.any():
            validation_with_gap = np.ones(len(validation_labels), dtype=bool)
        frozen = network.encoder_parts() if self.settings.freeze_encoder and self.settings.transfer else []
        return self._train(
            "fine-tuning",
            [gene for gene, chosen in zip(genes, with_gap, strict=True) if chosen],
            labels[with_gap],
            [gene for gene, chosen in zip(validation_genes, validation_with_gap, strict=True) if chosen],
            validation_labels[validation_with_gap],
            torch.tensor([True, True]),
            frozen=frozen, steps=self.settings.fine_tuning_steps, rate=self.settings.fine_tuning_rate,
            seed=derive_seed(seed, "fine-tuning"), checkpoint=checkpoint, log=log,
        )  # fmt: skip

    @torch.no_grad()
    def encode(self, genes: Sequence[WyckoffGene]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return mean and standard deviation of the latent vectors of genes, each of shape (n, latent).

        Raises:
            InputError: a gene that does not fit the network, by its text.
        """
        network = self._fitted()
        if self.settings.network == "published":
            most = max(self.element_numbers)
            for gene in genes:
                if len(gene.elements) > most:
                    raise InputError(f"gene {gene} has more elements than the {most} of the network")
        sequences = site_sequences(genes)
        means, deviations = [], []
        for start in range(0, len(genes), _BATCH):
            mean, log_variance = network.encode(sequences.rows(slice(start, start + _BATCH)).to(self.device))
            means.append(mean.cpu())
            deviations.append((log_variance / 2).exp().cpu())
        width = self.settings.latent_width
        empty = torch.zeros(0, width)
        return torch.cat([empty, *means]).numpy(), torch.cat([empty, *deviations]).numpy()

    @torch.no_grad()
    def predict(self, latents: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return properties, shape (n, 2) in the order of `PROPERTIES`, and crystal systems, of latents."""
        vectors = torch.as_tensor(latents, dtype=torch.float32, device=self.device)
        values, logits = self._fitted().predict(vectors)
        properties = values.cpu() * self._scale + self._centre
        return properties.double().numpy(), logits.argmax(dim=1).cpu().numpy()

    @torch.no_grad()
    def decode(
        self,
        latents: NDArray[np.float32],
        *,
        seed: int,
        temperature: float,
        largest_atoms: int = 40,
        space_groups: tuple[int, int] = (1, 230),
        true_groups: NDArray[np.integer] | None = None,
    ) -> GeneArrays:
        """Return one gene per latent vector; some may be invalid, which a screen says.

        Args:
            latents: shape (n, latent).
            seed: of the draws.
            temperature: of the draws of elements, positions and space groups; 0 takes the most probable.
            largest_atoms: atoms that the primitive cell may have.
            space_groups: first and last space group that may be drawn.
            true_groups: space groups to take instead of drawn ones, shape (n,).
        """
        network = self._fitted()
        parts = [site_sequences([])]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for start in range(0, len(latents), _BATCH):
                piece = slice(start, start + _BATCH)
                groups = None if true_groups is None else torch.as_tensor(true_groups[piece]).long()
                parts.append(
                    network.write(
                        torch.as_tensor(latents[piece], dtype=torch.float32, device=self.device),
                        temperature=temperature,
                        element_numbers=self.element_numbers,
                        largest_atoms=largest_atoms,
                        space_groups=space_groups,
                        true_groups=None if groups is None else groups.to(self.device),
                    ).to(torch.device("cpu"))
                )
        names = SiteSequences.__dataclass_fields__
        joined = SiteSequences(*(torch.cat([getattr(part, name) for part in parts]) for name in names))
        return arrays_of_sequences(joined)

    def property_scales(self) -> dict[str, float]:
        """Return the standard deviation of each property over the training rows, in its unit."""
        return dict(zip(PROPERTIES, self._scale.tolist(), strict=True))

    def learns_from(self, gene: WyckoffGene) -> bool:
        """Return whether a gene is small enough, and of few enough elements, to be learnt from."""
        most = max(self.element_numbers, default=len(gene.elements))
        return (
            can_be_represented(gene)
            and gene.atoms_in_primitive_cell <= self.settings.largest_atoms
            and (self.settings.network != "published" or len(gene.elements) <= most)
        )

    def save(self, path: str | Path) -> None:
        """Write the model to one file: whole or not at all."""
        state = {
            "settings": asdict(self.settings),
            "element_numbers": list(self.element_numbers),
            "centre": self._centre,
            "scale": self._scale,
            "weights": {name: value.cpu() for name, value in self._fitted().state_dict().items()},
        }
        with atomic_path(path) as temporary:
            torch.save(state, temporary)

    @classmethod
    def load(cls, path: str | Path, *, device: str = "auto") -> Self:
        """Read a model written by `save`."""
        state = torch.load(path, weights_only=True, map_location="cpu")
        model = cls(MPVAESettings(**{**state["settings"], "device": device}))
        model.element_numbers = tuple(state["element_numbers"])
        model._centre, model._scale = state["centre"], state["scale"]
        model._network = model._new_network()
        model._network.load_state_dict(state["weights"])
        model._network.to(model.device).eval()
        return model

    def _start(self, genes: Sequence[WyckoffGene], labels: NDArray[np.float64], seed: int) -> None:
        usable = [i for i, gene in enumerate(genes) if self.learns_from(gene)]
        if len(usable) < 2:
            raise InputError(
                f"MPVAE: {len(usable)} of {len(genes)} training genes can be learnt from (at most "
                f"{self.settings.largest_atoms} atoms in the primitive cell); at least 2 are needed"
            )
        self.element_numbers = tuple(sorted({len(genes[i].elements) for i in usable}))
        # Scales come from the training rows only; the gap's from those that have one.
        for column in range(len(PROPERTIES)):
            values = labels[usable, column]
            values = values[np.isfinite(values)]
            values = values[values > 0] if PROPERTIES[column] == "band_gap_ev" else values
            self._centre[column] = float(values.mean()) if len(values) else 0.0
            deviation = float(values.std()) if len(values) > 1 else 0.0
            self._scale[column] = deviation if deviation > 0 else 1.0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "weights"))
            self._network = self._new_network().to(self.device).eval()

    def _new_network(self) -> SiteNetwork | PublishedNetwork:
        if self.settings.network == "published":
            return PublishedNetwork(self.settings, len(PROPERTIES), max(self.element_numbers))
        return SiteNetwork(self.settings, len(PROPERTIES))

    def _train(
        self,
        name: str,
        genes: Sequence[WyckoffGene],
        labels: NDArray[np.float64],
        validation_genes: Sequence[WyckoffGene],
        validation_labels: NDArray[np.float64],
        columns: Tensor,
        *,
        frozen: Sequence[nn.Module],
        steps: int,
        rate: float,
        seed: int,
        checkpoint: TrainingCheckpoint | None,
        log: Log,
    ) -> dict[str, Any]:
        network = self._fitted()
        usable = [i for i, gene in enumerate(genes) if self.learns_from(gene)]
        parents, learnt = self._descriptions(genes, usable)
        examples = self._examples(learnt, labels[parents], columns)
        checks = [i for i, gene in enumerate(validation_genes) if self.learns_from(gene)]
        if not checks:  # a tiny set: what is learnt is all there is to choose by
            log(f"{name}: no validation row can be used; the training rows choose the state that is kept")
            check_examples = examples
        else:
            chosen = [validation_genes[i] for i in checks]
            check_examples = self._examples(chosen, validation_labels[checks], columns)
        log(f"{name}: {len(usable)} genes in {len(learnt)} descriptions, {len(checks)} validation rows")

        def loss_of_rows(rows: NDArray[np.int64]) -> Tensor:
            for part in frozen:  # or normalisation would go on to follow the batches
                part.eval()
            return self._loss(network, *examples.rows(rows), noisy=True)

        with _without_gradients(frozen):
            report = train_network(
                network, len(learnt), loss_of_rows, lambda judged: self._mean_loss(judged, check_examples),
                self._plan(steps, rate, len(learnt)), name=name, seed=seed, checkpoint=checkpoint, log=log,
            )  # fmt: skip
        return {"rows": len(usable), "descriptions": len(learnt), **report}

    def _descriptions(
        self, genes: Sequence[WyckoffGene], usable: Sequence[int]
    ) -> tuple[NDArray[np.int64], list[WyckoffGene]]:
        """Return what is learnt of the usable genes, with the row that each description is of."""
        parents, learnt = np.array(usable, dtype=np.int64), [genes[i] for i in usable]
        if self.settings.augment:
            pairs = [(row, gene) for row, gene in augmented(learnt) if can_be_represented(gene)]
            parents, learnt = parents[[row for row, _ in pairs]], [gene for _, gene in pairs]
        return parents, learnt

    def _plan(self, steps: int, rate: float, rows: int) -> TrainingPlan:
        settings = self.settings
        return TrainingPlan(
            steps=steps,
            batch_size=min(settings.batch_size, rows),
            learning_rate=rate,
            schedule=settings.schedule,
            validate_every_steps=max(_FEWEST_LOOKS, min(settings.validate_every, steps)),
            patience_steps=steps,
            optimiser=settings.optimiser,
            largest_gradient_norm=settings.largest_gradient_norm,
            average_decay=settings.average_decay,
        )

    def _mean_loss(self, network: SiteNetwork | PublishedNetwork, examples: _Examples) -> float:
        total = 0.0
        for start in range(0, len(examples.sequences), _BATCH):
            part = examples.rows(slice(start, start + _BATCH))
            total += float(self._loss(network, *part, noisy=False)) * len(part[0])
        return total / len(examples.sequences)

    def _examples(
        self, genes: Sequence[WyckoffGene], labels: NDArray[np.float64], columns: Tensor
    ) -> _Examples:
        """Return genes with their labels, standardised, of which only some columns are known."""
        values = torch.from_numpy(np.asarray(labels, dtype=np.float32))
        known = torch.isfinite(values) & columns
        values = torch.where(known, (values - self._centre) / self._scale, 0.0)
        systems = torch.tensor([crystal_system(gene.space_group) for gene in genes], dtype=torch.long)
        return _Examples(site_sequences(genes), values, known, systems)

    def _loss(
        self,
        network: SiteNetwork | PublishedNetwork,
        genes: SiteSequences,
        values: Tensor,
        known: Tensor,
        systems: Tensor,
        *,
        noisy: bool,
    ) -> Tensor:
        settings = self.settings
        genes, values = genes.to(self.device), values.to(self.device)
        mean, log_variance = network.encode(genes)
        noise: Tensor | float = 0.0
        if noisy:
            noise = random_draws.normal(*mean.shape, device=self.device) * (log_variance / 2).exp()
        parts = network.reconstruction(mean + noise, genes)
        predicted, logits = network.predict(mean)
        errors = (predicted - values).square() * known.to(self.device)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)
        loss = (
            settings.reconstruction_weight * parts["sites"]
            + settings.space_group_weight * parts["space_group"]
            + settings.kl_weight * divergence
            + settings.property_weight * errors.sum(dim=1)
            + settings.crystal_system_weight
            * functional.cross_entropy(logits, systems.to(self.device), reduction="none")
        )
        if "formula" in parts:
            loss = loss + settings.formula_weight * parts["formula"]
        return loss.mean()

    def _fitted(self) -> SiteNetwork | PublishedNetwork:
        if self._network is None:
            raise InputError("MPVAE has no weights; call pretrain first")
        return self._network
