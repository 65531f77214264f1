"""Tables of genes: filters, parts, tables of drawn genes, validated rows, the archive."""

import json
from math import nan
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import spglib

from matwheel.chapters.wycryst.validated_genes import extended_table, validated_rows
from matwheel.core.errors import InputError
from matwheel.crystals.crystal import Crystal, to_structure
from matwheel.crystals.table import crystal_table, crystals_of_table, read_table
from matwheel.verdicts import Verdict, verdict_table
from matwheel.wyckoff.archive_crystals import archive_materials
from matwheel.wyckoff.gene_rows import (
    COLUMNS,
    GENE_PROPERTIES,
    PARTS,
    arrays_of_drawn,
    drawn_table,
    genes_of_table,
    labels_of,
    part_of_table,
)
from matwheel.wyckoff.gene_table import (
    GeneTableSettings,
    check_band_gaps,
    gene_table,
    known_genes,
    parts_by_formula,
)
from matwheel.wyckoff.wyckoff_genes import gene_arrays, parse_gene, read_gene
from matwheel.wyckoff.wyckoff_permutations import canonical_gene, canonical_keys

DATA = Path(__file__).resolve().parents[2] / "data"
POLY = read_table(DATA / "poly40.parquet").drop(columns="target")
BOTH = pd.concat([POLY, read_table(DATA / "jarvis40.parquet").drop(columns="target")], ignore_index=True)
CRYSTALS = {crystal.id: crystal for crystal in crystals_of_table(BOTH)}
GENES60 = pd.read_csv(DATA / "genes60.csv")
ENERGY, GAP, HULL = GENE_PROPERTIES
ALL = {"element_numbers": (1, 2, 3, 4), "largest_atoms": 1000}
SYMPREC_ANGSTROM = 0.1


def silent(message: str) -> None:
    pass


@pytest.fixture(scope="module")
def genes() -> pd.DataFrame:
    """Genes of all eighty crystals."""
    return known_genes(BOTH, SYMPREC_ANGSTROM, silent)


def rows_of(*names: str, **properties) -> pd.DataFrame:
    """Crystals by name, with properties."""
    chosen = BOTH.set_index("id").loc[list(names)].reset_index()
    return chosen.assign(**properties)


def table_of(crystals, genes, seed=0, **settings) -> tuple[pd.DataFrame, dict]:
    return gene_table(crystals, genes, GeneTableSettings(**(ALL | settings)), seed=seed)


# Genes of crystals


def test_every_real_crystal_has_its_canonical_gene(genes):
    assert genes["id"].tolist() == BOTH["id"].tolist()
    parsed = [parse_gene(text) for text in genes["gene"]]
    assert [str(canonical_gene(gene)) for gene in parsed] == genes["gene"].tolist()
    assert [gene.formula for gene in parsed] == BOTH["formula"].tolist()
    assert genes["space_group"].tolist() == [gene.space_group for gene in parsed]
    assert np.array_equal(genes["key"].to_numpy(), canonical_keys(gene_arrays(parsed)))


def test_broken_crystals_get_no_gene_and_do_not_end_the_table():
    salt = [[0, 0, 0], [0.5, 0.5, 0.5]]
    broken = [
        Crystal("no-number", ("Na", "Cl"), np.full((3, 3), nan), salt),
        Crystal("no-volume", ("Na", "Cl"), np.zeros((3, 3)), salt),
        Crystal("overlapping", ("Na", "Na"), 4 * np.eye(3), np.zeros((2, 3))),
        Crystal("no-atoms", (), 4 * np.eye(3), np.zeros((0, 3))),
        Crystal("five-elements", ("Na", "K", "Cl", "Br", "I"), 9 * np.eye(3), np.arange(15) / 17),
        CRYSTALS["poly-0343"],
    ]
    frame = pd.DataFrame(
        {
            "id": [crystal.id for crystal in broken],
            "species": [list(crystal.species) for crystal in broken],
            "lattice": [crystal.lattice.ravel().tolist() for crystal in broken],
            "frac_coords": [crystal.frac_coords.ravel().tolist() for crystal in broken],
        }
    )
    messages = []
    found = known_genes(frame, SYMPREC_ANGSTROM, messages.append)
    assert found["id"].tolist() == ["poly-0343"]
    for name in ("no-number", "no-volume", "overlapping", "no-atoms"):
        assert sum(message.startswith(f"{name} has no gene: ") for message in messages) == 1
    # Five elements are common and no fault.
    assert not any("five-elements" in message for message in messages)
    nothing = known_genes(frame[:5], SYMPREC_ANGSTROM, silent)
    assert len(nothing) == 0 and nothing["key"].dtype == np.uint64


