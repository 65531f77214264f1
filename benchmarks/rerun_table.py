"""What single changes rerun: settings, thresholds, budgets, seeds, lines of code, places of data; as a table.

A temporary project has a dataset of a user's own, a file of crystals, formulas and a mirror folder, and every
chapter in small. No job does its work: files stand in for the results, as in `dag.py`, and what is counted is
the plan after each change, some six CPU-seconds.

    python benchmarks/rerun_table.py TABLE.csv [--source CHECKOUT] [--before TABLE.csv] [--only NAME ...]

`--source` plans with the code of another checkout, `--before` puts the columns of an earlier table beside.
With `--evaluations` three real crystals go through the funnel, then again after each change that concerns it,
and the evaluations are counted that the potential computed and that were found in the store (up to a
CPU-minute for each change).
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "workflow"))
from tiny_project import (
    PARTS,
    RESULTS,
    ROOT,
    TINY,
    copy_project,
    environment,
    snakemake,
    write_tiny_dataset,
)

CONFIG = "tiny.yaml"
SETTINGS: dict[str, Any] = TINY | {
    "mirror_folders": ["mirror"],
    "funnel": {"runs": [0]},
    "imported": {"mine": "mine.csv"},
    "validate": {"relax_at_most": 6, "shard_size": 3, "phonons_at_most": 2, "phonon_shard_size": 1},
    "perturbation": {"predictors": ["cgcnn"], "shards": 1},
    "matgan": {
        "sets": ["formulas"],
        "samples": 1000,
        "sample_shards": 2,
        "nulls": ["uniform"],
        "autoencoder": {"set": "formulas"},
        "formation_energy": {"set": "formulas"},
        "band_gap": {"set": "formulas"},
    },
    "wycryst": {
        "tasks": ["wide"],
        "targets": {"wide": {"windows": {"band_gap_ev": [0.0, 9.0]}}},
        "ablation": {"seeds": 0},
        "nulls": ["substitution"],
        "funnel": ["wide"],
        "build_at_most": 4,
        "build_shard_size": 2,
        "phonons_at_most": 1,
    },
    "phonon": {
        "compounds": ["Ag3SBr"],
        "policies": ["absolute", "freeze"],
        "random_sets": ["uniform_one_sided"],
        "learning": {"training_sets": ["thermal"], "sizes": [8], "seeds": 1},
    },
}
ASK_A_POTENTIAL = (
    "relax_candidates", "compute_reference_energies", "compute_phonons", "compute_latent_features",
    "compute_force_constants", "find_self_consistent_phonons", "label_configurations", "perturb_crystals",
    "compare_potential_with_dft",
)  # fmt: skip

Edit = Callable[[Path], None]


@dataclass(frozen=True)
class Change:
    """One change of a project.

    Attributes:
        name: for people; a key of the config, a module, or what happened to a file.
        kind: setting, threshold, budget, seed, code or data.
        settings: what the config then says besides, nested.
        module: file below src/matwheel that gets a line of code.
        edit: anything else that is done to the project.
        reason: why it reruns what one might not expect.
    """

    name: str
    kind: str
    settings: Mapping[str, Any] | None = None
    module: str = ""
    edit: Edit | None = None
    reason: str = ""


def setting(kind: str, name: str, value: Any, reason: str = "") -> Change:
    """Return the change of one key of the config, its path parted by dots."""
    *above, last = name.split(".")
    nested: dict[str, Any] = {last: value}
    for key in reversed(above):
        nested = {key: nested}
    return Change(f"{name}: {value}", kind, settings=nested, reason=reason)


def code(module: str, reason: str = "") -> Change:
    """Return a further line in a module."""
    return Change(f"a line in {module}", "code", module=module, reason=reason)


def move(old: str, new: str) -> Edit:
    """Return an edit that moves a file or a folder."""
    return lambda project: (project / old).rename(project / new)


def replace(file: str, old: str, new: str) -> Edit:
    """Return an edit of the first place where a text stands in a file."""

    def edit(project: Path) -> None:
        text = (project / file).read_text(encoding="utf-8")
        assert old in text, f"{old!r} is not in {file}"
        (project / file).write_text(text.replace(old, new, 1), encoding="utf-8")

    return edit


DRAWN_ANEW = "what is drawn with it is drawn anew"
FROM_LABELS = "the semi-supervised generator learns from its predictions"
CHANGES = (
    setting("setting", "generator.settings.langevin_steps", 3),
    setting("setting", "generator.settings.decoder_width", 48),
    setting("setting", "matgan.generator.settings.sampling_temperature", 1.0),
    setting("setting", "wycryst.sampling.temperature", 0.5),
    setting("setting", "conditions.bandwidth", 0.3),
    setting("setting", "predictor_settings.cgcnn.learning_rate", 0.004, FROM_LABELS),
    setting("setting", "screen.composition.oxidation_table", "icsd24"),
    setting("setting", "screen.further", {"radioactivity": {}}),
    setting("setting", "screen.require", ["structure", "charge_neutrality", "unique"]),
    setting("setting", "screen.symmetry.symprec_angstrom", 0.05),
    setting("setting", "validate.relaxation.symprec_angstrom", 0.2),
    setting("setting", "validate.relaxation.max_steps", 300),
    setting("setting", "validate.second_opinion", "7net-0", "asks another potential"),
    setting("setting", "validate.potential", "7net-l3i5", "asks another potential"),
    setting("threshold", "screen.structure.minimum_scaled_distance", 0.6),
    setting("threshold", "validate.hull.stable_ev_per_atom", 0.01),
    setting("threshold", "validate.hull.metastable_ev_per_atom", 0.2),
    setting("threshold", "validate.phonons.stable_above_thz", -0.2),
    setting("threshold", "wycryst.metal_threshold", 0.3),
    setting("budget", "validate.relax_at_most", 9),
    setting("budget", "validate.shard_size", 2),
    setting("budget", "validate.phonons_at_most", 4),
    setting("budget", "validate.phonon_shard_size", 2),
    setting("budget", "generator.samples", 20),
    setting("budget", "split.labelled_fraction", 0.4),
    setting("budget", "matgan.samples", 1500),
    setting("budget", "split.runs", 2, "the second run"),
    setting("seed", "seed", 7, DRAWN_ANEW),
    code("predictors/cgcnn.py", FROM_LABELS),
    code("predictors/training.py", FROM_LABELS),
    code("generators/con_cdvae/sampling.py"),
    code("generators/con_cdvae/training.py"),
    code("generators/mpvae/sampling.py"),
    code("screening/structure_validity.py"),
    code("screening/novelty.py"),
    code("hull/hull.py"),
    code("potentials/relaxation.py"),
    code("vibrations/phonon_judgement.py"),
    code("datasets/audit.py"),
    code("report/sections.py", "only the page, which is asked for by name"),
    Change(
        "the mirror folder lies elsewhere",
        "data",
        settings={"mirror_folders": ["moved"]},
        edit=move("mirror", "moved"),
    ),
    Change(
        "another mirror folder before it, without the files",
        "data",
        settings={"mirror_folders": ["none", "mirror"]},
    ),
    Change(
        "the registry says how many rows a dataset has",
        "data",
        edit=replace("tiny_datasets.yaml", "tiny:\n", "tiny:\n  expected: {rows: 40}\n"),
    ),
    Change(
        "another title of a dataset",
        "data",
        edit=replace("tiny_datasets.yaml", "Dielectric constants of 40", "Permittivities of 40"),
    ),
    Change(
        "a further digit of a label of an own dataset",
        "data",
        edit=lambda project: (project / "tiny.csv").write_text(
            (project / "tiny.csv").read_text().rstrip("\n") + "1\n"
        ),
    ),
    Change(
        "an edited file of crystals",
        "data",
        edit=replace("mine.csv", "_cell_length_a   ", "_cell_length_a   1"),
    ),
)


def merged(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with the changes in them; lists are replaced."""
    result = deepcopy(dict(settings))
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else value
    return result


