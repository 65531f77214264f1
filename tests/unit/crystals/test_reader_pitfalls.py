"""Texts that once gave another crystal without a word: decorated names, other settings, lost hydrogens."""

import gzip
import json
import time
import zipfile

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from matwheel.crystals.crystal_files import open_crystal_file
from matwheel.crystals.imported import read_imported
from matwheel.crystals.reader import UnreadableCrystal, read_crystal
from matwheel.datasets.dataset import load_dataset
from matwheel.datasets.registry import parse_registry
from matwheel.datasets.sources import DatasetError

NAME = "_symmetry_space_group_name_H-M"


def cif(cell, head, sites, columns="label type_symbol fract_x fract_y fract_z"):
    tags = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines = ["data_x", *(f"_cell_{tag} {value}" for tag, value in zip(tags, cell.split(), strict=True)), head]
    lines += ["loop_", *(f"_atom_site_{name}" for name in columns.split()), sites, ""]
    return "\n".join(lines)


def read(text, form="cif"):
    return read_crystal(text, form, "some-id")


ZRO2 = "Zr1 Zr .2754 .0395 .2083\nO1 O .07 .3317 .3447\nO2 O .4496 .7569 .4792"
MONOCLINIC = "5.15 5.21 6.9 90 99.2 90"
BRUCITE = "Mg1 Mg 0 0 0\nO1 O .3333 .6667 .2216"
TRIGONAL = "3.142 3.142 4.766 90 90 120"


@pytest.mark.parametrize(
    "name",
    [
        "P 1 21/n 1 (#14-b2)", "P21/n (14)", "P2~1~/n", "P 21/n :b2", "P 1 2₁/n 1", r"P2\_1/n", "P 2_1/n",
        "P121/n1 (No. 14)", "P 21/n unique axis b", "P2<sub>1</sub>/n", "P2_{1}/n", "P 21/n (unique axis b)",
    ],
)  # fmt: skip
def test_a_decorated_name_is_its_own_setting_not_the_standard_one_of_its_number(name):
    stated = f"{NAME} '{name}'\n_symmetry_Int_Tables_number 14\n_chemical_formula_sum 'O2 Zr'"
    found = read(cif(MONOCLINIC, stated, ZRO2)).crystal
    plain = read(cif(MONOCLINIC, f"{NAME} 'P 1 21/n 1'", ZRO2)).crystal
    other = read(cif(MONOCLINIC, f"{NAME} 'P 1 21/c 1'", ZRO2)).crystal
    np.testing.assert_allclose(found.frac_coords, plain.frac_coords)
    assert not np.allclose(found.frac_coords, other.frac_coords)


@pytest.mark.parametrize("name", ["Q 21/n", "P 21/q", "monoclinic", "P 21/n or P 21/c"])
def test_a_name_that_is_not_known_is_refused_though_a_number_is_given(name):
    with pytest.raises(UnreadableCrystal, match="not known"):
        read(cif(MONOCLINIC, f"{NAME} '{name}'\n_symmetry_Int_Tables_number 14", ZRO2))


@pytest.mark.parametrize(
    "name", [r"F m \bar{3} m", r"$Fm\bar{3}m$", "F m 3̅ m", "Fm-3m (225)", "F m 3 m", "FM-3M"]
)
def test_bars_are_read_however_they_are_written(name):
    rock_salt = cif("5.64 5.64 5.64 90 90 90", f"{NAME} '{name}'", "Na1 Na 0 0 0\nCl1 Cl .5 .5 .5")
    assert read(rock_salt).crystal.element_counts == {"Cl": 4, "Na": 4}


@pytest.mark.parametrize(
    ("group", "cell", "position"),
    [
        ("I 41/a", "5.2 5.2 11.4 90 90 90", ".6291 .9272 .4404"),
        ("P n n n", "5.1 6.2 7.3 90 90 90", ".13 .21 .34"),
        ("P 4/n", "6.1 6.1 4.3 90 90 90", ".11 .32 .27"),
        ("F d d d", "7.1 8.2 9.3 90 90 90", ".12 .07 .31"),
    ],
)
def test_two_origins_that_give_other_crystals_are_not_taken_for_one(group, cell, position):
    with pytest.raises(UnreadableCrystal, match="both possible"):
        read(cif(cell, f"{NAME} '{group}'", f"Si1 Si {position}"))


