"""The calculator in front of the store: the same numbers, and no potential asked twice for one geometry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT

from matwheel.core.errors import InputError
from matwheel.core.store import Records
from matwheel.crystals.crystal import Crystal
from matwheel.potentials.atoms import from_atoms, to_atoms
from matwheel.potentials.relaxation import RelaxationSettings, relax
from matwheel.potentials.stored_calculator import (
    StoredCalculator,
    geometry_key,
    method_of,
    stored_calculator,
)
from matwheel.vibrations.phonon_settings import PhononSettings
from matwheel.vibrations.phonons import phonon_stability

METHOD = {"potential": "emt"}


class Counting(EMT):
    """EMT that counts how often it is asked."""

    calls = 0

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        Counting.calls += 1


@contextmanager
def counted(store: Path, make: type[Calculator] = Counting) -> Iterator[StoredCalculator]:
    records = Records(store, METHOD)
    calculator = StoredCalculator(make, records)
    before = Counting.calls
    yield calculator
    records.close()
    assert Counting.calls - before == calculator.computed


def silent(message: str) -> None:
    del message


def rattled(name: str, symbol: str = "Cu", *, seed: int = 0) -> Crystal:
    atoms = bulk(symbol, cubic=True)
    atoms.rattle(0.1, seed=seed)
    return from_atoms(name, atoms)


CRYSTALS = [rattled("a"), rattled("b", "Al", seed=1), rattled("c", "Pt", seed=2)]
# Face-centred copper in its primitive cell; simple cubic copper is unstable and followed downhill.
CUBIC = from_atoms("sc", bulk("Cu", "sc", a=2.4))
PHONONS = PhononSettings(
    shortest_length_angstrom=5.0, zone_boundary_atoms=8, max_supercell_atoms=64, follow_unstable=False,
    mesh_length_angstrom=20.0, band_points=20,
)  # fmt: skip


def without_times(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns="seconds")


def test_the_numbers_are_those_of_the_potential_computed_or_found(tmp_path: Path) -> None:
    plain = relax(CRYSTALS, EMT(), log=silent)
    with counted(tmp_path) as calculator:
        first = relax(CRYSTALS, calculator, log=silent)
        assert calculator.computed > 20
    with counted(tmp_path) as calculator:
        second = relax(CRYSTALS, calculator, log=silent)
        assert calculator.computed == 0
        assert calculator.found > 20
    pd.testing.assert_frame_equal(without_times(first), without_times(second))
    np.testing.assert_allclose(first["energy_ev_per_atom"], plain["energy_ev_per_atom"], atol=1e-9)
    assert first["steps"].tolist() == plain["steps"].tolist()


@pytest.mark.parametrize(
    "change",
    [
        {"symprec_angstrom": 0.2},
        {"largest_volume_ratio": 2.0},
        {"fmax_ev_per_angstrom": 0.2},
        {"max_steps": 3},
        {"highest_energy_ev_per_atom": 5.0},
    ],
)
def test_another_limit_asks_no_potential_again(tmp_path: Path, change: dict[str, float]) -> None:
    with counted(tmp_path) as calculator:
        relax(CRYSTALS, calculator, log=silent)
    with counted(tmp_path) as calculator:
        changed = relax(CRYSTALS[::-1], calculator, RelaxationSettings(**change), silent)
        assert calculator.computed == 0
    fresh = relax(
        CRYSTALS[::-1],
        StoredCalculator(EMT, Records(tmp_path / "new", METHOD)),
        RelaxationSettings(**change),
        silent,
    )
    pd.testing.assert_frame_equal(without_times(changed), without_times(fresh))


def test_a_sharper_limit_goes_on_where_the_last_run_ended(tmp_path: Path) -> None:
    with counted(tmp_path) as calculator:
        relax(CRYSTALS, calculator, log=silent)
        before = calculator.computed
    with counted(tmp_path) as calculator:
        sharper = relax(CRYSTALS, calculator, RelaxationSettings(fmax_ev_per_angstrom=0.005), silent)
        assert calculator.found == before
        assert calculator.computed > 0
    with counted(tmp_path / "new") as calculator:
        at_once = relax(CRYSTALS, calculator, RelaxationSettings(fmax_ev_per_angstrom=0.005), silent)
    pd.testing.assert_frame_equal(without_times(sharper), without_times(at_once))


@pytest.mark.parametrize(
    "change",
    [
        {"stable_above_thz": -0.2},
        {"unstable_below_thz": -0.3},
        {"soft_below_thz": 0.0},
        {"largest_acoustic_residual_thz": 0.1},
        {"mesh_length_angstrom": 30.0},
        {"band_points": 30},
    ],
)
def test_thresholds_and_pictures_of_phonons_ask_no_potential_again(
    tmp_path: Path, change: dict[str, float]
) -> None:
    crystal = replace(CUBIC, id="fcc", lattice=bulk("Cu").cell.array)
    with counted(tmp_path) as calculator:
        first = phonon_stability(crystal, calculator, PHONONS, silent)
        assert calculator.computed > 3
    with counted(tmp_path) as calculator:
        second = phonon_stability(crystal, calculator, replace(PHONONS, **change), silent)
        assert calculator.computed == 0
    assert (first.verdict, first.force_evaluations) == (second.verdict, second.force_evaluations)
    assert first.lowest_frequency_thz == second.lowest_frequency_thz


def test_following_an_unstable_mode_computes_what_is_new_only(tmp_path: Path) -> None:
    with counted(tmp_path) as calculator:
        still = phonon_stability(CUBIC, calculator, PHONONS, silent)
        before = calculator.computed
        assert still.verdict == "unstable"
    with counted(tmp_path) as calculator:
        followed = phonon_stability(CUBIC, calculator, replace(PHONONS, follow_unstable=True), silent)
        assert calculator.found >= before
        assert calculator.computed > 0
    assert followed.daughter is not None


def test_a_potential_that_is_not_needed_is_not_loaded(tmp_path: Path) -> None:
    with counted(tmp_path) as calculator:
        relax(CRYSTALS, calculator, log=silent)

    def refuse() -> Calculator:
        raise AssertionError("loaded")

    relax(CRYSTALS, StoredCalculator(refuse, Records(tmp_path, METHOD)), log=silent)  # type: ignore[arg-type]


def test_the_time_of_what_is_found_counts(tmp_path: Path) -> None:
    with counted(tmp_path) as calculator:
        first = relax(CRYSTALS, calculator, log=silent)
    with counted(tmp_path) as calculator:
        second = relax(CRYSTALS, calculator, log=silent)
        assert 0 < calculator.stored_seconds <= second["seconds"].sum()
    assert second["seconds"].sum() > 0.3 * first["seconds"].sum()


def test_a_potential_that_fails_is_asked_again(tmp_path: Path) -> None:
    class Failing(EMT):
        def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
            raise RuntimeError("lost")

    table = relax(CRYSTALS[:1], StoredCalculator(Failing, Records(tmp_path, METHOD)), log=silent)
    assert table["status"].tolist() == ["error"]
    with counted(tmp_path) as calculator:
        assert relax(CRYSTALS[:1], calculator, log=silent)["status"].tolist() == ["converged"]


def test_what_a_potential_remembers_of_other_geometries_shapes_no_number(tmp_path: Path) -> None:
    """EMT keeps lists of neighbours, in the order of the geometry they were made for."""
    near = to_atoms(rattled("a"))
    near.positions += 0.01 * np.random.default_rng(3).normal(size=near.positions.shape)
    energies = []
    for first in (rattled("a"), rattled("b", seed=5)):
        calculator = StoredCalculator(EMT, Records(tmp_path / first.id, METHOD))
        for atoms in (to_atoms(first), near.copy()):
            atoms.calc = calculator
            energy = atoms.get_potential_energy(), atoms.get_forces().tobytes()
        energies.append(energy)
    assert energies[0] == energies[1]


def test_every_part_of_a_geometry_is_part_of_its_key() -> None:
    atoms = bulk("Cu", cubic=True)
    others = [atoms.copy() for _ in range(6)]
    others[0].positions[0, 0] += 1e-12
    others[1].cell[0, 0] += 1e-12
    others[2].numbers[0] = 28
    others[3].pbc = (True, True, False)
    others[4].set_initial_magnetic_moments([1.0, 0, 0, 0])
    others[5].set_initial_charges([1.0, 0, 0, 0])
    keys = {geometry_key(one) for one in (atoms, *others)}
    assert len(keys) == 7
    assert geometry_key(atoms.copy()) == geometry_key(atoms)


def test_what_shapes_the_numbers_is_part_of_the_method(monkeypatch: pytest.MonkeyPatch) -> None:
    from matwheel.potentials import potentials
    from matwheel.potentials import stored_calculator as module

    known = [method_of("7net-0"), method_of("7net-0", double_precision=True), method_of("7net-l3i5")]
    known.append(method_of("emt"))
    entry = replace(potentials.POTENTIALS["7net-0"], arguments={"modal": "mpa"})
    with monkeypatch.context() as changed:
        changed.setitem(potentials.POTENTIALS, "7net-0", entry)
        known.append(method_of("7net-0"))
    with monkeypatch.context() as changed:
        changed.setattr(module, "code_version", lambda *a, **k: "other")
        known.append(method_of("7net-0"))
    with monkeypatch.context() as changed:
        changed.setattr(module, "library_version", lambda name: "other")
        known.append(method_of("emt"))
    assert len({repr(one) for one in known}) == 7
    with pytest.raises(InputError, match="unknown potential"):
        method_of("mace")


def test_a_real_potential_by_name_says_in_the_log_what_it_took(tmp_path: Path) -> None:
    crystal = Crystal("NaCl", ("Na", "Cl"), 2.8 * (1 - np.eye(3)), np.array([[0, 0, 0], [0.5, 0.5, 0.48]]))
    said: list[str] = []
    tables = []
    for _ in range(2):
        with stored_calculator("7net-0", tmp_path, said.append, double_precision=None) as calculator:
            tables.append(relax([crystal], calculator, log=silent))
    steps = tables[0]["steps"].iloc[0]
    assert steps > 0
    assert said == [
        f"7net-0: {steps + 1} evaluations computed, 0 found in the store",
        f"7net-0: 0 evaluations computed, {steps + 1} found in the store",
    ]
    pd.testing.assert_frame_equal(without_times(tables[0]), without_times(tables[1]))