def make_project(folder: Path, source: Path) -> Path:
    """Copy the code of a checkout and give it everything that the settings ask for."""
    project = copy_project(folder / "project", source)
    write_tiny_dataset(project)
    rows = pd.read_csv(project / "tiny.csv")
    rows[["id", "cif"]].head(12).to_csv(project / "mine.csv", index=False)
    (project / "mirror").mkdir()
    shutil.copy(ROOT / "tests" / "data" / "mp20_cut.csv.gz", project / "mirror")
    formulas = pd.read_csv(ROOT / "tests" / "data" / "genes60.csv")["formula"].drop_duplicates()
    pd.DataFrame({"formula": formulas, "value": range(len(formulas))}).to_csv(
        project / "formulas.csv", index=False
    )
    registry = yaml.safe_load((project / "tiny_datasets.yaml").read_text())
    target = {"column": "value", "name": "property"}
    registry["formulas"] = {"kind": "formulas", "title": "Formulas", "path": "formulas.csv", "target": target}
    (project / "tiny_datasets.yaml").write_text(yaml.safe_dump(registry, sort_keys=False))
    (project / CONFIG).write_text(yaml.safe_dump(SETTINGS))
    return project


def stand_in(project: Path) -> None:
    """Put a file in the place of every result, as if all jobs had been run."""
    from dag import WITHOUT_SLEEP

    done = snakemake(project, "--summary")
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    lines = [line.split("\t") for line in done.stdout.splitlines() if "\t" in line][1:]
    for number, name in enumerate(sorted({line[0] for line in lines})):
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix:
            path.write_text(f"{number}\n")  # no two alike
        else:  # directory(...)
            path.mkdir(exist_ok=True)
    command = [*WITHOUT_SLEEP, "--touch", "--forceall", "--cores", "8", "--configfile", CONFIG]
    touched = subprocess.run(
        command, cwd=project, env=environment(project), capture_output=True, text=True, check=False
    )
    if touched.returncode:
        raise SystemExit(touched.stdout + touched.stderr)


