"""The command `matwheel`: histories of candidates, screens for any crystals, runs, results, the store."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matwheel.command_line.imported_sets import check_name, located, name_of_input
from matwheel.command_line.passed_options import add_options, handed_on, refuse_shortened
from matwheel.core.errors import InputError
from matwheel.runs.run_lock import take_run_lock
from matwheel.runs.slurm_jobs import cancel, left_jobs

if TYPE_CHECKING:
    import pandas as pd

_HEAD_ROWS = 10
_HEAD_COLUMNS = [
    "rank", "id", "formula", "space_group", "known_as", "e_hull_dft_ev_per_atom", "lowest_frequency_thz",
    "verdict", "reason",
]  # fmt: skip
_REASONS_SHOWN = 20
# Files of a set that lie beside its verdict table.
_VERDICTS, _CRYSTALS, _FUNNEL = "verdicts.parquet", "generated.parquet", "funnel.csv"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status (0, or 1 with one message on standard error)."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    # `matwheel resume … -- TARGET`: argparse would swallow the mark before snakemake's targets.
    end = arguments.index("--") if "--" in arguments and arguments[0] == "resume" else len(arguments)
    options, rest = _parser().parse_known_args(_with_dashed_files(arguments[:end]))
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal without UTF-8 shows '?' instead of ending in an error
            stream.reconfigure(errors="replace")
    try:
        if options.command == "why":
            if rest:
                raise InputError(f"matwheel why: unknown argument {rest[0]!r}; see matwheel why --help")
            print(why(options.id, options.results or _results()), end="")
            return 0
        if options.command == "verify":
            return verify(options.results, options.project, strict=options.strict)
        if options.command == "store":
            print(store(options.folder or _results() / "store", options.prune), end="")
            return 0
        if options.command == "resume":
            return resume(options, [*rest, *arguments[end:]])
        return screen(options, rest)
    except InputError as error:
        print(f"matwheel: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of a pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="matwheel", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    asked = commands.add_parser(
        "why", help="print the whole history of a candidate", allow_abbrev=False,
        description="Print what every screen said of a candidate, with figures, thresholds and reasons.",
    )  # fmt: skip
    asked.add_argument("id", metavar="ID", help="id of the candidate, as in candidates.csv")
    asked.add_argument(
        "--results", type=Path, metavar="FOLDER",
        help="folder with the results of a run (default: results, here or in the project)",
    )  # fmt: skip
    judged = commands.add_parser(
        "screen", help="send a file of crystals through every screen", allow_abbrev=False,
        description="Send crystals made by any program (CIF, extxyz, POSCAR, JSON, a CSV with a column of "
        "them, a zip or folder of such files) through every screen and validation; the result is "
        "results/imported/NAME/candidates.csv. Further arguments after FILE go to snakemake as they are.",
    )  # fmt: skip
    judged.add_argument("file", metavar="FILE", type=Path, help="file or folder of crystals")
    judged.add_argument(
        "--name", help="name of the result (default: the file's, with digits where another input has that)"
    )
    judged.add_argument(
        "--crystal-column",
        metavar="COLUMN",
        help="column of the crystals in a table (default: cif and its like)",
    )
    judged.add_argument(
        "--id-column", metavar="COLUMN", help="column of the ids in a table (default: id, material_id)"
    )
    judged.add_argument(
        "--cores", "-c", default=str(_usable_cores()), help="cores to use (default: all, here %(default)s)"
    )
    judged.add_argument("--dry-run", "-n", action="store_true", help="only show what would run")
    resumed = commands.add_parser(
        "resume", help="go on with a run that was killed on a SLURM cluster", allow_abbrev=False,
        description="Cancel the jobs that a killed run of this folder left in SLURM, wait until they are "
        "gone, and run the workflow with profiles/slurm. All other arguments go to snakemake as they are: "
        "matwheel resume -- results/table2.csv",
    )  # fmt: skip
    resumed.add_argument(
        "--dry-run", "-n", action="store_true", help="only show what would be cancelled and what would run"
    )
    verified = commands.add_parser(
        "verify", help="compare results with their certificate", allow_abbrev=False,
        description="Compare the files of a results folder, the inputs and the code with what its "
        "certificate.json says of them, and name what changed. The exit status is 1 where results or inputs "
        "changed.",
    )  # fmt: skip
    verified.add_argument(
        "results", type=Path, nargs="?", default=Path("results"), metavar="FOLDER",
        help="folder with the results and their certificate (default: %(default)s)",
    )  # fmt: skip
    verified.add_argument("--strict", action="store_true", help="let notes fail too")
    verified.add_argument(
        "--project", type=Path, metavar="FOLDER",
        help="folder of the inputs and the code (default: the one around the results)",
    )  # fmt: skip
    kept = commands.add_parser(
        "store", help="say how large the store of computed crystals is, and prune it", allow_abbrev=False,
        description="Print what potentials have computed and how long it was not used. What is pruned is "
        "computed again when it is needed; no result changes.",
    )  # fmt: skip
    kept.add_argument(
        "folder", type=Path, nargs="?", metavar="FOLDER",
        help="folder of the store (default: results/store, here or in the project)",
    )  # fmt: skip
    kept.add_argument(
        "--prune", type=_days, metavar="DAYS", help="remove what nothing has used for so many days"
    )
    for command in (judged, resumed):
        add_options(command)
        command.add_argument(
            "--project", type=Path, metavar="FOLDER",
            help="folder with the Snakefile (default: the current one, else that of the installed source)",
        )  # fmt: skip
    return parser


def why(candidate_id: str, results: Path) -> str:
    """Return the history of a candidate in every verdict table under a folder that holds it.

    Raises:
        InputError: no verdict table under that folder, or none with that id; the nearest ids are named.
    """
    import pandas as pd

    from matwheel.candidates.why import history, unknown_id
    from matwheel.crystals.table import read_table

    folders = sorted({path.parent for path in results.glob(f"**/{_VERDICTS}")})
    # A set that was sent through some screens only has their verdicts, one file each.
    parts_of = {path.parent.parent for path in results.glob("**/verdicts/*.parquet")}
    folders += sorted(parts_of - set(folders))
    if not folders:
        raise InputError(
            f"{results}: holds no {_VERDICTS}; run the funnel first (snakemake --cores 2 -- "
            "results/candidates.csv, or matwheel screen FILE), or name the folder with --results"
        )
    parts: list[str] = []
    known: list[str] = []
    for folder in folders:
        files = [folder / _VERDICTS]
        files = files if files[0].is_file() else sorted((folder / "verdicts").glob("*.parquet"))
        verdicts = pd.concat([read_table(file) for file in files], ignore_index=True)
        judged = verdicts["candidate_id"].unique().tolist()
        known += judged
        if candidate_id in judged:
            extras = {"set": folder.relative_to(results).as_posix(), **_extras(folder, candidate_id)}
            row, screens = _row(folder / _CRYSTALS, candidate_id), _screens(folder / _FUNNEL)
            parts.append(history(candidate_id, verdicts, row, extras, screens=screens))
    if not parts:
        raise InputError(unknown_id(candidate_id, known, str(results)))
    return "\n".join(parts)


def screen(options: argparse.Namespace, rest: Sequence[str]) -> int:
    """Read a file of crystals, run the workflow on it, show the best; return snakemake's exit status.

    Raises:
        InputError: no such file, nothing in it that can be read, a name that cannot be or that belongs to
            another input, or no project folder.
    """
    if rest and not rest[0].startswith("-"):
        raise InputError(f"{rest[0]}: one FILE at a time; put several into one folder and give that")
    refuse_shortened(rest)
    project = _project(options.project)
    file = _crystal_file(options.file)
    columns = {"id_column": options.id_column, "crystal_column": options.crystal_column}
    asked = {key: column for key, column in columns.items() if column is not None}
    _read_first(file, asked)
    chosen = check_name(options.name, file, project) if options.name else name_of_input(file, project)
    if chosen.said:
        print(chosen.said, file=sys.stderr)
    target = f"results/imported/{chosen.name}/candidates.csv"
    with handed_on(options, project, {chosen.name: {"path": str(file), **asked}}) as settings:
        command = [sys.executable, "-m", "snakemake", *settings, "--cores", options.cores, *rest]
        command += ["--dry-run"] if options.dry_run else []
        status = subprocess.run([*command, "--", target], cwd=project, check=False).returncode
    result = project / target
    if status == 0 and not options.dry_run and result.is_file():
        print(_head(result, project / "results"))
    return status


def _with_dashed_files(arguments: Sequence[str]) -> list[str]:
    """Return arguments in which no file whose name begins with '-' can be taken for an option of ours."""
    if not arguments or arguments[0] != "screen":
        return list(arguments)
    return [
        f"./{argument}" if re.match("-..", argument) and os.path.exists(argument) else argument
        for argument in arguments
    ]


def _crystal_file(given: Path) -> Path:
    """Return where a user's file or folder of crystals lies.

    Raises:
        InputError: it is not there, or its name cannot be handed on.
    """
    from matwheel.crystals.crystal_files import kind_of

    file = located(given)
    if not file.exists():
        raise InputError(f"{given}: does not exist; correct the path")
    # A link like 'latest' says nothing of its kind.
    is_unclear = file.is_symlink() and not file.is_dir() and not kind_of(file.name)
    return located(file.resolve()) if is_unclear else file


def _read_first(file: Path, columns: dict[str, Any]) -> None:
    """Read a user's crystals before anything else starts, and say what came of it.

    Raises:
        InputError: the file cannot be read, or none of its entries can.
    """
    from matwheel.crystals.crystal_files import open_crystal_file
    from matwheel.crystals.imported import crystals_of_entries
    from matwheel.verdicts import PASS

    opened = open_crystal_file(file, **columns)
    crystals, verdicts = crystals_of_entries(file, opened)
    refusals = [verdict.reason for verdict in verdicts if verdict.verdict != PASS]
    noted = sum(bool(verdict.reason) for verdict in verdicts if verdict.verdict == PASS)
    if not crystals:
        first = " ".join(refusals[0].split())
        raise InputError(f"{file}: none of {len(verdicts)} entries could be read; the first: {first}")
    read = f"{len(crystals)} crystal{'s' if len(crystals) != 1 else ''} read"
    where = " (matwheel why ID shows them)" if noted else ""
    lines = [f"{file.name}: {read}, {len(refusals)} refused, {noted} with notes{where}"]
    lines += [f"  {note}" for note in opened.notes]
    lines += _first_few("refused", refusals) + _first_few("passed over", opened.passed_over)
    print("\n".join(lines), file=sys.stderr)


def _first_few(what: str, reasons: Sequence[str]) -> list[str]:
    """Return the first reasons as lines, and how many there are beyond them."""
    lines = [f"  {what}: {' '.join(reason.split())}" for reason in reasons[:_REASONS_SHOWN]]
    further = len(reasons) - len(lines)
    return [*lines, f"  {what}: {further} more"] if further else lines


def resume(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Cancel what a killed run left in SLURM and run the workflow there; return snakemake's exit status.

    Raises:
        InputError: a run is still alive in the folder, or SLURM does not answer.
    """
    refuse_shortened(arguments)
    project, dry_run = _project(options.project), options.dry_run
    take_run_lock(project).close()
    jobs = left_jobs(project)
    if jobs:
        print(f"{'would cancel' if dry_run else 'cancelling'} SLURM jobs {', '.join(jobs)}", file=sys.stderr)
    if jobs and not dry_run:
        cancel(jobs, project)
    options.workflow_profile = options.workflow_profile or [str(project / "profiles" / "slurm")]
    with handed_on(options, project) as settings:
        command = [sys.executable, "-m", "snakemake", *settings, *(["--dry-run"] if dry_run else [])]
        return subprocess.run([*command, *arguments], cwd=project, check=False).returncode


