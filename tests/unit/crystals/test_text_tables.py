"""Delimited text as users have it: separators, encodings, quotes, comments, headers, numbers."""

from __future__ import annotations

import csv
import gzip
import io
import random

import pandas as pd
import pytest

from matwheel.core.errors import InputError
from matwheel.crystals.text_tables import column_named, named_faults, number_of, read_text_table

# Commas, semicolons at the beginning of lines, tabs, quotes and '#', as CIFs have them.
CIF = """# made by hand, see ref. 1, 2; 3
data_NaCl
_cell_length_a\t5.64
_publ_section_title
;
 The "rock salt" type; a, b and c, all alike
;
loop_
_atom_site_label
_atom_site_fract_x
Na 0,0
'Cl"' 0.5
"""
ROWS = [["a", CIF, "1.5"], ["b", CIF.replace("Na", "K"), "-0.25"], ["c", CIF * 3, "1e-3"]]
HEADER = ["id", "cif", "y"]


def written(rows, separator=",", line_end="\n", header=HEADER, quoting=csv.QUOTE_MINIMAL):
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=separator, lineterminator=line_end, quoting=quoting)
    writer.writerows([header, *rows] if header else rows)
    return buffer.getvalue()


def cells(table):
    return [[row[name] for name in table.columns] for row in table.rows]


def read(text, **more):
    return read_text_table(text if isinstance(text, bytes) else text.encode(), "t.csv", **more)


@pytest.mark.parametrize("names", [("id", "cif", "y"), ("CIF", "structure"), ()])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_structures_come_back_as_they_were(separator, quoting, names):
    table = read(written(ROWS, separator, quoting=quoting), names=names)
    assert table.columns == ("id", "cif", "y") and cells(table) == ROWS and not table.faults
    assert table.lines == [2, 15, 28] and not table.decimal_comma
    said = {";": "semicolons", "\t": "tabs", "|": "'|'"}.get(separator)
    assert table.notes == ((f"columns separated by {said}",) if said else ())


@pytest.mark.parametrize(
    ("encoding", "mark", "note"),
    [
        ("utf-8", b"", None),
        ("utf-8-sig", b"", None),
        ("utf-16", b"", "UTF-16"),
        ("utf-16-be", b"\xfe\xff", "UTF-16"),
        ("utf-16-le", b"\xff\xfe", "UTF-16"),
        ("cp1252", b"", "line 2 is not UTF-8"),
        ("latin-1", b"", "guess"),
    ],
)
def test_encodings(encoding, mark, note):
    rows = [["perowskit-é", "Å·²", "2"]]
    table = read(mark + written(rows, ";").encode(encoding), names=["id"])
    assert table.columns == ("id", "cif", "y") and cells(table) == rows
    assert any(note in said for said in table.notes) if note else "UTF" not in " ".join(table.notes)


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_line_ends(line_end):
    text = written(ROWS[:2], line_end=line_end)
    assert cells(read(text)) == ROWS[:2] and read(text).lines == [2, 15]
    mixed = "id,y\r\na,1\nb,2\r\n\r\n\nc,3\rd,4"
    assert cells(read(mixed)) == [["a", "1"], ["b", "2"], ["c", "3"], ["d", "4"]]
    assert read(mixed).lines == [2, 3, 6, 7]
    # Those inside a cell stay.
    assert cells(read('id,y\r\na,"1\r\n2"\r\n')) == [["a", "1\r\n2"]]


def test_what_stands_before_the_header_and_after_the_rows():
    before = '\n  \n# dielectric constants, "unquoted; and # so on\n#second\n\n'
    text = before + "id,cif,y\n#1,# not a comment,2\na,b#c,3\n\n \n,,\n"
    table = read(text, names=["id"])
    assert cells(table) == [["#1", "# not a comment", "2"], ["a", "b#c", "3"]] and table.lines == [7, 8]
    assert table.notes == (
        "comment in line 3, 4 passed over",
        "1 rows without content passed over, the first in line 11",
    )
    # numpy.savetxt and others put the header into a comment
    table = read("# by hand\n# formula, gap\nNaCl,8.5\nMgO,7.8\n", names=["formula", "target"])
    assert table.columns == ("formula", "gap") and len(table.rows) == 2 and "header" in table.notes[1]
    assert read("#,formula,gap\n0,NaCl,8.5\n", names=["formula"]).columns == ("column 1", "formula", "gap")


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        (' id , "cif" ,y \na,b,1\n', ("id", "cif", "y")),
        ('"id" ; "cif, or not" ; "y"\na;b;1\n', ("id", "cif, or not", "y")),
        ("ID,Cif,Y\na,b,1\n", ("ID", "Cif", "Y")),
        (",formula,target\n0,NaCl,1\n", ("column 1", "formula", "target")),
        ("id;cif;y;\na;b;1;\n", ("id", "cif", "y")),
        ("id;cif;y;;\na;b;1\n", ("id", "cif", "y")),
        ('"band\ngap",id\n1,a\n', ("band\ngap", "id")),
        ("formula\nNaCl\nMgO\n", ("formula",)),
        ("id,cif,y\n", ("id", "cif", "y")),
    ],
)
def test_headers(text, columns):
    table = read(text, names=["id", "cif", "y", "formula"])
    assert table.columns == columns and not table.faults
    assert len(table.rows) == (2 if columns == ("formula",) else 0 if text == "id,cif,y\n" else 1)


