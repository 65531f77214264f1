"""What one stretched bond does to the band gap, by PBE and by the networks of each training set.

python benchmarks/stretched_bonds.py results/phonon --compound Ag3SBr --step 0.5

After a run of the chapter, with GPAW installed (make gpaw). One bond of each type in the supercell at rest is
shortened and stretched; symmetry makes all bonds of a type alike. Finished calculations are kept in
COMPOUND/dft/calculations.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import yaml

from matwheel.chapters.phonon.bonds import pair_name
from matwheel.chapters.phonon.distance_network import DistanceNetwork
from matwheel.chapters.phonon.gap_sensitivity import Shell, shells_at_rest
from matwheel.crystals.crystal import Crystal
from matwheel.dft.dft import SINGLE_POINT, DFTSettings, calculate, find_backend
from matwheel.vibrations.force_constants import load_force_constants, supercell_at_rest

PAIRS = ("Ag-S", "Ag-Br", "Ag-Ag", "S-Br")


def main() -> None:
    """Print the change of the gap, meV, of each pair, shortened and stretched."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--compound", default="Ag3SBr")
    parser.add_argument("--step", type=float, default=0.5, help="of the bond length, Å")
    parser.add_argument("--pairs", nargs="+", default=list(PAIRS))
    arguments = parser.parse_args()
    config = yaml.safe_load(Path("config/chapters/phonon.yaml").read_text(encoding="utf-8"))["phonon"]
    settings = DFTSettings(**(config["dft"]["settings"] | {"backend": "gpaw"}))
    backend = find_backend(settings, "this benchmark")
    folder = arguments.results / arguments.compound
    at_rest, _ = supercell_at_rest(load_force_constants(folder / "force_constants.npz"))
    networks = {
        learnt.name: [DistanceNetwork.load(path) for path in sorted(learnt.glob("seed*/model.pt"))]
        for learnt in sorted((arguments.results / "learning").iterdir())
    }

    def pbe_gap(crystal) -> float:
        result = calculate(crystal, SINGLE_POINT, settings, backend, folder / "dft" / "calculations")
        return np.nan if result.band_gap_ev is None else result.band_gap_ev

    print("pair, bonds, change, PBE meV, " + ", ".join(f"{name} mean ± sd meV" for name in networks))
    for pair in arguments.pairs:
        shell = shells_at_rest(at_rest)[pair_name(*pair.split("-"))]
        rest, shorter, longer = (
            at_rest,
            *(_stretched(at_rest, shell, sign * arguments.step) for sign in (-1, 1)),
        )
        predicted = {
            name: np.array([model.predict([rest, shorter, longer])[:, _gap(model)] for model in models])
            for name, models in networks.items()
        }
        gaps = [pbe_gap(crystal) for crystal in (rest, shorter, longer)]
        for place, words in ((1, f"-{arguments.step:g} Å"), (2, f"+{arguments.step:g} Å")):
            changes = {name: 1000 * (values[:, place] - values[:, 0]) for name, values in predicted.items()}
            figures = ", ".join(
                f"{values.mean():+.1f} ± {values.std(ddof=1):.1f}" for values in changes.values()
            )
            change = 1000 * (gaps[place] - gaps[0])
            print(f"{pair}, {len(shell.first)}, {words}, {change:+.1f}, {figures}", flush=True)


def _stretched(at_rest: Crystal, shell: Shell, change_angstrom: float) -> Crystal:
    """Make the first bond of a shell longer, either end by half the change."""
    first, second = shell.first[0], shell.second[0]
    wrapped = at_rest.frac_coords % 1.0
    vector = (wrapped[second] + shell.image[0] - wrapped[first]) @ at_rest.lattice
    displacement = np.zeros((len(at_rest.species), 3))
    displacement[second] = change_angstrom / 2 * vector / np.linalg.norm(vector)
    displacement[first] = -displacement[second]
    frac_coords = at_rest.frac_coords + displacement @ np.linalg.inv(at_rest.lattice)
    return Crystal(
        f"{at_rest.id}-{shell.pair}-{change_angstrom:+g}", at_rest.species, at_rest.lattice, frac_coords
    )


def _gap(model: DistanceNetwork) -> int:
    return model.target_names.index("band_gap_ev")


if __name__ == "__main__":
    main()
