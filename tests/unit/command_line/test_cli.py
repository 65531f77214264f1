import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from pymatgen.io.cif import CifWriter

from matwheel.command_line import cli
from matwheel.command_line.cli import main, why
from matwheel.core.store import Records, digest
from matwheel.crystals.crystal import to_structure
from matwheel.crystals.table import crystal_table, write_table
from matwheel.verdicts import Verdict, verdict_table

ROOT = Path(__file__).resolve().parents[3]


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


# A project whose only rule copies a table: what is tested is the command line, not the screens.
SNAKEFILE = """
rule rank:
    params: lambda wildcards: config["imported"][wildcards.name]["path"]
    output: "results/imported/{name}/candidates.csv"
    shell: "cp table.csv {output:q}"
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project, and the folder of a user elsewhere, which is the current one."""
    folder = tmp_path / "project"
    (folder / "config/schemas").mkdir(parents=True)
    shutil.copy(ROOT / "config/schemas/config.schema.yaml", folder / "config/schemas")
    (folder / "Snakefile").write_text(SNAKEFILE)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return folder


@pytest.fixture
def crystals(project, jarvis_crystals):
    """A function that writes crystals into the user's folder under some name."""

    def write(name, *rows, **columns):
        rows = rows or (0, 1)
        cifs = [str(CifWriter(to_structure(jarvis_crystals[0][row]))) for row in rows]
        table = pd.DataFrame({"id": [f"made-{row}" for row in rows], "cif": cifs}).rename(columns=columns)
        table.to_csv(name, index=False)
        return Path(name)

    return write


@pytest.fixture
def commands(monkeypatch):
    """What `matwheel` asks snakemake for: parsed options and the settings of its files, instead of a run."""
    from snakemake.cli import get_argument_parser

    asked = []

    def record(command, *, cwd, check):
        assert command[:3] == [sys.executable, "-m", "snakemake"]
        options = get_argument_parser().parse_args(command[3:])
        files = [Path(file) for file in options.configfile or []]
        assert all(file.is_absolute() for file in files)
        asked.append((options, [yaml.safe_load(file.read_text()) for file in files]))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", record)
    return asked


def screen(project, *arguments):
    return main(["screen", *map(str, arguments), "--project", str(project)])


def test_screen_asks_snakemake_for_the_candidates_of_the_set(project, crystals, commands, tmp_path, capsys):
    crystals("my set.v2.csv")
    assert screen(project, "my set.v2.csv", "-c", 2, "-n", "--quiet", "--config", "seed=3") == 0
    options, (settings,) = commands[0]
    assert list(options.targets) == ["results/imported/my-set-v2/candidates.csv"]
    assert options.cores in (2, "2") and options.dryrun
    path = str(tmp_path / "here/my set.v2.csv")
    assert settings == {"seed": 3, "imported": {"my-set-v2": {"path": path}}}
    assert "my set.v2.csv: 2 crystals read, 0 refused" in capsys.readouterr().err
    assert not list((project / ".snakemake").iterdir()), "the settings are gone when the run has ended"


def test_numbers_inside_settings_are_numbers(project, crystals, commands):
    crystals("a.csv")
    changed = ["validate={relax_at_most: 10, relaxation: {max_steps: 30}}", "generator={samples: 500}"]
    changed += ["predictor_settings={mine: {depth: 3, share: 1e-3, plain: no, name: x1}}", "teacher=cgcnn"]
    assert screen(project, "a.csv", "--config", *changed, "validate={phonons_at_most: 0}") == 0
    _, (settings,) = commands[0]
    del settings["imported"]
    assert settings == {
        "validate": {"relax_at_most": 10, "relaxation": {"max_steps": 30}, "phonons_at_most": 0},
        "generator": {"samples": 500},
        "predictor_settings": {"mine": {"depth": 3, "share": 0.001, "plain": False, "name": "x1"}},
        "teacher": "cgcnn",
    }