def test_the_separator_that_excel_names():
    for first in ("sep=;\r\n", '"sep=;"\n', "SEP=;\n"):
        assert cells(read(first + "a,b;c\n1,5;2\n")) == [["1,5", "2"]]
    assert cells(read("sep=\t\nid\ty\na\t1\n")) == [["a", "1"]]
    with pytest.raises(InputError, match="line 1: says sep=:"):
        read("sep=:\nid:y\na:1\n")


@pytest.mark.parametrize(
    ("text", "separator", "width"),
    [
        ("name;gap\nFe,Co;1,5\nNi,Cu;2,5\n", ";", 2),  # as many commas as semicolons in the rows
        ("101;3,76\n102;3,5\n", ";", 2),
        ("a,b\nx;1,2\ny;2,3\n", ",", 2),
        ("formula\tgap [eV; PBE]\nNaCl\t5,1\n", "\t", 2),
        ("formula\nLi,F\n", ",", 1),
        ("a;b;c,d;e\n1;2;3,4;5\n", ";", 4),
        ("t|u\n1;2|3\n", "|", 2),
    ],
)
def test_separators_by_rule(text, separator, width):
    table = read(text)
    assert len(table.columns) == width
    assert list(table.columns) == [name.strip() for name in text.split("\n")[0].split(separator)]


def test_wanted_names_decide_on_the_separator():
    text = "notes;of;all,kinds\tformula\n1;2;3,4\tNaCl\n"
    assert read(text, names=["formula"]).columns == ("notes;of;all,kinds", "formula")
    assert read(text, names=["Notes"]).columns == ("notes", "of", "all,kinds\tformula")


def test_a_file_without_header():
    more = {"names": ("id", "band_gap"), "without_header": ("id", "band_gap")}
    for text in (
        "101,3.76\n102,3.5\n",
        "101;3,76\n102;3,5\n",
        "mp-1\t-3e-2\nmp-2\t1\n",
        '"101","3.76"\n"102","1"\n',
    ):
        table = read(text, **more)
        assert table.columns == ("id", "band_gap") and len(table.rows) == 2 and table.lines == [1, 2]
        assert "no header line: the columns are taken to be id, band_gap" in table.notes
    assert read("id,band_gap\n101,3.76\n", **more).lines == [2]
    assert read("ID,gap\n101,3.76\n", **more).columns == ("ID", "gap")
    for text in ("101,3.76,1\n", "101,3,76\n", "7\n"):
        with pytest.raises(InputError, match=r"no header line, line 1 holds .*names such as id,band_gap"):
            read(text, **more)
    with pytest.raises(InputError, match=r"has no header line.*such as formula"):
        read("NaCl,8.5\n", names=["formula"])


@pytest.mark.parametrize(
    "text", ["id band_gap\n1 3.76\n", "101 3.76\n102 1.2\n", "\n# c\nid   band_gap\n1   2\n"]
)
def test_white_space_is_no_separator(text):
    with pytest.raises(InputError, match=r"t\.csv, line \d: white space is no separator .* tabs"):
        read(text, names=("id", "band_gap"), without_header=("id", "band_gap"))


