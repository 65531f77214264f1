"""Write one page of all results that are there, for people who would rather look than read."""

from pathlib import Path

import yaml

from matwheel.core.errors import InputError
from matwheel.core.files import atomic_path, read_json
from matwheel.report.candidate_pages import JudgedSet
from matwheel.report.sections import ReportFiles, ReportOptions, report_html
from matwheel.runs.job_times import job_times
from matwheel.runs.machine import git_state
from matwheel.runs.provenance import library_versions
from matwheel.runs.recorded_code import recorded

PARTS_OF_A_SET = ("candidates", "verdicts", "crystals", "relaxed", "funnel", "rates", "cifs")
LARGEST_PAGE_BYTES = 10_000_000

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    given, params = snakemake.input, snakemake.params
    files = ReportFiles(
        **{role: [Path(path) for path in given.get(role, [])] for role in ReportFiles.roles()}
    )
    sets = []
    for paths in zip(*(given[part] for part in PARTS_OF_A_SET), strict=True):
        folder = Path(paths[0]).parent
        name = folder.relative_to("results").as_posix()
        figures = [path for path in map(Path, given.phonon_figures) if folder in path.parents]
        parts = dict(zip(PARTS_OF_A_SET, map(Path, paths), strict=True))
        sets.append(JudgedSet.read(**params.sets[name], phonon_figures=figures, **parts))
    if not files and not sets:
        raise InputError(
            "results: nothing to report yet; run the workflow first, for instance "
            "snakemake --cores 2 -- results/table2.csv"
        )
    html = report_html(
        files,
        sets,
        job_times(Path(params.logs), params.stage_of_rule),
        options=ReportOptions(titles=params.titles, units=params.units, **params.options, **params.shown),
        facts={
            "code": "commit {commit} of {date}, changes of tracked files: {changes}".format(
                **git_state(Path(params.project))
            ),
            "command": f"snakemake --cores N --configfile {' '.join(params.configfiles)} "
            f"-- {snakemake.output.page}",
            **params.facts,
            **{
                one["dataset"]: f"{one['rows']} crystals, sha256 {one['sha256']}"
                for one in map(read_json, given.provenance)
            },
            "made with": ", ".join(f"{name} {version}" for name, version in library_versions().items()),
        },
        settings=yaml.safe_dump(params.settings, sort_keys=True, allow_unicode=True),
        warning=params.warning,
        parts={part: Path(given[part]).read_text("utf-8") for part in ("template", "style", "script")},
        largest_bytes=LARGEST_PAGE_BYTES,
        log=log,
    )
    with atomic_path(snakemake.output.page) as temporary:
        temporary.write_text(html, encoding="utf-8")
