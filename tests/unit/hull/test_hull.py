from dataclasses import replace
from itertools import combinations
from math import isnan, nan

import numpy as np
import pandas as pd
import pytest

from matwheel.compositions.formulas import element_counts
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.table import crystal_table
from matwheel.hull.hull import (
    HullSettings,
    ReferenceHull,
    e_above_hull_table,
    hull_verdicts,
    potential_phases,
)
from matwheel.hull.hull_sensitivity import OTHER_CHOICES, hull_sensitivity
from matwheel.hull.reference_phases import PHASE_COLUMNS, formula_of, system_of
from matwheel.potentials.potentials import PotentialCard
from matwheel.verdicts import verdict_table

RAW = PotentialCard("7net-0", "sevenn", "0", "", "raw_pbe")
CORRECTED = PotentialCard("chgnet:0.3.0", "chgnet", "0", "", "mp2020_corrected")
EMT = PotentialCard("emt", "ase", "0", "", "arbitrary")
ELEMENTS = {"Na": -1.3, "Cl": -1.8, "K": -1.1, "Xe": -0.04, "Cu": -4.1}


def phases(rows):
    named = [(str(number), formula, energy) for number, (formula, energy) in enumerate(rows)]
    return pd.DataFrame(
        [
            (name, formula_of(element_counts(formula)), system_of(element_counts(formula)), energy, "test")
            for name, formula, energy in named
        ],
        columns=list(PHASE_COLUMNS),
    )


SALTS = [("Na", 0.0), ("Cl", 0.0), ("K", 0.0), ("NaCl", -2.0), ("NaCl3", -1.2), ("KCl", -2.2), ("Na2", 0.3)]


def crystal(name, formula, lattice=None):
    species = (
        [symbol for symbol, count in element_counts(formula).items() for _ in range(count)] if formula else []
    )
    positions = np.outer(np.linspace(0, 1, len(species), endpoint=False), np.ones(3))
    return Crystal(name, tuple(species), 4.5 * np.eye(3) if lattice is None else lattice, positions)


def test_distance_competitors_and_fractions():
    hull = ReferenceHull(phases(SALTS))
    result = hull.energy_above_hull({"Na": 2, "Cl": 4}, -1.2)
    # 1/3 of the atoms are sodium, between 1/2 in NaCl and 1/4 in NaCl3.
    assert dict(result.competitors) == pytest.approx({"Cl3Na": 2 / 3, "ClNa": 1 / 3})
    assert result.e_above_hull_ev_per_atom == pytest.approx(-1.2 + (2 * 1.2 + 1 * 2.0) / 3)
    assert result.missing_elements == result.missing_binaries == () and result.compounds == 2


def test_a_new_stable_phase_lies_below_the_hull():
    hull = ReferenceHull(phases(SALTS))
    assert hull.energy_above_hull({"Na": 1, "K": 1, "Cl": 2}, -2.3).e_above_hull_ev_per_atom == pytest.approx(
        -0.2
    )
    assert hull.energy_above_hull({"Na": 3}, 0.05).e_above_hull_ev_per_atom == pytest.approx(0.05)


def test_the_tested_material_can_be_taken_out():
    hull = ReferenceHull(phases([*SALTS, ("NaCl", -1.9)]))
    own = {"3"}
    result = hull.energy_above_hull({"Na": 1, "Cl": 1}, -2.0, exclude=own)
    assert result.e_above_hull_ev_per_atom == pytest.approx(-0.1)  # the other polymorph stays
    assert hull.energy_above_hull({"Na": 1, "Cl": 1}, -2.0).e_above_hull_ev_per_atom == pytest.approx(0.0)


