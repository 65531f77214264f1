import gzip
import io
import re
import time
import zipfile

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifWriter

from matwheel.core.errors import InputError
from matwheel.crystals.crystal import Crystal, to_structure
from matwheel.crystals.imported import read_imported
from matwheel.crystals.table import crystal_table, write_cif_archive, write_table

HEAD = """data_{name}
_symmetry_space_group_name_H-M 'P 1'
_cell_length_a 4
_cell_length_b 4
_cell_length_c 4
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
 _atom_site_type_symbol
 _atom_site_label
 _atom_site_fract_x
 _atom_site_fract_y
 _atom_site_fract_z
 _atom_site_occupancy
"""
GOOD = " Cs Cs0 0 0 0 1\n Cl Cl0 .5 .5 .5 1\n"


def cif(atoms=GOOD, name="x"):
    return HEAD.format(name=name) + atoms


def same(one, other):
    """The same cell with the same atoms in any order (pymatgen sorts those of a CIF)."""
    assert sorted(one.species) == sorted(other.species)
    np.testing.assert_allclose(one.lattice @ one.lattice.T, other.lattice @ other.lattice.T, atol=1e-5)
    left = list(range(len(other.species)))
    for symbol, position in zip(one.species, one.frac_coords, strict=True):
        difference = other.frac_coords[left] - position
        distances = np.abs(difference - np.round(difference)).max(axis=1)
        place = int(distances.argmin())
        assert distances[place] < 1e-5 and other.species[left[place]] == symbol
        left.pop(place)


def extxyz(crystals, ids=True):
    lines = []
    for crystal in crystals:
        lattice = " ".join(f"{value:.10f}" for value in crystal.lattice.ravel())
        own = f' id="{crystal.id}"' if ids else ""
        lines += [
            str(len(crystal.species)),
            f'Lattice="{lattice}" Properties=species:S:1:pos:R:3{own} pbc="T T T"',
        ]
        positions = crystal.frac_coords @ crystal.lattice
        lines += [
            f"{symbol} {x:.10f} {y:.10f} {z:.10f}"
            for symbol, (x, y, z) in zip(crystal.species, positions, strict=True)
        ]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def crystals(jarvis_crystals):
    return jarvis_crystals[0][:12]


@pytest.fixture(params=["parquet", "csv", "csv.gz", "zip", "folder", "extxyz", "many.cif"])
def written(request, tmp_path, crystals):
    """The same crystals in every format."""
    path = tmp_path / f"made.{request.param}"
    cifs = {crystal.id: str(CifWriter(to_structure(crystal))) for crystal in crystals}
    if request.param == "parquet":
        write_table(crystal_table(crystals), path)
    elif request.param == "csv":
        pd.DataFrame({"material_id": list(cifs), "cif": list(cifs.values())}).to_csv(path, index=False)
    elif request.param == "csv.gz":
        text = pd.DataFrame({"cif": list(cifs.values()), "id": list(cifs), "gap": 1.0}).to_csv(index=False)
        path.write_bytes(gzip.compress(text.encode()))
    elif request.param == "zip":
        write_cif_archive(crystals, path)
    elif request.param == "folder":
        path.mkdir()
        for name, text in cifs.items():
            (path / f"{name}.cif").write_text(text)
    elif request.param == "extxyz":
        path.write_text(extxyz(crystals))
    else:
        path.write_text("data_global\n_audit_creation_method 'by hand'\n" + "".join(cifs.values()))
    return path


def test_every_format_gives_the_same_crystals(written, crystals):
    read, verdicts = read_imported(written)
    assert [verdict.verdict for verdict in verdicts] == ["pass"] * len(crystals)
    assert [verdict.candidate_id for verdict in verdicts] == [crystal.id for crystal in read]
    if written.suffix == ".cif":
        assert [crystal.id for crystal in read] == [f"made-many-{i:05d}" for i in range(1, len(crystals) + 1)]
        expected = list(crystals)
    else:
        by_id = {crystal.id: crystal for crystal in crystals}
        assert {crystal.id for crystal in read} == set(by_id)
        expected = [by_id[crystal.id] for crystal in read]
    for one, other in zip(read, expected, strict=True):
        same(one, other)
    assert all(verdict.tool and verdict.tool_version and verdict.screen == "parse" for verdict in verdicts)
    again = read_imported(written)[0]
    assert all(
        np.array_equal(one.frac_coords, other.frac_coords) for one, other in zip(read, again, strict=True)
    )


