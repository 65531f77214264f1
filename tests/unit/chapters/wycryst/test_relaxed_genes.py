"""What became of a gene when its crystal relaxed."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from matwheel.chapters.wycryst.gene_boosting import GeneBoostingSettings, GenePredictors
from matwheel.chapters.wycryst.gene_funnel import JUDGE
from matwheel.chapters.wycryst.relaxed_genes import (
    BAND_GAP,
    HIGHER,
    LOST,
    OTHER,
    SAME,
    SYMMETRY_KEPT,
    relaxed_gene_verdicts,
    relaxed_genes,
)
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.table import crystals_of_table, read_table
from matwheel.wyckoff.gene_targets import Target
from matwheel.wyckoff.wyckoff_genes import gene_arrays, gene_of_crystal, parse_gene
from matwheel.wyckoff.wyckoff_permutations import canonical_gene, equivalent_genes

DATA = Path(__file__).resolve().parents[3] / "data"
TABLE = pd.read_csv(DATA / "genes60.csv")
REAL = {crystal.id: crystal for crystal in crystals_of_table(read_table(DATA / "poly40.parquet"))}
PEROVSKITE = REAL["poly-0765"]  # CsSnI3, space group 221
SYMPREC_ANGSTROM = 0.1


def silent(message: str) -> None:
    pass


@pytest.fixture(scope="module")
def predictors() -> GenePredictors:
    settings = GeneBoostingSettings(trees=4, calibration_folds=2)
    arrays = gene_arrays([parse_gene(text) for text in TABLE["gene"]])
    labels = (TABLE[name].to_numpy() for name in ("formation_energy_ev_per_atom", "band_gap_ev"))
    return GenePredictors.fit(arrays, *labels, settings, seed=0, log=silent)


def gene_text(crystal: Crystal) -> str:
    return str(gene_of_crystal(crystal, SYMPREC_ANGSTROM))


def changed(crystal: Crystal, name: str, *, stretch=(1.0, 1.0, 1.0), shake_angstrom=0.0) -> Crystal:
    lattice = crystal.lattice * np.array(stretch)
    shake = np.random.default_rng(0).normal(size=crystal.frac_coords.shape) * shake_angstrom
    return Crystal(name, crystal.species, lattice, crystal.frac_coords + shake @ np.linalg.inv(lattice))


def cubic_of_tetragonal_gene(name: str) -> Crystal:
    """CsSnI3 with its atoms on the positions of P4mm, where free heights and axes happen to make it cubic."""
    sites = {"b": [[0.5, 0.5, 0.5]], "a": [[0, 0, 0]], "aa": [[0, 0, 0.5]], "c": [[0.5, 0, 0], [0, 0.5, 0]]}
    species = ("Cs", "Sn", "I", "I", "I")
    return Crystal(name, species, 6.2 * np.eye(3), np.concatenate(list(sites.values())))


ASKED_TETRAGONAL = "99 Cs:b Sn:a I:ac"
OVERLAPPING = Crystal("overlapping", ("Na", "Na"), 4 * np.eye(3), [[0, 0, 0], [0, 0, 0.001]])
NO_NUMBER = Crystal("no-number", ("Na", "Cl"), np.full((3, 3), np.nan), [[0, 0, 0], [0.5, 0.5, 0.5]])


def batch() -> tuple[list[Crystal], dict[str, str]]:
    """One crystal of each fate, a lost one first."""
    crystals = [
        NO_NUMBER,
        PEROVSKITE,
        cubic_of_tetragonal_gene("higher"),
        changed(PEROVSKITE, "shaken", shake_angstrom=0.5),
        OVERLAPPING,
    ]
    perovskite = gene_text(PEROVSKITE)
    asked = {
        "no-number": "225 Na:a Cl:b",
        PEROVSKITE.id: perovskite,
        "higher": ASKED_TETRAGONAL,
        "shaken": perovskite,
        "overlapping": "221 Na:a Cl:b",
    }
    return crystals, asked


@pytest.fixture(scope="module")
def genes(predictors) -> pd.DataFrame:
    return relaxed_genes(*batch(), predictors, SYMPREC_ANGSTROM)


def fate(crystal: Crystal, asked: str, predictors) -> str:
    (kept,) = relaxed_genes([crystal], {crystal.id: asked}, predictors, SYMPREC_ANGSTROM)["kept"]
    return kept


def test_real_crystals_keep_their_genes_in_any_description(predictors):
    crystals = list(REAL.values())[::4]
    others = [equivalent_genes(gene_of_crystal(crystal, SYMPREC_ANGSTROM))[-1] for crystal in crystals]
    assert sum(str(other) != gene_text(crystal) for other, crystal in zip(others, crystals, strict=True)) >= 3
    asked = {crystal.id: str(other) for crystal, other in zip(crystals, others, strict=True)}
    table = relaxed_genes(crystals, asked, predictors, SYMPREC_ANGSTROM)
    assert table["kept"].tolist() == [SAME] * len(crystals)
    assert (
        table["gene"].tolist() == table["asked"].tolist() == [str(canonical_gene(other)) for other in others]
    )


def test_a_supercell_keeps_the_gene(predictors):
    twice = Crystal(
        "supercell",
        PEROVSKITE.species * 2,
        PEROVSKITE.lattice * np.array([[2], [1], [1]]),
        np.concatenate([PEROVSKITE.frac_coords, PEROVSKITE.frac_coords + np.eye(3)[0]]) / [2, 1, 1],
    )
    assert fate(twice, gene_text(PEROVSKITE), predictors) == SAME


def test_each_fate_in_one_batch(genes):
    crystals, _ = batch()
    assert genes["id"].tolist() == [crystal.id for crystal in crystals]
    assert genes["kept"].tolist() == [LOST, SAME, HIGHER, OTHER, LOST]
    assert genes["space_group"].tolist() == [0, 221, 221, 1, 0]
    assert genes["space_group_asked"].tolist() == [225, 221, 99, 221, 221]
    assert genes["gene"].tolist()[::4] == ["", ""]
    assert genes["gene"][2] == genes["gene"][1] == str(canonical_gene(parse_gene(gene_text(PEROVSKITE))))


def test_a_shake_within_the_tolerance_changes_nothing(predictors):
    nearly = changed(PEROVSKITE, "nearly", shake_angstrom=0.005)
    assert fate(nearly, gene_text(PEROVSKITE), predictors) == SAME


def test_less_symmetry_and_as_much_in_another_arrangement_are_another_gene(predictors):
    perovskite = gene_text(PEROVSKITE)
    assert fate(changed(PEROVSKITE, "stretched", stretch=(1, 1, 1.1)), perovskite, predictors) == OTHER
    # Caesium and tin exchanged: the same group, another gene.
    exchanged = {"Cs": "Sn", "Sn": "Cs", "I": "I"}
    species = tuple(exchanged[symbol] for symbol in PEROVSKITE.species)
    swapped = Crystal("swapped", species, PEROVSKITE.lattice, PEROVSKITE.frac_coords)
    assert fate(swapped, perovskite, predictors) == OTHER
    # Face-centred instead of primitive: more translations, but the operations of the same point group.
    salt = Crystal(
        "salt", ("Na", "Cl"), 2.8 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]), [[0] * 3, [0.5] * 3]
    )
    assert gene_text(salt).startswith("225 ")
    assert fate(salt, "221 Na:a Cl:b", predictors) == OTHER


def test_predictions_are_those_of_the_relaxed_gene(genes, predictors):
    known = genes[genes["gene"] != ""]
    alone = predictors.predict(gene_arrays([parse_gene(text) for text in known["gene"]]))
    for name in ("formation_energy_ev_per_atom", "band_gap_ev"):
        assert np.array_equal(known[name], alone[name])
        assert genes.loc[genes["kept"] == LOST, name].isna().all()
    assert known["band_gap_ev"].iloc[0] == known["band_gap_ev"].iloc[1]  # one gene, whatever was asked


def test_without_any_gene_and_without_any_crystal(predictors):
    crystals, asked = batch()
    for chosen in (crystals[::4], []):
        table = relaxed_genes(chosen, asked, predictors, SYMPREC_ANGSTROM)
        assert table["kept"].tolist() == [LOST] * len(chosen)
        assert table[["formation_energy_ev_per_atom", "band_gap_ev"]].isna().all(axis=None)
        verdicts = relaxed_gene_verdicts(table, Target("any", {"band_gap_ev": (1.0, 2.0)}))
        assert verdicts["verdict"].tolist() == ["error"] * 2 * len(chosen)


def test_verdicts_on_symmetry(genes):
    verdicts = relaxed_gene_verdicts(genes, Target("any"))
    assert verdicts["candidate_id"].tolist() == [name for name in genes["id"] for _ in range(2)]
    assert verdicts["screen"].tolist() == [SYMMETRY_KEPT, BAND_GAP] * len(genes)
    kept = verdicts[verdicts["screen"] == SYMMETRY_KEPT].set_index("candidate_id")
    assert kept["verdict"].tolist() == ["error", "pass", "pass", "fail", "error"]
    assert kept["value"].tolist() == genes["space_group"].tolist()
    assert kept["threshold"].tolist() == genes["space_group_asked"].tolist()
    assert kept["reason"][PEROVSKITE.id] == ""
    asked = canonical_gene(parse_gene(ASKED_TETRAGONAL))
    assert kept["reason"]["higher"] == f"relaxed to higher symmetry: {genes['gene'][2]}, asked {asked}"
    assert kept["reason"]["shaken"].startswith("relaxed to another gene: 1 ")
    assert kept["reason"]["no-number"] == "no space group is found after relaxation"


def test_verdicts_on_the_band_gap(genes):
    def said(target: Target) -> list[str]:
        verdicts = relaxed_gene_verdicts(genes, target)
        gaps = verdicts[verdicts["screen"] == BAND_GAP]
        assert set(gaps["tool"]) == {JUDGE}
        return gaps["verdict"].tolist()

    gap = genes["band_gap_ev"][1]
    others = ["pass" if value <= gap else "fail" for value in genes["band_gap_ev"][1:4]]
    # Without a window every gap passes that there is.
    assert said(Target("any")) == ["error", "pass", "pass", "pass", "error"]
    assert said(Target("low", {"band_gap_ev": (None, gap)})) == ["error", *others, "error"]
    assert said(Target("none", {"band_gap_ev": (90.0, None)})) == ["error", "fail", "fail", "fail", "error"]
    # Windows of other properties, and space groups, were judged on the gene that was drawn.
    elsewhere = Target("other", {"formation_energy_ev_per_atom": (50.0, None)}, (1, 2))
    assert said(elsewhere) == said(Target("any"))
