"""Figure and table of displaced crystals, and the bands of several compounds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from ase.calculators.emt import EMT

from matwheel.chapters.phonon.displacement_figure import (
    SUMMARY_COLUMNS,
    bands_of_compounds,
    displacement_figure,
    displacement_summary,
    draw_displacements,
    harmonic_energy_mev_per_atom,
)
from matwheel.core.errors import InputError
from matwheel.crystals.crystal import Crystal
from matwheel.figures.figures import save_figure
from matwheel.vibrations.force_constants import ForceConstants, force_constants


def frame() -> pd.DataFrame:
    generator = np.random.default_rng(0)
    rows = []
    for compound in ("Ag3SBr", "Ag3SI"):
        for kind, policy, temperature in (
            ("uniform_one_sided", None, np.nan),
            ("thermal", "cutoff", 600.0),
            ("thermal", "absolute", 300.0),
            ("thermal", "cutoff", 300.0),
            ("uniform_scaled", None, 300.0),
        ):
            rows += [
                (compound, kind, policy, temperature, *generator.uniform((0.2, 5), (0.5, 40)))
                for _ in range(4)
            ]
    columns = ["compound", "set", "policy", "temperature_kelvin"]
    return pd.DataFrame(
        rows, columns=[*columns, "rms_displacement_angstrom", "energy_above_rest_mev_per_atom"]
    )


def copper(a: float = 3.59) -> ForceConstants:
    lattice = a / 2 * (1 - np.eye(3))
    return force_constants(Crystal("Cu", ("Cu",), lattice, [[0, 0, 0]]), EMT(), [2, 2, 2])


def test_harmonic_energy_is_half_k_t_per_vibration():
    # k_B 300 K = 25.852 meV
    assert np.isclose(harmonic_energy_mev_per_atom(40, 300), 0.5 * 117 / 40 * 25.852, rtol=1e-4)
    assert harmonic_energy_mev_per_atom(40, 0) == 0


def test_summary_has_the_moments_of_every_set():
    table = displacement_summary(frame(), atoms={"Ag3SBr": 40}, imaginary_fractions={"Ag3SBr": 0.4})
    assert list(table.columns) == list(SUMMARY_COLUMNS)
    assert len(table) == 10
    own = frame().query("compound == 'Ag3SI' and policy == 'cutoff' and temperature_kelvin == 600")
    row = table.query("compound == 'Ag3SI' and policy == 'cutoff' and temperature_kelvin == 600").iloc[0]
    energies = own["energy_above_rest_mev_per_atom"]
    assert row["n"] == 4
    assert np.isclose(row["energy_mev_per_atom_mean"], energies.mean())
    assert np.isclose(row["energy_mev_per_atom_std"], energies.std(ddof=1))
    assert np.isclose(row["rms_displacement_angstrom_mean"], own["rms_displacement_angstrom"].mean())
    # Thermal sets before random ones, policies in their order, cold before hot.
    order = table[table["compound"] == "Ag3SBr"]
    assert order["set"].tolist() == ["thermal"] * 3 + ["uniform_one_sided", "uniform_scaled"]
    assert order["temperature_kelvin"].tolist()[:3] == [300, 300, 600]
    known = order[order["set"] == "thermal"]
    assert np.allclose(known["imaginary_fraction"], 0.4)
    assert np.allclose(known["harmonic_energy_mev_per_atom"], 37.81 * np.array([1, 1, 2]), rtol=1e-3)
    rest = table.drop(known.index)
    assert rest["imaginary_fraction"].isna().all() and rest["harmonic_energy_mev_per_atom"].isna().all()


def test_summary_leaves_out_rows_without_labels_and_knows_one_configuration():
    table = frame()
    table.loc[0, "energy_above_rest_mev_per_atom"] = np.nan
    assert displacement_summary(table)["n"].tolist().count(3) == 1
    alone = displacement_summary(frame().iloc[[5]])
    assert alone["n"].tolist() == [1] and alone["energy_mev_per_atom_std"].isna().all()


def test_order_of_the_rows_does_not_matter():
    shuffled = frame().sample(frac=1, random_state=1).sort_values("compound", kind="stable")
    expected, found = displacement_summary(frame()), displacement_summary(shuffled)
    pd.testing.assert_frame_equal(found, expected)


def test_figure_has_a_panel_per_compound_with_all_points(tmp_path):
    figure = displacement_figure(frame(), {"Ag3SBr": 40})
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in panels] == ["Ag₃SBr", "Ag₃SI"]
    drawn = {tuple(point) for line in panels[0].lines for point in zip(*line.get_data(), strict=True)}
    own = frame().query("compound == 'Ag3SBr'").iloc[:, -2:].to_numpy()
    assert {tuple(point) for point in own} <= drawn
    assert [text.get_text() for text in panels[0].texts] == ["300 K", "600 K"]
    assert not panels[1].texts
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == [
        "thermal, absolute",
        "thermal, cutoff",
        "uniform one sided",
        "uniform scaled",
        "300 K",
        "600 K",
        "no temperature",
    ]
    paths = [tmp_path / "a.svg", tmp_path / "b.svg"]
    for path in paths:
        draw_displacements(frame(), path, {"Ag3SBr": 40})
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_wrong_frames_are_refused():
    with pytest.raises(InputError, match="policy"):
        displacement_summary(frame().drop(columns="policy"))
    with pytest.raises(InputError, match="gaussian"):
        displacement_figure(frame().replace("thermal", "gaussian"))
    with pytest.raises(InputError, match="nothing to draw"):
        displacement_figure(frame().iloc[:0])


def test_bands_have_a_panel_per_compound_with_the_lowest_frequency(tmp_path):
    stable, stretched = copper(), copper(4.4)
    constants = {"Cu3Au": stable, "Cu stretched": stretched}
    figure = bands_of_compounds(constants, 40)
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert panels[0].get_title(loc="left") == "Cu₃Au   lowest 0.00 THz"
    lowest = np.concatenate([line.get_ydata() for line in panels[1].lines if len(line.get_xdata()) > 2]).min()
    assert lowest < -0.5
    assert panels[1].get_title(loc="left") == f"Cu stretched   lowest −{-lowest:.2f} THz"
    save_figure(figure, tmp_path / "bands.svg")


def test_bands_of_no_compound_are_refused():
    with pytest.raises(InputError, match="no compound"):
        bands_of_compounds({})
