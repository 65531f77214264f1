"""Names of imported sets: none takes another's, and an unchanged input finds its own again."""

import os
import re
import zipfile
from pathlib import Path

import pytest

from matwheel.command_line.imported_sets import (
    NAME_PATTERN,
    check_name,
    content_sha256,
    default_name,
    located,
    name_of_input,
    other_input,
)
from matwheel.core.errors import InputError
from matwheel.core.files import write_json

LONG = "".join(f"n{number}" for number in range(60))


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "project").mkdir()
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "project"


def finish(project, name, path, recorded=None):
    """Leave what a run leaves behind."""
    folder = project / "results/imported" / name
    folder.mkdir(parents=True)
    (folder / "generated.parquet").write_bytes(b"crystals")
    if path is not None:
        write_json({"path": recorded or str(path), "sha256": content_sha256(path)}, folder / "source.json")


def written(name, text):
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return located(path)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("run.1.extxyz", "run-1"),
        ("run.2.cif.gz", "run-2"),
        ("generated_crystals.extxyz", "generated_crystals"),
        ("out.v2.csv.gz", "out-v2"),
        ("samples.json.gz", "samples"),
        ("cifs.zip", "cifs"),
        ("POSCAR.mgo", "POSCAR-mgo"),
        ("mgo.vasp", "mgo"),
        ("  spaced  .cif", "spaced"),
        ("größe [1].cif", "gr-e-1"),
        ("日本.cif", "crystals"),
        (f"{LONG}.cif", LONG[:100]),
    ],
)
def test_the_default_name_is_the_whole_name_of_the_file(project, file, name):
    assert default_name(written(file, "")) == name


def test_the_default_name_of_a_folder_is_its_whole_name(project):
    for folder, name in (("run.1", "run-1"), ("my.cif", "my-cif")):
        Path(folder).mkdir()
        assert default_name(located(f"{folder}/")) == name
    os.chdir("a")
    assert default_name(located(".")) == "a" and located("..").name == located("../a/..").name


def test_two_files_of_one_name_get_two_sets_and_find_them_again(project):
    first, second = written("a/run.extxyz", "MgO"), written("b/run.extxyz", "CsCl")
    assert name_of_input(first, project) == name_of_input(second, project)
    finish(project, "run", first)
    assert name_of_input(first, project).name == "run" and not name_of_input(first, project).said
    other = name_of_input(second, project)
    assert other.name.startswith("run-") and len(other.name) == len("run-") + 8
    assert str(first) in other.said and str(second) in other.said and "\n" not in other.said
    finish(project, other.name, second)
    assert name_of_input(second, project).name == other.name
    assert name_of_input(first, project).name == "run"


def test_equal_content_at_another_path_is_another_set(project):
    first, second = written("a/run.cif", "MgO"), written("b/run.cif", "MgO")
    finish(project, "run", first)
    assert name_of_input(second, project).name != "run"
    assert check_name("run", second, project).name == "run", "the same crystals, and so the same results"


def test_an_edited_file_leaves_the_results_of_what_it_was(project):
    path = written("a/run.cif", "MgO")
    finish(project, "run", path)
    written("a/run.cif", "CsCl")
    edited = name_of_input(path, project)
    assert edited.name != "run" and "was edited" in edited.said
    asked = check_name("run", path, project)
    assert asked.name == "run" and "was edited" in asked.said and "made anew" in asked.said
    written("a/run.cif", "MgO")
    assert name_of_input(path, project).name == "run" and not check_name("run", path, project).said


def test_a_name_that_was_asked_for_and_belongs_to_another_input_is_refused(project):
    first, second = written("a/x.cif", "MgO"), written("b/y.cif", "CsCl")
    finish(project, "mine", first)
    with pytest.raises(InputError, match=rf"name mine: .*{first}, not of {second}; give another name"):
        check_name("mine", second, project)
    assert other_input("mine", second, project) == str(first) and not other_input("mine", first, project)
    for name in ("a/b", "ä", "", "a b"):
        with pytest.raises(InputError, match="letters, digits"):
            check_name(name, first, project)


def test_results_of_an_unknown_input_are_left_alone(project):
    path = written("a/old.cif", "MgO")
    finish(project, "old", None)
    chosen = name_of_input(path, project)
    assert chosen.name.startswith("old-") and "not known" in chosen.said
    with pytest.raises(InputError, match="an input that is not known"):
        check_name("old", path, project)
    # A folder that a failed run left without crystals holds nothing that could be lost.
    (project / "results/imported/young/verdicts").mkdir(parents=True)
    assert name_of_input(written("a/young.cif", "MgO"), project).name == "young"


def test_a_relative_path_of_the_config_begins_in_the_project_wherever_that_lies(project):
    path = written("project/mine.cif", "MgO")
    finish(project, "mine", path, recorded="mine.cif")
    assert not other_input("mine", path, project)
    project.rename("moved")
    written("moved/mine.cif", "CsCl")
    assert not other_input("mine", located("moved/mine.cif"), Path("moved").resolve())
    assert other_input("mine", written("b/other.cif", "Si"), Path("moved").resolve()) == "mine.cif"


def test_content_is_that_of_every_file_that_may_hold_crystals(project):
    written("set/deep/er/a.cif", "MgO")
    written("set/b.extxyz", "CsCl")
    before = content_sha256(Path("set"))
    for hidden in ("set/.DS_Store", "set/__MACOSX/a.cif", "set/.ipynb_checkpoints/a.cif", "set/notes.txt"):
        written(hidden, "anything")
    os.utime("set/b.extxyz", (1, 1))
    assert content_sha256(Path("set")) == before
    written("set/deep/er/a.cif", "MgS")
    edited = content_sha256(Path("set"))
    assert edited != before
    Path("set/b.extxyz").rename("set/c.extxyz")
    assert content_sha256(Path("set")) not in (before, edited)
    archives = []
    for text in ("MgO", "MgS"):
        with zipfile.ZipFile("set.zip", "w") as archive:
            archive.writestr(zipfile.ZipInfo("a.cif"), text)
        archives.append(content_sha256(Path("set.zip")))
    assert archives[0] != archives[1]


@pytest.mark.parametrize("name", ["two\nlines.cif", "tab\t.cif", "bell\x07.cif", os.fsdecode(b"caf\xe9.cif")])
def test_names_that_cannot_be_handed_on_are_refused(name):
    with pytest.raises(InputError, match=r"^'.*': the name holds .*; rename it$"):
        located(name)


def test_a_link_keeps_its_own_name(project):
    written("a/run.7.cif", "MgO")
    Path("b/newest.cif").symlink_to(Path("a/run.7.cif").resolve())
    assert located("b/newest.cif").name == "newest.cif"
    Path("linked").symlink_to("a")
    assert located("linked/run.7.cif") == located("a/run.7.cif")


@pytest.mark.parametrize("stem", ["x" * 240, "ab" * 60, "run_" + "0" * 40])
def test_names_that_snakemake_would_take_for_a_loop(tmp_path, stem):
    name = default_name(tmp_path / f"{stem[:240]}.cif")
    assert re.fullmatch(NAME_PATTERN, name) and len(name) <= 100 and not re.search(r"(.+?)\1{14,}", name)
    with pytest.raises(InputError, match="name"):
        check_name(stem, tmp_path / "a.cif", tmp_path)
