"""Drawing genes for a target: around the latent vectors of reference crystals that have what is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matwheel.core.errors import InputError
from matwheel.core.progress import Log, log_to_stderr
from matwheel.core.seeds import derive_seed
from matwheel.generators.mpvae.generator import MPVAE, PROPERTIES
from matwheel.generators.mpvae.sampling_settings import SamplingSettings
from matwheel.wyckoff.gene_rows import genes_of_table
from matwheel.wyckoff.gene_targets import Target
from matwheel.wyckoff.wyckoff_genes import GeneArrays

FEWEST_REFERENCES = 20


@dataclass(frozen=True, eq=False)
class DrawnGenes:
    """Genes that were drawn.

    Attributes:
        genes: shape (n, …).
        latents: the vectors they were decoded from, shape (n, latent).
        predicted: formation energy and band gap by the model's own head, shape (n, 2).
        reference: id of the row that each was drawn near.
    """

    genes: GeneArrays
    latents: NDArray[np.float32]
    predicted: NDArray[np.float64]
    reference: NDArray[np.object_]


def reference_rows(table: pd.DataFrame, target: Target | None, log: Log = log_to_stderr) -> pd.DataFrame:
    """Return the rows that samples are drawn around.

    Those with a band gap above 0 that lie inside all windows of the target; all such rows without a target.
    Where none lies inside, the log says so and the nearest `FEWEST_REFERENCES` are taken instead: nearest by
    the sum of the distances to the windows, in standard deviations of the rows.

    Args:
        table: gene table of the training rows.
        target: windows and space groups.
        log: gets the warning.

    Raises:
        InputError: no row has a band gap above 0.
    """
    table = table[table["band_gap_ev"] > 0]
    if not len(table):
        raise InputError("no training row has a band gap above 0; nothing to draw around")
    if target is None:
        return table
    inside = table[target.rows_inside(table)]
    if len(inside):
        return inside
    values = {name: table[name].to_numpy(dtype=np.float64) for name in target.windows}
    scales = {name: float(np.nanstd(own)) or 1.0 for name, own in values.items()}
    distance = violation(values, target, scales, len(table))
    first, last = target.space_groups
    groups = table["space_group"].to_numpy()
    distance = distance + np.where((groups < first) | (groups > last), 1.0, 0.0)
    nearest = np.argsort(distance, kind="stable")[:FEWEST_REFERENCES]
    log(
        f"WARNING: no training row meets target {target.name}; drawing around the {len(nearest)} nearest "
        "rows. Widen the windows, or add crystals that have these properties"
    )
    return table.iloc[np.sort(nearest)]


def violation(
    values: Mapping[str, NDArray[np.float64]], target: Target, scales: Mapping[str, float], rows: int
) -> NDArray[np.float64]:
    """Return how far rows lie outside a target's windows: the sum over the given properties, in their scales.

    An unknown value is infinitely far from any window.
    """
    total = np.zeros(rows)
    for name, window in target.windows.items():
        if name not in values:
            continue
        value = np.asarray(values[name], dtype=np.float64)
        below = 0.0 if window.low is None else np.clip(window.low - value, 0, None)
        above = 0.0 if window.high is None else np.clip(value - window.high, 0, None)
        total += np.where(np.isnan(value), np.inf, (below + above) / scales[name])
    return total


def draw_genes(
    model: MPVAE,
    table: pd.DataFrame,
    target: Target | None,
    n: int,
    *,
    settings: SamplingSettings | None = None,
    largest_atoms: int = 40,
    seed: int,
    log: Log = log_to_stderr,
) -> DrawnGenes:
    """Draw `n` genes around the reference rows of a target, or around all rows with a gap.

    Each reference in turn gives `latents_per_reference` latent vectors: its mean plus noise of
    `latent_noise` posterior standard deviations (WyCryst+). Of `latent_choice` times as many, those are
    decoded whose predicted properties lie nearest to the windows, so that several properties are steered at
    once; without a target all are alike and the first are taken.

    Args:
        model: a fitted model.
        table: gene table of the training rows.
        target: windows and space groups; None draws without condition.
        n: number of genes.
        settings: of the draws.
        largest_atoms: atoms that the primitive cell of a gene may have.
        seed: of the order of the references, the noise and the decoding.
        log: gets warnings and progress.

    Raises:
        InputError: no row has a band gap above 0, or none that the model can encode.
    """
    references = reference_rows(table, target, log)
    genes = genes_of_table(references)
    usable = np.array([model.learns_from(gene) for gene in genes], dtype=bool)
    if not usable.any():
        raise InputError("none of the reference rows is small enough for the model; raise largest_atoms")
    references = references[usable]
    means, deviations = model.encode([gene for gene, chosen in zip(genes, usable, strict=True) if chosen])
    settings = settings or SamplingSettings()
    steered = target is not None and any(name in PROPERTIES for name in target.windows)
    factor = settings.latent_choice if steered else 1
    wanted = n * factor
    rng = np.random.default_rng(derive_seed(seed, "latents"))
    rows = _rows_in_turn(len(references), wanted, settings.latents_per_reference, rng)
    noise = rng.standard_normal((wanted, means.shape[1]), dtype=np.float32)
    latents = means[rows] + np.float32(settings.latent_noise) * deviations[rows] * noise
    predicted, _ = model.predict(latents)
    if target is not None and factor > 1:
        values = dict(zip(PROPERTIES, predicted.T, strict=True))
        distance = violation(values, target, model.property_scales(), wanted)
        chosen = np.sort(np.argsort(distance, kind="stable")[:n])
        latents, rows, predicted = latents[chosen], rows[chosen], predicted[chosen]
    groups = target.space_groups if target is not None else (1, 230)
    drawn = model.decode(
        latents,
        seed=derive_seed(seed, "decoding"),
        temperature=settings.temperature,
        largest_atoms=largest_atoms,
        space_groups=groups,
    )
    log(f"{n} genes drawn around {len(references)} reference rows")
    return DrawnGenes(drawn, latents, predicted, references["id"].to_numpy(dtype=object)[rows])


def _rows_in_turn(rows: int, wanted: int, each: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return reference rows in blocks of `each`, all of them before one has a second turn."""
    if wanted == 0:
        return np.zeros(0, dtype=np.int64)
    turns = -(-wanted // each)
    orders: Sequence[NDArray[np.int64]] = [rng.permutation(rows) for _ in range(-(-turns // rows))]
    return np.repeat(np.concatenate(orders)[:turns], each)[:wanted]
