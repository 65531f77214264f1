from math import nan

import pandas as pd
import pytest

from matwheel.candidates.why import history
from matwheel.core.errors import InputError
from matwheel.verdicts import Verdict, verdict_table

TABLE = verdict_table(
    [
        Verdict("made-00001", "structure", "pass", 2.1234, 0.5, tool="matwheel"),
        Verdict("made-00001", "charge_neutrality", "pass", tool="smact14", tool_version="4.0.2"),
        Verdict("made-00001", "novel_formula", "fail", reason="is mp-22862 of formula"),
        Verdict("made-00001", "relaxation", "pass", 0.031, 0.05, tool="7net-0", tool_version="0.13.0"),
        Verdict("made-00001", "unique_relaxed", "pass"),
        Verdict("made-00001", "novel_relaxed", "pass"),
        Verdict("made-00001", "hull_dft", "pass", 0.0312, 0.1, "competes with NaCl (mp-22862)"),
        Verdict("made-00001", "hull_potential", "fail", 0.21, 0.1, "competes with NaCl (mp-22862)"),
        Verdict("made-00001", "hull", "undecided", 0.0312, 0.1, "the hulls disagree"),
        Verdict("made-00002", "structure", "fail", 0.31, 0.5, "atoms 0.31 Å apart"),
        Verdict("made-00003", "structure", "pass", 2.0, 0.5),
        Verdict(
            "made-00004", "unique_relaxed", "fail", 0.0021, reason="relaxes to the same crystal as made-00001"
        ),
        Verdict("made-00003", "phonons", "fail", -2.1, -0.1, "unstable at R"),
    ]
)


def test_the_history_tells_each_screen_with_figures_units_and_reasons():
    text = history(
        "made-00001",
        TABLE,
        {"formula": "NaCl", "species": ["Na", "Cl"], "space_group": 225, "condition": 2.5,
         "generator": "con_cdvae", "generation_seed": 7},
        {"predicted property": "2.4"},
    )  # fmt: skip
    lines = text.splitlines()
    assert lines[0] == "made-00001"
    assert "  crystal: NaCl, 2 atoms in the cell, space group Fm-3m (225)" in lines
    assert "  origin: made by con_cdvae, generation seed 7, asked for a property of 2.5" in lines
    assert "  predicted property: 2.4" in lines
    assert "  UNDECIDED: hull: the hulls disagree" in lines

    def line_of(screen):
        return next(line for line in lines if line[4:].startswith(f"{screen:<19} "))

    assert line_of("structure") == "  ✓ structure           2.123 > 0.5 Å, smallest distance [matwheel]"
    assert line_of("charge neutrality").startswith("  ✓") and "[smact14 4.0.2]" in line_of(
        "charge neutrality"
    )
    assert "0.031 < 0.05 eV/Å [7net-0 0.13.0]" in line_of("relaxation")
    assert "0.0312 < 0.1 eV/atom; competes with NaCl (mp-22862)" in line_of("hull dft")
    assert line_of("hull dft").endswith("does not decide)")
    assert line_of("hull potential").startswith("  ✗") and "0.21 > 0.1" in line_of("hull potential")
    assert line_of("hull").startswith("  ?")
    assert "for information" in line_of("novel formula")
    assert lines[-1] == "  · not done            phonons: hull was undecided"
    order = [line[4:].split("  ")[0] for line in lines if line[:4] in ("  ✓ ", "  ✗ ", "  ? ", "  · ")]
    assert order == [
        "structure", "charge neutrality", "novel formula", "relaxation", "unique relaxed", "novel relaxed",
        "hull dft", "hull potential", "hull", "not done",
    ]  # fmt: skip


def test_what_was_not_done_says_why():
    text = history("made-00002", TABLE)
    assert "  REJECTED: structure: atoms 0.31 Å apart" in text
    assert "✗ structure           0.31 < 0.5; atoms 0.31 Å apart" in text
    last = "charge neutrality, novel formula, relaxation, unique relaxed, novel relaxed, hull dft,"
    end = f"· not done            {last}\n{'':24}hull potential, hull, phonons: structure rejected it\n"
    assert text.endswith(end)
    text = " ".join(history("made-00003", TABLE).split())
    assert "· not done charge neutrality, novel formula, relaxation" in text
    assert "left out by a budget or not run yet" in text
    assert "REJECTED: phonons: unstable at R" in text and "-2.1 < -0.1 THz; unstable at R" in text


def test_a_copy_after_relaxation_is_told_with_its_energy_above_the_other():
    text = history("made-00004", TABLE)
    assert "REJECTED: unique relaxed: relaxes to the same crystal as made-00001" in text
    assert "✗ unique relaxed      0.0021 eV/atom; relaxes to the same crystal as made-00001" in text


def test_the_deciding_screens_can_be_named():
    text = history("made-00001", TABLE, screens=["structure", "relaxation", "hull_dft"])
    # Both hulls together are asked although the funnel has only one of them.
    assert "UNDECIDED: hull: the hulls disagree" in text
    assert "✓ charge neutrality   [smact14 4.0.2] (for information; does not decide)" in text


def test_named_screens_come_in_their_own_order():
    text = history("made-00001", TABLE, screens=["relaxation", "structure", "hull"])
    order = ["relaxation", "structure", "hull ", "charge neutrality", "hull dft"]
    places = [text.index(f" {name}") for name in order]
    assert places == sorted(places)


def test_long_reasons_are_wrapped_and_hashes_shortened():
    reason = "competes with " + ", ".join(f"mp-{number}" for number in range(100, 160))
    table = verdict_table([Verdict("a", "hull_dft", "fail", 0.5, 0.1, reason, "7net-0", "ab" * 32)])
    text = history("a", table)
    assert max(map(len, text.splitlines())) <= 110
    assert "mp-159" in text and "abababababab]" in text and "ab" * 8 not in text


def test_an_unknown_id_names_its_neighbours():
    with pytest.raises(InputError, match=r"no candidate 'made-0001'; nearest: .*made-00001"):
        history("made-0001", TABLE)
    with pytest.raises(InputError, match="no candidates at all"):
        history("a", verdict_table([]))


def test_a_candidate_that_never_was_a_crystal_and_a_crystal_without_symmetry():
    table = verdict_table([Verdict("row-3", "parse", "error", nan, nan, "x.csv, row 3: the CIF is empty")])
    text = history("row-3", table, None)
    assert "! parse               x.csv, row 3: the CIF is empty" in text and "ERROR: parse" in text
    row = pd.Series({"id": "row-3", "formula": "NaCl", "space_group": 0, "condition": nan})
    assert "crystal: NaCl, no space group found" in history("row-3", table, row)
    assert "origin" not in history("row-3", table, row)


def test_notes_of_reading_are_told_of_a_crystal_that_was_read():
    note = "x.cif: id 'a b' became a-b; P 21/c was read as P 1 21/c 1 (short for)"
    table = verdict_table(
        [
            Verdict("a-b", "parse", "pass", reason=note, tool="gemmi", tool_version="0.7"),
            Verdict("a-b", "structure", "pass", 2.0, 0.5),
        ]
    )
    lines = history("a-b", table).splitlines()
    assert f"  ✓ parse               {note} [gemmi 0.7]" in lines
    assert "PASSED" in history("a-b", table)
