"""D3(BJ) of PBE against its own sums, and what is not handed to its compiled code."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import graphene as graphene_sheet

from matwheel.core.isolated_calls import ProcessDied
from matwheel.potentials import dispersion
from matwheel.potentials.dispersion import DispersionModel, DispersionRefused, reason_to_refuse


@pytest.fixture(scope="module")
def model():
    made = DispersionModel()
    yield made
    made.close()


def graphite() -> Atoms:
    cell = np.array([[2.46, 0, 0], [-1.23, 2.1304, 0], [0, 0, 6.70]])
    sites = [[0, 0, 0.25], [1 / 3, 2 / 3, 0.25], [0, 0, 0.75], [2 / 3, 1 / 3, 0.75]]
    return Atoms("C4", cell=cell, scaled_positions=sites, pbc=True)


def test_two_argon_atoms_attract_by_c6_over_r6(model: DispersionModel) -> None:
    # Far apart damping and the term of r⁻⁸ vanish: E = −C6 / r⁶, with D3's C6 of free argon atoms, 64.6 a.u.
    box = 90.0
    energies = []
    for distance in (20.0, box / 2):
        atoms = Atoms("Ar2", positions=[[0, 0, 0], [distance, 0, 0]], cell=box * np.eye(3), pbc=True)
        energies.append(model.evaluate(atoms).energy_ev)
    c6 = -(energies[0] - energies[1]) * (20.0 / 0.529177210903) ** 6 / 27.211386245988
    assert c6 == pytest.approx(64.6, rel=0.05)


def test_forces_and_virial_are_those_of_the_energy(model: DispersionModel) -> None:
    atoms = graphite()
    atoms.positions[0] += [0.1, 0.05, 0.2]
    found = model.evaluate(atoms)
    step = 1e-3
    for axis in range(3):
        energies = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[0, axis] += sign * step
            energies.append(model.evaluate(moved).energy_ev)
        slope = (energies[0] - energies[1]) / (2 * step)
        assert found.forces_ev_per_angstrom[0, axis] == pytest.approx(-slope, abs=1e-6)
    energies = []
    for sign in (1, -1):
        strained = atoms.copy()
        strain = np.eye(3) + sign * step * np.diag([0, 0, 1.0])
        strained.set_cell(atoms.cell.array @ strain, scale_atoms=True)
        energies.append(model.evaluate(strained).energy_ev)
    # Images that the strain takes over the cut-off count in the energy only.
    assert found.virial_ev[2, 2] == pytest.approx((energies[0] - energies[1]) / (2 * step), rel=0.01)


def test_a_cell_repeated_has_as_many_times_the_energy(model: DispersionModel) -> None:
    one, four = graphite(), graphite().repeat((2, 2, 1))
    assert model.evaluate(four).energy_ev == pytest.approx(4 * model.evaluate(one).energy_ev, rel=1e-9)


def test_thin_cells_and_unknown_elements_are_refused_before_they_are_computed(
    model: DispersionModel,
) -> None:
    thin = graphene_sheet(size=(4, 4, 1), vacuum=None)
    thin.set_cell([*thin.cell.array[:2], [0, 0, 1e-3]])
    thin.pbc = True
    with pytest.raises(DispersionRefused, match="too thin"):
        model.evaluate(thin)
    flat = graphite()
    flat.set_cell(np.diag([3.0, 3.0, 0.0]))
    assert "too thin" in reason_to_refuse(flat)
    with pytest.raises(DispersionRefused, match="95"):
        model.evaluate(Atoms("Am", cell=4 * np.eye(3), pbc=True))
    odd = graphite()
    odd.positions[0] = np.nan
    assert "not finite" in reason_to_refuse(odd)


def test_an_allocation_that_is_too_large_ends_the_call_only(monkeypatch) -> None:
    monkeypatch.setattr(dispersion, "MOST_LATTICE_POINTS", float("inf"))
    monkeypatch.setattr(dispersion, "MOST_PAIRS", float("inf"))
    made = DispersionModel()
    skewed = graphite()
    skewed.set_cell([*skewed.cell.array[:2], [1_000_000.0, 0, 3.0]])
    with pytest.raises((ProcessDied, RuntimeError, MemoryError)):
        made.evaluate(skewed)
    assert made.evaluate(graphite()).energy_ev < 0
    made.close()