# The table


def test_filters_are_counted_by_reason(genes):
    crystals = BOTH.assign(
        source_file="mp20_train.csv", **{HULL: 0.05, ENERGY: -1.0, GAP: np.arange(80) % 4 * 0.5}
    )
    crystals.loc[:2, "source_file"] = "other.csv"
    crystals.loc[3, HULL] = 0.1  # the limit itself is too far
    crystals.loc[4, ENERGY] = 1.0001
    crystals.loc[5, [HULL, ENERGY]] = [0.0999, 1.0]
    some = genes[genes["id"] != crystals["id"][6]]
    table, report = table_of(crystals, some, element_numbers=(2, 3), largest_atoms=8)

    large = set()
    for crystal in CRYSTALS.values():
        numbers = [sorted(set(crystal.species)).index(symbol) for symbol in crystal.species]
        cell = (crystal.lattice, crystal.frac_coords, numbers)
        if len(spglib.find_primitive(cell, symprec=SYMPREC_ANGSTROM)[2]) > 8:
            large.add(crystal.id)
    left = set(crystals["id"][:7]) - {crystals["id"][5]} | {"jarvis2d-0302"}  # the last one is graphene
    assert len(large - left) > 5
    lost = report["left_out"]
    assert lost.pop("gene occurs again") == 80 - len(left | large) - len(table) >= 0
    assert lost == {
        "other file": 3,
        "number of elements": 1,
        "too far above the hull": 1,
        "formation energy too high": 1,
        "no symmetry found": 1,
        "too many atoms": len(large - left),
    }
    assert not set(table["id"]) & (left | large) and crystals["id"][5] in set(table["id"])
    assert report["rows"] == len(table) and report["space_groups"] == table["space_group"].nunique()
    assert report["rows_with_band_gap_above_0"] == (table["band_gap_ev"] > 0).sum() > 0
    assert table.columns.tolist() == list(COLUMNS) and table["id"].is_monotonic_increasing
    assert set(table["origin"]) == {"dataset"}


def test_rows_carry_the_gene_and_the_properties_of_their_crystal(genes):
    crystals = BOTH.assign(**{ENERGY: -np.arange(80.0), GAP: np.arange(80.0), HULL: np.arange(80) / 1e4})
    before = crystals.copy(deep=True)
    table, _ = table_of(crystals.sample(frac=1, random_state=0), genes)
    known, own = genes.set_index("id")["gene"], crystals.set_index("id")
    assert table["gene"].tolist() == known[table["id"]].tolist()
    for name in (*GENE_PROPERTIES, "formula"):
        assert table[name].tolist() == own.loc[table["id"], name].tolist()
    pd.testing.assert_frame_equal(crystals, before)
    again, _ = table_of(crystals, genes)
    pd.testing.assert_frame_equal(again, table)


def test_unknown_energies_rule_nothing_out(genes):
    without, _ = table_of(POLY, genes)
    unknown, report = table_of(POLY.assign(**dict.fromkeys(GENE_PROPERTIES, nan)), genes)
    pd.testing.assert_frame_equal(without, unknown)
    assert (
        report["left_out"]["too far above the hull"] == report["left_out"]["formation energy too high"] == 0
    )
    assert len(unknown) == 40 - report["left_out"]["gene occurs again"]
    assert unknown[list(GENE_PROPERTIES)].isna().all(axis=None)
    assert all(unknown[name].dtype == float for name in GENE_PROPERTIES)


def test_of_duplicates_the_lowest_above_the_hull_stays(genes):
    name = "poly-0343"
    copies = [f"copy-{letter}" for letter in "abcd"]
    crystals = pd.concat([rows_of(name).assign(id=copy) for copy in copies], ignore_index=True)
    known = pd.concat([genes[genes["id"] == name].assign(id=copy) for copy in copies], ignore_index=True)
    for heights, lowest in (
        ([0.03, 0.01, 0.02, 0.09], "copy-b"),
        ([nan, nan, 0.09, nan], "copy-c"),
        ([0.02, 0.02, 0.02, 0.03], "copy-a"),
        ([nan] * 4, "copy-a"),
    ):
        table, report = table_of(crystals.assign(**{HULL: heights}), known)
        assert table["id"].tolist() == [lowest] and report["left_out"]["gene occurs again"] == 3


