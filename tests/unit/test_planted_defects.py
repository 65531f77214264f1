"""Planted defects: crystals whose fault is known, through every screen, each with the verdict it must get."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifWriter

from matwheel.candidates.false_negatives import ALL_SCREENS, false_negatives
from matwheel.candidates.funnel import funnel_counts, sun_rates
from matwheel.candidates.ranking import JudgedCandidates, candidates_table
from matwheel.candidates.why import history
from matwheel.crystals.crystal import Crystal, from_structure, to_structure
from matwheel.crystals.imported import read_imported
from matwheel.crystals.table import crystal_table, crystals_of_table, write_table
from matwheel.potentials.potentials import POTENTIALS, make_calculator, potential_card
from matwheel.potentials.relaxation import RelaxationSettings, relax, relaxation_verdicts
from matwheel.screening.composition_validity import composition_verdicts
from matwheel.screening.novelty import novel_relaxed_verdicts, novelty_verdicts
from matwheel.screening.reference_sets import reference_of_formulas, reference_of_table
from matwheel.screening.structure_validity import structure_verdicts
from matwheel.screening.symmetry import symmetry_verdicts
from matwheel.screening.uniqueness import unique_relaxed_verdicts, unique_verdicts, uniqueness
from matwheel.verdicts import join_verdicts, survivors, verdict_table

FUNNEL = [
    "parse", "structure", "charge_neutrality", "electronegativity", "unique", "novel_training",
    "single_point", "relaxation", "unique_relaxed", "novel_relaxed",
]  # fmt: skip


def of(name, group, length, species, positions):
    return from_structure(name, Structure.from_spacegroup(group, Lattice.cubic(length), species, positions))


def known_good():
    """Crystals that exist, near their measured lattice constants."""
    return [
        of("Si", "Fd-3m", 5.431, ["Si"], [[0, 0, 0]]),
        of("NaCl", "Fm-3m", 5.640, ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
        of("MgO", "Fm-3m", 4.212, ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
        of("SrTiO3", "Pm-3m", 3.905, ["Sr", "Ti", "O"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]),
        of("ZnS", "F-43m", 5.409, ["Zn", "S"], [[0, 0, 0], [0.25, 0.25, 0.25]]),
        of("CaF2", "Fm-3m", 5.463, ["Ca", "F"], [[0, 0, 0], [0.25, 0.25, 0.25]]),
        of("CuAu", "Pm-3m", 3.10, ["Cu", "Au"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    ]


def renamed(name, crystal, lattice=None, positions=None, species=None):
    return Crystal(
        name,
        crystal.species if species is None else species,
        crystal.lattice if lattice is None else lattice,
        crystal.frac_coords if positions is None else positions,
    )


def copies_of(crystal, generator):
    """The same material as a supercell, rotated, permuted, shifted, in a skewed cell, and rattled."""
    order = generator.permutation(len(crystal.species))
    angle = 0.7
    rotation = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    ) @ np.array([[1, 0, 0], [0, np.cos(0.4), -np.sin(0.4)], [0, np.sin(0.4), np.cos(0.4)]])
    double = to_structure(crystal)
    double.make_supercell([[2, 0, 0], [0, 1, 0], [0, 0, 1]])
    skew = np.array([[1, 0, 0], [3, 1, 0], [0, -2, 1]])
    rattled = crystal.frac_coords + generator.normal(scale=0.002, size=crystal.frac_coords.shape)
    return [
        from_structure("copy-supercell", double),
        renamed("copy-rotated", crystal, lattice=crystal.lattice @ rotation.T),
        renamed(
            "copy-permuted", crystal, positions=crystal.frac_coords[order],
            species=tuple(crystal.species[i] for i in order),
        ),
        renamed("copy-shifted", crystal, positions=crystal.frac_coords + np.array([0.31, -0.72, 5.13])),
        renamed(
            "copy-skewed", crystal, lattice=skew @ crystal.lattice,
            positions=crystal.frac_coords @ np.linalg.inv(skew),
        ),
        renamed("copy-rattled", crystal, positions=rattled, lattice=crystal.lattice * 1.003),
    ]  # fmt: skip


def stretched(name, crystal, factor):
    """The same cell, longer along c and narrower, of one volume: another structure until it relaxes."""
    return renamed(name, crystal, lattice=crystal.lattice * [[factor**-0.5], [factor**-0.5], [factor]])


def ordered_alloy(name, corner, length):
    return of(name, "Pm-3m", length, [corner, "Cu"], [[0, 0, 0], [0.5, 0.5, 0]])


def defects(generator):
    salt = of("salt", "Fm-3m", 6.60, ["K", "Br"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    near = salt.frac_coords.copy()
    near[-1] = near[0] + [0.03, 0, 0]
    same = salt.frac_coords.copy()
    same[-1] = same[0]
    fluorite = of("x", "Fm-3m", 6.0, ["K", "F"], [[0, 0, 0], [0.25, 0.25, 0.25]])
    anti = of("x", "Fm-3m", 7.0, ["Cl", "Na"], [[0, 0, 0], [0.25, 0.25, 0.25]])
    noble = of("x", "Fm-3m", 6.5, ["Ar", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    water = Crystal(
        "molecule", ("O", "H", "H"), 20 * np.eye(3), np.array([[0, 0, 0], [0.048, 0, 0], [-0.012, 0.046, 0]])
    )
    return [
        renamed("overlap", salt, positions=near),
        renamed("one-place", salt, positions=same),
        renamed("squeezed", salt, lattice=salt.lattice * 0.35),
        renamed("collapsed", salt, lattice=salt.lattice * [[1.0], [1.0], [0.04]]),
        renamed("flat", salt, lattice=salt.lattice * [[1.0], [1.0], [0.0]]),
        renamed("exploded", salt, lattice=salt.lattice * 9),
        renamed("charged", fluorite),  # KF2
        renamed("reversed", anti),  # Na2Cl is neutral with Na -1 only
        renamed("noble", noble),  # ArCl
        water,
        Crystal("large", ("Si",) * 210, 17 * np.eye(3), generator.random((210, 3))),
        Crystal("clash", ("Al", "Ni"), 4 * np.eye(3), np.array([[0, 0, 0], [0.28, 0, 0]])),
        ordered_alloy("cubic", "Pt", 3.70),
        stretched("becomes-cubic", ordered_alloy("x", "Pt", 3.70), 1.4),
        stretched("becomes-known", ordered_alloy("x", "Pd", 3.65), 1.4),
    ]


@pytest.fixture(scope="module")
def planted(tmp_path_factory, poly_crystals):
    """Verdicts of all screens on one file of crystals and one of CIF texts, and what went in."""
    folder = tmp_path_factory.mktemp("planted")
    generator = np.random.default_rng(0)
    training = [*poly_crystals[0][:20], ordered_alloy("Cu3Pd", "Pd", 3.65)]
    good, real = known_good(), poly_crystals[0][20:26]
    known = renamed("known", training[3], lattice=training[3].lattice * 1.002)
    copies = copies_of(good[3], generator)
    broken = renamed("not-finite", good[1], positions=np.full_like(good[1].frac_coords, np.nan))
    write_table(crystal_table([*good, *real, known, *copies, *defects(generator)]), folder / "made.parquet")
    frame = crystal_table([good[1]])
    frame.at[0, "id"] = broken.id
    frame.at[0, "frac_coords"] = broken.frac_coords.ravel().tolist()
    frame.to_parquet(folder / "broken.parquet")
    disordered = Structure(Lattice.cubic(4), [{"Na": 0.5, "K": 0.5}, "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    cifs = {
        "unparsable": "data_nothing\n_cell_length_a x\n",
        "disordered": str(CifWriter(disordered)),
        "no-text": "",
        "fine": str(
            CifWriter(to_structure(of("x", "Fm-3m", 6.29, ["K", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])))
        ),
    }
    pd.DataFrame({"id": list(cifs), "cif": list(cifs.values())}).to_csv(folder / "made.csv", index=False)

    crystals, parsed = [], []
    for name in ("made.parquet", "broken.parquet", "made.csv"):
        read, verdicts = read_imported(folder / name)
        crystals += read
        parsed += verdicts
    ids = [verdict.candidate_id for verdict in parsed]
    tables = [verdict_table(parsed), verdict_table(structure_verdicts(crystals))]
    tables += [verdict_table(symmetry_verdicts(crystals)), verdict_table(composition_verdicts(crystals))]
    eligible = survivors(pd.concat(tables), ids, FUNNEL[:4])
    tables.append(verdict_table(unique_verdicts(uniqueness(crystals), eligible)))
    for reference in (
        learned := reference_of_table("training", crystal_table(training), "poly40 and an alloy"),
        reference_of_formulas("formula", ["SrTiO3", "K1 Cl1"], "by hand"),
    ):
        tables.append(verdict_table(novelty_verdicts(crystals, reference)))
    settings = RelaxationSettings(max_steps=60)
    relaxed = relax(crystals, make_calculator("emt"), settings, elements=POTENTIALS["emt"].elements)
    tables.append(verdict_table(relaxation_verdicts(relaxed, potential_card("emt"), settings)))
    converged = relaxed[relaxed["status"] == "converged"]
    energies = dict(zip(converged["id"], converged["energy_ev_per_atom"], strict=True))
    groups = uniqueness(crystals_of_table(converged))
    tables.append(verdict_table(unique_relaxed_verdicts(groups, energies)))
    tables.append(verdict_table(novel_relaxed_verdicts(crystals_of_table(converged), learned)))
    return join_verdicts(tables, ids), ids, crystals, [crystal.id for crystal in (*good, *real)]


EXPECTED = {
    "parse": {"not-finite": "error", "unparsable": "error", "disordered": "error", "no-text": "error"},
    "structure": dict.fromkeys(
        ["overlap", "one-place", "squeezed", "collapsed", "flat", "exploded", "molecule", "large", "clash"],
        "fail",
    ),
    "charge_neutrality": {"charged": "fail", "noble": "fail"},
    # poly-0528 is Na2AsAu, which exists: Au(+1) is more electronegative than As(-3). See the audit below.
    "electronegativity": {"charged": "fail", "noble": "fail", "reversed": "fail", "poly-0528": "fail"},
    "unique": {
        **dict.fromkeys(
            [
                "copy-supercell",
                "copy-rotated",
                "copy-permuted",
                "copy-shifted",
                "copy-skewed",
                "copy-rattled",
            ],
            "fail",
        ),
        # Atoms at or near one place, and the same cell at two scales, are one structure to the matcher.
        **dict.fromkeys(["overlap", "squeezed"], "fail"),
        **dict.fromkeys(["collapsed", "flat", "large"], "error"),
    },
    "novel_training": {"known": "fail", "collapsed": "error", "flat": "error", "large": "error"},
}
"""Screen → candidates that it must not pass, and its verdict on them; it must pass all others."""
SEEN_BY_ALL = ["parse", "structure", "charge_neutrality", "electronegativity", "unique", "novel_training"]


@pytest.mark.parametrize("screen", SEEN_BY_ALL)
def test_each_defect_is_caught_by_its_screen_and_by_no_other(planted, screen):
    table, ids, crystals, _ = planted
    here = table[table["screen"] == screen].set_index("candidate_id")
    judged = ids if screen == "parse" else [crystal.id for crystal in crystals]
    assert set(here.index) == set(judged)
    expected = {name: EXPECTED[screen].get(name, "pass") for name in judged}
    assert here["verdict"].to_dict() == expected
    assert (here.loc[here["verdict"] != "pass", "reason"] != "").all()


def test_symmetry_novelty_of_formulas_and_relaxation_judge_what_they_can(planted):
    table, _, crystals, _ = planted
    said = table.set_index(["screen", "candidate_id"])
    groups = {name: said.loc[("symmetry", name), "value"] for name in ("Si", "NaCl", "SrTiO3", "ZnS", "CuAu")}
    assert groups == {"Si": 227, "NaCl": 225, "SrTiO3": 221, "ZnS": 216, "CuAu": 221}
    assert said.loc[("symmetry", "copy-supercell"), "value"] == 221
    assert said.loc[("symmetry", "flat"), "verdict"] == "error"
    formulas = said.loc["novel_formula"]
    known = [name for name, verdict in formulas["verdict"].items() if verdict == "fail"]
    assert known == ["SrTiO3", *(name for name in EXPECTED["unique"] if name.startswith("copy")), "fine"]
    # The potential knows metals only: it refuses the others instead of guessing.
    single, relaxed = said.loc["single_point"], said.loc["relaxation"]
    assert single.loc["CuAu", "verdict"] == "pass" and relaxed.loc["CuAu", "verdict"] == "pass"
    assert single.loc["clash", "verdict"] == "fail" and "clash" not in relaxed.index
    others = single.drop(index=["CuAu", "clash", "cubic", "becomes-cubic", "becomes-known"])
    assert set(others["verdict"]) == {"error"} and others["reason"].ne("").all()
    assert list(single.index) == [crystal.id for crystal in crystals]


def test_what_relaxes_to_another_candidate_or_to_a_known_crystal_is_caught(planted):
    table, _, _, _ = planted
    said = table.set_index(["screen", "candidate_id"])
    made = ["CuAu", "cubic", "becomes-cubic", "becomes-known"]
    for screen in ("unique", "novel_training", "relaxation"):
        assert said.loc[screen].loc[made, "verdict"].eq("pass").all(), screen
    copies, known = said.loc["unique_relaxed"], said.loc["novel_relaxed"]
    assert set(copies.index) == set(known.index) == set(made), "only what converged is judged"
    rejected = copies[copies["verdict"] == "fail"]
    assert rejected["reason"].tolist() == ["relaxes to the same crystal as cubic"]
    assert list(rejected.index) == ["becomes-cubic"] and 0 < rejected["value"].iloc[0] < 0.001
    assert known["verdict"].to_dict() == {**dict.fromkeys(made, "pass"), "becomes-known": "fail"}
    assert known.loc["becomes-known", "reason"] == "relaxes to Cu3Pd of training"


def test_the_funnel_and_the_rates_of_the_planted_set(planted):
    table, ids, _, _ = planted
    counts = funnel_counts(table, ids, FUNNEL).set_index("screen")
    said = {(row.candidate_id, row.screen): row.verdict for row in table.itertuples()}
    alive = list(ids)
    for screen in FUNNEL:
        alive = [name for name in alive if said.get((name, screen)) == "pass"]
        assert counts.loc[screen, "alive"] == len(alive)
    assert alive == ["CuAu", "cubic"] and counts.loc["parse", "error"] == 4
    # Without energies above hull nothing is known to be stable, and nothing that is alive is ruled out.
    rate = sun_rates(table, ids, FUNNEL[:6]).iloc[0]
    assert rate["count"] == 0 and rate["measured"] == 0
    # The two that relax to others are ruled out by that alone.
    assert rate["not_judged"] == counts.loc["novel_training", "alive"] - 2
    assert rate["rejected"] == len(ids) - rate["not_judged"]


def test_every_planted_candidate_has_a_history_and_a_row(planted):
    table, ids, crystals, _ = planted
    rows = crystal_table(crystals).set_index("id", drop=False)
    for name in ids:
        text = history(name, table, rows.loc[name] if name in rows.index else None, screens=FUNNEL)
        assert text.startswith(f"{name}\n") and max(map(len, text.splitlines())) <= 110
    assert "copy of SrTiO3" in history("copy-skewed", table, screens=FUNNEL)
    assert "made.csv, row 2: site K0 has occupancy 0.5" in history("disordered", table, screens=FUNNEL)
    ranked = candidates_table([JudgedCandidates("planted", rows.reset_index(drop=True), table, FUNNEL)])
    assert sorted(ranked["id"]) == sorted(ids) and set(ranked["id"][:2]) == {"CuAu", "cubic"}
    verdicts, reasons = ranked.set_index("id")["verdict"], ranked.set_index("id")["reason"]
    assert verdicts["becomes-cubic"] == verdicts["becomes-known"] == "rejected"
    assert reasons["becomes-cubic"] == "unique relaxed: relaxes to the same crystal as cubic"
    text = history("becomes-cubic", table, screens=FUNNEL)
    assert "✗ unique relaxed" in text and "eV/atom; relaxes to the same crystal as cubic" in text
    assert verdicts["overlap"] == verdicts["known"] == verdicts["copy-rotated"] == "rejected"
    assert verdicts["unparsable"] == "error" and verdicts["NaCl"] == "error"


def test_the_audit_finds_the_real_crystal_that_a_screen_kills(planted):
    table, _, _, real = planted
    audit = false_negatives(table, real, ["structure", "charge_neutrality", "electronegativity"])
    audit = audit.set_index("screen")
    assert audit["judged"].tolist() == [len(real)] * 4
    assert audit["killed"].to_dict() == {
        "structure": 0, "charge_neutrality": 0, "electronegativity": 1, ALL_SCREENS: 1,
    }  # fmt: skip
    assert audit.loc["electronegativity", "examples"].startswith("poly-0528: neutral in smact14 only with")
    assert 0 < audit.loc["electronegativity", "killed_high"] < 0.4
