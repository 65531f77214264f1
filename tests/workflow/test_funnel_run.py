"""A user's own crystals through every screen and validation to ranked candidates, and what reruns then."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from filelock import FileLock
from killed_run import run_until_killed
from phonopy import Phonopy
from phonopy.interface.calculator import get_calculator_physical_units
from phonopy.structure.atoms import PhonopyAtoms
from pymatgen.core import Structure
from pymatgen.io.cif import CifWriter
from tiny_project import PARTS, RESULTS, ROOT, copy_project, pending_outputs, snakemake

from matwheel.command_line.cli import main
from matwheel.crystals.crystal import to_structure
from matwheel.crystals.table import crystals_of_table, read_table

GOOD = ("poly-0343", "poly-0237", "poly-0897")  # RbF, MgTe, LiZnP
TARGET = "results/imported/mine/candidates.csv"
SET = "results/imported/mine"
CONFIG = {
    "datasets": ["mp_poly_total"],
    "predictors": ["cgcnn"],
    "judge": "cgcnn",
    "mirror_folders": [],
    "funnel": {"runs": []},
    "imported": {"mine": "mine.csv"},
    "screen": {"novelty": ["formula"], "require": ["structure", "charge_neutrality", "unique"]},
    "validate": {
        "phonon_potential": "7net-0",
        "relax_at_most": 4,
        "shard_size": 2,
        "reference_shards": 1,
        "phonons_at_most": 1,
        "phonon_shard_size": 1,
        "phonons": {"shortest_length_angstrom": 5.0, "follow_unstable": False},
        "born_charges": "born",
    },
}
LATER = {
    f"{SET}/{name}"
    for name in (
        "relaxed.parquet", "verdicts/relaxation.parquet", "verdicts/relaxed.parquet", "hull/phases.parquet",
        "hull/phases_by_anion_rule.parquet", "hull/sensitivity.parquet",
        "hull/reference_structures.parquet", "hull/reference_energies0.parquet", "hull.parquet",
        "verdicts/hull.parquet", "phonons/shard0.parquet",
        "phonons/daughters0.parquet", "phonons/figures0.zip", "phonons.parquet", "verdicts/phonons.parquet",
        "verdicts.parquet", "candidates.csv", "candidates.zip", "funnel.csv", "sun.csv",
    )
}  # fmt: skip
# Whichever of the good ones is nearest to the hull; in elementary charges.
CHARGES = {"Rb": 1.2, "F": -1.2, "Mg": 2.0, "Te": -2.0, "Li": 1.0, "Zn": 1.0, "P": -2.0}
SHARDS = {f"{SET}/relaxation/shard{number}.parquet" for number in (0, 1)}


def write_born_charges(structure: Structure, path: Path) -> None:
    """Let phonopy write a structure with charges and a dielectric tensor."""
    symbols = [site.specie.symbol for site in structure]
    cell = PhonopyAtoms(
        symbols=symbols, cell=structure.lattice.matrix, scaled_positions=structure.frac_coords
    )
    phonopy = Phonopy(cell, np.eye(3, dtype=int), primitive_matrix="P", log_level=0)
    charges = [np.eye(3) * CHARGES[symbol] for symbol in symbols]
    factor = get_calculator_physical_units().nac_factor
    phonopy.nac_params = {"born": np.array(charges), "dielectric": np.eye(3) * 3.0, "factor": factor}
    path.parent.mkdir(exist_ok=True)
    phonopy.save(path)


def write_candidates(project: Path) -> None:
    """Three real crystals, a squeezed one, a copy, a charged one, and a row of noise."""
    table = read_table(ROOT / "tests" / "data" / "poly40.parquet").set_index("id", drop=False)
    structures = [to_structure(crystal) for crystal in crystals_of_table(table.loc[list(GOOD)])]
    squeezed, copy, charged = (structures[0].copy() for _ in range(3))
    squeezed.scale_lattice(squeezed.volume / 200)
    copy.make_supercell(2)
    charged.replace_species({"F": "Cs"})
    charged.append("F", [0.25, 0.25, 0.25])
    made = {
        **dict(zip(GOOD, structures, strict=True)),
        "squeezed": squeezed,
        "copy": copy,
        "charged": charged,
    }
    cifs = {name: str(CifWriter(structure)) for name, structure in made.items()} | {"noise": "no crystal"}
    for name in GOOD:
        write_born_charges(made[name], project / "born" / f"{name}.yaml")
    pd.DataFrame({"id": list(cifs), "cif": list(cifs.values())}).to_csv(project / "mine.csv", index=False)
    (project / "tiny.yaml").write_text(yaml.safe_dump(CONFIG))
    # What `fetch_references` brings from PyPI, cut to the chemical systems of these crystals.
    shutil.copytree(ROOT / "tests" / "data" / "references", project / "results" / "references")
    (project / "results" / "references" / "provenance.json").write_text("{}\n")


@pytest.fixture(scope="session")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose candidates went through the funnel; shared by the test processes, never edited."""
    shared = tmp_path_factory.getbasetemp().parent if "PYTEST_XDIST_WORKER" in os.environ else None
    project = (shared or tmp_path_factory.mktemp("judged")) / "judged-run"
    with FileLock(f"{project}.lock"):
        if not (project / "finished").exists():
            copy_project(project)
            write_candidates(project)
            done = snakemake(project, TARGET)
            assert done.returncode == 0, done.stdout + done.stderr
            (project / "finished").touch()
    return project