def test_space_groups_that_the_tolerance_changes_are_counted():
    crystal = CRYSTALS["poly-0976"]  # CsCdF3
    moved = crystal.frac_coords.copy()
    moved[0, 2] += 0.03 / np.linalg.norm(crystal.lattice[2])
    crystals = crystal_table(
        [CRYSTALS["poly-0765"], Crystal("moved", crystal.species, crystal.lattice, moved)]
    )
    found = known_genes(crystals, SYMPREC_ANGSTROM, silent)
    assert crystals["space_group"][1] != 221 and set(found["space_group"]) == {221}
    # The known crystals of a mirror come without space groups.
    _, report = table_of(crystals.drop(columns="space_group"), found)
    changes = report["space_group_changes"]
    assert (changes["changed"], changes["of"]) == (1, 2)


def test_a_table_without_rows_is_an_error(genes):
    with pytest.raises(InputError, match="no crystal passes the filters"):
        table_of(POLY, genes, element_numbers=(4,))
    with pytest.raises(InputError, match="'no symmetry found': 40"):
        table_of(POLY, genes[:0])


# Parts


def test_no_formula_is_in_two_parts_and_parts_have_their_sizes():
    formulas = [f"H{number % 50 + 2}O" for number in range(137)]
    settings = GeneTableSettings(validation_share=0.1, test_share=0.2)
    parts = parts_by_formula(formulas, settings, seed=3)
    of_formula = pd.DataFrame({"formula": formulas, "part": parts}).drop_duplicates()
    assert len(of_formula) == 50
    assert of_formula["part"].value_counts().to_dict() == {"train": 35, "test": 10, "validation": 5}
    # The same of the same seed, in any order of the rows; another of another seed.
    assert parts_by_formula(formulas, settings, seed=3) == parts
    assert parts_by_formula(formulas[::-1], settings, seed=3) == parts[::-1]
    assert parts_by_formula(formulas, settings, seed=4) != parts


def test_a_table_without_gaps_is_refused_before_anything_is_trained():
    table = dataset_rows()
    check_band_gaps(table.assign(part="train", band_gap_ev=1.0))
    for useless in (table.assign(part="train", band_gap_ev=0.0), table.assign(part="test", band_gap_ev=1.0)):
        with pytest.raises(InputError, match="nothing can be fine-tuned"):
            check_band_gaps(useless)


def test_parts_of_a_table(genes):
    settings = {"validation_share": 0.2, "test_share": 0.3}
    table, _ = table_of(BOTH, genes, seed=7, **settings)
    assert (table.groupby("formula")["part"].nunique() == 1).all() and set(table["part"]) == set(PARTS)
    formulas = table["formula"].nunique()
    tested = table[table["part"] == "test"]["formula"].nunique()
    assert tested == int(0.3 * formulas)
    other, _ = table_of(BOTH, genes, seed=8, **settings)
    assert other["part"].tolist() != table["part"].tolist()
    pd.testing.assert_frame_equal(other.drop(columns="part"), table.drop(columns="part"))


def test_labels_and_genes_of_a_part():
    table = GENES60.assign(part=np.resize(["train", "train", "test"], 60), origin="dataset")
    table.loc[3, GAP] = nan
    labels = labels_of(table)
    assert labels.shape == (60, 2) and labels.dtype == np.float64 and np.isnan(labels[3, 1])
    assert np.array_equal(labels[:, 0], table[ENERGY])
    learnt, own = part_of_table(table, "train")
    rows = table["part"] == "train"
    assert [str(gene) for gene in learnt] == table.loc[rows, "gene"].tolist()
    np.testing.assert_array_equal(own, labels[rows])
    table.loc[5, "gene"] = "225 Na:z"
    with pytest.raises(InputError, match=f"^{table['id'][5]}: .*225 Na:z"):
        genes_of_table(table)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"largest_atom": 4}, "largest_atom"),
        ({"element_numbers": []}, "element_numbers"),
        ({"element_numbers": [3, 5]}, "element_numbers"),
        ({"largest_atoms": 0}, "largest_atoms"),
        ({"symprec_angstrom": 0.0}, "symprec_angstrom"),
        ({"validation_share": -0.1}, "validation_share"),
        ({"validation_share": 0.5, "test_share": 0.5}, "less than 1"),
    ],
)
def test_wrong_settings_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        GeneTableSettings(**changes)


def test_settings_are_changed_by_name():
    assert GeneTableSettings() == GeneTableSettings(element_numbers=[3])
    assert GeneTableSettings(element_numbers=[3, 2, 3]).element_numbers == (2, 3)


# Drawn genes


