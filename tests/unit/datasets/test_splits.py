from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from matwheel.core.seeds import derive_seed
from matwheel.crystals.symmetry.prototypes import prototype_label, prototype_table
from matwheel.crystals.table import crystal_table
from matwheel.datasets.dataset import row_order_sha256
from matwheel.datasets.published_splits import PUBLISHED_SPLITS_FILE, chang2022_split, read_published_splits
from matwheel.datasets.splits import Split, labelled_rows, split_dataset

MIRROR = Path(__file__).parents[4] / "shared" / "datasets"


def _table(rows, formulas):
    """A table of names only: what the schemes random and formula read."""
    rng = np.random.default_rng(0)
    labels = [f"F{value}" for value in rng.integers(0, formulas, rows)]
    return pd.DataFrame({"id": [f"c{row:04d}" for row in range(rows)], "formula": labels})


def _split(table, scheme="random", seed=0, **settings):
    return split_dataset(table, scheme, seed, dataset="d", dataset_sha256="0" * 64, **settings)


@pytest.mark.parametrize(("rows", "sizes"), [(636, (445, 95, 96)), (1056, (739, 158, 159)), (20, (14, 3, 3))])
def test_random_sizes_are_exact(rows, sizes):
    split = _split(_table(rows, 10 * rows))
    assert (len(split.train), len(split.validation), len(split.test)) == sizes
    assert len(labelled_rows(split, 0.2 if rows == 20 else 0.1)) == {636: 45, 1056: 74, 20: 3}[rows]


@pytest.mark.parametrize("scheme", ["random", "formula", "prototype"])
def test_parts_are_disjoint_cover_all_and_follow_the_seed(scheme):
    table = _table(300, 150)
    prototypes = [formula[:2] for formula in table["formula"]] if scheme == "prototype" else None
    split = _split(table, scheme, 3, prototypes=prototypes)
    parts = [split.train, split.validation, split.test]
    assert sorted(name for part in parts for name in part) == sorted(table["id"])
    labelled = labelled_rows(split)
    assert set(labelled) < set(split.train)
    for part in [*parts, labelled]:
        assert list(part) == sorted(part)
    assert split == _split(table, scheme, 3, prototypes=prototypes)
    assert split != _split(table, scheme, 4, prototypes=prototypes)


@pytest.mark.parametrize("seed", range(5))
def test_groups_stay_together_and_sizes_stay_close(seed):
    table = _table(300, 120)
    formula = dict(zip(table["id"], table["formula"], strict=True))
    split = _split(table, "formula", seed)
    parts = [{formula[i] for i in part} for part in (split.train, split.validation, split.test)]
    assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
    assert [len(split.train), len(split.validation), len(split.test)] == [210, 45, 45]


def test_the_largest_group_is_not_always_training():
    labels = ["big"] * 12 + [f"s{row}" for row in range(88)]
    table = pd.DataFrame({"id": [f"c{row:03d}" for row in range(100)], "formula": labels})
    places = [
        next(
            name
            for name in ("train", "validation", "test")
            if "c000" in getattr(_split(table, "formula", s), name)
        )
        for s in range(60)
    ]
    assert set(places) == {"train", "validation", "test"}
    assert places.count("train") > 20


def test_a_group_larger_than_any_part_still_splits():
    labels = ["big"] * 80 + [f"s{row}" for row in range(20)]
    table = pd.DataFrame({"id": [f"c{row:03d}" for row in range(100)], "formula": labels})
    split = _split(table, "formula", 0)
    assert set(table["id"][:80]) <= set(split.train)
    assert {len(split.validation), len(split.test)} <= {9, 10, 11}


def test_labelled_parts_are_nested():
    split = _split(_table(200, 500))
    small, large = labelled_rows(split, 0.1), labelled_rows(split, 0.5)
    assert set(small) < set(large) < set(split.train) and len(large) == 70
    assert labelled_rows(split, 1.0) == split.train


@pytest.mark.parametrize("scheme", ["random", "formula"])
def test_labelled_rows_are_those_that_the_seed_draws_of_the_row_numbers(scheme):
    table = _table(200, 500)
    split = _split(table, scheme, 5)
    numbers = np.flatnonzero(table["id"].isin(split.train))
    generator = np.random.default_rng(derive_seed(5, "labelled", "d", scheme))
    drawn = np.sort(generator.permutation(numbers)[:28])
    assert labelled_rows(split, 0.2) == tuple(table["id"][drawn])


def test_json_round_trip_and_damaged_content():
    split = _split(_table(100, 300))
    assert Split.from_json(split.to_json()) == split
    with pytest.raises(ValueError, match="share rows"):
        Split.from_json({**split.to_json(), "test": list(split.train)})


@pytest.mark.parametrize(
    ("rows", "settings", "complaint"),
    [
        (1, {}, r"split of d, scheme random, seed 0: 1 training rows, at least 2 are needed; raise"),
        (5, {"fractions": (0.9, 0.05, 0.05)}, r"no (validation|test) rows"),
        (100, {"fractions": (0.7, 0.2, 0.2)}, r"three positive numbers that sum to 1"),
        (100, {"fractions": (1.0, 0.0, 0.0)}, r"three positive numbers that sum to 1"),
        (100, {"scheme": "chang2022"}, r"use published_splits\.chang2022_split"),
        (100, {"scheme": "alphabet"}, r"'alphabet' is not drawn here; choose one of random, formula"),
        (100, {"scheme": "prototype"}, r"needs prototype labels; make them with prototype_table"),
        (100, {"scheme": "prototype", "prototypes": ["a"]}, r"1 prototype labels for 100 rows"),
    ],
)
def test_impossible_splits_are_refused(rows, settings, complaint):
    with pytest.raises(ValueError, match=complaint):
        _split(_table(rows, 1000), **settings)