def test_relative_paths_in_options_begin_where_the_user_is(project, crystals, commands, tmp_path):
    here = tmp_path / "here"
    crystals("a.csv")
    Path("over.yaml").write_text("seed: 4\n")
    Path("more.yaml").write_text("device: cpu\n")
    Path("states.txt").write_text("Na 1\n")
    Path("slurm").mkdir()
    given = ["--configfile", "over.yaml", "--configfiles=more.yaml", "--profile", "slurm"]
    given += ["--config", "mirror_folders=[mirror, ../up, /abs]", "dataset_registry=mine.yaml"]
    given += ["imported={theirs: theirs.cif, b: {path: b.csv, id_column: n}}"]
    given += ["screen={composition: {oxidation_table: states.txt}}", "phonon={files: {NaCl: NaCl.cif}}"]
    assert screen(project, "a.csv", *given) == 0
    options, (over, more, settings) = commands[0]
    assert (over, more) == ({"seed": 4}, {"device": "cpu"}) and options.profile == [str(here / "slurm")]
    assert settings == {
        "mirror_folders": [str(here / "mirror"), str(here / "../up"), "/abs"],
        "dataset_registry": str(here / "mine.yaml"),
        "imported": {
            "theirs": str(here / "theirs.cif"),
            "b": {"path": str(here / "b.csv"), "id_column": "n"},
            "a": {"path": str(here / "a.csv")},
        },
        "screen": {"composition": {"oxidation_table": str(here / "states.txt")}},
        "phonon": {"files": {"NaCl": str(here / "NaCl.cif")}},
    }
    # A name of a table stays a name, and a profile of the project one of the project.
    table = "screen={composition: {oxidation_table: smact14}}"
    assert screen(project, "a.csv", "--workflow-profile", "profiles/slurm", "--config", table) == 0
    options, (settings,) = commands[1]
    assert settings["screen"] == {"composition": {"oxidation_table": "smact14"}}
    assert options.workflow_profile == "profiles/slurm"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--configfile", "missing.yaml"], "--configfile missing.yaml: .*missing.yaml cannot be read"),
        (["--configfile=broken.yaml"], "--configfile broken.yaml: no YAML"),
        (["--configfile", "list.yaml"], "holds no settings"),
        (["--configf", "over.yaml"], "--configf: write --configfile in full"),
        (["--config", "seed"], "--config seed: write KEY=VALUE"),
        (["--config", "imported=b.csv"], "imported"),
        (["b.csv"], "b.csv: one FILE at a time"),
        (["--name", "a/b"], "'a/b'"),
        (["--id-column", "number"], "'number'"),
        (["--crystal-column", "crystal"], "'crystal'"),
    ],
)
def test_options_that_cannot_be_are_refused_in_one_line(project, crystals, commands, given, said, capsys):
    crystals("a.csv")
    Path("broken.yaml").write_text("a: [1\n")
    Path("list.yaml").write_text("- 1\n")
    assert screen(project, "a.csv", *given) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("matwheel: ") and re.search(said, lines[-1]), lines
    assert not commands


def test_columns_of_unusual_names_are_handed_on(project, crystals, commands):
    crystals("a.csv", 0, 1, 2, id="number", cif="text of the crystal")
    columns = ["--id-column", "number", "--crystal-column", "text of the crystal"]
    assert screen(project, "a.csv", *columns) == 0
    _, (settings,) = commands[0]
    given = settings["imported"]["a"]
    assert (given["id_column"], given["crystal_column"]) == ("number", "text of the crystal")


