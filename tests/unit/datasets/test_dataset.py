import gzip
import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from matwheel.crystals.crystal import Crystal
from matwheel.crystals.table import space_group
from matwheel.datasets.dataset import load_dataset, row_order_sha256
from matwheel.datasets.registry import DatasetEntry, TargetColumn, parse_registry
from matwheel.datasets.sources import DatasetError

ROOT = Path(__file__).parents[3]
MIRROR = ROOT.parent / "shared" / "datasets"

CIF = """data_{name}
_symmetry_space_group_name_H-M 'P 1'
_cell_length_a {a}
_cell_length_b {a}
_cell_length_c {a}
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
{sites}
"""
ROCK_SALT = CIF.format(name="CsCl", a=4.12, sites="Cs1 Cs 0 0 0 1\nCl1 Cl 0.5 0.5 0.5 1")
ONE_ATOM = CIF.format(name="Po", a=3.35, sites="Po1 Po 0 0 0 1")
PARTIAL = CIF.format(name="alloy", a=3.6, sites="Cu1 Cu 0 0 0 0.5\nAu1 Au 0 0 0 0.5")


def _csv(path, cifs, targets, ids=None):
    frame = pd.DataFrame({"cif": cifs, "target": targets})
    if ids is not None:
        frame.insert(0, "id", ids)
    frame.to_csv(path, index=False)
    return DatasetEntry("mine", "Mine", TargetColumn("target"), path=str(path))


def test_own_csv_with_a_one_atom_cell(tmp_path):
    entry = _csv(tmp_path / "data.csv", [ROCK_SALT, ONE_ATOM], [1.5, -2], ["b", "a"])
    table, provenance = load_dataset(entry)
    assert list(table["id"]) == ["b", "a"]
    assert list(table["formula"]) == ["CsCl", "Po"]
    assert list(table["space_group"]) == [221, 221]
    assert list(table["target"]) == [1.5, -2.0]
    assert provenance["sha256"] == sha256((tmp_path / "data.csv").read_bytes()).hexdigest()
    assert provenance["rows"] == 2 and provenance["max_atoms"] == 2
    json.dumps(provenance, allow_nan=False)


def test_own_parquet_and_gzip_and_folder_give_the_same_crystals(tmp_path):
    entry = _csv(tmp_path / "data.csv", [ROCK_SALT, ONE_ATOM], [1.5, 2.5], ["x1", "x2"])
    expected, _ = load_dataset(entry)
    pd.read_csv(tmp_path / "data.csv").to_parquet(tmp_path / "data.parquet")
    (tmp_path / "data.csv.gz").write_bytes(gzip.compress((tmp_path / "data.csv").read_bytes()))
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "targets.csv").write_text("id,target\nx1,1.5\nx2,2.5\n")
    (folder / "x1.cif").write_text(ROCK_SALT)
    (folder / "x2.cif").write_text(ONE_ATOM)
    for path in ("data.parquet", "data.csv.gz", "folder"):
        table, _ = load_dataset(DatasetEntry("mine", "", TargetColumn("target"), path=str(tmp_path / path)))
        pd.testing.assert_frame_equal(table, expected)
    digest = load_dataset(DatasetEntry("mine", "", TargetColumn("target"), path=str(folder)))[1]["sha256"]
    (folder / "x2.cif").write_text(ONE_ATOM.replace("3.35", "3.36"))
    assert (
        load_dataset(DatasetEntry("m", "", TargetColumn("target"), path=str(folder)))[1]["sha256"] != digest
    )


def test_ids_are_numbered_when_there_are_none(tmp_path):
    table, _ = load_dataset(_csv(tmp_path / "data.csv", [ROCK_SALT, ONE_ATOM], [1, 2]))
    assert list(table["id"]) == ["row-00001", "row-00002"]