@pytest.mark.parametrize(
    "statement",
    [
        "_space_group_name_Schoenflies 'C2h^5'", "_symmetry_space_group_name_Schoenflies 'C_2h^5'",
        '_space_group_magn.name_BNS "P2_1/c"', "_space_group_magn.number_BNS 14.75",
        "loop_\n_space_group_symop_generator_xyz\nx,y,z\n-x,y+1/2,-z+1/2\n-x,-y,-z",
        "_space_group_crystal_system monoclinic", "_symmetry_cell_setting monoclinic",
    ],
)  # fmt: skip
def test_a_symmetry_that_is_not_understood_is_never_p1(statement):
    with pytest.raises(UnreadableCrystal, match="not understood"):
        read(cif(MONOCLINIC, statement, ZRO2))


@pytest.mark.parametrize(
    "statement",
    [
        "_symmetry_space_group_name_HM 'P21/c'", "_symmetry_space_group_name_H-M_alt 'P21/c'",
        "_space_group_name 'P21/c'", "_symmetry_IT_number 14", "_space_group_number 14",
    ],
)  # fmt: skip
def test_names_and_numbers_under_unusual_tags_count(statement):
    assert read(cif(MONOCLINIC, statement, ZRO2)).crystal.element_counts == {"O": 8, "Zr": 4}


@pytest.mark.parametrize("label", ["Wat1", "OW1", "OH", "O-H", "OH2", "H2O1", "Ow"])
def test_water_and_hydroxyl_without_hydrogens_are_refused_though_typed_as_oxygen(label):
    with pytest.raises(UnreadableCrystal, match="hydrogens are missing"):
        read(cif(TRIGONAL, f"{NAME} 'P -3 m 1'", BRUCITE.replace("O1", label)))
    whole = f"{BRUCITE.replace('O1', label)}\nH1 H .3333 .6667 .4303"
    assert read(cif(TRIGONAL, f"{NAME} 'P -3 m 1'", whole)).crystal.element_counts == {
        "H": 2,
        "Mg": 1,
        "O": 2,
    }


@pytest.mark.parametrize(
    "statement",
    [
        "_chemical_formula_sum 'Mg(OH)2'", "_chemical_formula_sum 'Mg (O H)2'",
        "_chemical_formula_sum 'Mg O~2~ H~2~'", "_chemical_formula_sum 'H2, Mg, O2'",
        "_chemical_formula_sum \"'H2 Mg O2'\"", "_chemical_formula_sum 'Mg O . H2 O'",
        "_chemical_formula_structural 'Mg (O H)2'", "_chemical_formula_iupac 'Mg (O H)2'",
        "_chemical_formula_moiety '2(H O), Mg'", "_chemical_formula_weight 58.32\n_cell_formula_units_Z 1",
        "_exptl_crystal_density_diffrn 2.38",
    ],
)  # fmt: skip
def test_lost_hydrogens_are_seen_in_whatever_is_stated(statement):
    text = f"{NAME} 'P -3 m 1'\n{statement}"
    with pytest.raises(UnreadableCrystal, match=r"file (says|names)|no multiple"):
        read(cif(TRIGONAL, text, BRUCITE))
    whole = f"{BRUCITE}\nH1 H .3333 .6667 .4303"
    assert read(cif(TRIGONAL, text, whole)).crystal.element_counts == {"H": 2, "Mg": 1, "O": 2}


CUBIC = "4.2 4.2 4.2 90 90 90"
ROCK_SALT = "Mg1 Mg 0 0 0\nO1 O .5 .5 .5"


@pytest.mark.parametrize("column", ["sof", "occupation", "site_occupancy", "occ"])
def test_a_share_under_another_name_is_a_share(column):
    sites = "Mg1 Mg 0 0 0 .5\nO1 O .5 .5 .5 1"
    columns = f"label type_symbol fract_x fract_y fract_z {column}"
    with pytest.raises(UnreadableCrystal, match="occupancy"):
        read(cif(CUBIC, f"{NAME} 'F m -3 m'", sites, columns))


def test_columns_that_are_not_read_are_named():
    columns = "label type_symbol fract_x fract_y fract_z strange_number"
    reading = read(cif(CUBIC, f"{NAME} 'F m -3 m'", "Mg1 Mg 0 0 0 7\nO1 O .5 .5 .5 8", columns))
    assert reading.notes == ("the column _atom_site_strange_number was not read",)