def test_what_cannot_be_read_is_refused_before_snakemake_starts(project, crystals, commands, capsys):
    crystals("a.csv")
    table = pd.read_csv("a.csv")
    broken = pd.DataFrame({"id": [f"broken-{row}" for row in range(22)], "cif": ["no crystal"] * 22})
    pd.concat([table, broken]).to_csv("some.csv", index=False)
    assert screen(project, "some.csv") == 0 and len(commands) == 1
    said = capsys.readouterr().err
    assert "some.csv: 2 crystals read, 22 refused" in said and "refused: 2 more" in said
    assert said.count("  refused: some.csv, row ") == 20
    broken.to_csv("none.csv", index=False)
    Path("notes.docx").write_text("text")
    Path("empty.extxyz").write_text("")
    for name, words in (
        ("none.csv", "none of 22 entries could be read; the first: none.csv, row 1"),
        ("notes.docx", "files of type '.docx' cannot be read"),
        ("empty.extxyz", "the file is empty"),
        ("missing.csv", "missing.csv: does not exist"),
    ):
        assert screen(project, name) == 1
        said = capsys.readouterr().err
        assert said.startswith("matwheel: ") and words in said and said.count("\n") == 1, said
    assert len(commands) == 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("my {new} crystals.csv", "my-new-crystals"),
        ("number #32.csv", "number-32"),
        ('it\'s "quoted".csv', "it-s-quoted"),
        ("größe [1].csv", "gr-e-1"),
        ("-dash.csv", "dash"),
        ("--cores.csv", "cores"),
        ("~tilde.csv", "tilde"),
        ("back\\slash.csv", "back-slash"),
        ("run.1.csv", "run-1"),
        ("日本.csv", "crystals"),
    ],
)
def test_any_name_of_a_file_is_screened(project, crystals, commands, name, expected, tmp_path):
    crystals(name)
    assert screen(project, name) == 0
    options, (settings,) = commands[0]
    assert list(options.targets) == [f"results/imported/{expected}/candidates.csv"]
    assert settings["imported"][expected]["path"] == str(tmp_path / "here" / name)


def test_a_line_break_in_a_name_is_refused_in_one_line(project, crystals, commands, capsys):
    crystals("two\nlines.csv")
    assert screen(project, "two\nlines.csv") == 1
    said = capsys.readouterr().err
    assert said.startswith("matwheel: 'two\\nlines.csv': the name") and said.count("\n") == 1
    assert not commands


def test_a_link_and_a_folder_with_a_slash_are_read(project, crystals, commands, capsys):
    crystals("run.7.csv")
    Path("latest").symlink_to("run.7.csv")
    Path("newest.csv").symlink_to("run.7.csv")
    Path("out.v1").mkdir()
    (Path("out.v1") / "a.cif").write_text(pd.read_csv("run.7.csv")["cif"][0])
    Path("link to it").symlink_to("out.v1")
    (Path("out.v1") / "notes.docx").write_text("text")
    for given in ("latest", "newest.csv", "out.v1/", "link to it"):
        assert screen(project, given) == 0
    assert "passed over: out.v1, notes.docx" in capsys.readouterr().err
    targets = [next(iter(options.targets)).split("/")[2] for options, _ in commands]
    assert targets == ["run-7", "newest", "out-v1", "link-to-it"]


def test_screen_runs_snakemake_and_shows_the_best(project, crystals, capsys):
    pd.DataFrame(
        {
            "rank": [1, 2], "id": ["NA", "b"], "formula": ["NaCl", "Si"], "verdict": ["stable", "rejected"],
            "known_as": ["mp-22862 of mp", None],
        }
    ).to_csv(project / "table.csv", index=False)  # fmt: skip
    crystals("it's {my} set.csv")
    assert screen(project, "it's {my} set.csv", "--cores", "1", "--quiet", "all") == 0
    said = capsys.readouterr().out
    assert "NaCl" in said and "mp-22862 of mp" in said and " NA " in said
    assert "2 candidates: 1 stable, 1 rejected" in said
    assert f"matwheel why ID --results {project}/results" in said
    assert (project / "results/imported/it-s-my-set/candidates.csv").is_file()
    assert screen(project, "it's {my} set.csv", "--name", "other", "-c", "1", "--dry-run") == 0
    assert not (project / "results/imported/other").exists()


