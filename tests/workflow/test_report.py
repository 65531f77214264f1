"""`results/report.html` as a browser shows it, and `snakemake --report` with the same headline figures."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from browser import look_at, needs_chromium, take_screenshot
from PIL import Image
from test_funnel_run import TARGET as CANDIDATES
from test_funnel_run import judged, judged_copy  # noqa: F401
from tiny_project import pending_outputs, snakemake

PAGE = "results/report.html"
LARGEST_BYTES = 10_000_000


def write_report(project: Path) -> Path:
    """Ask for the page alone; nothing else may run."""
    done = snakemake(project, PAGE)
    assert done.returncode == 0, done.stdout + done.stderr
    ran = set(re.findall(r"^(?:local)?rule (\w+):", done.stdout + done.stderr, re.MULTILINE))
    assert ran <= {"write_report"}, ran
    page = project / PAGE
    assert page.stat().st_size < LARGEST_BYTES
    return page


def sections_of(page: Path) -> list[str]:
    return re.findall(r'<section id="(\w+)">', page.read_text(encoding="utf-8"))


@needs_chromium
def test_the_page_of_a_table_in_a_browser(editable: Path, tmp_path: Path) -> None:
    page = write_report(editable)
    assert sections_of(page) == ["verdict", "table2", "generators", "trust", "budgets"]
    seen = look_at(page)
    assert seen.console == []
    assert seen.witness["broken"] == [] and seen.witness["asked"] == [] and not seen.witness["wider"]
    assert seen.witness["images"] == 3, "Table 2, generator cards and audit of one dataset"
    take_screenshot(page.as_uri(), tmp_path / "page.png")
    colours = Image.open(tmp_path / "page.png").convert("RGB").getcolors(maxcolors=1 << 24)
    assert colours is not None and len(colours) > 200, "a page with figures has more than a background"
    assert pending_outputs(editable, target=PAGE) == set()


@needs_chromium
def test_the_page_of_candidates_in_a_browser(judged_copy: Path) -> None:  # noqa: F811
    page = write_report(judged_copy)
    assert sections_of(page) == ["verdict", "candidates", "budgets"]
    seen = look_at(page)
    assert seen.console == [] and seen.witness["broken"] == [] and seen.witness["asked"] == []
    # Sheets of the relaxed candidates, one of them with phonons.
    html = page.read_text(encoding="utf-8")
    sheets = re.findall(r'<details class="candidate" id="([^"]+)">', html)
    assert len(sheets) == html.count("download=") >= 3
    assert seen.witness["images"] == len(sheets) + 1
    assert "noise" in html and "squeezed" in html, "the funnel names whom it rejected"
    changed = (judged_copy / CANDIDATES).read_text().replace("rejected", "rejected ")
    (judged_copy / CANDIDATES).write_text(changed)
    assert pending_outputs(judged_copy, target=PAGE) >= {PAGE}


def test_without_results_there_is_a_clear_error(editable: Path) -> None:
    for path in sorted(editable.glob("results/**/*"), reverse=True):
        if path.is_file():
            path.unlink()
    done = snakemake(editable, PAGE)
    assert done.returncode != 0
    assert "nothing to report yet" in done.stdout + done.stderr


def test_the_report_of_snakemake_is_offline_and_has_captions(editable: Path) -> None:
    done = snakemake(editable, "--report", "report.html")
    assert done.returncode == 0, done.stderr
    page = (editable / "report.html").read_text(encoding="utf-8")
    for name in ("table2.csv", "table2.svg", "table2_contrasts.csv", "generators.svg", "audit.svg"):
        assert name in page, name
    for words in ("skill is 1", "the first training set has the lower error", "rattle training crystals"):
        assert words in page, words
    assert not re.search(r"<(script|link)[^>]+(src|href)=[\"']https?:", page)


@pytest.mark.parametrize("chapter", ["matgan", "wycryst", "phonon", "perturb", "matwheel"])
def test_every_chapter_has_captioned_figures_in_the_report_of_snakemake(chapter: str) -> None:
    rules = (Path(__file__).resolve().parents[2] / f"workflow/rules/chapters/{chapter}.smk").read_text(
        encoding="utf-8"
    )
    assert re.search(r"report\(\s*\n?\s*\"results/", rules), chapter