@pytest.mark.parametrize(
    ("sites", "words"),
    [
        ("Q1 C 0 0 0\nO1 O .5 .5 .5", "residual density"),
        ("Nb1 Nb0.8 0 0 0\nC1 C .5 .5 .5", "'Nb0.8'"),
        ("Fe1 Fe0.9 0 0 0\nO1 O .5 .5 .5", "'Fe0.9'"),
        ("Li1 Li 0 0 0\nD1 H .5 .5 .5", "deuterium"),
        ("Mg1 Mg 1e300 0 0\nO1 O .5 .5 .5", "1e300"),
    ],
)
def test_sites_that_are_no_atoms_of_their_symbol_are_refused(sites, words):
    with pytest.raises(UnreadableCrystal, match=words):
        read(cif(CUBIC, f"{NAME} 'F m -3 m'", sites))


def test_masked_solvent_is_refused():
    for tag in ("_platon_squeeze_void_count_electrons", "_smtbx_masks_void_count_electrons"):
        with pytest.raises(UnreadableCrystal, match="atoms are missing"):
            read(cif(CUBIC, f"{NAME} 'F m -3 m'\n{tag} 40", ROCK_SALT))


def test_labels_of_another_element_are_noted_and_sites_of_two_loops_refused():
    reading = read(cif(CUBIC, f"{NAME} 'F m -3 m'", ROCK_SALT.replace("Mg1", "Ca1")))
    assert reading.crystal.element_counts == {"Mg": 4, "O": 4} and "Ca1 is Mg" in reading.notes[0]
    split = cif(CUBIC, f"{NAME} 'F m -3 m'", "Mg1 0 0 0\nO1 .5 .5 .5", "label fract_x fract_y fract_z")
    with pytest.raises(UnreadableCrystal, match="two loops"):
        read(split + "loop_\n_atom_site_type_symbol\nO\nMg\n")


@pytest.mark.parametrize(
    "stated",
    [
        f"_space_group_name_H-M_alt 'P n m a'\n{NAME} 'P b n m'",
        f"_space_group_name_Hall '-P 2ac 2n'\n{NAME} 'P b n m'",
    ],
)
def test_two_settings_of_one_group_are_not_followed_in_silence(stated):
    """Perovskite in the axes of Pbnm: under Pnma its oxygens stand elsewhere."""
    sites = "Ca1 Ca .993 .036 .25\nTi1 Ti 0 .5 0\nO1 O .071 .484 .25\nO2 O .711 .289 .037"
    cell = "5.378 5.444 7.637 90 90 90"
    with pytest.raises(UnreadableCrystal):
        read(cif(cell, stated, sites))
    decided = read(cif(cell, f"{stated}\n_chemical_formula_sum 'Ca O3 Ti'\n_cell_formula_units_Z 4", sites))
    assert decided.crystal.element_counts == {"Ca": 4, "O": 12, "Ti": 4}


def test_the_unique_axis_is_the_one_with_the_angle():
    sites = "Fe1 Fe 0 0 0\nO1 O .2 .3 .25"
    by_c = read(cif("5 6 7 90 90 90.4", f"{NAME} 'P 21/m'", sites)).crystal
    assert by_c.element_counts == {"Fe": 2, "O": 2}
    with pytest.raises(UnreadableCrystal, match="does not fit"):
        read(cif("5 6 7 90 90.5 90", f"{NAME} 'P n m a'", sites))
    assert any(
        "unique axis b" in note for note in read(cif("5 6 7 90 90 90", f"{NAME} 'P 2/m'", sites)).notes
    )


def test_an_old_name_with_blanks_is_no_screw_axis():
    with pytest.raises(UnreadableCrystal, match="not known"):
        read(cif("4 4 5 90 90 120", f"{NAME} 'P 3 2'", "Si1 Si .1 .2 .3"))


def test_thousands_of_listed_atoms_beside_a_name_take_no_minutes():
    side = 12
    grid = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) / side
    sites = "\n".join(f"Po{place} Po {x:.6f} {y:.6f} {z:.6f}" for place, (x, y, z) in enumerate(grid, 1))
    cell = f"{3.36 * side} {3.36 * side} {3.36 * side} 90 90 90"
    started = time.process_time()
    listed = "loop_\n_symmetry_equiv_pos_as_xyz\nx,y,z"
    assert len(read(cif(cell, f"{NAME} 'P m -3 m'\n{listed}", sites)).crystal.species) == side**3
    with pytest.raises(UnreadableCrystal, match=r"listed already|one place"):
        read(cif(cell, f"{NAME} 'P m -3 m'", sites))
    assert time.process_time() - started < 20