@pytest.mark.parametrize(
    ("cif", "target", "crystal_id", "complaint"),
    [
        (ROCK_SALT, "abc", "b", r"row 2 \(id b\): target target is 'abc', which is not a number; correct"),
        (ROCK_SALT, float("nan"), "b", r"row 2 \(id b\): target target is missing \(NaN or empty\); correct"),
        (ROCK_SALT, "inf", "b", r"row 2 \(id b\): target target is 'inf', which is not a number; correct"),
        ("data_x\nnonsense", 1, "b", r"row 2 \(id b\): the CIF does not parse .*; correct it or delete"),
        ("", 1, "b", r"row 2 \(id b\): the CIF is empty; correct it or delete"),
        (ROCK_SALT + ONE_ATOM, 1, "b", r"row 2 \(id b\): the CIF holds 2 structures"),
        (
            PARTIAL,
            1,
            "b",
            r"row 2 \(id b\): site Cu1 has occupancy 0.5; partial occupancy is disorder, order it",
        ),
        (ONE_ATOM.replace("3.35", "0.1"), 1, "b", r"row 2 \(id b\): the cell volume is 0.001"),
        (ROCK_SALT, 1, "a", r"row 2 \(id a\): the id occurs twice, first in row 1"),
        (ROCK_SALT, 1, "", r"row 2 \(id \): the id is missing"),
        (ROCK_SALT, 1, "b/c", r"row 2 \(id b/c\): an id must not contain"),
    ],
)
def test_a_bad_row_is_named(tmp_path, cif, target, crystal_id, complaint):
    path = tmp_path / "data.csv"
    entry = _csv(path, [ROCK_SALT, cif], [1.0, target], ["a", crystal_id])
    with pytest.raises(DatasetError, match=rf"{path}, {complaint}") as caught:
        load_dataset(entry)
    assert "\n" not in str(caught.value)