def test_rows_with_other_numbers_of_cells_are_named_and_stop_nobody():
    table = read('id,cif,y\na,b,1\nc,d\ne,"f\ng",2,3\nh,i,4,\n')
    assert cells_of(table, 0) == ["a", "b", "1"] and cells_of(table, 3) == ["h", "i", "4"]
    assert list(table.faults) == [1, 2] and table.lines == [2, 3, 4, 6]
    assert table.rows[1] == {"id": "c", "cif": "d"} and table.rows[2]["y"] == "2"
    assert table.faults[1] == (
        "has 2 cells for 3 columns; quote cells that hold ',' or line ends, add missing ones"
    )
    table = read("id;cif;y\na;_cell_length_a 4,2;1,5\nb;x;1;5\n", names=["cif"])
    assert list(table.faults) == [1] and "hold ';'" in table.faults[1]


def cells_of(table, row):
    return list(table.rows[row].values())


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('id,cif,y\na,"data_x,1\nb,c,2\n', "line 2: a quote is opened and never closed"),
        ('id,cif,y\na,"x\ny",1\nb,"c\nd","e\nf\n', "line 5: a quote is opened and never closed"),
        ('id,cif,y\na,"He said ""hi""\n,1\n', "line 2: a quote is opened and never closed"),
        ('id,cif,y\na,"data_x\n_c 1,1\nb,"data_y\n_c 2",2\n', "line 4: text follows a closing .* line 2"),
        ('id,cif,y\na,"5" tube",1\n', "line 2: text follows a closing quote"),
        ('id,cif,y\na,"x \\"y\\" z",1\n', "line 2: text follows a closing quote"),
        ("id,y,cif,y\na,1,b,2\n", r"'y' occurs 2 times \(columns 2, 4\)"),
        ("id, id ,x\na,1,b\n", "'id' occurs 2 times"),
        ("", "the file is empty"),
        (" \n\n", "the file is empty"),
        ("# only\n# comments\n", "holds comment lines only"),
        (b"id,y\na,1\nb,\x002\n", "line 3: holds a NUL byte"),
        ("id,y\na,1\n".encode("utf-16-le"), "UTF-16 without byte order mark"),
        (b"\xff\xfei\x00d\x00,\x00y\x00\n", "is not the UTF-16 that its first bytes say"),
        (b"\xef\xbb\xbfid,y\na,\xe9\n", "line 2: is not the UTF-8 that"),
        ("<!DOCTYPE html><html><body>404</body>", "is a web page, not CSV"),
        ('[{"id": "a", "y": 1}]', "is JSON, not CSV"),
        (gzip.compress(b"id,y\na,1\n", mtime=0), r"is compressed by gzip, not CSV; give its name .* \.gz"),
        (b"PK\x03\x04\x14\x00xl/workbook.xml", "is an Excel workbook or a zip archive, not CSV; save"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Excel workbook of the old kind"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git lfs pull"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_said_in_one_line(text, complaint):
    with pytest.raises(InputError, match=rf"^t\.csv.*{complaint}") as caught:
        read(text, names=["id"])
    assert "\n" not in str(caught.value)


def test_a_parquet_file_called_csv(tmp_path):
    pd.DataFrame({"id": ["a"], "y": [1.0]}).to_parquet(tmp_path / "t.csv")
    with pytest.raises(InputError, match=r"is Parquet, not CSV; give its name the ending \.parquet"):
        read((tmp_path / "t.csv").read_bytes())


def test_a_cell_may_be_longer_than_the_limit_of_the_csv_module():
    limit = csv.field_size_limit()
    long = CIF * 2000
    assert len(long) > limit
    assert cells(read(written([["a", long, "1"]], "\t"), names=["cif"])) == [["a", long, "1"]]
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize(
    ("text", "decimal_comma"),
    [
        ("id;y\na;1,5\nb;2\n", True),
        ("id\ty\na\t0,512\n", True),
        ("id\ty\na\t-1,5E-03\n", True),
        ("id;y\na;1,234\nb;5,678\n", True),  # semicolons are there because of decimal commas
        ("id;y\na;1.5\nb;2.25\n", False),
        ("id;y\na;1,234\nb;5.5\n", False),
        ("id\ty\na\t1,234\n", False),
        ('id,y\na,"1,5"\n', False),
        ("id;y\na,1;2\nFe,Co;3\n", False),
    ],
)
def test_decimal_commas_are_seen(text, decimal_comma):
    table = read(text, names=["id", "y"])
    noted = any("numbers with decimal commas" in note for note in table.notes)
    assert table.decimal_comma == decimal_comma == noted


@pytest.mark.parametrize(
    ("text", "decimal_comma", "number"),
    [
        ("1.5", False, 1.5), (" 2.0\t", False, 2.0), ("1e-3", False, 0.001), ("-.5", False, -0.5),
        ("7", True, 7.0),
        ("1,5", True, 1.5), ("-0,25", True, -0.25), ("1,5E+2", True, 150.0), (",5", True, 0.5),
        ("−3,5", True, -3.5),
        ("1,234", True, 1.234), ("1.5", True, 1.5), ("0.123", True, 0.123), ("1.23456", True, 1.23456),
        ("1.234e1", True, 12.34), ("+2.", False, 2.0), ("1.234", False, 1.234),
    ],
)  # fmt: skip
def test_numbers(text, decimal_comma, number):
    assert number_of(text, decimal_comma=decimal_comma) == number


@pytest.mark.parametrize(
    ("text", "decimal_comma", "complaint"),
    [
        ("1,5", False, "comma"), ("1,234", False, "comma"), ("1,234.5", False, "comma"),
        ("1.234,5", False, "comma"),
        ("1.234,5", True, "comma and a point"), ("1,234.5", True, "comma and a point"),
        ("1.234", True, "thousands"), ("-12.345", True, "thousands"), ("1.234.567", True, "no number"),
        ("1,234,567", True, "no number"), ("", False, "no number"), ("nan", False, "no number"),
        ("inf", False, "no number"), ("1_000", False, "no number"), ("1 000", False, "no number"),
        ("1.5 eV", False, "no number"), ("12%", False, "no number"), ("0x1F", False, "no number"),
        ("1e999", False, "too large"), ("1.5(2)", False, "no number"), ("٣", False, "no number"),
    ],
)  # fmt: skip
def test_what_is_no_number_or_may_be_two(text, decimal_comma, complaint):
    with pytest.raises(ValueError, match=complaint) as caught:
        number_of(text, decimal_comma=decimal_comma)
    assert repr(text) in str(caught.value) and "\n" not in str(caught.value)


def test_a_column_by_its_name():
    def find(columns, wanted, asked=None):
        return column_named(columns, wanted, asked=asked, origin="t.csv", what="ids")

    assert find(["ID", "id", "y"], ["id"]) == "id"
    assert find(["y", "Material_ID"], ["id", "material_id"]) == "Material_ID"
    assert find(["Id", "material_id"], ["id", "material_id"]) == "material_id"
    assert find([" CIF ", "y"], ["cif"]) == " CIF " and find(["y"], ["id"]) is None
    assert find(["a", "id"], ["id"], asked="a") == "a"
    with pytest.raises(
        InputError, match=r"^t\.csv: no column 'Formla' of ids; found id, formula; did .* 'formula'"
    ):
        find(["id", "formula"], ["id"], asked="Formla")
    with pytest.raises(InputError, match="no column 'ID' of ids; found id, y; did you mean 'id'"):
        find(["id", "y"], ["id"], asked="ID")
    with pytest.raises(InputError, match="'Id' and 'ID' differ by letter case only and both may hold ids"):
        find(["Id", "ID"], ["id"])


def test_all_faults_in_one_message():
    assert named_faults("t.csv", {2: "is bad"}, [2, 3, 5]) == (
        "t.csv, row 3 (line 5): is bad; correct or delete the row"
    )
    assert named_faults("t.parquet", {0: "is bad"}) == "t.parquet, row 1: is bad; correct or delete the row"
    lines = named_faults("t.csv", {row: f"fault {row}" for row in range(30, 5, -1)}, range(2, 40)).split("\n")
    assert lines[0] == "t.csv: 25 rows cannot be used; correct or delete them:"
    assert lines[1] == "  row 7 (line 8): fault 6" and lines[20] == "  row 26 (line 27): fault 25"
    assert lines[21:] == ["  and 5 more"]


def test_random_tables_come_back():
    generator = random.Random(15)
    letters = [*'ab,;|\t"# \n.0é', "\r\n", '""', "data_x\n;\ntext, a\n;\n"]
    for _ in range(300):
        width = generator.randint(2, 4)
        rows = [
            ["x" + "".join(generator.choices(letters, k=generator.randint(0, 8))) for _ in range(width)]
            for _ in range(generator.randint(1, 5))
        ]
        text = written(
            rows,
            generator.choice(";\t|,"),
            generator.choice(["\n", "\r\n"]),
            ["id", "cif", "y", "z"][:width],
            csv.QUOTE_ALL,
        )
        table = read(text.encode(generator.choice(["utf-8", "utf-16"])), names=generator.choice([["ID"], []]))
        assert cells(table) == rows and not table.faults