def frame(comment, species=("Mg", "O"), further=("", "")):
    lines = [f"{symbol} {2 * place} {2 * place} {2 * place}{more}" for place, (symbol, more) in
             enumerate(zip(species, further, strict=True))]  # fmt: skip
    return "\n".join(["2", f'Lattice="4 0 0 0 4 0 0 0 4" {comment}', *lines]) + "\n"


@pytest.mark.parametrize(
    "flag", ["pbc=TTF", 'PBC="T T F"', "pbc=[T, T, F]", 'pbc="1 1 0"', 'pbc="True True False"']
)
def test_periodicity_is_understood_however_it_is_written(flag):
    reading = read(frame(flag), "extxyz")
    assert "a layer" in reading.notes[0] and reading.crystal.pbc == (True, True, False)


@pytest.mark.parametrize("flag", ['periodic="xy"', "boundary=ppf", 'pbc="T T"', "pbc=xy"])
def test_periodicity_that_is_not_understood_is_refused(flag):
    with pytest.raises(UnreadableCrystal, match="not understood"):
        read(frame(flag), "extxyz")


def test_shared_sites_of_extxyz_are_refused_and_masses_noted():
    shares = r'occupancy="_JSON {\"0\": {\"Mg\": 0.6, \"Fe\": 0.4}}"'
    with pytest.raises(UnreadableCrystal, match="disorder"):
        read(frame(shares), "extxyz")
    whole = r'occupancy="_JSON {\"0\": {\"Mg\": 1.0}, \"1\": {\"O\": 1.0}}"'
    assert read(frame(whole), "extxyz").crystal.element_counts == {"Mg": 1, "O": 1}
    heavy = frame("Properties=species:S:1:pos:R:3:masses:R:1", ("Li", "H"), (" 6.94", " 2.014"))
    assert read(heavy, "extxyz").notes == ("masses of atoms were not read",)


@pytest.mark.parametrize("cartesian", ["False", False, "false"])
def test_coordinates_of_jarvis_are_what_it_says(cartesian):
    atoms = {
        "lattice_mat": (4 * np.eye(3)).tolist(),
        "coords": [[0, 0, 0], [0.5] * 3],
        "elements": ["Cs", "Cl"],
    }
    found = read({**atoms, "cartesian": cartesian}, "jarvis").crystal
    np.testing.assert_allclose(found.frac_coords[1], 0.5)
    with pytest.raises(UnreadableCrystal, match="cartesian"):
        read(atoms, "jarvis")


POSCAR = "CsCl\n1.0\n4.12 0 0\n0 4.12 0\n0 0 4.12\nCs Cl\n1 1\nDirect\n0 0 0\n.5 .5 .5\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (POSCAR + ".25 .25 .25\n", "more coordinates"),
        (POSCAR.replace("Direct", "Direct configuration=     1"), "trajectory"),
        (POSCAR.replace("1.0", "4 4 4", 1), "three scale factors"),
        ("\n".join(POSCAR.splitlines()[:-1]) + "\n", "ends before"),
        (POSCAR.replace("Direct\n", ""), "Direct or Cartesian|ends before"),
    ],
)
def test_faults_of_a_poscar_are_named(text, words):
    with pytest.raises(UnreadableCrystal, match=words):
        read(text, "poscar")


def test_a_comment_behind_the_symbols_of_a_poscar_is_no_symbol():
    commented = POSCAR.replace("Cs Cl\n", "Cs Cl ! caesium chloride\n")
    assert read(commented, "poscar").crystal.element_counts == {"Cl": 1, "Cs": 1}


CESIUM = Structure(Lattice.cubic(4.12), ["Cs", "Cl"], [[0, 0, 0], [0.5] * 3])
TEXT = cif("4.12 4.12 4.12 90 90 90", f"{NAME} 'P m -3 m'", "Cs1 Cs 0 0 0\nCl1 Cl .5 .5 .5")