def test_missing_elements_are_refused_and_missing_binaries_named():
    hull = ReferenceHull(phases(SALTS))
    refused = hull.energy_above_hull({"Na": 1, "Xe": 1, "Ar": 1}, -1.0)
    assert isnan(refused.e_above_hull_ev_per_atom) and refused.competitors == ()
    assert refused.missing_elements == ("Ar", "Xe") and "Ar, Xe" in refused.reason
    assert hull.energy_above_hull({"Na": 1, "K": 1, "Cl": 2}, -2.3).missing_binaries == ("K-Na",)
    alloy = hull.energy_above_hull({"Na": 1, "K": 1}, 0.02)
    assert alloy.compounds == 0 and alloy.e_above_hull_ev_per_atom == pytest.approx(0.02)
    assert isnan(hull.energy_above_hull({"Na": 1}, nan).e_above_hull_ev_per_atom)
    assert ReferenceHull(phases([])).energy_above_hull({"Na": 1}, 0.0).missing_elements == ("Na",)


@pytest.mark.parametrize("seed", range(6))
def test_distances_equal_pymatgens_phase_diagram(seed):
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
    from pymatgen.core import Composition

    generator = np.random.default_rng(seed)
    elements = ["Ag", "Br", "S", "Li", "O"][: 2 + seed % 4]
    rows = [(symbol, 0.0) for symbol in elements]
    for size in range(2, len(elements) + 1):
        for system in combinations(elements, size):
            for _ in range(6):
                counts = dict(zip(system, generator.integers(1, 5, size).tolist(), strict=True))
                rows.append((formula_of(counts), float(generator.normal(-0.3, 0.5))))
    table = phases(rows).drop_duplicates("formula")
    diagram = PhaseDiagram(
        [
            PDEntry(Composition(formula), energy * Composition(formula).num_atoms)
            for formula, energy in zip(table["formula"], table["formation_energy_ev_per_atom"], strict=True)
        ]
    )
    hull = ReferenceHull(table)
    for _ in range(15):
        counts = {symbol: int(generator.integers(0, 5)) for symbol in elements}
        counts[elements[0]] += 1
        expected = diagram.get_hull_energy_per_atom(Composition(counts))
        result = hull.energy_above_hull(counts, 0.0)
        assert -result.e_above_hull_ev_per_atom == pytest.approx(expected, abs=1e-6)
        assert sum(share for _, share in result.competitors) == pytest.approx(1)


def table_of(candidates, card=CORRECTED, own=None, **arguments):
    crystals = [crystal(name, formula) for name, formula, _ in candidates]
    energies = [energy for *_, energy in candidates]
    hull = ReferenceHull(phases(SALTS))
    own_hull = None if own is None else ReferenceHull(phases(own))
    return e_above_hull_table(crystals, energies, card, ELEMENTS, hull, own_hull, **arguments)


def test_energies_are_put_on_the_scale_of_the_references():
    mean = (ELEMENTS["Na"] + ELEMENTS["Cl"]) / 2
    corrected = table_of([("a", "NaCl", mean - 1.9)], CORRECTED, SALTS).iloc[0]
    assert corrected.formation_energy_ev_per_atom == pytest.approx(-1.9)
    assert corrected.e_above_hull_dft_ev_per_atom == pytest.approx(0.1)
    assert corrected.competitors_dft == corrected.competitors_potential == "1.00 NaCl"
    raw = table_of([("a", "NaCl", mean - 1.9)], RAW, SALTS).iloc[0]
    assert raw.formation_energy_ev_per_atom == pytest.approx(-1.9 - 0.307)