@contextmanager
def changed(project: Path, change: Change) -> Iterator[bool]:
    """Apply a change for a while; yields whether this code can be changed so."""
    module = project / "src" / "matwheel" / change.module  # the folder itself where it is another change
    source = module.read_bytes() if module.is_file() else b""
    kept = project.with_name("kept")
    kept.mkdir()
    try:
        for path in _own_files(project):
            copied = shutil.copytree if path.is_dir() else shutil.copy2
            copied(path, kept / path.name)
        if source:
            module.write_bytes(source + b"\n\nWAS_EDITED = True\n")
        if change.edit:
            change.edit(project)
        if change.settings:
            settings = yaml.safe_load((project / CONFIG).read_text())
            (project / CONFIG).write_text(yaml.safe_dump(merged(settings, change.settings)))
        yield module.exists()
    finally:
        for path in _own_files(project):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for path in kept.iterdir():
            path.rename(project / path.name)
        kept.rmdir()
        if source:
            module.write_bytes(source)


def _own_files(project: Path) -> list[Path]:
    """Return a user's own files and folders: settings, data, a mirror."""
    return [path for path in project.iterdir() if path.name not in (*PARTS, *RESULTS)]


def planned_jobs(project: Path) -> dict[str, int]:
    """Return how many jobs of each rule a run would have."""
    done = snakemake(project, "-n", "--quiet", "rules")
    text = done.stdout + done.stderr
    if done.returncode:
        raise SystemExit(text)
    if "Job stats:" not in text:
        return {}
    counts = re.findall(r"^(\w+) +(\d+)$", text.split("Job stats:")[1], re.MULTILINE)
    return {rule: int(count) for rule, count in counts if rule not in ("total", "all")}


