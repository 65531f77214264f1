"""How well an MPVAE predicts properties and writes genes back, on rows it has not seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from matwheel.generators.mpvae.generator import MPVAE
from matwheel.wyckoff.wyckoff_genes import WyckoffGene, gene_arrays, genes_of_arrays
from matwheel.wyckoff.wyckoff_permutations import canonical_keys
from matwheel.wyckoff.wyckoff_positions import crystal_system


def model_scores(model: MPVAE, genes: Sequence[WyckoffGene], labels: NDArray[np.float64]) -> dict[str, float]:
    """Return errors and shares on the rows that have a band gap above 0, the domain of the fine-tuning.

    Everything is read off the latent mean, without noise; genes are written by the most probable choices.

    Args:
        model: a fine-tuned model.
        genes: rows of the test part; those too large for the model are left out.
        labels: formation energy (eV/atom) and band gap (eV), shape (n, 2), NaN where unknown.

    Returns:
        formation_energy_mae_ev_per_atom, band_gap_mae_ev, crystal_system_accuracy,
        space_group_reconstruction; wyckoff_reconstruction: space group and the letters of every element are
        right, whatever the elements; gene_reconstruction: these too; crystal_reconstruction: the gene or an
        equivalent description of it.
    """
    chosen = [i for i, gene in enumerate(genes) if labels[i, 1] > 0 and model.learns_from(gene)]
    rows, known = [genes[i] for i in chosen], labels[chosen]
    latents, _ = model.encode(rows)
    predicted, systems = model.predict(latents)
    written = model.decode(latents, seed=0, temperature=0.0)
    back = genes_of_arrays(written)
    has_energy = np.isfinite(known[:, 0])
    pairs = list(zip(rows, back, strict=True))
    return {
        "formation_energy_mae_ev_per_atom": _mean(np.abs(predicted[has_energy, 0] - known[has_energy, 0])),
        "band_gap_mae_ev": _mean(np.abs(predicted[:, 1] - known[:, 1])),
        "crystal_system_accuracy": _mean(
            [crystal_system(gene.space_group) == system for gene, system in zip(rows, systems, strict=True)]
        ),
        "space_group_reconstruction": _mean([ours.space_group == own.space_group for ours, own in pairs]),
        "wyckoff_reconstruction": _mean([_positions(ours) == _positions(own) for ours, own in pairs]),
        "gene_reconstruction": _mean([ours == own for ours, own in pairs]),
        "crystal_reconstruction": _mean(canonical_keys(written) == canonical_keys(gene_arrays(rows))),
    }


def _positions(gene: WyckoffGene) -> tuple[object, ...]:
    """Return the gene without the names of its elements."""
    place = {element: number for number, element in enumerate(gene.elements)}
    return gene.space_group, tuple((place[element], letter, number) for element, letter, number in gene.sites)


def _mean(values: Sequence[float] | NDArray[np.float64] | NDArray[np.int64]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