def test_bad_candidates_keep_their_row_and_say_why():
    table = table_of(
        [
            ("nan", "NaCl", nan),
            ("empty", "", -1.0),
            ("xe", "NaXe", -1.0),
            ("ra", "NaRa", -1.0),
            ("ok", "KCl", -3.5),
        ],
        CORRECTED,
        SALTS,
    ).set_index("id")
    assert table.index.tolist() == ["nan", "empty", "xe", "ra", "ok"]
    assert table["hull_reason"].tolist() == ["no energy", "no atoms", "", "", ""]
    assert table.loc["xe", "missing_dft"] == "Xe, Na-Xe" and "element Xe" in table.loc["xe", "reason_dft"]
    assert "no elemental reference energy of Ra" in table.loc["ra", "reason_dft"]
    assert np.isfinite(table.loc["ok", "e_above_hull_dft_ev_per_atom"])
    verdicts = verdict_table(hull_verdicts(table.reset_index(), CORRECTED))
    by_candidate = verdicts.pivot(index="candidate_id", columns="screen", values="verdict")
    assert by_candidate.loc[["nan", "empty"]].eq("error").all(axis=None)
    assert by_candidate.loc[["xe", "ra"]].eq("undecided").all(axis=None)


def test_without_structures_the_second_hull_is_undecided():
    verdicts = hull_verdicts(table_of([("a", "NaCl", -3.5)]), CORRECTED)
    assert [(item.screen, item.verdict) for item in verdicts] == [
        ("hull_dft", "pass"),
        ("hull_potential", "undecided"),
        ("hull", "undecided"),
    ]
    assert "no structures" in verdicts[1].reason and "hull_potential is undecided" in verdicts[2].reason


@pytest.mark.parametrize(
    ("energy", "shift", "expected"),
    [
        (-1.95, 0.0, "pass"),
        (-1.75, 0.0, "fail"),
        (-1.95, -0.2, "undecided"),  # the potential finds its own NaCl 0.2 eV/atom lower: the hulls disagree
    ],
)
def test_both_hulls_have_to_agree(energy, shift, expected):
    own = [(formula, value + shift * (formula == "NaCl")) for formula, value in SALTS]
    mean = (ELEMENTS["Na"] + ELEMENTS["Cl"]) / 2
    dft, potential, joint = hull_verdicts(table_of([("a", "NaCl", mean + energy)], CORRECTED, own), CORRECTED)
    assert joint.verdict == expected
    assert joint.value == max(dft.value, potential.value) and joint.threshold == 0.1
    if expected == "undecided":
        assert {dft.verdict, potential.verdict} == {"pass", "fail"}
    if expected != "pass":
        assert "metastable at 0.1" in joint.reason and "±0.025" in joint.reason
    if expected == "fail":
        assert "NaCl" in joint.reason


@pytest.mark.parametrize(
    ("above", "expected"), [(0.07, "pass"), (0.08, "undecided"), (0.12, "undecided"), (0.13, "fail")]
)
def test_within_the_band_nothing_is_decided(above, expected):
    mean = (ELEMENTS["Na"] + ELEMENTS["Cl"]) / 2
    near = hull_verdicts(table_of([("a", "NaCl", mean - 2 + above)], CORRECTED, SALTS), CORRECTED)
    assert [item.verdict for item in near] == [expected] * 3
    assert all(("band of ±0.025" in item.reason) == (expected == "undecided") for item in near[:2])
    settings = HullSettings(metastable_ev_per_atom=0.05, band_ev_per_atom=0.01)
    strict = hull_verdicts(table_of([("a", "NaCl", mean - 1.91)], CORRECTED, SALTS), CORRECTED, settings)
    assert [item.verdict for item in strict] == ["fail"] * 3


def test_rounding_does_not_lift_a_phase_off_the_hull():
    mean = (ELEMENTS["Na"] + ELEMENTS["Cl"]) / 2
    settings = HullSettings(
        metastable_ev_per_atom=0.0, layer_metastable_ev_per_atom=0.0, band_ev_per_atom=0.0
    )
    for above, expected in ((1e-8, "pass"), (1e-5, "fail")):
        table = table_of([("a", "NaCl", mean - 2 + above)], CORRECTED, SALTS)
        assert {item.verdict for item in hull_verdicts(table, CORRECTED, settings)} == {expected}