@pytest.mark.parametrize(
    "content",
    [
        {"structures": [CESIUM.as_dict()] * 2},
        {"material_id": ["a", "b"], "cif": [TEXT, TEXT]},
        [[CESIUM.as_dict(), CESIUM.as_dict()]],
        {"data": [{"id": "a", "structure": CESIUM.as_dict()}, {"id": "b", "cif": TEXT}]},
    ],
)
def test_shapes_of_json_are_found(tmp_path, content):
    (tmp_path / "a.json").write_text(json.dumps(content))
    crystals, verdicts = read_imported(tmp_path / "a.json")
    assert len(crystals) == 2 and all(it.element_counts == {"Cl": 1, "Cs": 1} for it in crystals), verdicts


def test_json_lines_and_entry_ids(tmp_path):
    rows = [{"entry_id": f"mp-{place}", "structure": CESIUM.as_dict()} for place in (1, 2)]
    (tmp_path / "a.json").write_text("\n".join(map(json.dumps, rows)) + "\n")
    assert [crystal.id for crystal in read_imported(tmp_path / "a.json")[0]] == ["mp-1", "mp-2"]


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("nan", "empty"), ("None", "empty"), ("cifs/a.cif", "name of a file"), ("a.vasp", "name of a file"),
        ("Atoms(symbols='CsCl', pbc=True)", "printed object"), (str(CESIUM), "printed object"),
    ],
)  # fmt: skip
def test_cells_that_are_no_crystals_are_called_what_they_are(tmp_path, cell, words):
    pd.DataFrame({"id": ["a", "b"], "cif": [TEXT, cell]}).to_csv(tmp_path / "a.csv", index=False)
    _, verdicts = read_imported(tmp_path / "a.csv")
    assert [verdict.verdict for verdict in verdicts] == ["pass", "error"] and words in verdicts[1].reason


@pytest.mark.parametrize("cell", [repr(TEXT.encode()), TEXT.replace("\n", "\\n")])
def test_texts_that_a_table_wrote_its_own_way_are_read(tmp_path, cell):
    pd.DataFrame({"cif": [cell]}).to_csv(tmp_path / "a.csv", index=False)
    (crystal,), _ = read_imported(tmp_path / "a.csv")
    assert crystal.element_counts == {"Cl": 1, "Cs": 1}


def test_ids_in_the_index_and_texts_in_bytes_of_a_parquet_table(tmp_path):
    frame = pd.DataFrame({"cif": [TEXT.encode()] * 2}, index=pd.Index(["mp-1", "mp-2"], name="material_id"))
    frame.to_parquet(tmp_path / "a.parquet")
    assert [crystal.id for crystal in read_imported(tmp_path / "a.parquet")[0]] == ["mp-1", "mp-2"]


@pytest.mark.parametrize("separator", ["/", "\\"])
def test_a_dataset_zipped_with_its_folder_is_read(tmp_path, separator):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"set{separator}id_prop.csv.gz", gzip.compress(b"1,0.5\n2,1.5\n"))
        for name in ("1", "2"):
            archive.writestr(f"set{separator}{name}.cif", TEXT)
        archive.writestr("__MACOSX/set/._1.cif", "fork")
    entry = parse_registry({"mine": {"target": {"column": "gap"}, "path": str(path)}})["mine"]
    table, _ = load_dataset(entry)
    assert list(table["id"]) == ["1", "2"] and list(table["target"]) == [0.5, 1.5]


@pytest.mark.parametrize("target", [True, False])
def test_a_truth_value_is_no_target(tmp_path, target):
    rows = [
        {"id": name, "structure": CESIUM.as_dict(), "gap": value}
        for name, value in (("a", 1.0), ("b", target))
    ]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    entry = parse_registry({"mine": {"target": {"column": "gap"}, "path": str(tmp_path / "a.json")}})["mine"]
    with pytest.raises(DatasetError, match=f"target gap is {target}, which is not a number"):
        load_dataset(entry)


def test_crystals_of_a_folder_are_called_after_their_files(tmp_path):
    (tmp_path / "b_mgo.extxyz").write_text(frame(""))
    (tmp_path / "c_two.xyz").write_text(frame("") * 2)
    (tmp_path / "a.json").write_text(json.dumps([CESIUM.as_dict()] * 2))
    ids = [crystal.id for crystal in read_imported(tmp_path)[0]]
    assert ids == ["a-00001", "a-00002", "b_mgo", "c_two-00001", "c_two-00002"]
    assert [crystal.id for crystal in read_imported(tmp_path / "b_mgo.extxyz")[0]] == ["b_mgo"]