def test_drawn_genes_come_back_as_they_were_possible_or_not():
    impossible = ["221 Ba:a Ti:b3 O:c", "1 Na:a Cl:b", "225"]
    texts = [*impossible, *GENES60["gene"], "62 Ca:c Ti:b O:c2d12"]
    arrays = gene_arrays([read_gene(text) for text in texts])
    table = drawn_table(arrays, "mpvae", {"energy": np.arange(len(texts)) / 8})
    assert table["id"].tolist()[:2] == ["mpvae-000000", "mpvae-000001"] and table["id"].is_unique
    assert table["gene"].tolist() == texts
    assert table["energy"][8] == 1.0 and table["space_group"].tolist()[:3] == [221, 1, 225]
    back = arrays_of_drawn(table)
    for name in ("space_group", "elements", "letters"):
        assert np.array_equal(getattr(back, name), getattr(arrays, name))
        assert getattr(back, name).dtype == getattr(arrays, name).dtype
    nothing = drawn_table(arrays[:0], "mpvae")
    assert len(nothing) == 0 and len(arrays_of_drawn(nothing)) == 0


# Validated candidates

VALIDATED = {  # energies above the DFT hull and the potential's, phonons
    "good": (0.02, 0.03, "pass"),
    "at-the-limit": (0.1, 0.1, "undecided"),
    "no-phonons": (-0.01, 0.0, None),
    "unstable": (0.0, 0.0, "fail"),
    "far-by-dft": (0.11, 0.0, "pass"),
    "far-by-the-potential": (0.0, 0.11, "pass"),
    "no-dft-energy": (nan, 0.0, "pass"),
    "no-potential-energy": (0.0, nan, "pass"),
    "no-gene": (0.0, 0.0, "pass"),
}


def validated(texts=None, phonons=True, limit=0.1, origin="round1") -> pd.DataFrame:
    names = [*VALIDATED, "no-energy"]
    texts = texts or [GENES60["gene"][number] for number in range(len(names))]
    relaxed = pd.DataFrame({"id": names, "gene": texts, GAP: np.arange(len(names)) / 10, ENERGY: 7.0})
    relaxed.loc[relaxed["id"] == "no-gene", "gene"] = ""
    hull = pd.DataFrame(
        [(name, -1.5, dft, own) for name, (dft, own, _) in VALIDATED.items()],
        columns=["id", ENERGY, "e_above_hull_dft_ev_per_atom", "e_above_hull_potential_ev_per_atom"],
    )
    said = [Verdict(name, "build", "pass") for name in names]
    if phonons:
        said += [Verdict(name, "phonons", own[2]) for name, own in VALIDATED.items() if own[2]]
    return validated_rows(relaxed, hull, verdict_table(said), origin, limit)


def test_only_validated_candidates_become_rows():
    rows = validated()
    assert rows["id"].tolist() == ["good", "at-the-limit", "no-phonons"]
    assert validated(phonons=False)["id"].tolist() == ["good", "at-the-limit", "no-phonons", "unstable"]
    assert validated(limit=0.05)["id"].tolist() == ["good", "no-phonons"]


def test_validated_rows_carry_the_labels_of_the_potential():
    first = validated().iloc[0]
    # No number of a judge is learnt: the second round would please the one that judges it.
    assert np.isnan(first.pop(GAP)) and validated()[GAP].isna().all()
    gene = parse_gene(GENES60["gene"][0])
    assert first.to_dict() == {
        "id": "good",
        "gene": str(gene),
        "formula": gene.formula,
        "space_group": gene.space_group,
        ENERGY: -1.5,  # of the potential, not the predicted one
        HULL: 0.02,
        "part": "train",
        "origin": "round1",
    }


def dataset_rows() -> pd.DataFrame:
    parts = [*["train"] * 6, *["validation"] * 2, *["test"] * 2]
    return GENES60[10:20].assign(part=parts, origin="dataset")[list(COLUMNS)].reset_index(drop=True)


def test_no_formula_of_the_table_is_appended():
    table = dataset_rows()
    # Other structures of formulas that are trained on, validated and tested with: one each.
    for part in PARTS:
        formula = table[table["part"] == part]["formula"].iloc[0]
        rows = validated().assign(formula=["Xx", formula, "Yy"])
        extended = extended_table(table, rows)
        assert extended["id"].tolist() == [*table["id"], "good", "no-phonons"]
    formulas = extended.groupby("part")["formula"].agg(set)
    assert not formulas["train"] & (formulas["validation"] | formulas["test"])
    pd.testing.assert_frame_equal(extended[: len(table)], table)
    assert extended["origin"].tolist()[-2:] == ["round1"] * 2