BAD_CIFS = {
    "empty": ("", "empty"),
    "no cif": ("nothing of the kind", "does not parse"),
    "partial": (cif(" Cs Cs0 0 0 0 0.5\n Cl Cl0 .5 .5 .5 1\n"), "occupancy 0.5"),
    "mixed": (cif(" Cs Cs0 0 0 0 0.5\n K K0 0 0 0 0.5\n Cl Cl0 .5 .5 .5 1\n"), "partial occupancy"),
    "no occupancy": (cif(" Cs Cs0 0 0 0 nan\n Cl Cl0 .5 .5 .5 1\n"), "occupancy nan"),
    "zero occupancy": (cif(" Cs Cs0 0 0 0 0\n Cl Cl0 .5 .5 .5 1\n"), "occupancy 0"),
    "nan": (cif(" Cs Cs0 nan 0 0 1\n Cl Cl0 .5 .5 .5 1\n"), "site Cs0 is 'nan', NaN"),
    "unknown position": (cif(" Cs Cs0 ? ? ? 1\n Cl Cl0 .5 .5 .5 1\n"), "no structure"),
    "occupancy not given": (cif(" Cs Cs0 0 0 0 .\n Cl Cl0 .5 .5 .5 1\n"), "occupancy is not given"),
    "one place": (cif(" Cs Cs0 0 0 0 1\n Cl Cl0 0 0 0 1\n"), "two atoms at one place"),
    "no element": (cif(" Xx Cs0 0 0 0 1\n Cl Cl0 .5 .5 .5 1\n"), "'Xx.*' is not a chemical element"),
    "cut": (cif()[:-12], "parse|structure"),
    "no atoms": (cif(""), "parse|structure"),
    "two": (cif() + cif(name="y"), "2 structures"),
    "lattice nan": (cif().replace("_cell_length_a 4", "_cell_length_a nan"), "finite"),
    "flat": (cif().replace("_cell_length_a 4", "_cell_length_a 0"), "structure"),
}


def test_bad_rows_of_a_csv_are_named_and_stop_none(tmp_path):
    path = tmp_path / "bad.csv"
    rows = [("good", cif())]
    for name, (text, _) in BAD_CIFS.items():
        rows += [(name, text), (f"after-{name}".replace(" ", "_"), cif())]
    pd.DataFrame(rows, columns=["id", "cif"]).to_csv(path, index=False)
    crystals, verdicts = read_imported(path)
    assert len(verdicts) == len(rows) and len(crystals) == 1 + len(BAD_CIFS)
    for number, ((name, _), verdict) in enumerate(zip(rows, verdicts, strict=True), 1):
        if name in BAD_CIFS:
            assert verdict.verdict == "error" and f"bad.csv, row {number}: " in verdict.reason
            assert re.search(BAD_CIFS[name][1], verdict.reason), verdict
            assert "\n" not in verdict.reason
        else:
            assert verdict.verdict == "pass" and verdict.reason == ""


def test_rows_with_too_many_or_too_few_cells_cost_only_themselves(tmp_path):
    path = tmp_path / "cells.csv"
    buffer = io.StringIO()
    pd.DataFrame({"id": ["a", "d"], "cif": [cif(), cif()]}).to_csv(buffer, index=False)
    first, last = buffer.getvalue().split("\nd,", 1)
    path.write_text(f"{first}\nb\n\nc,1,2\nd,{last}")
    crystals, verdicts = read_imported(path)
    assert [crystal.id for crystal in crystals] == ["a", "d"]
    assert [verdict.verdict for verdict in verdicts] == ["pass", "error", "error", "pass"]
    assert "has 1 cells for 2 columns" in verdicts[1].reason and verdicts[2].candidate_id == "c"


