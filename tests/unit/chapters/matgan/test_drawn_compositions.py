"""Distinct compounds of a file of samples, and which known compositions are among them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from matwheel.chapters.matgan.drawn_compositions import distinct_compounds, found_among
from matwheel.compositions.composition_samples import counts_of_parquet, join_samples, write_samples
from matwheel.compositions.formulas import MATGAN_ELEMENTS, formula_counts
from matwheel.core.errors import InputError

DRAWN = ["Li2O2", "Na", "LiO", "MgO", "Mg3O3", "NaCl", "Li2O"]


def counts(formulas: list[str]) -> np.ndarray:
    return formula_counts(formulas, MATGAN_ELEMENTS).astype(np.uint8)


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    write_samples(counts(DRAWN), tmp_path / "samples.parquet")
    return tmp_path / "samples.parquet"


def test_each_compound_comes_once_reduced_in_the_order_of_the_file(samples: Path) -> None:
    found = distinct_compounds(samples, MATGAN_ELEMENTS)
    assert np.array_equal(found, counts(["LiO", "MgO", "NaCl", "Li2O"]))
    assert np.array_equal(distinct_compounds(samples, MATGAN_ELEMENTS, largest_rows=2), found[:2])
    lithium = distinct_compounds(samples, MATGAN_ELEMENTS, containing="Li")
    assert np.array_equal(lithium, counts(["LiO", "Li2O"]))
    with pytest.raises(ValueError, match="tuple"):
        distinct_compounds(samples, MATGAN_ELEMENTS, containing="Kr")


def test_known_compositions_are_found_in_any_multiple(samples: Path) -> None:
    known = counts(["NaCl", "KCl", "Li4O4", "NaCl", "Na"])
    pieces = counts_of_parquet(samples, MATGAN_ELEMENTS, chunk_rows=2)
    assert found_among(known, pieces, MATGAN_ELEMENTS).tolist() == [True, False, True, True, True]


def test_joined_files_hold_all_rows_in_order_with_the_same_bytes(samples: Path, tmp_path: Path) -> None:
    write_samples(counts(["K2O"]), tmp_path / "more.parquet")
    for name in ("one.parquet", "other.parquet"):
        join_samples([tmp_path / "more.parquet", samples], tmp_path / name)
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "other.parquet").read_bytes()
    joined = np.concatenate(list(counts_of_parquet(tmp_path / "one.parquet", MATGAN_ELEMENTS)))
    assert np.array_equal(joined, counts(["K2O", *DRAWN]))


def test_counts_of_other_elements_are_refused(samples: Path) -> None:
    with pytest.raises(InputError, match="not 3 counts"):
        distinct_compounds(samples, MATGAN_ELEMENTS[:3])