@pytest.mark.parametrize(
    ("rows", "fraction", "complaint"),
    [
        (
            14,
            0.1,
            r"seed 0: 1 labelled rows of 10 training rows after the cut.*raise labelled_",
        ),
        (4, 0.1, r"0 labelled rows of 2 training rows"),
        (100, 0.001, r"0 labelled rows of 70 training rows"),
        (100, 0.0, r"labelled_fraction is 0.0; it must be above 0"),
    ],
)
def test_impossible_labelled_parts_are_refused(rows, fraction, complaint):
    split = _split(_table(rows, 1000), fractions=(0.7, 0.15, 0.15) if rows > 4 else (0.5, 0.25, 0.25))
    with pytest.raises(ValueError, match=complaint):
        labelled_rows(split, fraction)


def test_prototype_labels_ignore_elements_and_choice_of_cell(poly_crystals):
    from matwheel.crystals.crystal import from_structure, to_structure

    for crystal in poly_crystals[0][:4]:
        label, fallback = prototype_label(crystal)
        assert not fallback
        structure = to_structure(crystal)
        swapped = structure.copy()
        # New symbols in the reverse alphabetical order, so that the label cannot lean on names.
        names = ["Zr", "Y", "V", "Ti", "Sc", "S", "Al", "Ag"]
        elements = sorted({site.specie.symbol for site in structure})
        swapped.replace_species(dict(zip(elements, names, strict=False)))
        assert prototype_label(from_structure("swapped", swapped))[0] == label
        assert prototype_label(from_structure("supercell", structure * (2, 1, 1)))[0] == label


def test_prototype_falls_back_when_symmetry_fails(poly_crystals, monkeypatch):
    import pymatgen.analysis.prototypes as module

    def fail(*_, **__):
        raise RuntimeError("spglib found nothing")

    monkeypatch.setattr(module, "get_protostructure_label_from_spglib", fail)
    table = prototype_table(crystal_table(poly_crystals[0][:2]))
    assert table["fallback"].all()
    assert all("_spacegroup" in label for label in table["prototype"])


def test_prototype_scheme_on_real_crystals(jarvis_crystals):
    crystals, _ = jarvis_crystals
    table = crystal_table(crystals)
    labels = prototype_table(table)["prototype"]
    split = _split(table, "prototype", 1, prototypes=labels)
    label = dict(zip(table["id"], labels, strict=True))
    parts = [{label[i] for i in part} for part in (split.train, split.validation, split.test)]
    assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])


def _published(rows):
    order = np.random.default_rng(1).permutation(rows).tolist()
    cuts = (order[: int(0.7 * rows)], order[int(0.7 * rows) : int(0.85 * rows)], order[int(0.85 * rows) : -1])
    return {"d": [dict(zip(("train", "val", "test"), cuts, strict=True))]}


def test_chang2022_by_row_number_and_its_refusals():
    table, published = _table(60, 500), _published(60)
    table["species"] = [["Na"] * (row + 1) for row in range(60)]
    make = {"dataset": "d", "dataset_sha256": "0" * 64}
    order = row_order_sha256(table)
    split = chang2022_split(table, published, 0, **make, row_order_sha256=order)
    assert list(split.test) == [f"c{row:04d}" for row in sorted(published["d"][0]["test"])]
    assert len(labelled_rows(split)) == 4 and split.scheme == "chang2022"
    with pytest.raises(ValueError, match="there is no split 1; choose seeds from 0 to 0"):
        chang2022_split(table, published, 1, **make)
    with pytest.raises(ValueError, match="no published split for dataset mine; they exist for d"):
        chang2022_split(table, published, 0, dataset="mine", dataset_sha256="")
    with pytest.raises(ValueError, match="not in the published order"):
        chang2022_split(table[::-1].reset_index(drop=True), published, 0, **make, row_order_sha256=order)
    with pytest.raises(ValueError, match="in a table of 30 rows"):
        chang2022_split(table[:30], published, 0, **make)


def test_absent_or_damaged_published_splits(tmp_path):
    with pytest.raises(ValueError, match=rf"{PUBLISHED_SPLITS_FILE} .* is in none of the mirror folders"):
        read_published_splits([tmp_path])
    (tmp_path / PUBLISHED_SPLITS_FILE).write_text("{}")
    with pytest.raises(ValueError, match="wrong sha256"):
        read_published_splits([tmp_path])


@pytest.mark.skipif(not (MIRROR / PUBLISHED_SPLITS_FILE).is_file(), reason="no mirror folder")
@pytest.mark.parametrize(("dataset", "rows"), [("jarvis2d_exfoliation", 636), ("mp_poly_total", 1056)])
def test_chang2022_equals_the_published_rows(dataset, rows):
    published = read_published_splits([MIRROR])
    table = _table(rows, rows)
    for index in range(5):
        split = chang2022_split(table, published, index, dataset=dataset, dataset_sha256="")
        for ids, key in ((split.train, "train"), (split.validation, "val"), (split.test, "test")):
            assert {int(name[1:]) for name in ids} == set(published[dataset][index][key])
            assert len(ids) == len(published[dataset][index][key])


def test_a_group_goes_where_it_fits():
    labels = ["big"] * 30 + [f"s{row}" for row in range(70)]
    table = pd.DataFrame({"id": [f"c{row:03d}" for row in range(100)], "formula": labels})
    for seed in range(20):
        split = _split(table, "formula", seed)
        assert (len(split.train), len(split.validation), len(split.test)) == (70, 15, 15)