@pytest.fixture
def judged_copy(judged: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may edit."""
    return copy_project(tmp_path / "project", judged, (*PARTS, *RESULTS, "born", "mine.csv", "tiny.yaml"))


def pending(project: Path) -> set[str]:
    return {path for path in pending_outputs(project, target=TARGET) if path.startswith(SET)}


def test_every_crystal_ends_with_its_verdict(judged: Path, capsys: pytest.CaptureFixture) -> None:
    candidates = pd.read_csv(judged / TARGET).set_index("id")
    assert set(candidates.index) == {*GOOD, "squeezed", "copy", "charged", "noise"}
    assert candidates.loc["squeezed", "verdict"] == "rejected"
    assert "structure" in candidates.loc["squeezed", "reason"]
    assert candidates.loc["charged", "verdict"] == "rejected"
    assert "charge" in candidates.loc["charged", "reason"]
    assert candidates.loc["noise", "verdict"] in ("error", "rejected")
    rejected_copies = candidates.loc[["copy", GOOD[0]], "reason"].str.contains("copy of").sum()
    assert rejected_copies == 1, "one of two equal crystals stands for both"
    # All three exist, so a fair hull puts them near or on it.
    real = candidates.loc[list(GOOD[1:]), "e_hull_dft_ev_per_atom"]
    assert real.abs().max() < 0.1
    assert candidates["lowest_frequency_thz"].notna().sum() == 1
    (phonons,) = read_table(judged / SET / "phonons.parquet").to_dict("records")
    file_of_it = f"{GOOD[0] if phonons['id'] == 'copy' else phonons['id']}.yaml"
    assert phonons["born_charges"] == file_of_it
    assert main(["why", phonons["id"], "--results", str(judged / "results")]) == 0
    assert f"Born charges: {file_of_it}" in " ".join(capsys.readouterr().out.split())
    assert main(["why", "squeezed", "--results", str(judged / "results")]) == 0
    told = capsys.readouterr().out
    assert "structure" in told and "Å" in told


def test_nothing_is_pending_after_a_run(judged_copy: Path) -> None:
    os.utime(judged_copy / f"born/{GOOD[0]}.yaml")
    assert pending(judged_copy) == set()


def test_a_relaxation_setting_reruns_relaxations_and_what_follows(judged_copy: Path) -> None:
    changed = {**CONFIG, "validate": {**CONFIG["validate"], "relaxation": {"max_steps": 30}}}
    (judged_copy / "tiny.yaml").write_text(yaml.safe_dump(changed))
    assert pending(judged_copy) == LATER | SHARDS


def test_a_hull_threshold_reruns_no_relaxation(judged_copy: Path) -> None:
    changed = {**CONFIG, "validate": {**CONFIG["validate"], "hull": {"metastable_ev_per_atom": 0.05}}}
    (judged_copy / "tiny.yaml").write_text(yaml.safe_dump(changed))
    kept = ("relaxed", "relaxation", "phases", "reference")
    assert pending(judged_copy) == {path for path in LATER if not any(word in path for word in kept)}


@pytest.mark.parametrize(
    ("edited", "added"),
    [
        ("src/matwheel/vibrations/phonons.py", "\n\nPHONONS_WERE_EDITED = True\n"),
        (f"born/{GOOD[0]}.yaml", "# another calculation\n"),
    ],
)
def test_phonon_code_and_born_charges_rerun_phonons_only(judged_copy: Path, edited: str, added: str) -> None:
    path = judged_copy / edited
    path.write_text(path.read_text() + added)
    words = ("phonons/shard", "phonons/daughters", "phonons/figures", "phonons.parquet", "verdicts.parquet")
    last = {f"{SET}/{name}" for name in ("candidates.csv", "candidates.zip", "funnel.csv", "sun.csv")}
    expected = {path for path in LATER if any(word in path for word in words)} | last
    assert pending(judged_copy) == expected


# Each alone reran relaxations, reference energies or phonons before there was a store.
CHANGED = {
    "seed": 7,
    "screen": {
        "novelty": ["formula"],
        "require": ["structure", "charge_neutrality", "unique", "electronegativity"],
        "composition": {"oxidation_table": "icsd24"},
        "further": {"radioactivity": {}},
    },
    "validate": CONFIG["validate"]
    | {
        "relaxation": {"symprec_angstrom": 0.2, "highest_energy_ev_per_atom": 5.0},
        "relax_at_most": 6,
        "shard_size": 3,
        "hull": {"stable_ev_per_atom": 0.01, "metastable_ev_per_atom": 0.2, "band_ev_per_atom": 0.05},
        "phonons": {
            **CONFIG["validate"]["phonons"],
            "stable_above_thz": -0.2,
            "soft_below_thz": 0.2,
            "band_points": 60,
            "mesh_length_angstrom": 40.0,
        },
    },
}


def test_limits_thresholds_budgets_and_seed_ask_no_potential_again(judged_copy: Path) -> None:
    shutil.rmtree(judged_copy / "logs")
    (judged_copy / "tiny.yaml").write_text(yaml.safe_dump(CONFIG | CHANGED))
    done = snakemake(judged_copy, TARGET)
    assert done.returncode == 0, done.stdout + done.stderr
    said = {}
    for rule in ("relax_candidates", "compute_reference_energies", "compute_phonons"):
        logs = "".join(path.read_text() for path in (judged_copy / "logs" / rule).rglob("*.log"))
        said[rule] = re.findall(r"7net-0: (\d+) evaluations computed, (\d+) found", logs)
    assert all(int(computed) == 0 for counts in said.values() for computed, _ in counts), said
    assert all(sum(int(found) for _, found in counts) > 2 for counts in said.values()), said


def test_a_second_opinion_adds_its_phonons_and_computes_none_of_the_first_again(
    judged_copy: Path, capsys: pytest.CaptureFixture
) -> None:
    changed = {**CONFIG, "validate": {**CONFIG["validate"], "second_opinion": "7net-l3i5"}}
    (judged_copy / "tiny.yaml").write_text(yaml.safe_dump(changed))
    new = {
        f"{SET}/phonons/7net-l3i5/{name}" for name in ("shard0.parquet", "daughters0.parquet", "figures0.zip")
    }
    following = {
        f"{SET}/{name}"
        for name in (
            "phonons.parquet", "verdicts/phonons.parquet", "verdicts.parquet", "candidates.csv",
            "candidates.zip", "funnel.csv", "sun.csv",
        )
    }  # fmt: skip
    assert pending(judged_copy) == new | following
    firsts = [judged_copy / SET / f"phonons/{name}" for name in ("shard0.parquet", "figures0.zip")]
    before = [(path.stat().st_mtime_ns, path.read_bytes()) for path in firsts]
    alone = read_table(judged_copy / SET / "phonons.parquet")
    done = snakemake(judged_copy, TARGET)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [(path.stat().st_mtime_ns, path.read_bytes()) for path in firsts] == before
    assert pending(judged_copy) == set()
    phonons = read_table(judged_copy / SET / "phonons.parquet")
    assert phonons[alone.columns].equals(alone)
    assert phonons.columns[len(alone.columns) :].tolist() == [
        "second_potential", "second_verdict", "second_lowest_frequency_thz", "second_reason"
    ]  # fmt: skip
    [row] = phonons.to_dict("records")
    [verdict] = read_table(judged_copy / SET / "verdicts/phonons.parquet").to_dict("records")
    figure = f"lowest mode {row['second_lowest_frequency_thz']:.2f} THz"
    assert row["second_potential"] == "7net-l3i5" and figure in verdict["reason"]
    assert main(["why", row["id"], "--results", str(judged_copy / "results")]) == 0
    assert f"second opinion, 7net-l3i5: {row['second_verdict']}, {figure}" in " ".join(
        capsys.readouterr().out.split()
    )
    # And off again, to what it was.
    (judged_copy / "tiny.yaml").write_text(yaml.safe_dump(CONFIG))
    assert pending(judged_copy) == following
    done = snakemake(judged_copy, f"{SET}/phonons.parquet")
    assert done.returncode == 0, done.stdout + done.stderr
    assert read_table(judged_copy / SET / "phonons.parquet").equals(alone)


def test_a_killed_shard_is_the_only_one_made_again(judged_copy: Path) -> None:
    missing, kept = (judged_copy / path for path in sorted(SHARDS, reverse=True))
    before, bytes_before = kept.stat().st_mtime_ns, missing.read_bytes()
    relaxed = f"{SET}/relaxed.parquet"
    for path in (missing, judged_copy / relaxed):
        path.unlink()
    run_until_killed(judged_copy, str(missing.relative_to(judged_copy)), relaxed)
    assert not missing.exists()
    done = snakemake(judged_copy, relaxed)
    assert done.returncode == 0, done.stdout + done.stderr
    assert kept.stat().st_mtime_ns == before
    seconds = ["seconds"]
    again = read_table(missing).drop(columns=seconds)
    shutil.copy(missing, judged_copy / "again.parquet")
    missing.write_bytes(bytes_before)
    assert again.equals(read_table(missing).drop(columns=seconds))