def verify(results: Path, project: Path | None, *, strict: bool) -> int:
    """Print what differs from the certificate of a results folder; return 1 where results or inputs do.

    Args:
        project: folder that inputs and code are looked for in; None is the one around the results.
        strict: whether notes count too: files not certified, inputs not found, changed code.

    Raises:
        InputError: no certificate there, or a damaged or foreign one.
    """
    from matwheel.runs import certificate

    content = certificate.read_certificate(results / certificate.NAME)
    findings = certificate.verify(content, results, project or results.resolve().parent)
    for finding in findings:
        mark = "✗" if finding.is_failure else "·"
        print(f"{mark} {finding.kind}: {finding.path}{f' ({finding.said})' if finding.said else ''}")
    failures = sum(finding.is_failure for finding in findings)
    certified = len(certificate.certified_files(content))
    print(f"{certified} certified files: {failures} differences, {len(findings) - failures} notes")
    return int(bool(failures or (strict and findings)))


def store(folder: Path, unused_days: float | None = None) -> str:
    """Return what a store holds, a line per method, after removing what was not used for so many days.

    Raises:
        InputError: there is no store.
    """
    from matwheel.core.store import TAG, prune, sizes

    if not (folder / TAG).is_file():
        raise InputError(f"{folder}: no store of computed crystals there; give the folder that has {TAG}")
    lines = []
    if unused_days is not None:
        lines.append(f"{prune(folder, unused_days) / 1e6:.1f} MB removed, unused for {unused_days:g} days")
    found = sizes(folder)
    for one in found:
        what = one.method.get("potential", "unknown method")
        precision = " in double precision" if one.method.get("double_precision") else ""
        version = f" ({one.method['package']}, code {one.method['code']})" if "package" in one.method else ""
        lines.append(
            f"{one.records:>9,} evaluations {one.size_bytes / 1e6:9.1f} MB, last used {one.unused_days:.0f} "
            f"days ago: {what}{precision}{version}, {one.folder.name}"
        )
    total = sum(one.size_bytes for one in found)
    lines.append(f"{folder}: {sum(one.records for one in found):,} evaluations, {total / 1e6:.1f} MB")
    return "\n".join(lines) + "\n"