def row_of(change: Change, jobs: Mapping[str, int]) -> dict[str, Any]:
    """Return the row of the table: how many jobs, how many of them may ask a potential, and which rules."""
    rules = ", ".join(f"{rule} {count}" for rule, count in sorted(jobs.items()))
    return {
        "change": change.name,
        "kind": change.kind,
        "jobs": sum(jobs.values()),
        "jobs_that_ask_a_potential": sum(jobs.get(rule, 0) for rule in ASK_A_POTENTIAL),
        "rules": rules,
        "reason": change.reason,
    }


CONCERN_THE_FUNNEL = ("screen", "validate", "seed", "screening", "hull", "potentials", "vibrations")
SAID = re.compile(r"(\d+) evaluations computed, (\d+) found in the store")


def concerns_the_funnel(change: Change) -> bool:
    """Whether a change is one of what crystals go through, so that a potential might be asked again."""
    first = next(iter(change.settings or ()), change.module.partition("/")[0])
    return change.edit is None and first in CONCERN_THE_FUNNEL


def make_funnel(folder: Path, source: Path) -> Path:
    """Send the crystals of the tests through the whole funnel."""
    from test_funnel_run import TARGET, write_candidates

    project = copy_project(folder / "funnel", source)
    write_candidates(project)
    done = snakemake(project, TARGET)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return project


def evaluations(project: Path, change: Change) -> dict[str, int]:
    """Make the candidates again in a copy, after a change; return how often the potential was asked."""
    from test_funnel_run import TARGET

    copy = project.with_name("copy")
    shutil.copytree(project, copy, symlinks=True)
    shutil.rmtree(copy / "logs")
    try:
        with changed(copy, change):
            done = snakemake(copy, TARGET)
            if done.returncode:
                raise SystemExit(done.stdout + done.stderr)
            logs = "".join(path.read_text() for path in copy.glob("logs/**/*.log"))
    finally:
        shutil.rmtree(copy)
    counts = [(int(computed), int(found)) for computed, found in SAID.findall(logs)]
    return {"computed": sum(one for one, _ in counts), "found_in_the_store": sum(one for _, one in counts)}


def beside(table: pd.DataFrame, before: Path) -> pd.DataFrame:
    """Return the table with the columns of an earlier one, marked, behind what names the changes."""
    names = ["change", "kind"]
    earlier = pd.read_csv(before).drop(columns="reason")
    earlier = earlier.rename(columns={name: f"{name}_before" for name in earlier if name not in names})
    return table[names].merge(earlier, how="left", on=names).merge(table, on=names)


def main() -> None:
    """Write the table, a row for each change."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("table", type=Path, help="CSV file to write")
    parser.add_argument("--source", type=Path, default=ROOT, help="checkout whose code plans (default: this)")
    parser.add_argument("--before", type=Path, help="an earlier table, whose columns are put beside these")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="changes whose name begins so")
    parser.add_argument("--evaluations", action="store_true", help="count what a potential computes too")
    arguments = parser.parse_args()
    chosen = [one for one in CHANGES if not arguments.only or one.name.startswith(tuple(arguments.only))]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        project = make_project(Path(folder), arguments.source.resolve())
        stand_in(project)
        if left := planned_jobs(project):
            raise SystemExit(f"before any change there is something to be done: {left}")
        funnel = make_funnel(Path(folder), arguments.source.resolve()) if arguments.evaluations else None
        for change in chosen:
            with changed(project, change) as is_possible:
                row = row_of(change, planned_jobs(project) if is_possible else {})
            if funnel is not None and concerns_the_funnel(change):
                row |= evaluations(funnel, change)
            rows.append(row)
            print(row, file=sys.stderr, flush=True)
    table = pd.DataFrame(rows)
    table = beside(table, arguments.before) if arguments.before else table
    table.to_csv(arguments.table, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
