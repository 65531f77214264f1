"""Exfoliation energies: known layers, the gradient of a stacking, and what the search must not believe."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from layered_crystals import graphene, hexagonal, molybdenum_disulfide

from matwheel.core.isolated_calls import ProcessDied
from matwheel.crystals.crystal import Crystal
from matwheel.potentials.dispersion import DispersionModel
from matwheel.potentials.potentials import make_calculator
from matwheel.properties.exfoliation_energy import ExfoliationEnergy, ExfoliationSettings, _Search
from matwheel.properties.interface import OK, REFUSED
from matwheel.properties.layers import layer_of
from matwheel.properties.stacking import Stacking


@pytest.fixture(scope="module")
def sevennet() -> Calculator:
    return make_calculator("7net-0")


class Nothing(Calculator):
    """A potential in which layers feel their dispersion only, and a hole below a height if one is given."""

    implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012

    def __init__(self, hole_below_angstrom: float = 0.0) -> None:
        super().__init__()
        self._hole = hole_below_angstrom

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        depth = max(0.0, self._hole - self.atoms.cell.array[2, 2])
        pressure = np.zeros(6)  # of E = −10 depth: dE/dε of the height
        if depth:
            pressure[2] = 10 * self.atoms.cell.array[2, 2] / self.atoms.get_volume()
        self.results = {
            "energy": -10 * depth, "forces": np.zeros((len(self.atoms), 3)), "stress": pressure,
        }  # fmt: skip


def test_graphite_and_molybdenum_disulfide(sevennet: Calculator) -> None:
    table = ExfoliationEnergy().compute([graphene(), molybdenum_disulfide()], sevennet, print)
    assert list(table["status"]) == [OK, OK] and list(table["sheets"]) == [1, 1]
    energies = table["exfoliation_energy_mev_per_atom"]
    # Graphite: measured 52 ± 5 meV/atom (Zacharia et al., Phys. Rev. B 69, 155406, 2004), by OptB88vdW 70;
    # layers 3.35 Å apart. MoS2: by OptB88vdW 77 (JARVIS-DFT), layers 6.15 − 3.17 = 2.98 Å apart.
    assert 45 < energies[0] < 80 and abs(table["gap_angstrom"][0] - 3.35) < 0.15
    assert 60 < energies[1] < 110 and abs(table["gap_angstrom"][1] - 2.98) < 0.2


def test_the_vacuum_of_the_file_and_the_choice_of_its_cell_do_not_count(sevennet: Calculator) -> None:
    crystal = molybdenum_disulfide()
    skewed = replace(crystal, lattice=crystal.lattice.copy())
    skewed.lattice[2] += skewed.lattice[0] + 0.3 * skewed.lattice[1]  # images shifted, under vacuum
    positions = crystal.frac_coords @ crystal.lattice
    skewed = replace(skewed, frac_coords=positions @ np.linalg.inv(skewed.lattice) + [0.2, 0.1, 0.75])
    turned = np.roll(np.eye(3), 1, axis=0)
    permuted = Crystal("c", crystal.species, turned @ crystal.lattice, crystal.frac_coords @ turned.T)
    table = ExfoliationEnergy().compute(
        [crystal, molybdenum_disulfide(30.0), skewed, permuted], sevennet, print
    )
    energies = table["exfoliation_energy_mev_per_atom"].to_numpy()
    assert np.abs(energies - energies[0]).max() < 0.2, energies


def test_the_gradient_of_a_stacking_is_that_of_its_energy() -> None:
    layer = layer_of(hexagonal("CuAu", ("Cu", "Au"), 2.9, 25.0, [[0, 0, 5], [1 / 3, 2 / 3, 6.9]]))
    dispersion = DispersionModel()
    search = _Search(layer, EMT(), dispersion)
    point = np.array([0.7, 0.4, layer.thickness_angstrom + 2.4])
    _, gradient = search._energy_and_gradient(*point)
    for axis, step in enumerate(1e-4 * np.eye(3)):
        higher, _ = search._energy_and_gradient(*(point + step))
        lower, _ = search._energy_and_gradient(*(point - step))
        assert gradient[axis] == pytest.approx((higher - lower) / 2e-4, abs=2e-4)
    dispersion.close()


def test_a_hole_of_the_potential_is_not_believed() -> None:
    plain = ExfoliationEnergy().compute([graphene()], Nothing(), print)
    # The lowest height that is scanned is at the edge of the hole; a minimisation falls into it.
    scan = ExfoliationEnergy(ExfoliationSettings(minimiser_evaluations=0))
    energy = scan.compute([graphene()], Nothing(2.2), print)["exfoliation_energy_mev_per_atom"][0]
    holed = ExfoliationEnergy().compute([graphene()], Nothing(2.2), print)
    assert holed["exfoliation_energy_mev_per_atom"][0] == pytest.approx(energy)
    assert holed["status"][0] == OK and "value of the scan" in holed["reason"][0]
    assert plain["slack_angstrom"][0] > 0


def test_a_crash_of_the_dispersion_in_the_minimisation_leaves_the_scan(monkeypatch) -> None:
    calls = 0
    evaluate = DispersionModel.evaluate

    def crash_late(model, atoms):
        nonlocal calls
        calls += 1
        if calls > 14:
            raise ProcessDied("crash")
        return evaluate(model, atoms)

    monkeypatch.setattr(DispersionModel, "evaluate", crash_late)
    table = ExfoliationEnergy(ExfoliationSettings(shifts=1)).compute([graphene()], Nothing(), print)
    assert table["status"][0] == OK and table["evaluations"][0] < 15
    calls = 14
    table = ExfoliationEnergy(ExfoliationSettings(shifts=1)).compute([graphene()], Nothing(), print)
    assert table["status"][0] == "failed" and "ProcessDied" in table["reason"][0]


def test_what_is_no_layer_is_refused() -> None:
    diamond = Crystal("diamond", ("C",) * 2, 1.78 * (1 - np.eye(3)), [[0, 0, 0], [0.25, 0.25, 0.25]])
    molecule = Crystal("molecule", ("C", "C"), 20 * np.eye(3), [[0, 0, 0], [0.06, 0, 0]])
    wire = Crystal("wire", ("C", "C"), np.diag([2.6, 12.0, 25.0]), [[0, 0, 0], [0.5, 0, 0]])
    table = ExfoliationEnergy().compute([diamond, molecule, wire], Nothing(), print)
    assert list(table["status"][:2]) == [REFUSED] * 2
    assert "no layer: the widest gap" in table["reason"][0]
    # Of a wire the wider vacuum counts.
    assert table["status"][2] == OK


def test_heights_of_contact_are_those_of_every_pair_and_image() -> None:
    layer = layer_of(molybdenum_disulfide())
    stacking = Stacking(layer, 1.8)
    shifts = np.random.default_rng(0).uniform(-5, 5, (20, 2))
    heights = stacking.contact_heights(shifts)
    from matwheel.crystals.connectivity import atomic_numbers_of, van_der_waals_radii_angstrom

    radii = 0.95 * van_der_waals_radii_angstrom()[atomic_numbers_of(layer.species)]
    for shift, height in zip(shifts, heights, strict=True):
        lattice = layer.stacked(*shift, height).lattice
        touching = []
        for i, j in np.ndindex(3, 3):
            images = np.array([[m, n, 1] for m in range(-4, 5) for n in range(-4, 5)]) @ lattice
            apart = layer.positions_angstrom[j] + images - layer.positions_angstrom[i]
            touching.append(np.linalg.norm(apart, axis=1).min() / (radii[i] + radii[j]))
        assert min(touching) == pytest.approx(1.0, abs=1e-9)


def test_closest_packings_are_apart_and_sorted() -> None:
    layer = layer_of(molybdenum_disulfide())
    packings = Stacking(layer, 1.8).closest_packings(3, 0.8)
    heights = [height for _, _, height in packings]
    assert 1 <= len(packings) <= 3 and heights == sorted(heights)
    for n, (x, y, _) in enumerate(packings):
        for other_x, other_y, _ in packings[:n]:
            fractions = np.array([x - other_x, y - other_y]) @ np.linalg.inv(layer.plane_angstrom)
            assert np.linalg.norm((fractions - np.round(fractions)) @ layer.plane_angstrom) > 0.8
