"""Sets of a user's own crystals in the plan: any file name, edits that are seen, results that are kept."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import pandas as pd
import pytest
import yaml
from pymatgen.core import Lattice, Structure
from tiny_project import TINY, copy_project, snakemake, write_tiny_dataset

from matwheel.command_line.cli import main

NAMES = (
    "my {new} crystals.cif",
    'it\'s "quoted" #32.cif',
    "größe [1] a*b?.cif",
    "-dash $HOME back\\slash {{name}}.cif",
)


def cif(anion: str = "O") -> str:
    places = [[0, 0, 0], [0.5, 0.5, 0.5]]
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.2), ["Mg", anion], places).to(fmt="cif")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    project = copy_project(tmp_path / "project")
    write_tiny_dataset(project)
    return project


def configure(project: Path, **changes: object) -> None:
    (project / "tiny.yaml").write_text(yaml.safe_dump({**TINY, **changes}))


def read_sets(project: Path, *names: str, arguments: tuple[str, ...] = ()) -> str:
    """Read sets, and nothing further; return what was said."""
    targets = [f"results/imported/{name}/verdicts/parse.parquet" for name in names]
    done = snakemake(project, *arguments, "--configfile", "tiny.yaml", "--", *targets, config="")
    said = done.stdout + done.stderr
    assert "Traceback" not in said, said
    return said


def planned(project: Path, *names: str) -> set[str]:
    """Return the sets that a run would read."""
    said = read_sets(project, *names, arguments=("-n",))
    return {name for name in names if f"read the crystals of {name}\n" in said}


def source_of(project: Path, name: str) -> dict[str, object]:
    return json.loads((project / f"results/imported/{name}/source.json").read_text())


def test_names_of_any_kind_are_read_and_edits_are_seen_whatever_the_time_says(project: Path) -> None:
    here = project / "my folder {1}"
    here.mkdir()
    for name in NAMES:
        (here / name).write_text(cif())
    (here / "nested" / "deep").mkdir(parents=True)
    (here / "nested" / "deep" / "a.cif").write_text(cif())
    with zipfile.ZipFile(here / "cifs.zip", "w") as archive:
        archive.writestr("inside/a.cif", cif())
    paths = {f"set{i}": f"{here.name}/{name}" for i, name in enumerate((*NAMES, "nested", "cifs.zip"))}
    configure(project, imported=paths)
    read_sets(project, *paths)
    for name, path in paths.items():
        source = source_of(project, name)
        assert (source["path"], source["read"], source["refused"]) == (path, 1, 0)
        assert len(str(source["sha256"])) == 64
    assert planned(project, *paths) == set()
    for name in NAMES:
        os.utime(here / name)
    (here / "nested" / "notes.txt").write_text("no crystal")
    assert planned(project, *paths) == set()
    # Edits in place, with the times as they were.
    (here / NAMES[0]).write_text(cif("S"))
    (here / "nested" / "deep" / "a.cif").write_text(cif("S"))
    with zipfile.ZipFile(here / "cifs.zip", "w") as archive:
        archive.writestr("inside/a.cif", cif("S"))
    for path in (here / NAMES[0], here / "nested" / "deep" / "a.cif", here / "nested", here / "cifs.zip"):
        os.utime(path, (1, 1))
    assert planned(project, *paths) == {"set0", "set4", "set5"}


def test_crystals_of_another_file_never_replace_the_results_of_a_set(project: Path) -> None:
    (project / "a.cif").write_text(cif())
    (project / "b.cif").write_text(cif("S"))
    configure(project, imported={"mine": "a.cif"})
    read_sets(project, "mine")
    before = (project / "results/imported/mine/generated.parquet").read_bytes()
    configure(project, imported={"mine": {"path": "b.cif"}})
    said = read_sets(project, "mine", arguments=("-n",))
    assert "imported.mine is b.cif, but results/imported/mine was made of a.cif" in said, said
    assert "another name" in said
    assert (project / "results/imported/mine/generated.parquet").read_bytes() == before
    # The same crystals elsewhere, and the same file edited, are no other input.
    (project / "moved.cif").write_text(cif())
    configure(project, imported={"mine": "moved.cif"})
    assert planned(project, "mine") == {"mine"}
    configure(project, imported={"mine": "a.cif"})
    assert planned(project, "mine") == set()
    (project / "a.cif").write_text(cif("S"))
    assert planned(project, "mine") == {"mine"}


def test_a_set_that_no_setting_names_is_refused_by_name(project: Path) -> None:
    assert "results/imported/other/verdicts/parse.parquet" in read_sets(project, "other", arguments=("-n",))


def test_columns_of_a_table_are_settings_of_its_set(project: Path) -> None:
    pd.DataFrame({"number": ["x1", "x2"], "text": [cif(), cif("S")], "cif": ["", ""]}).to_csv(
        project / "table.csv", index=False
    )
    columns = {"path": "table.csv", "crystal_column": "text", "id_column": "number"}
    configure(project, imported={"mine": columns})
    read_sets(project, "mine")
    table = pd.read_parquet(project / "results/imported/mine/generated.parquet")
    assert table["id"].tolist() == ["x1", "x2"] and table["formula"].tolist() == ["MgO", "MgS"]
    configure(project, imported={"mine": {**columns, "id_column": "text"}})
    assert planned(project, "mine") == {"mine"}


def test_a_second_file_of_one_name_is_screened_beside_the_first(
    project: Path, tmp_path: Path, capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(project / "src"))
    for folder, anion in (("a", "O"), ("b", "S")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "generated_crystals.cif").write_text(cif(anion))
    configure(project, imported={"generated_crystals": str(tmp_path / "a" / "generated_crystals.cif")})
    read_sets(project, "generated_crystals")
    (tmp_path / "b" / "over.yaml").write_text("funnel: {runs: []}\n")
    monkeypatch.chdir(tmp_path / "b")
    options = ["--project", str(project), "-n", "--cores", "1", "--configfile", "over.yaml"]
    options += ["--config", "validate={relax_at_most: 10}", "generator={samples: 500}"]
    assert main(["screen", "generated_crystals.cif", *options]) == 0
    said = capfd.readouterr()
    assert "results/imported/generated_crystals-" in said.out
    assert f"holds the results of {tmp_path / 'a' / 'generated_crystals.cif'}" in said.err
    assert main(["screen", "generated_crystals.cif", "--name", "generated_crystals", *options]) == 1
    assert "give another name" in capfd.readouterr().err
