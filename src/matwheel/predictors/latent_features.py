"""What a universal potential has learned of a crystal: scalar features of its atoms, summed up per crystal.

After each interaction block of an equivariant graph potential every atom carries features that describe
its surroundings. Those of angular momentum l = 0 do not change when the crystal is turned; their mean,
spread and maximum over the atoms do not change either when the atoms are listed in another order or the
cell is repeated. Potential: SevenNet-0 (Park et al., J. Chem. Theory Comput. 20, 4857, 2024), an
architecture of the NequIP family (Batzner et al., Nature Communications 13, 2453, 2022).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import matwheel
from matwheel.core.archives import write_arrays
from matwheel.core.errors import InputError
from matwheel.core.progress import Log, Progress, log_to_stderr
from matwheel.core.store import Records, digest
from matwheel.crystals.crystal import Crystal
from matwheel.potentials.potentials import POTENTIALS, definition, potential_card, supports, weights_path
from matwheel.runs.code_version import code_version

if TYPE_CHECKING:
    import torch
    from sevenn.nn.sequential import AtomGraphSequential

DEFAULT_POTENTIAL = "7net-0"
BLOCKS = ("mean", "spread", "maximum", "volume")

LARGEST_ATOMS = 600
_LARGEST_EDGES = 60_000
_LARGEST_EDGES_PER_ATOM = 300  # diamond has 92 within 5 Å
_LARGEST_SEARCHED_IMAGES = 2_000_000
_LONGEST_VECTOR_ANGSTROM = 500.0
_SMALLEST_VOLUME_ANGSTROM3 = 1e-3
_SMALLEST_DISTANCE_ANGSTROM = 0.3
_PERIODIC = np.ones(3, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class LatentFeatures:
    """Features of many crystals, one row each.

    Attributes:
        ids: crystal ids, length n.
        matrix: shape (n, 3 w + 1), float32: mean, spread (standard deviation) and maximum over the atoms
            of w scalar features, block of layers after block of layers, then the volume per atom in Å³.
            Rows of crystals without features are NaN.
        atom_counts: atoms in the cell, shape (n,).
        reasons: why a crystal has no features; empty where it has.
        potential: name of the potential (`matwheel.potentials.potentials`).
        weights_sha256: of its weights.
    """

    ids: tuple[str, ...]
    matrix: NDArray[np.float32]
    atom_counts: NDArray[np.int64]
    reasons: tuple[str, ...]
    potential: str
    weights_sha256: str

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.ids)}

    def __contains__(self, crystal_id: str) -> bool:
        return crystal_id in self._rows

    def select(self, ids: Sequence[str]) -> LatentFeatures:
        """Return the features of `ids`, in that order.

        Raises:
            InputError: an id has no row here.
        """
        missing = [name for name in ids if name not in self._rows]
        if missing:
            raise InputError(
                f"no latent features of crystal {missing[0]} ({len(missing)} missing); compute them first"
            )
        rows = np.array([self._rows[name] for name in ids], dtype=np.int64)
        return LatentFeatures(
            tuple(ids),
            self.matrix[rows],
            self.atom_counts[rows],
            tuple(self.reasons[row] for row in rows),
            self.potential,
            self.weights_sha256,
        )


def block_columns(columns: int) -> dict[str, slice]:
    """Return which of the `columns` of a feature matrix belong to each of `BLOCKS`."""
    width = (columns - 1) // 3
    starts = (0, width, 2 * width, 3 * width, columns)
    return {name: slice(*starts[place : place + 2]) for place, name in enumerate(BLOCKS)}


def latent_features(
    crystals: Sequence[Crystal],
    potential: str = DEFAULT_POTENTIAL,
    log: Log = log_to_stderr,
    *,
    store: str | Path | None = None,
) -> LatentFeatures:
    """Return the latent features of `crystals`, about 0.02 CPU-s per crystal of 7 atoms.

    A crystal that the potential cannot describe (unsupported element, no volume, two atoms at one place,
    too many atoms) gets NaN and a reason. One crystal's features do not depend on the others, bit by bit.

    Args:
        store: folder where features are kept by crystal; what is there is not computed again.

    Raises:
        InputError: unknown potential, one without such layers, or its package is not installed.
    """
    if store is None:
        return LatentModel(potential).features_of(crystals, log)
    records = Records(store, _method(potential), log)
    keys = [_key(crystal) for crystal in crystals]
    found = [records.get(key) for key in keys]
    new = [place for place, row in enumerate(found) if row is None]
    log(f"latent features by {potential}: {len(new)} to compute, {len(keys) - len(new)} found in the store")
    if new or not keys:
        model = LatentModel(potential)
        computed = model.features_of([crystals[place] for place in new], log)
        if not keys:
            return computed
        for row, place in enumerate(new):
            kept = {"features": computed.matrix[row], "reason": np.array(computed.reasons[row])}
            records.put(keys[place], kept)
            found[place] = kept
    records.close()
    return LatentFeatures(
        tuple(crystal.id for crystal in crystals),
        np.stack([row["features"] for row in found if row is not None]),
        np.array([len(crystal.species) for crystal in crystals], dtype=np.int64),
        tuple(str(row["reason"]) for row in found if row is not None),
        potential,
        potential_card(potential).weights_sha256,
    )


def _method(potential: str) -> dict[str, str]:
    """Return all that shapes the features of a crystal, besides the crystal."""
    card = potential_card(potential)
    return {
        "potential": f"{potential}, latent features",
        "package": f"{card.package} {card.package_version}",
        "weights_sha256": card.weights_sha256,
        "definition": definition(potential),
        "code": code_version(__file__, source_root=Path(matwheel.__file__).parents[1]),
    }


def _key(crystal: Crystal) -> bytes:
    return digest(
        " ".join(crystal.species).encode(), crystal.lattice.tobytes(), crystal.frac_coords.tobytes()
    )


class LatentModel:
    """The layers of one potential, loaded once (seconds) for any number of crystals."""

    def __init__(self, potential: str = DEFAULT_POTENTIAL) -> None:
        """Load the potential.

        Raises:
            InputError: unknown potential, one without such layers, or its package is not installed.
        """
        # Also the check of the name and of the package.
        self.weights_sha256 = potential_card(potential).weights_sha256
        if POTENTIALS[potential].package != "sevenn":
            known = " or ".join(name for name, entry in POTENTIALS.items() if entry.package == "sevenn")
            raise InputError(f"potential {potential!r} has no latent features here; choose {known}")
        self.potential = potential
        network = _sevennet(weights_path(potential))
        self._cutoff_angstrom = float(network.cutoff)
        assert network.type_map is not None  # every checkpoint has one
        self._types = network.type_map
        self._steps, self._scalars = _interaction_blocks(network)

    @property
    def columns(self) -> int:
        """Number of features of a crystal."""
        return 3 * sum(len(kept) for kept in self._scalars if kept is not None) + 1

    def features_of(self, crystals: Sequence[Crystal], log: Log = log_to_stderr) -> LatentFeatures:
        """Return the features of `crystals`, in order; see `latent_features`."""
        matrix = np.full((len(crystals), self.columns), np.nan, dtype=np.float32)
        reasons = []
        progress = Progress("latent features", len(crystals), log)
        for row, crystal in enumerate(crystals):
            reason = self._obstacle(crystal)
            if not reason:
                edges, offsets, reason = self._edges(crystal)
            if not reason:
                values = self._aggregated(crystal, edges, offsets)
                if np.isfinite(values).all():
                    matrix[row] = values
                else:
                    reason = "the potential's features are not finite numbers"
            reasons.append(reason)
            progress.report(row + 1)
        return LatentFeatures(
            tuple(crystal.id for crystal in crystals),
            matrix,
            np.array([len(crystal.species) for crystal in crystals], dtype=np.int64),
            tuple(reasons),
            self.potential,
            self.weights_sha256,
        )

    def _obstacle(self, crystal: Crystal) -> str:
        """Return why the crystal cannot be described, judged before any costly step; empty if it can."""
        atoms = len(crystal.species)
        if not atoms:
            return "no atoms"
        if atoms > LARGEST_ATOMS:
            return f"{atoms} atoms, more than {LARGEST_ATOMS}"
        if not (np.isfinite(crystal.lattice).all() and np.isfinite(crystal.frac_coords).all()):
            return "lattice or positions are not finite"
        unsupported = sorted(supports(self.potential, set(crystal.species)))
        if unsupported:
            return f"{self.potential} does not know {', '.join(unsupported)}"
        volume = crystal.volume_angstrom3
        if volume < _SMALLEST_VOLUME_ANGSTROM3:
            return "the cell has no volume"
        longest = np.linalg.norm(crystal.lattice, axis=1).max()
        if longest > _LONGEST_VECTOR_ANGSTROM:
            return f"a lattice vector of {longest:.4g} Å, longer than {_LONGEST_VECTOR_ANGSTROM:g}"
        # Distances between opposite faces say how many images a sphere reaches.
        heights = 1.0 / np.linalg.norm(np.linalg.inv(crystal.lattice), axis=0)
        images = atoms * float(np.prod(2.0 * np.ceil(self._cutoff_angstrom / heights) + 1.0))
        if images > _LARGEST_SEARCHED_IMAGES:
            return f"a cell only {heights.min():.2g} Å thin"
        edges = atoms * 4.0 / 3.0 * np.pi * self._cutoff_angstrom**3 * atoms / volume
        if edges > _LARGEST_EDGES or edges > _LARGEST_EDGES_PER_ATOM * atoms:
            return f"too dense: {volume / atoms:.2g} Å³ per atom, about {edges:.2g} pairs of neighbours"
        return ""

    def _edges(self, crystal: Crystal) -> tuple[NDArray[np.int64], NDArray[np.float64], str]:
        """Return pairs of atoms within the cut-off, shape (2, e), vectors between them in Å, and why not."""
        from pymatgen.optimization.neighbors import find_points_in_spheres

        lattice = np.ascontiguousarray(crystal.lattice)
        positions = np.ascontiguousarray((crystal.frac_coords % 1.0) @ lattice)
        first, second, image, distance = find_points_in_spheres(
            positions, positions, r=self._cutoff_angstrom, pbc=_PERIODIC, lattice=lattice, tol=1e-8
        )
        other = (first != second) | (image != 0).any(axis=1)
        first, second, image, distance = first[other], second[other], image[other], distance[other]
        vectors = positions[second] + image @ lattice - positions[first]
        reason = ""
        if len(distance) and distance.min() < _SMALLEST_DISTANCE_ANGSTROM:
            nearest = distance.argmin()
            reason = f"atoms {first[nearest]} and {second[nearest]} are {distance[nearest]:.2g} Å apart"
        return np.stack([first, second]), vectors, reason

    def _aggregated(
        self, crystal: Crystal, edges: NDArray[np.int64], vectors: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Return one row of the feature matrix."""
        values = self._atom_features(crystal, edges, vectors)
        with np.errstate(over="ignore", invalid="ignore"):
            row = np.concatenate(
                [
                    values.mean(axis=0),
                    values.std(axis=0),
                    values.max(axis=0),
                    [crystal.volume_angstrom3 / len(values)],
                ]
            )
            return row.astype(np.float32)

    def _atom_features(
        self, crystal: Crystal, edges: NDArray[np.int64], vectors: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the scalar features of each atom after every interaction block, shape (atoms, w)."""
        import sevenn._keys as key
        import torch
        from pymatgen.core import Element

        numbers = [Element(symbol).Z for symbol in crystal.species]
        data = {
            key.NODE_FEATURE: torch.tensor([self._types[number] for number in numbers]),
            key.ATOMIC_NUMBERS: torch.tensor(numbers),
            key.EDGE_IDX: torch.from_numpy(np.ascontiguousarray(edges)),
            key.EDGE_VEC: torch.from_numpy(vectors.astype(np.float32)),
            key.NUM_ATOMS: torch.tensor(len(numbers)),
        }
        found = []
        with torch.no_grad():
            for step, kept in zip(self._steps, self._scalars, strict=True):
                data = step(data)
                if kept is not None:
                    found.append(data[key.NODE_FEATURE][:, kept].numpy().astype(np.float64))
        return np.concatenate(found, axis=1)


def _sevennet(weights: Path) -> AtomGraphSequential:
    """Return a SevenNet as its package builds it, which gives access to what lies between the blocks."""
    from sevenn.util import load_checkpoint

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = load_checkpoint(str(weights)).build_model()
    network.set_is_batch_data(False)
    return network.eval()


def _interaction_blocks(
    model: torch.nn.Module,
) -> tuple[list[torch.nn.Module], list[NDArray[np.int64] | None]]:
    """Return the modules of a SevenNet model up to its last gate, and the scalar columns after each.

    The columns are None after a module that ends no interaction block. The package's own interface gives
    energies only, so this goes by its modules: each interaction block ends with one equivariant gate, and
    what comes after the last one only reads off the energy and differentiates it.
    """
    steps: list[torch.nn.Module] = []
    scalars: list[NDArray[np.int64] | None] = []
    for name, module in model.named_children():
        steps.append(module)
        scalars.append(None)
        if name.endswith("equivariant_gate"):
            gate: Any = module.gate
            irreps = gate.irreps_out
            scalars[-1] = np.concatenate(
                [
                    np.arange(part.start, part.stop)
                    for part, (_, irrep) in zip(irreps.slices(), irreps, strict=True)
                    if irrep.l == 0 and irrep.p == 1
                ]
            )
    last = max(place for place, kept in enumerate(scalars) if kept is not None)
    return steps[: last + 1], scalars[: last + 1]


def concatenate_features(parts: Sequence[LatentFeatures]) -> LatentFeatures:
    """Return the features of several sets as one, in the given order.

    Raises:
        InputError: nothing to join, or features of different potentials.
    """
    kinds = sorted({(part.potential, part.weights_sha256) for part in parts})
    if len(kinds) != 1:
        names = ", ".join(f"{name} (weights {digest[:12]})" for name, digest in kinds)
        raise InputError(
            f"latent features to join are of {names or 'no potential'}; compute all of them with one"
        )
    return LatentFeatures(
        tuple(name for part in parts for name in part.ids),
        np.concatenate([part.matrix for part in parts]),
        np.concatenate([part.atom_counts for part in parts]),
        tuple(reason for part in parts for reason in part.reasons),
        *kinds[0],
    )


def save_features(features: LatentFeatures, path: str | Path) -> None:
    """Write features as a compressed npz archive: whole or not at all, same bytes for same content."""
    write_arrays(
        path,
        ids=np.array(features.ids, dtype=np.str_),
        matrix=features.matrix,
        atom_counts=features.atom_counts.astype(np.int32),
        reasons=np.array(features.reasons, dtype=np.str_),
        potential=features.potential,
        weights_sha256=features.weights_sha256,
    )


def load_features(path: str | Path) -> LatentFeatures:
    """Read features written by `save_features`."""
    with np.load(path, allow_pickle=False) as saved:
        return LatentFeatures(
            ids=tuple(str(name) for name in saved["ids"]),
            matrix=saved["matrix"],
            atom_counts=saved["atom_counts"].astype(np.int64),
            reasons=tuple(str(reason) for reason in saved["reasons"]),
            potential=str(saved["potential"]),
            weights_sha256=str(saved["weights_sha256"]),
        )