def test_layers_have_a_threshold_of_their_own():
    """A layer by itself lacks the energy that holds it in its crystal, so 0.1 kills real ones."""
    mean = (ELEMENTS["Na"] + ELEMENTS["Cl"]) / 2
    lattices = {3: 4.5 * np.eye(3), 2: np.diag([4.5, 4.5, 20.0]), 1: np.diag([4.5, 20, 20.0])}
    crystals = [crystal(f"{d}", "NaCl", lattice) for d, lattice in lattices.items()]
    crystals[1:] = [replace(one, frac_coords=one.frac_coords * [1, 1, 0.1]) for one in crystals[1:]]
    hull = ReferenceHull(phases(SALTS))
    table = e_above_hull_table(crystals, [mean - 1.86] * 3, CORRECTED, ELEMENTS, hull, hull)
    assert table["dimensionality"].tolist() == [3, 2, 1]
    bulk, layer, wire = hull_verdicts(table, CORRECTED)[2::3]
    assert (bulk.verdict, bulk.threshold) == ("fail", 0.1)
    assert (layer.verdict, layer.threshold) == ("pass", 0.2)
    assert wire.verdict == "undecided" and "wire" in wire.reason


def test_elements_alone_show_no_stability():
    alloys = [("low", "NaK", -1.25), ("high", "NaK", 0.0)]
    low, _, joint, high = hull_verdicts(table_of(alloys, CORRECTED, SALTS), CORRECTED)[:4]
    assert low.verdict == joint.verdict == "undecided" and "elements alone" in low.reason
    assert high.verdict == "fail"


def test_competitors_without_structure_are_named():
    own = [row for row in SALTS if row[0] != "NaCl3"]
    mean = (ELEMENTS["Na"] + 2 * ELEMENTS["Cl"]) / 3
    row = table_of([("a", "NaCl2", mean - 1.4)], CORRECTED, own).iloc[0]
    assert row.missing_potential == "NaCl3" and row.missing_dft == ""
    assert row.competitors_dft == "0.67 NaCl3 + 0.33 NaCl"
    verdict = hull_verdicts(table_of([("a", "NaCl2", mean - 1.4)], CORRECTED, own), CORRECTED)[1]
    assert verdict.verdict == "pass" and "lower bound" in verdict.reason


def test_energies_of_any_zero_have_their_own_hull_only():
    own = [("Cu", -0.01), ("Au", 0.02), ("CuAu", -0.1)]
    row = table_of([("a", "Cu3Au", -0.05)], EMT, own).iloc[0]
    assert isnan(row.e_above_hull_dft_ev_per_atom) and isnan(row.formation_energy_ev_per_atom)
    assert "no common zero" in row.reason_dft
    assert row.e_above_hull_potential_ev_per_atom == pytest.approx(-0.05 + (0.1 + 0.01) / 2)


def test_the_potentials_own_phases_are_on_one_scale_and_need_ground_states():
    crystals = [crystal("na", "Na"), crystal("cl", "Cl"), crystal("salt", "NaCl"), crystal("failed", "NaCl")]
    energies = pd.DataFrame(
        {"id": ["na", "cl", "salt", "failed"], "energy_ev_per_atom": [-1.29, -1.0, -3.2, nan]}
    )
    structures = crystal_table(crystals, {"ground_state": [False] * 4})
    found = potential_phases(structures, energies, RAW, ELEMENTS).set_index("id")
    # Chlorine of 0.8 eV/atom above Materials Project's is no ground state; the failed one is no phase.
    assert found.index.tolist() == ["na", "salt"]
    assert found.loc["na", "formation_energy_ev_per_atom"] == pytest.approx(0.01)
    assert found.loc["salt", "formation_energy_ev_per_atom"] == pytest.approx(-3.2 - 0.307 + 1.55)
    result = ReferenceHull(found.reset_index()).energy_above_hull({"Na": 1, "Cl": 1}, -1.0)
    assert result.missing_elements == ("Cl",)
    loose = HullSettings(terminal_tolerance_ev_per_atom=1.0)
    assert "cl" in set(potential_phases(structures, energies, RAW, ELEMENTS, loose)["id"])
    known = structures.assign(ground_state=[False, True, False, False])  # an error of the potential, then
    assert "cl" in set(potential_phases(known, energies, RAW, ELEMENTS)["id"])


