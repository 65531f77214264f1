"""Write one page of all results that are there, for people who would rather look than read."""

from pathlib import Path

import yaml

from matwheel.errors import InputError
from matwheel.files import atomic_path, read_json
from matwheel.job_times import job_times
from matwheel.progress import logged
from matwheel.provenance import library_versions
from matwheel.report.blocks import fitting_page, render
from matwheel.report.candidate_pages import JudgedSet
from matwheel.report.sections import ReportFiles, ReportOptions, report_page

PARTS_OF_A_SET = ("candidates", "verdicts", "crystals", "relaxed", "funnel", "rates", "cifs")
LARGEST_PAGE_BYTES = 10_000_000

with logged(snakemake.log[0]) as log:
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
        sets.append(
            JudgedSet.read(
                params.sets[name], from_genes=name.startswith("wycryst/"), phonon_figures=figures, **parts
            )
        )
    if not files and not sets:
        raise InputError(
            "results: nothing to report yet; run the workflow first, for instance "
            "snakemake --cores 2 -- results/table2.csv"
        )
    times = job_times(Path(params.logs), params.stage_of_rule)
    facts = {
        **params.facts,
        **{
            one["dataset"]: f"{one['rows']} crystals, sha256 {one['sha256']}"
            for one in map(read_json, given.provenance)
        },
        "made with": ", ".join(f"{name} {version}" for name, version in library_versions().items()),
    }
    settings = yaml.safe_dump(params.settings, sort_keys=True, allow_unicode=True)
    parts = {part: Path(given[part]).read_text(encoding="utf-8") for part in ("template", "style", "script")}

    def page_with(sheets: int) -> str:
        options = ReportOptions(
            titles=params.titles,
            units=params.units,
            drawn_target=params.drawn_target,
            candidate_sheets=sheets,
            listed_candidates=params.shown["listed_candidates"],
        )
        page = report_page(files, sets, times, options=options, facts=facts, settings=settings)
        html = render(page, **parts)
        log(f"{len(page.cards)} cards; {', '.join(section.anchor for section in page.sections)}")
        log(f"up to {sheets} sheets per set: {len(html.encode()) / 1e6:.2f} MB")
        return html

    html, sheets = fitting_page(
        page_with, sheets=params.shown["candidate_sheets"], largest_bytes=LARGEST_PAGE_BYTES
    )
    if len(html.encode()) > LARGEST_PAGE_BYTES:
        log("too large even without sheets; list fewer candidates (report.listed_candidates)")
    elif sheets < params.shown["candidate_sheets"]:
        log(f"fewer sheets than report.candidate_sheets: the page may have {LARGEST_PAGE_BYTES / 1e6:.0f} MB")
    with atomic_path(snakemake.output.page) as temporary:
        temporary.write_text(html, encoding="utf-8")
