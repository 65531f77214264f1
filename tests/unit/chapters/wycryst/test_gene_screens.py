"""Screens of genes: each against the rule said another way, gene by gene."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Composition

from matwheel.chapters.wycryst.gene_screens import (
    ANIONS,
    charge_neutrality,
    electronegativity,
    gene_validity,
    novel_formula,
    novel_gene,
    one_anion,
    property_window,
    score_screen,
    unique_gene,
)
from matwheel.compositions.formulas import ELEMENTS
from matwheel.core.errors import InputError
from matwheel.generators.null_genes import random_genes, substituted_genes
from matwheel.screening.composition_validity import CompositionSettings
from matwheel.verdicts import COLUMNS, VERDICTS, join_verdicts, verdict_table
from matwheel.wyckoff.gene_targets import PropertyWindow, Target
from matwheel.wyckoff.wyckoff_genes import (
    GeneArrays,
    fault_of_gene,
    gene_arrays,
    genes_of_arrays,
    parse_gene,
)

TABLE = pd.read_csv(Path(__file__).resolve().parents[3] / "data" / "genes60.csv")
GENES = [parse_gene(text) for text in TABLE["gene"]]
ARRAYS = gene_arrays(GENES)
MANY = random_genes(ARRAYS, 400, seed=0)
MANY_GENES = genes_of_arrays(MANY)
IDS = [f"random-{i:06d}" for i in range(400)]


def changed(text, **arrays):
    """One gene with some of its arrays replaced."""
    one = gene_arrays([parse_gene(text)])
    return GeneArrays(
        arrays.get("space_group", one.space_group),
        arrays.get("elements", one.elements),
        arrays.get("letters", one.letters),
    )


def only(table):
    assert len(table) == 1
    return table.iloc[0]


def test_tables_are_verdict_tables_that_join():
    tables = [
        gene_validity(IDS, MANY),
        charge_neutrality(IDS, MANY),
        electronegativity(IDS, MANY),
        one_anion(IDS, MANY),
        unique_gene(IDS, np.arange(400, dtype=np.uint64)),
        property_window(IDS, {"space_group": MANY.space_group}, {"space_group": (195, 230)}),
        score_screen(IDS, "metal_score", np.linspace(0, 1, 400), 0.5, passes_above=False),
    ]
    for table in tables:
        assert tuple(table.columns) == COLUMNS and list(table["candidate_id"]) == IDS
        assert table.dtypes.equals(verdict_table([]).dtypes) and table["verdict"].isin(VERDICTS).all()
        assert (table.loc[table["verdict"] != "pass", "reason"] != "").all()
    assert len(join_verdicts(tables, IDS)) == 400 * len(tables)
    with pytest.raises(InputError, match="3 ids and 400 genes"):
        one_anion(IDS[:3], MANY)


def test_real_and_random_genes_are_valid_and_their_atoms_are_counted():
    table = gene_validity(list(TABLE["id"]), ARRAYS, numbers_of_elements=[2, 3], largest_atoms=20)
    assert (table["verdict"] == "pass").all() and (table["reason"] == "").all()
    assert table["value"].tolist() == [gene.atoms_in_primitive_cell for gene in GENES]
    small = gene_validity(IDS, MANY, numbers_of_elements=[3], largest_atoms=12)
    expected = [len(gene.elements) == 3 and gene.atoms_in_primitive_cell <= 12 for gene in MANY_GENES]
    assert (small["verdict"] == "pass").tolist() == expected and 0 < sum(expected) < 400


def test_every_fault_of_a_gene_is_named():
    sodium, chlorine = ELEMENTS.index("Na") + 1, ELEMENTS.index("Cl") + 1
    salt = gene_arrays([parse_gene("225 Na:a Cl:b")])
    no_site, foreign = salt.letters.copy(), salt.letters.copy()
    no_site[0, 1] = 0
    foreign[0, 0, 20] = 1
    cases = {
        "there is no space group 0": changed("225 Na:a Cl:b", space_group=np.array([0], dtype=np.int16)),
        "there is no space group 231": changed("225 Na:a Cl:b", space_group=np.array([231], dtype=np.int16)),
        "no element": changed("225 Na:a Cl:b", elements=np.zeros((1, 4), dtype=np.int16)),
        "space group 225 has no position u": changed("225 Na:a Cl:b", letters=foreign),
        "a site is without an element": changed(
            "225 Na:a Cl:b", elements=np.array([[sodium, 0, 0, 0]], dtype=np.int16)
        ),
        "Cl is without a site": changed("225 Na:a Cl:b", letters=no_site),
        "Cl is listed twice": changed(
            "225 Na:a Cl:b", elements=np.array([[chlorine, chlorine, 0, 0]], dtype=np.int16)
        ),
        "position a of space group 225 is fixed, but taken 2 times": changed("225 Na:a Cl:a"),
        "1 elements, not 2 or 3": changed("225 Na:a"),
        "32 atoms in the primitive cell, more than 20": changed("225 Na:ad Cl:bk"),
    }
    for reason, arrays in cases.items():
        row = only(gene_validity(["g"], arrays, numbers_of_elements=(3, 2), largest_atoms=20))
        assert (row["verdict"], row["reason"]) == ("fail", reason)
    assert fault_of_gene(parse_gene("225 Na:a Cl:a")).startswith("position a")


def test_the_first_of_equal_keys_is_unique():
    keys = np.array([7, 3, 7, 9, 3, 7], dtype=np.uint64)
    table = unique_gene(list("abcdef"), keys)
    assert table["verdict"].tolist() == ["pass", "pass", "fail", "pass", "fail", "fail"]
    assert table["reason"].tolist()[2:] == [
        "the same gene as a",
        "",
        "the same gene as b",
        "the same gene as a",
    ]
    with pytest.raises(InputError, match="one uint64 per gene"):
        unique_gene(list("abc"), keys)
    with pytest.raises(InputError, match="one uint64 per gene"):
        unique_gene(list("abcdef"), keys.astype(float))


@pytest.mark.parametrize("alloys_pass", [True, False])
def test_charges_are_judged_as_smact_does(alloys_pass):
    from smact.screening import smact_validity

    settings = CompositionSettings("smact14", alloys_pass=alloys_pass)
    neutral = charge_neutrality(IDS[:150], MANY[:150], settings)
    balanced = electronegativity(IDS[:150], MANY[:150], settings)
    for table, pauling in ((neutral, False), (balanced, True)):
        expected = [
            smact_validity(
                gene.formula,
                use_pauling_test=pauling,
                include_alloys=alloys_pass,
                oxidation_states_set="smact14",
            )
            for gene in MANY_GENES[:150]
        ]
        assert (table["verdict"] == "pass").tolist() == expected and 0 < sum(expected) < 150
    assert set(neutral["tool"]) == {"smact14"} and len(set(neutral["tool_version"])) == 1
    assert ("alloys judged" in neutral["tool_version"].iloc[0]) is not alloys_pass


def test_reasons_of_charges_say_what_is_wrong():
    genes = gene_arrays(
        [
            parse_gene(text)
            for text in ("225 Na:a Cl:b", "221 Mg:a F:c", "225 He:a Na:b", "221 Ni:a Al:b", "225 Si:a")
        ]
    )
    settings = CompositionSettings("smact14")
    table = charge_neutrality(list("abcde"), genes, settings)
    assert table["verdict"].tolist() == ["pass", "fail", "fail", "pass", "pass"]
    assert table["reason"].tolist() == [
        "",
        "no choice of oxidation states in smact14 makes MgF3 neutral",
        "no oxidation state of He in smact14",
        "passes as an alloy: metals only",
        "passes as a single element",
    ]
    nothing = changed("225 Na:a Cl:b", letters=np.zeros((1, 4, 27), dtype=np.uint8))
    row = only(charge_neutrality(["g"], nothing))
    assert (row["verdict"], row["reason"]) == ("error", "no atoms")
    letters = gene_arrays([parse_gene("225 Na:a Cl:l")]).letters
    letters[0, 1] *= 255
    row = only(electronegativity(["g"], changed("225 Na:a Cl:l", letters=letters)))
    assert row["verdict"] == "error" and row["reason"].startswith("more than 10000 atoms")


def test_anions_are_counted():
    table = one_anion(IDS, MANY)
    numbers = [len(set(gene.elements) & set(ANIONS)) for gene in MANY_GENES]
    assert table["value"].tolist() == numbers and (table["threshold"] == 1).all()
    assert (table["verdict"] == "fail").tolist() == [number > 1 for number in numbers]
    oxychloride = gene_arrays([parse_gene("129 Bi:c Cl:c O:a")])
    assert only(one_anion(["g"], oxychloride))["reason"] == "Cl and O are anions, 1 allowed"
    assert only(one_anion(["g"], oxychloride, most_anions=2))["verdict"] == "pass"
    assert only(one_anion(["g"], oxychloride, anions=["O"]))["verdict"] == "pass"
    with pytest.raises(InputError, match="'Cx'"):
        one_anion(["g"], oxychloride, anions=["Cx"])


def test_known_genes_are_not_new_and_the_set_is_hashed():
    keys = np.array([1, 2, 3, 2**64 - 1], dtype=np.uint64)
    known = np.array([2, 2**64 - 1, 2], dtype=np.uint64)
    table = novel_gene(list("abcd"), keys, known, reference_name="training")
    assert table["verdict"].tolist() == ["pass", "fail", "pass", "fail"]
    assert table["reason"].tolist() == ["", "the gene is known in training"] * 2
    again = novel_gene(list("abcd"), keys, known[[1, 0]], reference_name="training")
    other = novel_gene(list("abcd"), keys, known[:1], reference_name="training")
    assert set(table["tool_version"]) == set(again["tool_version"]) != set(other["tool_version"])
    assert (novel_gene(list("abcd"), keys, known[:0])["verdict"] == "pass").all()


def test_formulas_are_compared_as_compositions_not_as_text():
    made = substituted_genes(ARRAYS, 400, seed=8)
    genes = genes_of_arrays(made)
    reference = [gene.formula for gene in GENES] + [genes[3].formula]
    # Doubled and spelt in another order.
    spelt = [
        "".join(f"{e}{2 * n}" for e, n in sorted(Composition(f).as_reduced_dict().items())) for f in reference
    ]
    spelt = [text.replace(".0", "") for text in spelt]
    table = novel_formula(IDS, made, spelt, reference_name="icsd")
    expected = [gene.formula not in reference for gene in genes]
    assert (table["verdict"] == "pass").tolist() == expected and not expected[3]
    assert table["reason"].iloc[3].endswith("is known in icsd") and table["reason"].iloc[3].startswith(
        "formula "
    )
    assert set(table["tool_version"]) == set(
        novel_formula(IDS, made, reference[::-1], reference_name="icsd")["tool_version"]
    )
    with pytest.raises(InputError, match="icsd, row 2"):
        novel_formula(IDS, made, ["NaCl", "Na-Cl"], reference_name="icsd")
    row = only(novel_formula(["g"], changed("225 Na:a", letters=np.zeros((1, 4, 27), dtype=np.uint8)), []))
    assert row["verdict"] == "error"


def test_windows_of_properties_name_what_is_outside():
    energy = [-2.0, -1.0, np.nan, -2.0, -1.5, -2.0]
    gap = [1.5, 1.5, 3.0, 3.0, 1.2, np.nan]
    windows = {"formation_energy_ev_per_atom": [None, -1.5], "band_gap_ev": [1.2, 1.8]}
    table = property_window(
        list("abcdef"), {"formation_energy_ev_per_atom": energy, "band_gap_ev": gap}, windows, tool="mpvae"
    )
    assert table["verdict"].tolist() == ["pass", "fail", "error", "fail", "pass", "error"]
    assert table["reason"].tolist() == [
        "",
        "formation energy of -1.000 eV/atom is not at most -1.5",
        "no predicted formation energy",
        "band gap of 3.000 eV is not 1.2 to 1.8",
        "",
        "no predicted band gap",
    ]
    assert table["value"].tolist()[1::2][:2] == [-1.0, 3.0] and table["threshold"].tolist()[1::2][:2] == [
        -1.5,
        1.8,
    ]
    assert np.isnan(table["value"].to_numpy()[[0, 2, 4, 5]]).all()
    with pytest.raises(InputError, match="no predicted values"):
        property_window(["a"], {}, windows)
    with pytest.raises(InputError, match="one per gene"):
        property_window(["a"], {"band_gap_ev": [1.0, 2.0]}, {"band_gap_ev": [1.2, 1.8]})


def test_an_error_of_one_property_stays_an_error_whatever_the_others_are():
    windows = {"a": [0, 1], "b": [0, 1]}
    for values in ({"a": [5.0], "b": [np.nan]}, {"a": [np.nan], "b": [5.0]}):
        row = only(property_window(["g"], values, windows))
        assert row["verdict"] == "error" and np.isnan(row["value"]) and np.isnan(row["threshold"])


def test_scores_pass_on_their_side_of_the_threshold():
    values = [0.3, 0.4, 0.5, np.nan]
    above = score_screen(list("abcd"), "synthesizability", values, 0.4, passes_above=True, tool="pu")
    below = score_screen(list("abcd"), "metal_score", values, 0.4, passes_above=False)
    assert above["verdict"].tolist() == ["fail", "fail", "pass", "error"]
    assert below["verdict"].tolist() == ["pass", "fail", "fail", "error"]
    assert above["reason"].tolist()[0] == "synthesizability of 0.300 is not above 0.4"
    assert below["reason"].tolist()[2:] == ["metal score of 0.500 is not below 0.4", "no metal score"]
    with pytest.raises(InputError, match="threshold"):
        score_screen(list("abcd"), "metal_score", values, np.nan, passes_above=False)


def test_space_groups_of_the_target():
    table = property_window(
        list("abc"), {"space_group": np.array([194, 195, 230])}, {"space_group": (195, 229)}
    )
    assert table["verdict"].tolist() == ["fail", "pass", "fail"]
    assert table["threshold"].tolist()[::2] == [195, 229]
    assert table["reason"].iloc[0] == "space_group of 194.000 is not 195 to 229"


def test_a_target_keeps_the_rows_inside_all_its_windows():
    target = Target(
        "condition_1", {"formation_energy_ev_per_atom": [None, -0.5], "band_gap_ev": (0.1, None)}, [143, 230]
    )
    expected = [
        row.formation_energy_ev_per_atom <= -0.5 and row.band_gap_ev >= 0.1 and row.space_group >= 143
        for row in TABLE.itertuples()
    ]
    assert target.rows_inside(TABLE).tolist() == expected and 0 < sum(expected) < 60
    unknown = TABLE.assign(band_gap_ev=np.nan)
    assert not target.rows_inside(unknown).any()
    assert target == Target(
        "condition_1",
        {"formation_energy_ev_per_atom": PropertyWindow(high=-0.5), "band_gap_ev": PropertyWindow(0.1)},
        (143, 230),
    )
    with pytest.raises(InputError, match="no column band_gap_ev"):
        target.rows_inside(TABLE.drop(columns="band_gap_ev"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": ""}, "give it a name"),
        ({"name": "t", "windows": {"band_gap_ev": [2, 1]}}, "t, band_gap_ev: .* is empty"),
        ({"name": "t", "windows": {"band_gap_ev": [1]}}, "give \\[low, high\\]"),
        ({"name": "t", "windows": {"band_gap_ev": ["1", 2]}}, "give a number"),
        ({"name": "t", "windows": {"band_gap_ev": [np.nan, 2]}}, "give a number"),
        ({"name": "t", "windows": [1, 2]}, "give property"),
        ({"name": "t", "space_groups": [0, 230]}, "space_groups"),
        ({"name": "t", "space_groups": [200, 195]}, "space_groups"),
        ({"name": "t", "space_groups": 195}, "space_groups"),
        ({"name": "t", "space_groups": [1.5, 195]}, "space_groups"),
    ],
)
def test_bad_targets_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        Target(**arguments)