def _days(text: str) -> float:
    """Return a number of days.

    Raises:
        ArgumentTypeError: not a number from 0.
    """
    try:
        days = float(text)
    except ValueError:
        days = -1.0
    if not 0 <= days < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days; give one from 0, such as 90")
    return days


def _project(asked: Path | None) -> Path:
    """Return the folder with the Snakefile."""
    places = [asked] if asked is not None else [Path.cwd(), Path(__file__).resolve().parents[3]]
    for place in places:
        if (place / "Snakefile").is_file():
            return place.resolve()
    raise InputError(
        f"{' and '.join(map(str, places))}: no Snakefile there; run in the project's folder or name it "
        "with --project"
    )


def _results() -> Path:
    """Return the folder of results: of the current folder, else of the project that screens work in."""
    here = Path("results")
    return here if here.is_dir() else _project(None) / here


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _row(path: Path, candidate_id: str) -> pd.Series | None:
    """Return the row of a candidate in a Parquet table, None without the table or the row."""
    from matwheel.crystals.table import read_table

    if not path.is_file():
        return None
    table = read_table(path)
    rows = table[table["id"] == candidate_id]
    return rows.iloc[0] if len(rows) else None


def _screens(path: Path) -> list[str] | None:
    """Return the screens that decide, from the funnel of the set; None without one."""
    import pandas as pd

    return list(pd.read_csv(path)["screen"]) if path.is_file() else None