def test_other_anion_rules_and_parts_of_the_references_give_their_own_verdicts():
    relaxed, energies = [crystal("a", "NaCl")], [-1.55 - 1.95]
    usual = phases(SALTS).assign(source=["mirror"] * 4 + ["matbench"] * 3)
    lower = usual.assign(
        formation_energy_ev_per_atom=usual["formation_energy_ev_per_atom"]
        - 0.5 * (usual["formula"] == "ClNa")
    )
    by_rule = pd.concat(
        [
            usual.assign(anion_rule="require_bound"),
            *(lower.assign(anion_rule=rule) for rule in OTHER_CHOICES[:2]),
        ]
    )
    structures = crystal_table(
        [crystal("na", "Na"), crystal("cl", "Cl"), crystal("salt", "NaCl")], {"ground_state": [False] * 3}
    )
    own = pd.DataFrame({"id": ["na", "cl", "salt"], "energy_ev_per_atom": [-1.3, -1.8, -3.55]})
    found = hull_sensitivity(relaxed, energies, CORRECTED, ELEMENTS, by_rule, structures, own)
    values = found.pivot(index="choice", columns="screen", values="value")
    assert found["choice"].unique().tolist() == list(OTHER_CHOICES)
    assert values.loc["no_check", "hull_dft"] == pytest.approx(0.55)
    assert values.loc["mirror_only", "hull_dft"] == pytest.approx(0.05)
    assert values.loc["archive_only", "hull_dft"] == pytest.approx(-1.95 + 1.2 * 2 / 3)  # Na and NaCl3
    assert values["hull_potential"].to_numpy() == pytest.approx(0.05)
    said = found.pivot(index="choice", columns="screen", values="verdict")["hull_dft"]
    none = hull_sensitivity([], [], CORRECTED, ELEMENTS, by_rule.iloc[:0], structures, own)
    assert none.empty and none.columns.tolist() == found.columns.tolist()
    assert said.to_dict() == {
        "no_check": "fail",
        "no_check_2021": "fail",
        "mirror_only": "pass",
        "archive_only": "pass",
    }


def test_results_do_not_depend_on_the_order_of_the_phases():
    shuffled = phases(SALTS).sample(frac=1, random_state=1)
    one, other = ReferenceHull(phases(SALTS)), ReferenceHull(shuffled)
    for counts in ({"Na": 1, "Cl": 2}, {"Na": 2, "K": 1, "Cl": 5}):
        assert one.energy_above_hull(counts, -1.0) == other.energy_above_hull(counts, -1.0)


def test_a_system_of_many_elements_is_answered():
    symbols = ["H", "Li", "Be", "B", "C", "N", "O", "F", "Na", "Mg", "Al", "Si", "P"]
    hull = ReferenceHull(phases([*((symbol, 0.0) for symbol in symbols), ("LiF", -3.0), ("MgO", -3.0)]))
    result = hull.energy_above_hull(dict.fromkeys(symbols, 1), -0.5)
    assert result.e_above_hull_ev_per_atom == pytest.approx(-0.5 + 4 * 3.0 / 13)
    assert len(result.missing_binaries) == 13 * 12 / 2 - 2


def test_settings_that_contradict_themselves_are_refused():
    with pytest.raises(ValueError, match="band"):
        HullSettings(band_ev_per_atom=-0.1)
    with pytest.raises(ValueError, match="stable"):
        HullSettings(stable_ev_per_atom=0.15)
    with pytest.raises(ValueError, match="layer_metastable"):
        HullSettings(layer_metastable_ev_per_atom=-0.1)
