import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from matwheel.errors import InputError
from matwheel.screening.charge_balance import CompositionSettings, formula_balance
from matwheel.screening.formula_tables import METADATA_KEY, judge_count_table, judge_formula_table
from matwheel.screening.formulas import MATGAN_ELEMENTS, formula_counts
from matwheel.screening.oxidation_states import oxidation_table

FORMULAS = ["NaCl", "NaF2", "Na2Cl", "Xx", "CuAu", None, "Mg2SiO4", "Pm2O3", ""] * 5


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "formulas.parquet"
    table = pa.table({"number": range(len(FORMULAS)), "formula": FORMULAS})
    pq.write_table(table, path, row_group_size=7)
    return path


def test_verdicts_do_not_depend_on_the_pieces(source, tmp_path):
    expected = formula_balance(FORMULAS)
    lines = []
    for chunk_rows in (1, 4, 1000):
        target = tmp_path / f"{chunk_rows}.parquet"
        summary = judge_formula_table(source, target, chunk_rows=chunk_rows, log=lines.append)
        judged = pq.read_table(target).to_pandas()
        assert judged["number"].tolist() == list(range(len(FORMULAS)))
        assert judged["charge_neutral"].tolist() == expected.neutral.tolist()
        assert judged["electronegativity_balanced"].tolist() == expected.balanced.tolist()
        complaints = judged["formula_error"]
        assert np.flatnonzero(complaints != "").tolist() == sorted(expected.errors)
        assert summary == (45, expected.neutral.sum(), expected.balanced.sum(), 15)
    assert "45/45" in lines[-1]
    again = tmp_path / "again.parquet"
    judge_formula_table(source, again, chunk_rows=4)
    assert again.read_bytes() == (tmp_path / "4.parquet").read_bytes()


def test_the_file_says_what_it_was_judged_by(source, tmp_path):
    states = tmp_path / "mine.txt"
    states.write_text("Na 1\nCl -1\n")
    target = tmp_path / "judged.parquet"
    settings = CompositionSettings(str(states), mixed_valence=True)
    assert judge_formula_table(source, target, settings).balanced == 10  # salt and the alloy
    said = json.loads(pq.read_schema(target).metadata[METADATA_KEY])
    assert said["oxidation_table"] == "mine.txt" and said["settings"]["mixed_valence"] is True
    assert said["oxidation_table_sha256"] == oxidation_table(str(states)).sha256
    assert str(tmp_path) not in json.dumps(said)


@pytest.mark.parametrize("kind", [pa.list_(pa.uint8()), pa.list_(pa.uint8(), 85), pa.large_list(pa.int64())])
def test_counts_give_the_verdicts_of_their_formulas(tmp_path, kind):
    formulas = ["NaCl", "NaF2", "Na2Cl", "CuAu", "Mg2SiO4", "Pm2O3"] * 4
    counts = formula_counts(formulas, MATGAN_ELEMENTS)
    source, target = tmp_path / "counts.parquet", tmp_path / "judged.parquet"
    pq.write_table(pa.table({"counts": pa.array(counts.tolist(), type=kind)}), source)
    summary = judge_count_table(source, target, MATGAN_ELEMENTS, chunk_rows=5)
    expected = formula_balance(formulas)
    judged = pq.read_table(target)
    assert judged["charge_neutral"].to_pylist() == expected.neutral.tolist()
    assert judged["electronegativity_balanced"].to_pylist() == expected.balanced.tolist()
    assert summary == (24, expected.neutral.sum(), expected.balanced.sum(), 0)


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([[1, 1], [1, 1], [1]], "row 3: 1 counts for 2 elements"),
        ([[1, 1], None, [1, 1]], "row 2: no counts"),
        ([[1, 1], [1, 1], [1, None]], "row 3: a count is missing"),
        ([[1, 1], [1, 1], [1, -1]], "row 3: a count is not between"),
        ([[1.0, 1.0]], "not lists of whole numbers"),
        ([1, 2], "not lists of whole numbers"),
    ],
)
def test_bad_counts_are_named_with_their_row(tmp_path, rows, complaint):
    source, target = tmp_path / "counts.parquet", tmp_path / "judged.parquet"
    pq.write_table(pa.table({"counts": rows}), source)
    with pytest.raises(InputError, match=r"counts\.parquet, column counts") as error:
        judge_count_table(source, target, ["Na", "Cl"], chunk_rows=2)
    assert complaint in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["counts.parquet"]


def test_bad_files_are_refused_before_anything_is_written(source, tmp_path):
    target = tmp_path / "judged.parquet"
    with pytest.raises(InputError, match="no column 'composition'; it has number, formula"):
        judge_formula_table(source, target, formula_column="composition")
    with pytest.raises(InputError, match="must be strings"):
        judge_formula_table(write(tmp_path, {"formula": [[1], [2]]}), target)
    with pytest.raises(InputError, match="already has a column 'charge_neutral'"):
        judge_formula_table(write(tmp_path, {"formula": ["NaCl"], "charge_neutral": [True]}), target)
    with pytest.raises(InputError, match="neither"):
        judge_formula_table(source, target, CompositionSettings("smact15"))
    text = tmp_path / "text.parquet"
    text.write_text("NaCl\n")
    for path in (text, tmp_path / "absent.parquet"):
        with pytest.raises(InputError, match=path.name):
            judge_formula_table(path, target)
    assert not target.exists()


def test_an_empty_file(tmp_path):
    source = write(tmp_path, {"formula": pa.array([], type=pa.string())})
    target = tmp_path / "judged.parquet"
    assert judge_formula_table(source, target) == (0, 0, 0, 0)
    assert pq.read_table(target).column_names[-3:] == [
        "charge_neutral", "electronegativity_balanced", "formula_error",
    ]  # fmt: skip


def write(folder, columns):
    path = folder / "table.parquet"
    pq.write_table(pa.table(columns), path)
    return path