def _extras(folder: Path, candidate_id: str) -> dict[str, str]:
    """Return what the tables beside the verdicts tell of a candidate, label → text."""
    extras = {}
    predicted = _row(folder / "predicted.parquet", candidate_id)
    if predicted is not None:
        extras["predicted property"] = f"{predicted['predicted']:.4g}"
    relaxed = _row(folder / "relaxed.parquet", candidate_id)
    if relaxed is not None:
        extras["relaxation"] = _relaxation(relaxed)
    archive = folder / "candidates.zip"
    if archive.is_file() and f"{candidate_id}.cif" in zipfile.ZipFile(archive).namelist():
        extras["crystals"] = f"{archive} ({candidate_id}.cif)"
    return extras


def _relaxation(row: pd.Series) -> str:
    """Return what relaxation did to a crystal, leaving out what was not measured."""
    figures = (
        ("steps", "{:.0f} steps"),
        ("energy_ev_per_atom", "{:.4f} eV/atom"),
        ("volume_change", "volume {:+.1%}"),
        ("rmsd_angstrom", "atoms moved by {:.2f} Å (RMSD)"),
        ("space_group_before", "space group {:.0f}"),
        ("space_group_after", "→ {:.0f}"),
    )
    said = [str(row["status"]).replace("_", " ")]
    said += [form.format(row[name]) for name, form in figures if name in row and row[name] == row[name]]
    return ", ".join(said).replace(", →", " →")


def _head(candidates: Path, results: Path) -> str:
    """Return the best candidates as text, and where the rest is."""
    import pandas as pd

    # An id may look like a number, or like a missing value.
    table = pd.read_csv(candidates, dtype={"id": str}, keep_default_na=False, na_values=[""])
    head = table[[name for name in _HEAD_COLUMNS if name in table]].head(_HEAD_ROWS)
    counts = ", ".join(f"{count} {verdict}" for verdict, count in table["verdict"].value_counts().items())
    shown = head.to_string(index=False, na_rep="–", max_colwidth=60) if len(head) else "no candidates"
    history = (
        "matwheel why ID" if Path("results").resolve() == results else f"matwheel why ID --results {results}"
    )
    return f"{shown}\n\n{len(table)} candidates: {counts}\nall: {candidates}\nhistory of one: {history}"


if __name__ == "__main__":
    raise SystemExit(main())