def test_screen_hands_on_a_failure(project, crystals, tmp_path, capsys):
    crystals("a.csv")
    assert screen(project, "a.csv", "-c", "1", "--no-such-option") not in (0, 1)
    assert screen(tmp_path, "a.csv") == 1
    assert "no Snakefile" in capsys.readouterr().err


def test_resume_hands_on_settings_and_targets(project, commands, tmp_path, monkeypatch):
    monkeypatch.setattr("matwheel.command_line.cli.left_jobs", lambda project: [])
    Path("over.yaml").write_text("seed: 4\n")
    given = ["--project", str(project), "--configfile", "over.yaml", "--config", "split={runs: 2}"]
    assert main(["resume", *given, "-n", "--", "results/table2.csv"]) == 0
    assert main(["resume", "--project", str(project), "results/table2.csv"]) == 0
    options, files = commands[0]
    assert files == [{"seed": 4}, {"split": {"runs": 2}}] and options.dryrun
    assert options.workflow_profile == str(project / "profiles/slurm")
    assert [list(options.targets) for options, _ in commands] == [["results/table2.csv"]] * 2


def test_the_module_is_a_command():
    done = subprocess.run(
        [sys.executable, "-m", "matwheel.command_line.cli", "screen", "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and "results/imported/NAME/candidates.csv" in " ".join(done.stdout.split())


def test_why_reads_a_set_that_went_through_some_screens_only(tmp_path):
    folder = tmp_path / "results/imported/mine/verdicts"
    folder.mkdir(parents=True)
    for screen_name, verdict in (("parse", "pass"), ("structure", "fail")):
        judged = Verdict("mgo", screen_name, verdict, reason=f"{screen_name} said so")
        write_table(verdict_table([judged]), folder / f"{screen_name}.parquet")
    said = why("mgo", tmp_path / "results")
    assert "structure said so" in said and "imported/mine" in said


def test_why_looks_into_the_project_where_there_are_no_results_here(project, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "_project", lambda asked: project)
    folder = project / "results/imported/mine/verdicts"
    folder.mkdir(parents=True)
    write_table(verdict_table([Verdict("mgo", "parse", "pass")]), folder / "parse.parquet")
    assert cli.main(["why", "mgo"]) == 0
    assert "mgo" in capsys.readouterr().out


def test_a_setting_by_dots_is_told_how_to_write_it(project, crystals, commands, capsys):
    crystals("a.csv")
    assert screen(project, "a.csv", "--config", "validate.relax_at_most=10") == 1
    assert "write 'validate={relax_at_most: 10}'" in capsys.readouterr().err


def test_the_project_is_that_of_the_command_where_the_folder_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli._project(None) == ROOT
    (tmp_path / "Snakefile").touch()
    assert cli._project(None) == tmp_path.resolve()


def test_store_says_what_it_holds_and_prunes(tmp_path, capsys):
    folder = tmp_path / "results" / "store"
    assert main(["store", str(folder)]) == 1
    assert f"{folder}: no store of computed crystals there" in capsys.readouterr().err
    for potential, double in (("7net-0", True), ("emt", False)):
        method = {"potential": potential, "double_precision": double, "package": "p 1.0", "code": "abc"}
        records = Records(folder, method)
        for number in range(3):
            records.put(digest(bytes([number])), {"energy": number})
        records.close()
    os.utime(next(records.folder.glob("*.records")), (1_000_000_000, 1_000_000_000))
    assert main(["store", str(folder)]) == 0
    text = capsys.readouterr().out
    assert re.search(r"3 evaluations .* 0 days ago: 7net-0 in double precision \(p 1.0, code abc\)", text)
    assert f"{folder}: 6 evaluations, 0.0 MB" in text
    assert main(["store", str(folder), "--prune", "365"]) == 0
    text = capsys.readouterr().out
    assert "unused for 365 days" in text
    assert "emt" not in text
    assert f"{folder}: 3 evaluations" in text
    with pytest.raises(SystemExit):
        main(["store", str(folder), "--prune", "-1"])
    assert "give one from 0" in capsys.readouterr().err
