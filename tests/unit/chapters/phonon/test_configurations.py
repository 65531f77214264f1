"""Displaced configurations as tables, their labels by a potential, and labels by DFT beside them."""

from __future__ import annotations

from dataclasses import replace
from math import nan
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ase.calculators.emt import EMT

from matwheel.chapters.phonon.configuration_dft import (
    compare_with_dft,
    dft_table,
    rest_row,
)
from matwheel.chapters.phonon.configurations import (
    ConfigurationSet,
    configurations,
    crystal_at_rest,
    energy_per_atom,
    label_with_potential,
    supercell_multiples,
)
from matwheel.chapters.phonon.labelled_configurations import check_labelled_table
from matwheel.core.errors import InputError
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.table import crystals_of_table
from matwheel.dft.dft import SINGLE_POINT, DFTResult
from matwheel.potentials.potentials import make_calculator
from matwheel.vibrations.displacements import DisplacementSettings, Vibrations, vibrations
from matwheel.vibrations.force_constants import (
    fitted_force_constants,
    force_constants,
    load_force_constants,
    save_force_constants,
    supercell_at_rest,
)

COPPER = Crystal("Cu", ("Cu",) * 4, 3.7 * np.eye(3), [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
THERMAL = ConfigurationSet.of_name("thermal_absolute_300")


@pytest.fixture(scope="module")
def copper() -> tuple[Crystal, Vibrations]:
    calculator = make_calculator("emt")
    rest = crystal_at_rest(COPPER, calculator)
    constants = force_constants(rest, calculator, [2, 2, 2])
    supercell, masses_amu = supercell_at_rest(constants)
    return rest, vibrations(supercell, constants.matrix_ev_per_angstrom2, masses_amu)


def table_of(modes: Vibrations, indices: range, name: str = "thermal_absolute_300") -> pd.DataFrame:
    return configurations(
        "Cu",
        ConfigurationSet.of_name(name),
        modes,
        indices,
        seed=7,
        settings=DisplacementSettings(),
        block_size=2,
    )


@pytest.mark.parametrize(
    "name", ["thermal_cutoff_300", "uniform_scaled_freeze_150", "uniform_one_sided", "thermal_clip_0"]
)
def test_a_set_is_its_name(name: str) -> None:
    assert str(ConfigurationSet.of_name(name)) == name


@pytest.mark.parametrize("name", ["thermal", "thermal_300", "uniform_scaled", "thermal_cutoff_-5", "rest"])
def test_other_names_are_refused_with_examples(name: str) -> None:
    with pytest.raises(InputError, match="thermal_cutoff_300"):
        ConfigurationSet.of_name(name)


def test_the_lattice_is_relaxed_or_given(copper: tuple[Crystal, Vibrations]) -> None:
    rest, _ = copper
    calculator = make_calculator("emt")
    given = crystal_at_rest(COPPER, calculator, "given")
    assert given.volume_angstrom3 == pytest.approx(3.7**3 / 4)
    assert rest.volume_angstrom3 == pytest.approx(3.589**3 / 4, rel=0.01)
    assert energy_per_atom(rest, calculator) < energy_per_atom(given, calculator)
    with pytest.raises(InputError, match=r"phonon\.lattice"):
        crystal_at_rest(COPPER, calculator, "guessed")
    with pytest.raises(InputError, match="start from a better cell"):
        crystal_at_rest(COPPER, calculator, max_steps=1, fmax_ev_per_angstrom=1e-9)


def test_a_longer_set_begins_with_the_shorter_one(copper: tuple[Crystal, Vibrations]) -> None:
    _, modes = copper
    whole, head, tail = (table_of(modes, range(*part)).to_dict("list") for part in ((0, 6), (0, 2), (2, 6)))
    for column in ("id", "index", "block", "rms_displacement_angstrom"):
        assert whole[column] == head[column] + tail[column], column
    assert np.array_equal(np.array(whole["frac_coords"]), np.array(head["frac_coords"] + tail["frac_coords"]))
    assert whole["block"] == [0, 0, 1, 1, 2, 2]


def test_a_crystal_without_a_stable_vibration_gives_an_empty_set(copper: tuple[Crystal, Vibrations]) -> None:
    _, modes = copper
    unstable = replace(modes, frequencies_thz=-np.abs(modes.frequencies_thz))
    for name in ("thermal_freeze_300", "uniform_scaled_freeze_300"):
        empty = table_of(unstable, range(4), name)
        assert len(empty) == 0
        assert list(empty) == list(table_of(modes, range(4)))
        assert len(label_with_potential(empty, make_calculator("emt"))) == 0
    assert len(table_of(unstable, range(4))) == 4


def test_a_scaled_set_moves_as_far_and_elsewhere(copper: tuple[Crystal, Vibrations]) -> None:
    _, modes = copper
    thermal, scaled = (
        table_of(modes, range(4), name) for name in ("thermal_absolute_300", "uniform_scaled_absolute_300")
    )
    lengths = "rms_displacement_angstrom"
    assert scaled[lengths].to_numpy() == pytest.approx(thermal[lengths].to_numpy())
    assert not np.allclose(scaled["frac_coords"].iloc[0], thermal["frac_coords"].iloc[0], atol=1e-3)
    assert table_of(modes, range(4), "uniform_one_sided")[lengths].std() > 0


def test_the_potential_labels_and_one_failure_stays_alone(copper: tuple[Crystal, Vibrations]) -> None:
    _, modes = copper
    table = table_of(modes, range(3))
    table.at[1, "species"] = ["U"] * len(table.at[1, "species"])  # EMT does not know it
    labels = label_with_potential(table, make_calculator("emt"))
    assert labels["id"].tolist() == table["id"].tolist()
    assert labels["status"].tolist() == ["ok", "error", "ok"]
    assert "NotImplementedError" in labels["reason"][1]
    assert labels["energy_ev_per_atom"].isna().tolist() == [False, True, False]
    calculator = make_calculator("emt")
    at_rest = energy_per_atom(modes.supercell, calculator)
    assert (labels["energy_ev_per_atom"][[0, 2]] > at_rest).all()
    assert len(labels["forces_ev_per_angstrom"][0]) == 3 * len(modes.supercell.species)


def test_force_constants_are_read_as_written_and_fitted_again(tmp_path: Path) -> None:
    calculator = make_calculator("emt")
    rest = crystal_at_rest(COPPER, calculator)
    constants = force_constants(rest, calculator, [2, 2, 2])
    save_force_constants(constants, tmp_path / "one.npz")
    save_force_constants(load_force_constants(tmp_path / "one.npz"), tmp_path / "two.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    # Forces that are harmonic are fitted by the constants that made them.
    generator = np.random.default_rng(3)
    supercell, _ = supercell_at_rest(constants)
    displaced = generator.normal(0, 0.05, (6, len(supercell.species), 3))
    forces = -np.einsum("ijab,njb->nia", constants.matrix_ev_per_angstrom2, displaced)
    fitted = fitted_force_constants(constants, displaced, forces)
    assert np.abs(fitted.matrix_ev_per_angstrom2 - constants.matrix_ev_per_angstrom2).max() < 1e-6


def labelled(modes: Vibrations) -> pd.DataFrame:
    table = table_of(modes, range(4))
    potential = label_with_potential(table, make_calculator("emt"))
    results = [
        DFTResult(
            row.id,
            SINGLE_POINT,
            "ok",
            energy_ev=(row.energy_ev_per_atom + 1.0) * len(modes.supercell.species),
            forces_ev_per_angstrom=np.reshape(row.forces_ev_per_angstrom, (-1, 3)).tolist(),
            stress_gpa=[row.stress_gpa + 2.0] * 3 + [0.0] * 3,
            band_gap_ev=0.5,
            valence_band_maximum_ev=None,
        )
        for row in potential.itertuples()
    ]
    return table.merge(dft_table(results, 0.5), on="id")


def test_dft_labels_carry_the_pulay_pressure_of_the_crystal_at_rest(
    copper: tuple[Crystal, Vibrations],
) -> None:
    rest, modes = copper
    table = labelled(modes)
    potential = label_with_potential(table, make_calculator("emt"))
    assert (table["stress_gpa"] - potential["stress_gpa"]).to_numpy() == pytest.approx(1.5)
    assert (table["energy_ev_per_atom"] - potential["energy_ev_per_atom"]).to_numpy() == pytest.approx(1.0)
    assert table["valence_band_maximum_ev"].isna().all()
    failed = dft_table([DFTResult("a", SINGLE_POINT, "timed_out", "not finished after 5 s")], 0.5)
    assert failed["status"].tolist() == ["timed_out"]
    assert np.isnan(failed["energy_ev_per_atom"][0])
    at_rest = rest_row("Cu", rest, DFTResult("Cu", SINGLE_POINT, "ok", energy_ev=-3.0))
    assert at_rest["set"].tolist() == ["rest"]
    assert at_rest["energy_ev_per_atom"].tolist() == [-3.0]
    assert check_labelled_table(table, "here") is table


def test_agreement_ignores_the_zeros_and_sees_softness(copper: tuple[Crystal, Vibrations]) -> None:
    _, modes = copper
    dft = labelled(modes)
    potential = label_with_potential(dft, make_calculator("emt"))
    potential["forces_ev_per_angstrom"] = [
        (0.8 * np.array(row)).tolist() for row in potential["forces_ev_per_angstrom"]
    ]
    agreement = compare_with_dft(dft, potential).set_index("set")
    assert agreement.index.tolist() == ["thermal_absolute_300", "all"]
    row = agreement.loc["all"]
    assert row["n"] == 4
    assert row["energy_mae_mev_per_atom"] == pytest.approx(0, abs=1e-6)
    assert row["stress_mae_gpa"] == pytest.approx(0, abs=1e-9)
    assert row["force_slope"] == pytest.approx(0.8)
    assert row["force_correlation"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda table: table.drop(columns="band_gap_ev"), "no column band_gap_ev"),
        (lambda table: pd.concat([table, table.head(1)]), "stands in two rows"),
        (lambda table: table.assign(band_gap_ev=nan), "is ok but lacks a label"),
    ],
)
def test_a_faulty_shipped_table_is_refused(
    copper: tuple[Crystal, Vibrations], change: object, words: str
) -> None:
    _, modes = copper
    with pytest.raises(InputError, match=words) as error:
        check_labelled_table(change(labelled(modes)), "resources/phonon/Cu.parquet")  # type: ignore[operator]
    assert "resources/phonon/Cu.parquet" in str(error.value)


def test_ids_name_compound_set_and_number(copper: tuple[Crystal, Vibrations]) -> None:
    _, modes = copper
    crystals = crystals_of_table(table_of(modes, range(11, 12)))
    assert [crystal.id for crystal in crystals] == ["Cu-thermal_absolute_300-00011"]
    assert replace(THERMAL, temperature_kelvin=0.5) == ConfigurationSet.of_name("thermal_absolute_0.5")


def test_a_layer_is_displaced_in_its_plane() -> None:
    sheet = Crystal("sheet", ("Cu", "Au"), np.diag([21.0, 2.6, 2.7]), [[0.5, 0, 0], [0.58, 0.5, 0.5]])
    assert supercell_multiples(sheet, [2, 3, 4]) == [2, 3, 1]
    rest = crystal_at_rest(sheet, EMT(), lattice="given")
    assert rest.pbc == (True, True, False) and rest.lattice[2] @ rest.lattice[2] == pytest.approx(21.0**2)
    wire = Crystal("wire", ("Cu",), np.diag([21.0, 22.0, 2.7]), [[0.5, 0, 0]])
    for refused in (lambda: supercell_multiples(wire, [2, 2, 2]), lambda: crystal_at_rest(wire, EMT())):
        with pytest.raises(InputError, match="wire: a wire under vacuum"):
            refused()
