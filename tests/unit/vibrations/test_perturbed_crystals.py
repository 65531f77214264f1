"""Perturbed copies of crystals: what they keep, what they depend on, and what must not end a batch."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from ase.calculators.calculator import all_changes
from ase.calculators.emt import EMT

from matwheel.core.errors import InputError
from matwheel.core.time_limits import Hung
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.table import crystals_of_table, read_table, write_table
from matwheel.potentials.potentials import POTENTIALS
from matwheel.vibrations.displacements import QUANTUM_KELVIN_PER_THZ, rms_displacement, vibrations
from matwheel.vibrations.force_constants import force_constants, supercell_at_rest
from matwheel.vibrations.perturbed_crystals import (
    FAILED,
    LARGE_FORCES,
    NO_VIBRATION,
    PERTURBED,
    REFUSED,
    PerturbationSettings,
    perturb_crystal,
    perturb_crystals,
)
from matwheel.vibrations.perturbed_rows import (
    COLUMNS,
    drawn_rows,
    perturbed_training_rows,
    refuse_leaking_parents,
)

CORNERS = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
SETTINGS = PerturbationSettings(per_crystal=3)
ELEMENTS = POTENTIALS["emt"].elements
BOLTZMANN_EV = 8.617333262e-5


def quiet(_: str) -> None:
    pass


def ordered_alloy(crystal_id="Cu3Au", species=("Au", "Cu", "Cu", "Cu"), a=3.76) -> Crystal:
    return Crystal(crystal_id, species, np.eye(3) * a, CORNERS)


def off_minimum(crystal_id="off") -> Crystal:
    """No symmetry and no minimum, as labelled geometries of a dataset are."""
    shift = np.random.default_rng(0).uniform(-0.03, 0.03, (4, 3))
    return Crystal(crystal_id, ("Au", "Cu", "Pd", "Cu"), np.diag([3.8, 3.9, 3.75]), CORNERS + shift)


def displacements(table: pd.DataFrame, crystal: Crystal, kind: str) -> np.ndarray:
    rows = table[(table["parent"] == crystal.id) & (table["kind"] == kind)]
    shift = np.array([copy.frac_coords for copy in crystals_of_table(rows)]) - crystal.frac_coords
    return (shift - np.round(shift)) @ crystal.lattice


def perturbed(crystals, settings=SETTINGS, seed=1, calculator=None):
    targets = np.arange(len(crystals)) + 0.5
    return perturb_crystals(crystals, targets, calculator or EMT(), settings, seed, quiet, elements=ELEMENTS)


def test_copies_keep_label_cell_and_rms(tmp_path) -> None:
    crystals = [ordered_alloy(), off_minimum()]
    table, status = perturbed(crystals)
    assert list(table.columns[6:]) == list(COLUMNS)
    assert status["status"].tolist() == [PERTURBED] * 2 and table["id"].is_unique
    assert table.groupby(["parent", "kind"]).size().tolist() == [3] * 4
    assert table.groupby("parent")["target"].unique().map(list).to_dict() == {"Cu3Au": [0.5], "off": [1.5]}
    assert status["largest_force_ev_per_angstrom"].iloc[1] > 0.1 > status["largest_force_ev_per_angstrom"][0]
    # At rest, and what symmetry leaves: two displacements of Cu3Au, all ± 3 × 4 of the other.
    assert status["evaluations"].tolist() == [3, 25]
    for crystal in crystals:
        sets = {kind: displacements(table, crystal, kind) for kind in ("thermal", "random")}
        for kind, moved in sets.items():
            rows = table[(table["parent"] == crystal.id) & (table["kind"] == kind)]
            np.testing.assert_allclose(rms_displacement(moved), rows["rms_displacement_angstrom"], rtol=1e-6)
            np.testing.assert_allclose(moved.mean(axis=1), 0.0, atol=1e-9)
            assert all(copy.species == crystal.species for copy in crystals_of_table(rows))
        np.testing.assert_allclose(*(rms_displacement(moved) for moved in sets.values()), rtol=1e-9)
        assert np.abs(sets["thermal"] - sets["random"]).max() > 0.01
    write_table(table, tmp_path / "perturbed.parquet")
    pd.testing.assert_frame_equal(
        read_table(tmp_path / "perturbed.parquet")[list(COLUMNS)], table[list(COLUMNS)]
    )


def test_a_copy_depends_on_seed_crystal_and_index_only() -> None:
    crystals = [ordered_alloy(), off_minimum()]
    table, _ = perturbed(crystals)
    backwards, _ = perturbed(crystals[::-1])
    longer, _ = perturbed(crystals[1:], replace(SETTINGS, per_crystal=5))
    columns = ["id", "frac_coords", "rms_displacement_angstrom"]
    by_id = table[columns].set_index("id")
    for other in (backwards, longer):
        common = other[columns].set_index("id").reindex(by_id.index).dropna()
        assert len(common) >= 6
        for name, row in common.iterrows():
            assert np.array_equal(row["frac_coords"], by_id.loc[name, "frac_coords"])
    other_seed, _ = perturbed(crystals, seed=2)
    assert not np.isclose(other_seed["rms_displacement_angstrom"], table["rms_displacement_angstrom"]).any()
    renamed, _ = perturbed([ordered_alloy("another")])
    assert not np.allclose(renamed["rms_displacement_angstrom"][:3], table["rms_displacement_angstrom"][:3])


def test_thermal_energy_is_that_of_the_oscillators_and_random_is_above() -> None:
    crystal, temperature = ordered_alloy(), 600.0
    settings = PerturbationSettings(temperature_kelvin=temperature, per_crystal=200, largest_rms_angstrom=5.0)
    table, _ = perturbed([crystal], settings)
    constants = force_constants(crystal, EMT(), (1, 1, 1))
    frequencies = vibrations(*_rest(constants)).frequencies_thz
    quanta = QUANTUM_KELVIN_PER_THZ * frequencies * BOLTZMANN_EV
    expected = (quanta / 4 / np.tanh(quanta / (2 * BOLTZMANN_EV * temperature))).sum()
    matrix = constants.matrix_ev_per_angstrom2
    moved = {kind: displacements(table, crystal, kind) for kind in ("thermal", "random")}
    energy = {
        kind: 0.5 * np.einsum("nai,abij,nbj->n", u, matrix, u, optimize=True).mean()
        for kind, u in moved.items()
    }
    # 9 vibrations × 200 copies: the mean of their χ² scatters by 3 %.
    assert energy["thermal"] == pytest.approx(expected, rel=0.1)
    assert energy["random"] > 1.1 * energy["thermal"]


def _rest(constants):
    crystal, masses = supercell_at_rest(constants)
    return crystal, constants.matrix_ev_per_angstrom2, masses


def test_forces_at_rest_do_not_change_the_copies() -> None:
    class Pushed(EMT):
        def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
            super().calculate(atoms, properties, system_changes)
            push = 0.5 * np.arange(len(atoms))[:, None] * np.array([1.0, -0.5, 0.2])
            self.results["forces"] = self.results["forces"] + push

    plain, _ = perturbed([off_minimum()])
    pushed, status = perturbed([off_minimum()], calculator=Pushed())
    assert status["largest_force_ev_per_angstrom"][0] > 1.0
    for one, other in zip(plain["frac_coords"], pushed["frac_coords"], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-7)


def test_a_long_configuration_is_scaled_as_a_whole() -> None:
    free, before = perturbed([off_minimum()])
    capped, after = perturbed([off_minimum()], replace(SETTINGS, largest_rms_angstrom=0.02))
    assert before["capped"].tolist() == [0] and after["capped"].tolist() == [3]
    np.testing.assert_allclose(capped["rms_displacement_angstrom"], 0.02)
    long, short = (displacements(table, off_minimum(), "thermal") for table in (free, capped))
    np.testing.assert_allclose(
        short / 0.02, long / rms_displacement(long)[:, None, None], rtol=1e-6, atol=1e-6
    )


def test_bad_crystals_get_a_reason_and_no_copies() -> None:
    class Moody(EMT):
        def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
            if "Ni" in atoms.get_chemical_symbols():
                raise RuntimeError("out of memory")
            super().calculate(atoms, properties, system_changes)
            if "Al" in atoms.get_chemical_symbols():
                self.results["forces"] = np.full((len(atoms), 3), np.nan)

    good = ordered_alloy("good")
    lattice = np.eye(3) * 2.6
    squeezed = Crystal(
        "squeezed", ("Cu", "Au", "Pd"), np.eye(3) * 3.0, [[0, 0, 0], [0.3, 0, 0], [0.5, 0.5, 0.5]]
    )
    crystals = {
        "unknown": (ordered_alloy("unknown", ("U", "Cu", "Cu", "Cu")), REFUSED, "not fitted to U"),
        "no element": (ordered_alloy("no element", ("Xx", "Cu", "Cu", "Cu")), REFUSED, "Xx"),
        "large": (Crystal("large", ("Cu",) * 9, lattice * 3, np.zeros((9, 3))), REFUSED, "largest_atoms"),
        "empty": (Crystal("empty", (), lattice, []), REFUSED, "no atoms"),
        "one atom": (Crystal("one atom", ("Cu",), lattice, [[0, 0, 0]]), NO_VIBRATION, "one atom"),
        "squeezed": (squeezed, LARGE_FORCES, "above"),
        "raises": (ordered_alloy("raises", ("Ni", "Cu", "Cu", "Cu")), FAILED, "out of memory"),
        "NaN": (ordered_alloy("NaN", ("Al", "Cu", "Cu", "Cu")), FAILED, "not finite"),
        "good": (good, PERTURBED, ""),
    }
    settings = replace(SETTINGS, largest_atoms=8)
    batch = [crystal for crystal, _, _ in crystals.values()]
    table, status = perturbed(batch, settings, calculator=Moody())
    for (name, (_, expected, reason)), row in zip(crystals.items(), status.itertuples(), strict=True):
        assert (row.id, row.status) == (name, expected), row.reason
        assert reason in row.reason
    assert set(table["parent"]) == {"good"} and len(table) == 6
    alone, _ = perturbed([good])
    assert np.array_equal(np.stack(table["frac_coords"]), np.stack(alone["frac_coords"]))


def test_a_crystal_that_hangs_ends_the_job() -> None:
    class Slow(EMT):
        def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
            time.sleep(60)

    slow = ordered_alloy("slow", ("Pt", "Cu", "Cu", "Cu"))
    with pytest.raises(Hung, match="perturbation of slow"):
        perturbed([slow], replace(SETTINGS, time_limit_seconds=3.0), calculator=Slow())


def test_a_policy_that_leaves_no_vibration_is_a_status() -> None:
    found = perturb_crystal(off_minimum(), EMT(), replace(SETTINGS, cutoff_thz=1e3), 1)
    assert found.status.status == NO_VIBRATION and "cutoff" in found.status.reason
    assert found.thermal.shape == found.random.shape == (0, 4, 3)
    assert found.status.lowest_frequency_thz < 1e3


def test_an_empty_shard_has_the_same_columns() -> None:
    table, status = perturbed([])
    full, full_status = perturbed([ordered_alloy()])
    assert table.empty and status.empty
    assert table.columns.equals(full.columns) and status.columns.equals(full_status.columns)
    assert table.dtypes.equals(full.dtypes) and status.dtypes.equals(full_status.dtypes)


@pytest.mark.parametrize(
    "change",
    [
        {"temperature_kelvin": -1},
        {"per_crystal": 0},
        {"per_crystal": 1.5},
        {"largest_rms_angstrom": float("nan")},
        {"policy": "self_consistent"},
        {"policy": "hope"},
        {"cutoff_thz": -1},
    ],
)
def test_impossible_settings_are_refused(change) -> None:
    with pytest.raises(InputError, match=f"{next(iter(change))} is"):
        PerturbationSettings(**change)


def copies(*parents: str) -> pd.DataFrame:
    rows = [
        (f"{parent}-{kind}300-{index}", parent, kind, index)
        for parent in parents
        for kind in ("random", "thermal")
        for index in (1, 0)
    ]
    return pd.DataFrame(rows, columns=["id", "parent", "kind", "index"])


def test_only_copies_of_training_rows_are_taken_in_their_order() -> None:
    split = {"train": ["c", "a", "b"], "validation": ["v"], "test": ["t"]}
    rows = perturbed_training_rows(copies("a", "c", "t", "v"), "thermal", split)
    assert rows["id"].tolist() == ["c-thermal300-0", "c-thermal300-1", "a-thermal300-0", "a-thermal300-1"]
    refuse_leaking_parents(rows, split)
    with pytest.raises(InputError, match="no training crystal"):
        perturbed_training_rows(copies("t"), "random", split)
    with pytest.raises(InputError, match="unknown kind"):
        perturbed_training_rows(copies("a"), "cold", split)


@pytest.mark.parametrize(("parent", "part"), [("t", "test"), ("v", "validation"), ("x", "no row of this")])
def test_a_copy_of_another_row_is_refused(parent, part) -> None:
    split = {"train": ["a", "b"], "validation": ["v"], "test": ["t"]}
    with pytest.raises(InputError, match=f"copy of .*{part}"):
        refuse_leaking_parents(copies("a", parent), split)


def test_drawn_rows_are_as_many_as_asked_for_in_their_order() -> None:
    table = copies("a", "b", "c")
    drawn = drawn_rows(table, 5, seed=3)
    places = table.index[table["id"].isin(drawn["id"])]
    assert len(drawn) == 5 and drawn["id"].is_unique
    assert drawn["id"].tolist() == table.loc[places, "id"].tolist()
    assert drawn_rows(table, 5, seed=4)["id"].tolist() != drawn["id"].tolist()
    assert drawn_rows(table, 50, seed=3).equals(table)