def test_known_genes_are_not_appended_again():
    table = dataset_rows()
    rows = validated([*table["gene"][7:10], *GENES60["gene"][:7]])
    pd.testing.assert_frame_equal(extended_table(table, rows), table)
    # The same new gene found twice is appended once; rows of several tables are put in order.
    twice = pd.concat([validated(), validated().assign(id=["z", "y", "x"])[::-1]])
    assert extended_table(table, twice)["id"].tolist()[len(table) :] == ["at-the-limit", "good", "no-phonons"]
    grown = extended_table(table, validated())
    pd.testing.assert_frame_equal(extended_table(grown, validated(origin="round2")), grown)


def test_no_validated_row_leaves_the_table_as_it_is():
    nothing = validated(limit=-1.0)
    assert len(nothing) == 0
    pd.testing.assert_frame_equal(extended_table(dataset_rows(), nothing), dataset_rows())
    several = pd.concat([nothing, validated()])
    pd.testing.assert_frame_equal(
        extended_table(dataset_rows(), several), extended_table(dataset_rows(), validated())
    )


# The archive

COMMENTS = "# a table of matminer\n# second line of the comment\n"
SALT, PEROVSKITE, SULFIDE = (CRYSTALS[name] for name in ("poly-0343", "poly-0765", "poly-0607"))


def write_archive(folder: Path, *, dielectric: str | None = None) -> None:
    def structure(crystal: Crystal) -> str:
        return str(json.loads(json.dumps(to_structure(crystal).as_dict())))

    flla = [
        ("mp-2", -2.5, 0.01, structure(SALT)),
        ("mp-9", -1.0, 0.0, "{'lattice': 'torn"),
        ("mp-8", "none", 0.0, structure(SALT)),
        ("mp-1", -0.7, nan, structure(PEROVSKITE)),
    ]
    names = ["material_id", "formation_energy_per_atom", "e_above_hull", "structure"]
    text = pd.DataFrame(flla, columns=names).assign(nsites=2).to_csv(index=False)
    (folder / "flla_2015.csv").write_text(COMMENTS + text, encoding="utf-8")
    poscars = [
        ("mp-3", 1.4, to_structure(SULFIDE).to(fmt="poscar")),
        ("mp-7", 1.0, "no POSCAR"),
        ("mp-2", 6.2, to_structure(SALT).to(fmt="poscar").replace("\n", "\\n")),
    ]
    text = pd.DataFrame(poscars, columns=["material_id", "band_gap", "poscar"]).to_csv(index=False)
    text = COMMENTS + text if dielectric is None else dielectric
    (folder / "dielectric_constant.csv").write_text(text, encoding="utf-8")


def test_materials_of_the_archive(tmp_path):
    write_archive(tmp_path)
    messages = []
    table = archive_materials(tmp_path, messages.append)
    assert table["id"].tolist() == ["mp-1", "mp-2", "mp-3"]
    assert table["formula"].tolist() == ["CsSnI3", "RbF", "AlCuS2"]
    assert table["space_group"].tolist() == [221, 225, 122]
    np.testing.assert_array_equal(table[ENERGY], [-0.7, -2.5, nan])
    np.testing.assert_array_equal(table[GAP], [nan, 6.2, 1.4])
    np.testing.assert_array_equal(table[HULL], [nan, 0.01, nan])
    assert len(messages) == 3 and all(message.endswith("left out") for message in messages)
    for message, row in zip(messages, ("flla_2015.csv, mp-9", "flla_2015.csv, mp-8"), strict=False):
        assert message.startswith(row)
    assert messages[2].startswith("dielectric_constant.csv, mp-7")
    # They serve as the crystals of a gene table; unknown energies stay unknown.
    found, _ = table_of(table, known_genes(table, SYMPREC_ANGSTROM, silent))
    assert found["id"].tolist() == ["mp-1", "mp-2", "mp-3"] and np.isnan(labels_of(found)).sum() == 2


@pytest.mark.parametrize(
    "content", ["", "# only a comment\n", "<html>\n<body>not found</body>\n", "a,b\n1,2\n"]
)
def test_an_archive_that_is_none_is_an_error(tmp_path, content):
    write_archive(tmp_path, dielectric=content)
    with pytest.raises(InputError, match=r"dielectric_constant\.csv"):
        archive_materials(tmp_path, silent)


def test_a_missing_archive_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"flla_2015\.csv does not exist"):
        archive_materials(tmp_path, silent)
