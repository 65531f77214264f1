"""Candidates of several sets: ranked as one, their crystals in one archive."""

import zipfile
from math import nan

import pandas as pd
import pytest

from matwheel.candidates.candidate_collection import (
    collect_candidates,
    merge_archives,
    read_by_set,
    stacked_by_set,
)
from matwheel.candidates.ranking import COLUMNS
from matwheel.core.archives import write_zip
from matwheel.core.files import write_csv


def candidates_csv(path, dataset, rows):
    """Write one set's candidates: id, verdict, energy above hull, cif."""
    frame = pd.DataFrame(rows, columns=["id", "verdict", "e_hull_dft_ev_per_atom", "cif"])
    frame = frame.assign(dataset=dataset, rank=range(1, len(rows) + 1), screens_passed=3, space_group=225)
    write_csv(frame.reindex(columns=list(COLUMNS)), path)
    return path


def test_sets_are_ranked_as_one_and_point_to_the_common_archive(tmp_path):
    one = candidates_csv(
        tmp_path / "one.csv",
        "one",
        [("007", "stable", -0.01, "results/one/candidates.zip/007.cif"), ("NA", "rejected", nan, nan)],
    )
    two = candidates_csv(
        tmp_path / "two.csv", "two", [("1e5", "stable", -0.3, "results/two/candidates.zip/1e5.cif")]
    )
    candidates = collect_candidates([one, two], "all/cifs.zip")
    assert tuple(candidates.columns) == COLUMNS
    # Ids that look like numbers or like a missing value stay as they are.
    assert candidates["id"].tolist() == ["1e5", "007", "NA"]
    assert candidates["rank"].tolist() == [1, 2, 3]
    assert candidates["cif"].tolist() == ["all/cifs.zip/1e5.cif", "all/cifs.zip/007.cif", ""]


def test_merged_archives_hold_every_file_once_in_order(tmp_path):
    write_zip([("b.cif", b"B"), ("a.cif", b"A")], tmp_path / "one.zip")
    write_zip([], tmp_path / "none.zip")
    write_zip([("c.cif", b"C" * 500)], tmp_path / "two.zip")
    parts = [tmp_path / f"{name}.zip" for name in ("one", "none", "two")]
    merge_archives(parts, tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert archive.namelist() == ["b.cif", "a.cif", "c.cif"]
        assert [archive.read(name)[:1] for name in archive.namelist()] == [b"B", b"A", b"C"]
    merge_archives(parts[:1], tmp_path / "same.zip")
    assert (tmp_path / "same.zip").read_bytes() == parts[0].read_bytes()


def test_tables_of_sets_are_read_and_stacked_in_order(tmp_path):
    for name, count in (("x", 3), ("y", 5)):
        write_csv(pd.DataFrame({"stage": ["all", "unique"], "count": [9, count]}), tmp_path / f"{name}.csv")
    tables = read_by_set(["y", "x"], [tmp_path / "y.csv", tmp_path / "x.csv"])
    stacked = stacked_by_set(tables)
    assert stacked.columns.tolist() == ["set", "stage", "count"]
    assert stacked["set"].tolist() == ["y", "y", "x", "x"] and stacked["count"].tolist() == [9, 5, 9, 3]
    with pytest.raises(ValueError, match="zip"):
        read_by_set(["y"], [])
