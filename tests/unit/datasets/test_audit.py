import numpy as np
import pandas as pd
import pytest

from matwheel.crystals.crystal import Crystal
from matwheel.crystals.table import crystal_table
from matwheel.datasets.audit import LEAK_CHECKS, audit_dataset, audit_split, draw_audit
from matwheel.datasets.splits import Split


@pytest.fixture(scope="module")
def table():
    """Rock salt thrice (once strained and moved, once another label), caesium chloride, MgO and others."""
    corners = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    salt = np.vstack([corners, corners + np.array([0.5, 0, 0])])
    body = np.array([[0, 0, 0], [0.5, 0.5, 0.5]])
    cube = np.eye(3)
    crystals = [
        Crystal("salt", ("Na",) * 4 + ("Cl",) * 4, 5.64 * cube, salt),
        Crystal("salt-moved", ("Na",) * 4 + ("Cl",) * 4, 5.7 * cube, salt + 0.1),
        Crystal("salt-other-label", ("Cl",) * 4 + ("Na",) * 4, 5.64 * cube, salt),
        Crystal("salt-dense", ("Na", "Cl"), 3.4 * cube, body),
        Crystal("MgO", ("Mg",) * 4 + ("O",) * 4, 4.21 * cube, salt),
        Crystal("CsCl", ("Cs", "Cl"), 4.12 * cube, body),
        Crystal("Po", ("Po",), 3.35 * cube, np.zeros((1, 3))),
        Crystal("W", ("W", "W"), 3.16 * cube, body),
    ]
    return crystal_table(crystals, {"target": [100.0, 105.0, 150.0, 90.0, 20.0, 30.0, 40.0, 50.0]})


@pytest.fixture(scope="module")
def duplicates(table):
    return audit_dataset(table)


def test_duplicates_are_same_structures_with_their_labels(duplicates):
    pairs = list(zip(duplicates["first_id"], duplicates["second_id"], strict=True))
    assert pairs == [("salt", "salt-moved"), ("salt", "salt-other-label"), ("salt-moved", "salt-other-label")]
    assert duplicates["difference"].tolist() == [5.0, 50.0, 45.0]
    assert duplicates["relative_difference"].tolist() == pytest.approx([5 / 102.5, 0.4, 45 / 127.5])
    assert duplicates["conflicting"].tolist() == [False, True, True]


def test_tolerance_decides_what_conflicts(table):
    assert audit_dataset(table, conflict_tolerance=0.5)["conflicting"].sum() == 0


def _audit(table, duplicates, test, labelled=("salt", "Po"), validation=("W",)):
    train = tuple(i for i in table["id"] if i not in test and i not in validation)
    split = Split("tiny", "", "random", 0, train, tuple(validation), tuple(test))
    return audit_split(table, split, labelled, duplicates)


def _value(audit, check, part="test", against="train"):
    chosen = audit[(audit["check"] == check) & (audit["part"] == part) & (audit["against"] == against)]
    assert len(chosen) == 1
    return int(chosen["count"].iloc[0]), float(chosen["fraction"].iloc[0])


def test_leaks_are_counted(table, duplicates):
    audit = _audit(table, duplicates, ("salt-moved", "salt-dense", "MgO", "CsCl"))
    assert _value(audit, "same formula") == (2, 0.5)
    assert _value(audit, "same prototype") == (2, 0.5)  # salt-moved and MgO; salt is in training
    assert _value(audit, "duplicate structure") == (1, 0.25)
    assert _value(audit, "duplicate with another label") == (1, 0.25)
    assert _value(audit, "duplicate with another label", against="labelled") == (0, 0.0)
    assert _value(audit, "same formula", "validation") == (0, 0.0)
    assert _value(audit, "conflicting duplicate", "train", "train") == (2, 2 / 3)
    assert _value(audit, "duplicate structure", "all", "all") == (3, 3 / 8)
    assert _value(audit, "repeated formula", "all", "all") == (4, 0.5)


def test_a_clean_split_counts_nothing(table, duplicates):
    audit = _audit(table, duplicates, ("CsCl",), validation=("W",), labelled=("salt", "Po"))
    for check in ("same formula", "duplicate structure", "duplicate with another label"):
        assert _value(audit, check)[0] == 0
    assert _value(audit, "same prototype")[0] == 1  # salt-dense, of the caesium chloride type


def test_a_dataset_without_duplicates_and_a_foreign_split(table):
    alone = table[table["id"].isin(["MgO", "CsCl", "Po", "W", "salt"])].reset_index(drop=True)
    none = audit_dataset(alone)
    assert len(none) == 0 and none["conflicting"].dtype == bool
    audit = _audit(alone, none, ("CsCl",))
    assert audit[audit["check"].str.contains("uplicate")]["count"].sum() == 0
    split = Split("tiny", "", "random", 0, ("MgO", "Po"), ("W",), ("unknown",))
    with pytest.raises(ValueError, match="1 ids are not in the table, first unknown"):
        audit_split(alone, split, ("MgO", "Po"), none)
    draw_audit(audit, {"tiny": none})


def test_figure_shows_every_check_and_every_mean(table, duplicates, tmp_path):
    audits = [_audit(table, duplicates, test) for test in (("salt-moved", "MgO"), ("CsCl", "salt-dense"))]
    audits[1]["seed"] = 1
    figure = draw_audit(audits, {"tiny": duplicates}, {"tiny": "energy (eV)"})
    leaks, pairs = figure.axes
    assert [tick.get_text() for tick in leaks.get_yticklabels()] == list(LEAK_CHECKS)
    shown = [text.get_text() for text in leaks.texts]
    both = pd.concat(audits)
    means = [
        100
        * both[(both["check"] == check) & (both["part"] == "test") & (both["against"] == "train")][
            "fraction"
        ].mean()
        for check in LEAK_CHECKS
    ]
    assert shown == [f"{mean:.1f} %" for mean in means]
    assert "energy (eV)" in pairs.get_xlabel()
    assert [text.get_text() for text in pairs.get_legend().get_texts()] == [
        "labels within 10 % (1 pairs)",
        "further apart than 10 % (2 pairs)",
    ]
    figure.savefig(tmp_path / "audit.svg")
    assert (tmp_path / "audit.svg").stat().st_size > 5000
