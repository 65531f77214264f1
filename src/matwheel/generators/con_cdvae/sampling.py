"""Sampling: z from the prior → number of atoms, composition and cell → annealed Langevin dynamics.

Every crystal has a random stream of its own, derived from the seed and its position, so what stands beside
it in a batch does not matter (beyond rounding).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from matwheel.core.progress import Log, Progress
from matwheel.core.seeds import derive_seed
from matwheel.generators.con_cdvae.crystal_tensors import ELEMENTS
from matwheel.generators.con_cdvae.diffusion_prior import DiffusionPrior
from matwheel.generators.con_cdvae.lattices import lattice_matrices, unscaled_parameters
from matwheel.generators.con_cdvae.model import ConditionalAutoencoder
from matwheel.generators.con_cdvae.sampling_settings import ConCDVAESamplingSettings

_LATENT_BATCH = 250
_SMALLEST_VOLUME_ANGSTROM3 = 0.1
_LARGEST_LENGTH_ANGSTROM = 200.0


@dataclass(eq=False)
class Blueprint:
    """What the heads say of one crystal to be: z_con, elements and cell, before any positions.

    Attributes:
        joined: z_con, shape (hidden_width,).
        types: element classes, sorted, shape (atoms,).
        lattice: shape (3, 3), Å.
    """

    joined: Tensor
    types: NDArray[np.int64]
    lattice: Tensor


def assign_types(logits: NDArray[np.float32], types: NDArray[np.int64]) -> NDArray[np.int64]:
    """Hand out `types` (atoms,) to sites so that the sum of their logits (atoms, elements) is largest."""
    if (types == types[0]).all():
        return types
    sites, places = linear_sum_assignment(logits[:, types], maximize=True)
    assigned = np.empty_like(types)
    assigned[sites] = types[places]
    return assigned


@torch.no_grad()
def draw_blueprints(
    autoencoder: ConditionalAutoencoder,
    prior: DiffusionPrior,
    conditions: Tensor,
    settings: ConCDVAESamplingSettings,
    *,
    seed: int,
    log: Log,
) -> tuple[list[Blueprint], dict[str, int]]:
    """Return one blueprint per condition (n,), and how many were drawn anew or had their cell clamped.

    A degenerate cell (not finite, no volume, longer than 200 Å) is drawn anew from the prior a bounded number
    of times; after that its six numbers are clamped to the range of the training cells.
    """
    device = conditions.device
    found: dict[int, Blueprint] = {}
    report = {"redrawn": 0, "clamped": 0}
    waiting = list(range(len(conditions)))
    for attempt in range(settings.resampling_attempts + 1):
        last = attempt == settings.resampling_attempts
        degenerate: list[int] = []
        for first in range(0, len(waiting), _LATENT_BATCH):
            part = waiting[first : first + _LATENT_BATCH]
            shape = (autoencoder.settings.prior_noise_steps + 1, autoencoder.settings.latent_width)
            generators = [
                torch.Generator().manual_seed(derive_seed(seed, "latent", i, attempt)) for i in part
            ]
            noise = torch.stack([torch.randn(shape, generator=own) for own in generators]).to(device)
            uniform = torch.stack(
                [torch.rand(autoencoder.max_atoms + 1, generator=own) for own in generators]
            )
            labels = conditions[part]
            latent = prior.sample(labels, noise, settings.latent_temperature)
            joined = autoencoder.joined(latent, labels)
            if not torch.isfinite(joined).all():
                raise FloatingPointError(
                    "Con-CDVAE sampling: the prior gives values that are not finite; train again"
                )
            uniform = uniform.to(device).double()
            atom_counts = _draw_atom_counts(
                autoencoder.atom_count_head(joined), uniform[:, -1], settings.atom_count_temperature
            )
            all_counts = autoencoder.composition_head.sample(
                joined,
                atom_counts,
                uniform,
                autoencoder.seen_elements,
                settings.composition_temperature,
            )
            standard = autoencoder.lattice_head(joined)
            scaled = standard * autoencoder.lattice_deviation + autoencoder.lattice_mean
            for row, i in enumerate(part):
                counts = all_counts[row].cpu().numpy()
                lattice = _lattice(scaled[row : row + 1].double(), int(counts.sum()))
                if _is_degenerate(lattice):
                    if not last:
                        degenerate.append(i)
                        continue
                    clamped = scaled[row : row + 1].nan_to_num()
                    clamped = clamped.clamp(autoencoder.lattice_minimum, autoencoder.lattice_maximum).double()
                    lattice = _lattice(clamped, int(counts.sum()))
                    if _is_degenerate(lattice):
                        lattice = _lattice(autoencoder.lattice_mean[None].double(), int(counts.sum()))
                    report["clamped"] += 1
                types = np.repeat(np.arange(ELEMENTS), counts)
                found[i] = Blueprint(joined[row], types, lattice.float())
        if not degenerate:
            break
        report["redrawn"] += len(degenerate)
        log(f"{len(degenerate)} degenerate cells drawn anew")
        waiting = degenerate
    return [found[i] for i in range(len(conditions))], report


def _draw_atom_counts(logits: Tensor, uniform: Tensor, temperature: float) -> Tensor:
    """Return numbers of atoms (crystals,), at least 1, of logits (crystals, max + 1) and uniform draws."""
    # Class 0, a crystal of no atoms, is left out.
    logits = logits[:, 1:].double()
    if temperature == 0:
        return logits.argmax(-1) + 1
    cumulative = (logits / temperature).softmax(-1).cumsum(-1)
    drawn = (cumulative <= uniform[:, None] * cumulative[:, -1:]).sum(-1)
    return drawn.clamp(max=logits.shape[1] - 1) + 1


def _lattice(scaled: Tensor, atoms: int) -> Tensor:
    """Return the lattice (3, 3) of six scaled parameters (1, 6); NaN for a length that is not positive."""
    count = torch.tensor([atoms], device=scaled.device)
    if not (scaled[:, :3] > 0).all():
        return scaled.new_full((3, 3), float("nan"))
    return lattice_matrices(unscaled_parameters(scaled, count))[0]


def _is_degenerate(lattice: Tensor) -> bool:
    if not torch.isfinite(lattice).all():
        return True
    volume = float(torch.linalg.det(lattice).abs())
    return (
        volume <= _SMALLEST_VOLUME_ANGSTROM3 or float(lattice.norm(dim=-1).max()) > _LARGEST_LENGTH_ANGSTROM
    )


def batches_of(atom_counts: NDArray[np.int64], largest_atoms: int) -> list[NDArray[np.int64]]:
    """Return positions in batches sorted by number of atoms, of at most `largest_atoms` or one crystal."""
    batches: list[list[int]] = []
    atoms = 0
    for i in np.argsort(atom_counts, kind="stable"):
        if not batches or atoms + atom_counts[i] > largest_atoms:
            batches.append([])
            atoms = 0
        batches[-1].append(int(i))
        atoms += int(atom_counts[i])
    return [np.array(batch) for batch in batches]


@torch.no_grad()
def langevin(
    autoencoder: ConditionalAutoencoder,
    blueprints: list[Blueprint],
    settings: ConCDVAESamplingSettings,
    *,
    seeds: list[int],
) -> tuple[list[NDArray[np.int64]], list[NDArray[np.float64]]]:
    """Return element classes and fractional coordinates of one batch of blueprints.

    Annealed Langevin dynamics (Song & Ermon, NeurIPS 2019, algorithm 1) from uniform coordinates: at each
    level of noise σ some steps x += α s + √(2α) noise with α = ε (σ / σ_last)² and s the score, then one
    step to the clean positions that the network sees at the last level. The composition stays that of the
    blueprint; which atom is which element follows the element logits.

    Args:
        autoencoder: the trained model.
        blueprints: sorted by number of atoms.
        settings: number and size of the steps.
        seeds: seed of the noise of each.
    """
    trained, device = autoencoder.settings, autoencoder.noise.device
    counts = [len(blueprint.types) for blueprint in blueprints]
    lattices = torch.stack([blueprint.lattice for blueprint in blueprints]).to(device)
    joined = torch.stack([blueprint.joined for blueprint in blueprints])
    owner = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts)).to(device)
    inverse = torch.linalg.inv(lattices)[owner]
    levels = range(trained.first_level, trained.noise_levels)
    draws = len(levels) * settings.langevin_steps
    starts, noises, types = [], [], []
    for blueprint, seed in zip(blueprints, seeds, strict=True):
        generator = torch.Generator().manual_seed(seed)
        atoms = len(blueprint.types)
        starts.append(torch.rand(atoms, 3, generator=generator))
        noises.append(torch.randn(draws, atoms, 3, generator=generator))
        types.append(blueprint.types[torch.randperm(atoms, generator=generator).numpy()])
    coords = torch.cat(starts).to(device)
    noise = torch.cat(noises, dim=1).to(device)
    ends = np.cumsum(counts)

    def move(displacement: Tensor) -> Tensor:
        moved = coords + torch.einsum("ai,aij->aj", displacement, inverse)
        return moved - moved.floor()

    def scores(level: int) -> tuple[Tensor, Tensor]:
        flat = torch.from_numpy(np.concatenate(types)).to(device)
        at = torch.full((len(counts),), level, device=device)
        return autoencoder.scores(flat, coords, lattices, counts, owner, joined, at)

    def assigned(logits: Tensor) -> list[NDArray[np.int64]]:
        values = logits.cpu().numpy()
        return [
            assign_types(values[end - count : end], blueprint.types)
            for end, count, blueprint in zip(ends, counts, blueprints, strict=True)
        ]

    draw = 0
    for level in levels:
        sigma = float(autoencoder.noise[level])
        step = settings.langevin_step_size * (sigma / trained.smallest_noise_angstrom) ** 2
        for _ in range(settings.langevin_steps):
            displacement, logits = scores(level)
            coords = move(step / sigma * displacement + (2 * step) ** 0.5 * noise[draw])
            draw += 1
        types = assigned(logits)
    displacement, logits = scores(trained.noise_levels - 1)
    coords = move(trained.smallest_noise_angstrom * displacement)
    types = assigned(logits)
    flat = coords.double().cpu().numpy()
    return types, [flat[end - count : end] for end, count in zip(ends, counts, strict=True)]


def sample_crystals(
    autoencoder: ConditionalAutoencoder,
    prior: DiffusionPrior,
    conditions: Tensor,
    changes: Mapping[str, Any],
    *,
    seed: int,
    log: Log,
) -> tuple[list[tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]], dict[str, int]]:
    """Return (element classes, lattice, fractional coordinates) per condition (n,), and counts.

    Args:
        autoencoder, prior: the trained models.
        conditions: labels, shape (n,).
        changes: single settings of `ConCDVAESamplingSettings` that differ from the defaults.
        seed: of all draws.
        log: receives progress.

    Raises:
        InputError: an unknown setting or a value out of range.
        FloatingPointError: the networks give values that are not finite.
    """
    settings = ConCDVAESamplingSettings(**changes)
    blueprints, report = draw_blueprints(autoencoder, prior, conditions, settings, seed=seed, log=log)
    atom_counts = np.array([len(blueprint.types) for blueprint in blueprints], dtype=np.int64)
    results: list = [None] * len(blueprints)
    progress = Progress("crystal", len(blueprints), log)
    done = 0
    for batch in batches_of(atom_counts, settings.sampling_batch_atoms):
        seeds = [derive_seed(seed, "langevin", int(i)) for i in batch]
        types, coords = langevin(autoencoder, [blueprints[i] for i in batch], settings, seeds=seeds)
        for i, elements, positions in zip(batch, types, coords, strict=True):
            if not np.isfinite(positions).all():
                raise FloatingPointError(
                    f"Con-CDVAE sampling: crystal {i} has positions that are not finite; train again"
                )
            results[i] = (elements, blueprints[i].lattice.double().cpu().numpy(), positions)
        done += len(batch)
        progress.report(done)
    return results, {"crystals": len(results), **report}