def test_bad_frames_of_extxyz_cost_only_themselves(tmp_path, crystals):
    good = [extxyz([crystal]) for crystal in crystals[:6]]
    truncated = "\n".join(good[1].splitlines()[:-1]) + "\n"
    not_finite = good[2].replace(good[2].splitlines()[2].split()[1], "nan", 1)
    molecule = "3\nwater\nO 0 0 0\nH 0 0 1\nH 0 1 0\n"
    no_period = good[3].replace('pbc="T T T"', 'pbc="F F F"')
    text = "".join(
        [good[0], truncated, good[1], "garbage\nmore\n", not_finite, molecule, good[4], no_period, good[5]]
    )
    path = tmp_path / "frames.extxyz"
    path.write_text(text + "5\n")
    read, verdicts = read_imported(path)
    assert [verdict.verdict for verdict in verdicts] == [
        "pass", "error", "pass", "error", "error", "error", "pass", "error", "pass", "error",
    ]  # fmt: skip
    words = ["lines for", "no frame", "finite", "Lattice", "no direction", "says 5 atoms"]
    faulty = [verdict.reason for verdict in verdicts if verdict.verdict == "error"]
    assert all(word in reason for word, reason in zip(words, faulty, strict=True)), faulty
    line = text[: text.index("garbage")].count("\n") + 1
    assert f"frames.extxyz, frame 4 (line {line})" in faulty[1]
    for crystal, original in zip(read, [crystals[i] for i in (0, 1, 4, 5)], strict=True):
        same(crystal, original)
    # Frames without ids are numbered by their place, faulty ones included.
    path.write_text(extxyz(crystals[:2], ids=False))
    assert [crystal.id for crystal in read_imported(path)[0]] == ["frames-00001", "frames-00002"]


def test_bad_members_of_a_zip_cost_only_themselves(tmp_path, crystals):
    path = tmp_path / "made.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/one.cif", cif())
        archive.writestr("broken.cif", "data_x\n")
        archive.writestr("__MACOSX/one.cif", "resource fork")
        archive.writestr("read me.txt", "no crystal")
        archive.writestr("b/one.cif", cif())
        archive.writestr("zz.cif", cif(name="unlucky"))
    content = path.read_bytes().replace(b"data_unlucky", b"data_changed")
    path.write_bytes(content)  # a member whose checksum is wrong
    read, verdicts = read_imported(path)
    assert [crystal.id for crystal in read] == ["one", "one-2"]
    assert [verdict.verdict for verdict in verdicts] == ["pass", "error", "pass", "error"]
    assert "made.zip, b/one.cif: id one occurs before, became one-2" in verdicts[2].reason
    assert "unpacked" in verdicts[3].reason


def test_ids_are_unique_and_fit_for_file_names(tmp_path):
    names = ["a", "a", "a-2", "a", "x/y z", "", "nan", "../up", "-dash", "é"]
    path = tmp_path / "my set.csv"
    pd.DataFrame({"id": names, "cif": [cif()] * len(names)}).to_csv(path, index=False)
    read, verdicts = read_imported(path)
    ids = [crystal.id for crystal in read]
    assert ids == [
        "a", "a-3", "a-2", "a-4", "x-y-z", "my-set-00006", "my-set-00007", "up", "dash", "my-set-00010",
    ]  # fmt: skip
    assert "id a occurs before, became a-3" in verdicts[1].reason
    assert "id 'x/y z' became x-y-z" in verdicts[4].reason
    assert verdicts[0].reason == "" and len(set(ids)) == len(ids)
    assert [crystal.id for crystal in read_imported(path, id_column="id")[0]] == ids