def test_bad_files(tmp_path):
    path = tmp_path / "data.csv"
    entry = _csv(path, [ROCK_SALT], [1.0])
    path.write_text("id,energy,target\na,x,1\n")
    with pytest.raises(DatasetError, match=r"data.csv: column 'cif' is missing, .*found id, energy, target"):
        load_dataset(entry)
    path.write_text("cif,target\n")
    with pytest.raises(DatasetError, match=r"data.csv: has no data rows"):
        load_dataset(entry)
    path.write_text("")
    with pytest.raises(DatasetError, match=r"data.csv: the file is empty"):
        load_dataset(entry)
    path.write_text('cif,target\n"unclosed,1\n')
    with pytest.raises(DatasetError, match=r"data.csv, line 2: a quote is opened and never closed"):
        load_dataset(entry)
    path.unlink()
    with pytest.raises(DatasetError, match=r"dataset mine: .*data.csv does not exist; correct `path`"):
        load_dataset(entry)
    (tmp_path / "data.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(DatasetError, match=r"data.parquet: cannot be read as .parquet"):
        load_dataset(DatasetEntry("mine", "", TargetColumn("target"), path=str(tmp_path / "data.parquet")))
    (tmp_path / "data.xlsx").write_bytes(b"x")
    with pytest.raises(DatasetError, match=r"files of type '.xlsx' cannot be read; give .csv"):
        load_dataset(DatasetEntry("mine", "", TargetColumn("target"), path=str(tmp_path / "data.xlsx")))


def test_bad_folders(tmp_path):
    entry = DatasetEntry("mine", "", TargetColumn("target"), path=str(tmp_path))
    with pytest.raises(DatasetError, match=r"holds 0 CSV files; it must hold exactly one"):
        load_dataset(entry)
    (tmp_path / "targets.csv").write_text("id,target\nx1,1\n")
    with pytest.raises(DatasetError, match=r"targets.csv, row 1 \(id x1\): the file .*x1.cif does not exist"):
        load_dataset(entry)
    (tmp_path / "targets.csv").write_text("x1,one\n")
    with pytest.raises(DatasetError, match=r"column 'id' is missing|has no data rows"):
        load_dataset(entry)


def _mirror_registry(content: bytes, **expected):
    source = {"kind": "mirror", "name": "tiny.json", "id_column": "id", "crystal_format": "arrays"}
    source["sha256"] = sha256(content).hexdigest()
    return parse_registry({"tiny": {"target": {"column": "y"}, "expected": expected, "sources": [source]}})[
        "tiny"
    ]


def _tiny_rows():
    cube = (4 * np.eye(3)).tolist()
    return [
        {"id": "a", "species": ["Na"], "lattice": cube, "frac_coords": [[0, 0, 0]], "y": 1.0},
        {"id": "b", "species": ["K", "Cl"], "lattice": cube, "frac_coords": [[0, 0, 0], [0.5] * 3], "y": 9.0},
    ]


@pytest.mark.parametrize(
    ("expected", "complaint"),
    [
        ({"rows": 3}, r"tiny.json: has 2 rows, expected 3; this is not the data"),
        ({"max_atoms": 3}, r"tiny.json, row 2 \(id b\): the largest cell has 2 atoms, expected 3"),
        (
            {"target_min": 0.9, "target_tolerance": 0.05},
            r"row 1 \(id a\): the smallest target is 1, expected 0.9",
        ),
        (
            {"target_max": 9.2, "target_tolerance": 0.05},
            r"row 2 \(id b\): the largest target is 9, expected 9.2",
        ),
    ],
)
def test_what_differs_from_the_registry_is_refused(tmp_path, expected, complaint):
    content = json.dumps(_tiny_rows()).encode()
    (tmp_path / "tiny.json").write_bytes(content)
    assert len(load_dataset(_mirror_registry(content, rows=2, max_atoms=2), [tmp_path])[0]) == 2
    with pytest.raises(DatasetError, match=complaint):
        load_dataset(_mirror_registry(content, **expected), [tmp_path])


def test_bad_arrays_are_named(tmp_path):
    for change, complaint in (
        ({"species": []}, r"row 1 \(id a\): 3 coordinates for 0 atoms; three each"),
        ({"species": ["D"]}, r"row 1 \(id a\): 'D' is deuterium, .*write H for D and T"),
        ({"species": ["Xx"]}, r"row 1 \(id a\): 'Xx' is not a chemical element"),
        ({"frac_coords": [[0, 0, float("nan")]]}, r"row 1 \(id a\): the lattice or a position is not finite"),
    ):
        rows = _tiny_rows()
        rows[0].update(change)
        content = json.dumps(rows).encode()
        (tmp_path / "tiny.json").write_bytes(content)
        with pytest.raises(DatasetError, match=complaint):
            load_dataset(_mirror_registry(content), [tmp_path])
    rows = _tiny_rows()
    del rows[1]["y"]
    content = json.dumps(rows).encode()
    (tmp_path / "tiny.json").write_bytes(content)
    with pytest.raises(DatasetError, match=r"tiny.json, row 2: column 'y' is missing"):
        load_dataset(_mirror_registry(content), [tmp_path])


def test_when_nothing_answers_the_message_helps(tmp_path):
    entry = _mirror_registry(b"anything")
    with pytest.raises(DatasetError) as caught:
        load_dataset(entry, [tmp_path / "mirror", tmp_path], command_without="snakemake results/table2.csv")
    message = str(caught.value)
    assert f"1. mirror file tiny.json in {tmp_path / 'mirror'}, {tmp_path}: not there" in message
    assert (
        f"place the file tiny.json (sha256 {sha256(b'anything').hexdigest()}) in {tmp_path / 'mirror'}"
        in message
    )
    assert "Without this dataset: snakemake results/table2.csv" in message


def test_sources_are_tried_in_order(tmp_path):
    content = json.dumps(_tiny_rows()).encode()
    (tmp_path / "tiny.json").write_bytes(content)
    source = {"kind": "mirror", "id_column": "id", "crystal_format": "arrays"}
    registry = {
        "tiny": {
            "target": {"column": "y"},
            "sources": [{**source, "name": "absent.json"}, {**source, "name": "tiny.json"}],
        }
    }
    _, provenance = load_dataset(parse_registry(registry)["tiny"], [tmp_path])
    assert [item["reason"] for item in provenance["tried"]] == ["not there"]
    assert provenance["origin"].endswith("tiny.json")


@pytest.mark.parametrize(
    ("registry", "complaint"),
    [
        ({}, "the registry of datasets is empty"),
        ({"Bad name": {}}, "^Bad name: a name has lower-case"),
        ({"x": {"path": "p", "colour": 1}}, "^x.colour is 1; there is no such setting"),
        ({"x": {"title": "t"}}, "^x: give either `path`"),
        ({"x": {"path": "p", "sources": [{"kind": "mirror", "name": "n"}]}}, "^x: give either `path`"),
        ({"x": {"sources": []}}, r"^x.sources is \[\]; give a list of 1 or more"),
        ({"x": {"path": "p", "target": {"units": "eV"}}}, "^x.target.column is missing"),
        ({"x": {"path": "p", "expected": {"rows": 0}}}, "^x.expected.rows is 0; give a whole number from 1"),
        (
            {"x": {"sources": [{"kind": "ftp", "name": "n"}]}},
            "^x.sources.0.kind is 'ftp'; give one of mirror",
        ),
        (
            {"x": {"sources": [{"kind": "mirror", "name": "n", "sha256": "12"}]}},
            "^x.sources.0.sha256 is '12'; give a text that matches",
        ),
        (
            {"x": {"sources": [{"kind": "pypi", "name": "matminer"}]}},
            "^x.sources.0.name is 'matminer'; a PyPI archive needs a pinned name",
        ),
    ],
)
def test_a_wrong_registry_is_refused_by_key(registry, complaint):
    with pytest.raises(ValueError, match=complaint):
        parse_registry(registry)


def test_the_project_registry_parses_and_meets_its_schema():
    jsonschema = pytest.importorskip("jsonschema")
    content = yaml.safe_load((ROOT / "config" / "datasets.yaml").read_text())
    schema = yaml.safe_load((ROOT / "config" / "schemas" / "datasets.schema.yaml").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(content, schema)
    registry = parse_registry(content)
    assert registry["jarvis2d_exfoliation"].expected.rows == 636
    assert registry["mp_poly_total"].expected.rows == 1056
    content["mine"] = {"path": "data.csv", "target": {"column": "y"}}
    jsonschema.validate(content, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"mine": {**content["mine"], "colour": 1}}, schema)


@pytest.mark.skipif(not MIRROR.is_dir(), reason="no mirror folder beside the repository")
def test_jarvis2d_is_what_table_1_says():
    registry = parse_registry(yaml.safe_load((ROOT / "config" / "datasets.yaml").read_text()))
    entry = registry["jarvis2d_exfoliation"]
    table, provenance = load_dataset(entry, [MIRROR])
    assert len(table) == 636 and table["formula"].nunique() == 568
    assert provenance["sha256"] == entry.sources[0].sha256
    assert row_order_sha256(table) == entry.expected.row_order_sha256
    assert row_order_sha256(table[::-1]) != entry.expected.row_order_sha256


def test_a_cell_without_a_space_group_has_none_whatever_was_imported_before() -> None:
    import phonopy.structure.symmetry  # noqa: F401  makes spglib raise where it returned None

    flat = Crystal("flat", ("Na",), np.diag([4.0, 4.0, 0.0]), np.zeros((1, 3)))
    assert space_group(flat) == 0
    assert space_group(Crystal("none", ("Na",), 4.0 * np.eye(3), np.full((1, 3), np.nan))) == 0


def test_tables_keep_what_is_not_periodic_and_their_bytes_where_all_is(tmp_path) -> None:
    import numpy as np

    from matwheel.crystals.crystal import Crystal
    from matwheel.crystals.table import (
        crystal_table,
        crystals_of_table,
        geometry_columns,
        read_table,
        write_table,
    )

    bulk = Crystal("bulk", ("Cu",), np.eye(3) * 2.5, [[0, 0, 0]])
    layer = Crystal("layer", ("Cu",), np.diag([2.5, 2.5, 20.0]), [[0, 0, 0]], pbc=(True, True, False))
    assert "pbc" not in crystal_table([bulk])
    write_table(crystal_table([bulk, layer]), tmp_path / "both.parquet")
    both = read_table(tmp_path / "both.parquet")
    assert (
        geometry_columns(both)[-1] == "pbc" and geometry_columns(crystal_table([bulk]))[-1] == "space_group"
    )
    assert [crystal.pbc for crystal in crystals_of_table(both)] == [bulk.pbc, layer.pbc]
    joined = pd.concat([crystal_table([bulk]), both], ignore_index=True)
    assert [crystal.pbc for crystal in crystals_of_table(joined)] == [bulk.pbc, bulk.pbc, layer.pbc]
