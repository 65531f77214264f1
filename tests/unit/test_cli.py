import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from matwheel.cli import main, snakemake_command
from matwheel.crystals.table import crystal_table, write_table
from matwheel.screening.verdicts import Verdict, verdict_table


@pytest.fixture
def results(tmp_path, jarvis_crystals):
    """Verdicts of two sets that share one id."""
    first, second = jarvis_crystals[0][:2]
    for folder, crystals in (("matwheel/d/random/seed0/full", [first, second]), ("imported/mine", [first])):
        place = tmp_path / "results" / folder
        table = verdict_table(
            [Verdict(crystal.id, "structure", "pass", 2.0, 0.5) for crystal in crystals]
            + [Verdict(crystal.id, "symmetry", "fail", 1, 2, "P1") for crystal in crystals]
        )
        write_table(table, place / "verdicts.parquet")
        write_table(crystal_table(crystals), place / "generated.parquet")
    full = tmp_path / "results" / "matwheel/d/random/seed0/full"
    pd.DataFrame({"screen": ["structure"]}).to_csv(full / "funnel.csv", index=False)
    write_table(pd.DataFrame({"id": [first.id], "predicted": [64.25]}), full / "predicted.parquet")
    relaxed = crystal_table([first], {"status": ["converged"], "steps": [31], "volume_change": [-0.034]})
    write_table(
        relaxed.assign(rmsd_angstrom=0.21, space_group_before=1, space_group_after=12),
        full / "relaxed.parquet",
    )
    return tmp_path / "results"


def test_why_finds_the_candidate_in_every_set(results, jarvis_crystals, capsys):
    first, second = (crystal.id for crystal in jarvis_crystals[0][:2])
    assert main(["why", first, "--results", str(results)]) == 0
    text = capsys.readouterr().out
    assert text.count(f"{first}\n") == 2
    assert "set: imported/mine" in text and "set: matwheel/d/random/seed0/full" in text
    ours = text[text.index("set: matwheel") :]
    assert "predicted property: 64.25" in ours
    assert (
        "relaxation: converged, 31 steps, volume -3.4%, atoms moved by 0.21 Å (RMSD), space group 1 → 12"
        in ours
    )
    # The funnel of that set has no symmetry screen, so it only informs there.
    assert "PASSED" in ours and "REJECTED: symmetry: P1" in text
    assert main(["why", second, "--results", str(results)]) == 0
    assert "imported" not in capsys.readouterr().out


def test_why_refuses_unknown_ids_and_folders_without_verdicts(results, tmp_path, capsys):
    assert main(["why", "nobody", "--results", str(results)]) == 1
    said = capsys.readouterr().err
    assert "no candidate 'nobody' in" in said and "nearest" in said and "Traceback" not in said
    assert main(["why", "nobody", "--results", str(tmp_path / "elsewhere")]) == 1
    assert "holds no verdicts.parquet" in capsys.readouterr().err
    assert main(["why", "a", "b", "--results", str(results)]) == 1
    assert "unknown argument 'b'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["why"])


def test_the_command_of_screen_is_one_that_snakemake_understands(tmp_path):
    from snakemake.cli import get_argument_parser, parse_config

    command = snakemake_command(
        tmp_path / "my set.csv", "mine", cores="2", dry_run=True, config=["seed=3"], rest=["--quiet"]
    )
    assert command[:3] == [sys.executable, "-m", "snakemake"]
    options = get_argument_parser().parse_args(command[3:])
    assert list(options.targets) == ["results/imported/mine/candidates.csv"]
    assert options.cores in (2, "2") and options.dryrun
    config = parse_config(options.config)
    assert config == {"seed": 3, "imported": {"mine": str(tmp_path / "my set.csv")}}


# A project whose only rule copies its input: what is tested is the command line, not the screens.
SNAKEFILE = """
rule rank:
    input: lambda wildcards: config["imported"][wildcards.name]
    output: "results/imported/{name}/candidates.csv"
    shell: "cp {input:q} {output:q}"
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "Snakefile").write_text(SNAKEFILE)
    monkeypatch.chdir(folder)
    return folder


def test_screen_runs_snakemake_and_shows_the_best(project, capsys):
    table = pd.DataFrame(
        {"rank": [1, 2], "id": ["a", "b"], "formula": ["NaCl", "Si"], "verdict": ["stable", "rejected"]}
    )
    table.to_csv(project / "my set.v2.csv", index=False)
    assert main(["screen", "my set.v2.csv", "--cores", "1", "--quiet", "all"]) == 0
    said = capsys.readouterr().out
    assert "NaCl" in said and "2 candidates: 1 stable, 1 rejected" in said
    assert (project / "results/imported/my-set/candidates.csv").is_file()
    assert main(["screen", "my set.v2.csv", "--name", "other", "-c", "1", "--dry-run"]) == 0
    assert not (project / "results/imported/other").exists()


def test_screen_hands_on_a_failure_and_refuses_what_cannot_be(project, tmp_path, capsys, monkeypatch):
    (project / "a.csv").write_text("id,cif\n")
    assert main(["screen", "a.csv", "-c", "1", "--no-such-option"]) != 0
    assert main(["screen", "missing.csv"]) == 1
    assert "missing.csv: does not exist" in capsys.readouterr().err
    assert main(["screen", "a.csv", "--name", "a/b"]) == 1
    assert "'a/b'" in capsys.readouterr().err
    assert main(["screen", "a.csv", "--project", str(tmp_path)]) == 1
    assert "no Snakefile" in capsys.readouterr().err


def test_the_module_is_a_command():
    done = subprocess.run(
        [sys.executable, "-m", "matwheel.cli", "screen", "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and "results/imported/NAME/candidates.csv" in " ".join(done.stdout.split())
    assert json.dumps({"x": "é"}, ensure_ascii=False) in snakemake_command(Path("é"), "x", cores="1")[-3]