def test_bad_rows_of_a_crystal_table(tmp_path, crystals):
    frame = crystal_table(crystals[:6])
    frame.at[1, "frac_coords"] = [np.nan] * len(frame.at[1, "frac_coords"])
    frame.at[2, "species"] = []
    frame.at[2, "frac_coords"] = []
    frame.at[3, "lattice"] = [1.0, 2.0]
    frame.at[4, "frac_coords"] = [0.1]
    frame.at[5, "lattice"] = None
    path = tmp_path / "table.parquet"
    frame.to_parquet(path)
    read, verdicts = read_imported(path)
    assert [crystal.id for crystal in read] == [crystals[0].id]
    for verdict, word in zip(
        verdicts[1:], ["finite", "no atoms", "9", "coordinates for", "missing"], strict=True
    ):
        assert verdict.verdict == "error" and word in verdict.reason, verdict
    same(read[0], crystals[0])


def test_strange_but_parsable_crystals_reach_the_screens(tmp_path):
    """They are judged, not refused: overlapping atoms, a flat cell, 500 atoms, a noble gas, a charged ion."""
    close = Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0], [0.02, 0, 0]])
    large = Structure(Lattice.cubic(20), ["He"] * 500, np.random.default_rng(0).random((500, 3)))
    ion = cif(" Cs1+ Cs0 0 0 0 1\n Cl1- Cl0 .5000(3) .5 .5 1.0(1)\n")
    path = tmp_path / "odd.csv"
    pd.DataFrame({"cif": [str(CifWriter(close)), str(CifWriter(large)), ion]}).to_csv(path, index=False)
    read, verdicts = read_imported(path)
    assert [verdict.verdict for verdict in verdicts] == ["pass"] * 3
    assert len(read[1].species) == 500 and read[2].species == ("Cs", "Cl")
    flat = Crystal("flat", ("Na",), np.diag([4.0, 4.0, 0.0]), np.zeros((1, 3)))
    write_table(crystal_table([flat]), tmp_path / "flat.parquet")
    assert read_imported(tmp_path / "flat.parquet")[1][0].verdict == "pass"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.csv", None, ["does not exist"]),
        ("empty.csv", "", ["empty"]),
        ("blank.extxyz", "\n \n", ["empty"]),
        ("header.csv", "id,cif\n", ["holds no crystal"]),
        ("columns.csv", "id,energy\n1,2\n", ["'cif' is missing", "id, energy", "--crystal-column"]),
        ("damaged.zip", "no zip", ["damaged zip"]),
        ("damaged.parquet", "no parquet", ["cannot be read as .parquet"]),
        ("damaged.csv.gz", "no gzip", ["damaged gzip"]),
        ("table.xlsx", "something", [".xlsx", ".extxyz"]),
        ("plain", "something", ["no suffix"]),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_the_remedy(tmp_path, name, content, words):
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError) as refusal:
        read_imported(path)
    assert name in str(refusal.value) and all(word in str(refusal.value) for word in words)


def test_empty_folders_archives_tables_and_missing_id_columns_are_refused(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"no \.cif file"):
        read_imported(tmp_path / "folder")
    with zipfile.ZipFile(tmp_path / "no.zip", "w") as archive:
        archive.writestr("notes.txt", "nothing")
    with pytest.raises(InputError, match=r"no \.cif file"):
        read_imported(tmp_path / "no.zip")
    crystal_table([]).to_parquet(tmp_path / "empty.parquet")
    with pytest.raises(InputError, match="holds no crystal"):
        read_imported(tmp_path / "empty.parquet")
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "other.parquet")
    with pytest.raises(InputError, match="species, lattice, frac_coords"):
        read_imported(tmp_path / "other.parquet")
    (tmp_path / "ids.csv").write_text("id,cif\n1,2\n")
    with pytest.raises(InputError, match="'name'"):
        read_imported(tmp_path / "ids.csv", id_column="name")


def test_thousands_of_rows_are_read_in_seconds(tmp_path, crystals):
    texts = [str(CifWriter(to_structure(crystal))) for crystal in crystals]
    path = tmp_path / "many.csv"
    pd.DataFrame({"cif": [texts[i % len(texts)] for i in range(1000)]}).to_csv(path, index=False)
    started = time.process_time()
    read, _ = read_imported(path)
    assert len(read) == 1000 and time.process_time() - started < 15