def test_a_link_to_nowhere_and_a_table_in_a_folder_are_named(tmp_path):
    (tmp_path / "a.cif").symlink_to(tmp_path / "gone")
    (tmp_path / "b.cif").write_text(TEXT)
    (tmp_path / "id_prop.csv").write_text("b,1.0\n")
    crystals, verdicts = read_imported(tmp_path)
    assert [crystal.id for crystal in crystals] == ["b"] and "link to nowhere" in verdicts[0].reason
    (passed_over,) = open_crystal_file(tmp_path).passed_over
    assert "id_prop.csv" in passed_over and "as a dataset" in passed_over


def test_charges_of_species_are_left_out_with_a_note():
    assert read(frame("", ("Mg2+", "O2-")), "extxyz").notes == ("charges of the species were not read",)


def test_what_shelxl_writes_for_every_site_is_no_occupancy():
    """Flags of the refinement, the order of the site symmetry and the like; only the share is a share."""
    columns = (
        "label type_symbol fract_x fract_y fract_z U_iso_or_equiv adp_type occupancy site_symmetry_order "
        "calc_flag refinement_flags_posn refinement_flags_adp refinement_flags_occupancy disorder_assembly "
        "disorder_group"
    )
    sites = "Mg1 Mg 0 0 0 0.0051(2) Uani 1 48 d S . . . .\nO1 O 0.5 0.5 0.5 0.0064(3) Uani 1 48 d S . P . ."
    head = f"_space_group_name_H-M_alt 'F m -3 m'\n_space_group_crystal_system cubic\n{OPERATIONS}"
    reading = read(cif(CUBIC, head, sites, columns))
    assert reading.crystal.element_counts == {"Mg": 4, "O": 4} and reading.notes == ()


OPERATIONS = "_space_group_name_Hall '-F 4 2 3'"


@pytest.mark.parametrize("electrons", ["40", "12.5", "?"])
def test_masked_solvent_is_seen_in_a_loop_too(electrons):
    loop = (
        "loop_\n_platon_squeeze_void_nr\n_platon_squeeze_void_volume\n_platon_squeeze_void_count_electrons\n"
        f"1 210 {electrons}"
    )
    with pytest.raises(UnreadableCrystal, match="atoms are missing"):
        read(cif(CUBIC, f"{NAME} 'F m -3 m'\n{loop}", ROCK_SALT))
    empty = loop.removesuffix(electrons) + "0"
    assert read(cif(CUBIC, f"{NAME} 'F m -3 m'\n{empty}", ROCK_SALT)).crystal.element_counts["O"] == 4


@pytest.mark.parametrize("angles", ["20 20 20", "150 60 100", "90 90 172"])
def test_two_atoms_at_one_place_are_seen_in_a_skewed_cell(angles):
    """Fractional distances are long there: 0.008 Å is more than it is in a cell of right angles."""
    lattice = Lattice.from_parameters(8, 8, 8, *map(float, angles.split()))
    longest = np.linalg.svd(np.linalg.inv(lattice.matrix))[0]
    directions = [*np.eye(3), longest[:, 0]]
    for direction in directions:
        x, y, z = 0.3 + 0.008 * direction @ np.linalg.inv(lattice.matrix)
        sites = f"Cs1 Cs 0.3 0.3 0.3\nCl1 Cl {x:.9f} {y:.9f} {z:.9f}"
        with pytest.raises(UnreadableCrystal, match="one place"):
            read(cif(f"8 8 8 {angles}", f"{NAME} 'P 1'", sites))


def test_charges_of_type_symbols_are_left_out_with_a_note():
    reading = read(cif(CUBIC, f"{NAME} 'F m -3 m'", "Mg1 Mg2+ 0 0 0\nO1 O2- .5 .5 .5"))
    assert reading.notes == ("charges of the species were not read",)


def test_crystals_in_a_folder_of_their_own_are_found_by_a_dataset(tmp_path):
    (tmp_path / "cifs").mkdir()
    (tmp_path / "id_prop.csv").write_text("a,0.5\nb.cif,1.5\n")
    for name in ("a", "b"):
        (tmp_path / "cifs" / f"{name}.cif").write_text(TEXT)
    entry = parse_registry({"mine": {"target": {"column": "gap"}, "path": str(tmp_path)}})["mine"]
    assert list(load_dataset(entry)[0]["target"]) == [0.5, 1.5]
