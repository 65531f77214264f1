"""The report page: pictures, drawings, funnels, sheets, verdict cards, times, and the HTML they end in."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from matwheel.candidates.false_negatives import false_negatives
from matwheel.candidates.funnel import funnel_counts, sun_rates
from matwheel.candidates.ranking import JudgedCandidates, candidates_table
from matwheel.chapters.matwheel.contrasts import decided, paired_contrasts
from matwheel.chapters.phonon.configuration_transfer import decided_contrasts
from matwheel.core.archives import write_zip
from matwheel.crystals.crystal import Crystal, to_structure
from matwheel.crystals.symmetry.standard_cells import standard_cell
from matwheel.crystals.table import crystal_table, write_cif_archive
from matwheel.figures.figures import save_figure
from matwheel.report.blocks import (
    BAD,
    GOOD,
    OPEN,
    Page,
    Section,
    Text,
    fitting_page,
    in_digits,
    render,
    table_of,
)
from matwheel.report.budgets import budget_warning, other_budgets
from matwheel.report.candidate_pages import JudgedSet, candidate_gallery, funnel_of
from matwheel.report.pictures import png_source, svg_source, svg_text_source
from matwheel.report.sections import ReportFiles, ReportOptions, report_html, report_page
from matwheel.report.structure_drawing import draw_crystal, with_repeated_atoms
from matwheel.report.verdict_cards import (
    baseline_cards,
    composition_cards,
    configuration_cards,
    false_negative_cards,
    gene_cards,
    leakage_cards,
    training_cards,
)
from matwheel.runs.job_times import job_times
from matwheel.verdicts import ERROR, FAIL, PASS, UNDECIDED, Verdict, verdict_table

ROOT = Path(__file__).resolve().parents[3]
TEMPLATE, STYLE, SCRIPT = (
    (ROOT / "workflow/report" / name).read_text(encoding="utf-8")
    for name in ("page.html.j2", "page.css", "page.js")
)
SCREENS = ("structure", "unique", "hull", "phonons")
OPTIONS = ReportOptions(
    titles={"poly": "Dielectric constants"}, units={"poly": "meV"}, drawn_target="band_gap_ev",
    candidate_sheets=3, listed_candidates=2,
)  # fmt: skip


def svg_of(source: str) -> ElementTree.Element:
    assert source.startswith("data:image/svg+xml,")
    return ElementTree.fromstring(unquote(source.partition(",")[2]))


def test_an_embedded_svg_is_the_same_picture_in_fewer_digits(tmp_path: Path) -> None:
    figure = Figure()
    figure.subplots().plot([1.23456789, 2.3456789], [3.14159265, 2.71828183])
    save_figure(figure, tmp_path / "figure.svg")
    original = (tmp_path / "figure.svg").read_text()
    source = svg_source(tmp_path / "figure.svg")
    assert '"' not in source and "#" not in source and len(source) < len(original)
    before, after = ElementTree.fromstring(original), svg_of(source)
    numbers = re.compile(r"-?\d+\.?\d*")
    paths = [[node for node in tree.iter() if node.get("d")] for tree in (before, after)]
    assert len(paths[0]) == len(paths[1]) > 10
    for one, other in zip(*paths, strict=True):
        exact, rounded = ([float(n) for n in numbers.findall(node.get("d"))] for node in (one, other))
        assert np.allclose(exact, rounded, atol=0.00501)
    # Glyphs are scaled by 0.0156: rounded scales would ruin every word.
    scales = [[n.get("transform") for n in tree.iter() if n.get("transform")] for tree in (before, after)]
    assert scales[0] == scales[1] and any("scale(0.0" in text for text in scales[0])


def test_what_is_no_svg_is_refused() -> None:
    with pytest.raises(ValueError, match="holds no SVG"):
        svg_text_source("<html></html>", "page.svg")


def test_a_png_is_small_and_always_the_same() -> None:
    figure = Figure(figsize=(2, 2))
    figure.subplots().plot([0, 1])
    assert png_source(figure) == png_source(figure)
    assert png_source(figure).startswith("data:image/png;base64,")


@pytest.mark.parametrize(
    ("value", "text"),
    [(float("nan"), "–"), (None, "–"), (-0.12345, "−0.1235"), (3, "3"), (1_234_567, "1\u202f234\u202f567"),
     ("KBr", "KBr"), (True, "True"), (2.0, "2")],
)  # fmt: skip
def test_numbers_are_written_for_people(value: object, text: str) -> None:
    assert in_digits(value) == text


def rock_salt() -> Crystal:
    half = 2.82
    lattice = np.array([[0, half, half], [half, 0, half], [half, half, 0]])
    return Crystal("salt", ("Na", "Cl"), lattice, np.array([[0, 0, 0], [0.5, 0.5, 0.5]]))


def test_rock_salt_is_drawn_as_its_cube_with_all_atoms_on_its_surface() -> None:
    cube = standard_cell(rock_salt(), 0.1, primitive=False)
    assert len(cube.species) == 8
    assert np.allclose(cube.lattice, 5.64 * np.eye(3), atol=1e-6)
    drawn = with_repeated_atoms(cube)
    # 8 corners and 6 faces; 12 edges and the centre.
    assert drawn.element_counts == {"Na": 14, "Cl": 13}
    assert drawn.frac_coords.min() >= -0.03 and drawn.frac_coords.max() <= 1.03


def test_a_crystal_without_symmetry_is_drawn_as_it_is() -> None:
    flat = Crystal("flat", ("Na",), np.diag([3.0, 3.0, 1e-9]), np.zeros((1, 3)))
    assert standard_cell(flat, 0.1, primitive=False) is None
    assert draw_crystal(rock_salt()) == draw_crystal(rock_salt())


@pytest.fixture
def judged(poly_crystals: tuple[list[Crystal], np.ndarray], tmp_path: Path) -> JudgedSet:
    """Twelve real crystals with every kind of verdict, the best two with phonons and a figure of them."""
    crystals = poly_crystals[0][:12]
    ids = [crystal.id for crystal in crystals]
    rows = [Verdict(ids[0], "structure", FAIL, 0.3, 0.5, "<b>too near</b> & close")]
    rows += [Verdict(name, "structure", PASS, 2.0, 0.5) for name in ids[1:]]
    rows += [
        Verdict(ids[1], "unique", ERROR, reason="no cell"),
        Verdict(ids[2], "unique", FAIL, reason="a copy"),
    ]
    rows += [Verdict(name, "unique", PASS) for name in ids[3:]]
    rows += [Verdict(name, "hull", PASS, 0.01, 0.1) for name in ids[3:6]]
    rows += [Verdict(name, "hull_dft", PASS, 0.01, 0.1) for name in ids[3:6]]
    rows += [Verdict(ids[6], "hull", UNDECIDED, 0.1, 0.1, "the hulls disagree")]
    rows += [
        Verdict(name, "phonons", verdict, 0.1) for name, verdict in zip(ids[3:5], (PASS, FAIL), strict=True)
    ]
    table, verdicts = crystal_table(crystals), verdict_table(rows)
    relaxed = table.assign(status="converged", space_group_after=table["space_group"])
    write_cif_archive(crystals, tmp_path / "candidates.zip")
    write_zip(
        [(f"{ids[3]}.svg", b"<svg xmlns='http://www.w3.org/2000/svg'><g/></svg>")], tmp_path / "bands.zip"
    )
    one = JudgedCandidates(
        "poly", table, verdicts, SCREENS, cif_archive="candidates.zip", archived=frozenset(ids)
    )
    return JudgedSet(
        title="twelve crystals", from_genes=False, candidates=candidates_table([one]), verdicts=verdicts,
        crystals=table, relaxed=relaxed, screens=SCREENS, cifs=tmp_path / "candidates.zip",
        phonon_figures=(tmp_path / "bands.zip",), rates=sun_rates(verdicts, ids, SCREENS, novelty_screens=()),
    )  # fmt: skip


def test_the_counts_that_open_are_those_of_the_funnel(judged: JudgedSet) -> None:
    counts = funnel_counts(judged.verdicts, list(judged.candidates["id"]), SCREENS)
    names = {"passed": "passed", "failed": "failed", "undecided": "undecided", "error": "error",
             "not judged": "not_judged"}  # fmt: skip
    for at_most in (0, 2, 100):
        funnel = funnel_of(judged, listed_at_most=at_most)
        assert funnel.candidates == 12
        for step, row in zip(funnel.steps, counts.to_dict("records"), strict=True):
            for group in step.groups:
                assert group.count == row[names[group.name]], (step.screen, group.name)
                assert len(group.listed) == min(group.count, at_most)
            assert step.before == sum(group.count for group in step.groups)
    failed = next(group for group in funnel.steps[0].groups if group.name == "failed")
    assert failed.listed[0].said == "<b>too near</b> & close"


def test_a_sheet_holds_the_crystal_its_history_and_its_phonons(judged: JudgedSet) -> None:
    pages = candidate_gallery(judged, at_most=3).pages
    assert [page.candidate_id for page in pages] == list(judged.candidates["id"])[:3]
    best = pages[0]
    assert best.overall == "metastable" and "phonons" in best.history and "hull" in best.history
    assert best.drawing.startswith("data:image/png") and best.phonon_bands and not pages[1].phonon_bands
    from pymatgen.core import Structure

    saved = Structure.from_str(unquote(best.cif.partition(",")[2]), fmt="cif")
    crystals = judged.relaxed.set_index("id", drop=False).loc[[best.candidate_id]]
    from matwheel.crystals.table import crystals_of_table

    assert saved.matches(to_structure(crystals_of_table(crystals)[0]))
    assert candidate_gallery(judged, at_most=0).pages == ()


def test_the_page_escapes_what_it_shows_and_leaves_out_what_is_not_there(judged: JudgedSet) -> None:
    page = report_page(
        ReportFiles(), [judged], pd.DataFrame(), options=OPTIONS, facts={"seed": "1"}, settings=""
    )
    assert [section.anchor for section in page.sections] == ["candidates"]
    html = render(page, template=TEMPLATE, style=STYLE, script=SCRIPT)
    assert html == render(page, template=TEMPLATE, style=STYLE, script=SCRIPT)
    assert "<b>too near</b>" not in html and "&lt;b&gt;too near&lt;/b&gt; &amp; close" in html
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", html)
    assert "http" not in re.sub(r"http://www\.w3\.org/\S*", "", html)
    for id_ in judged.candidates["id"][:3]:
        assert f'id="{id_}"' in html
    assert not report_page(ReportFiles(), [], pd.DataFrame(), options=OPTIONS, facts={}, settings="").sections


def test_other_budgets_stand_on_top_of_the_page(judged: JudgedSet) -> None:
    defaults = {"seed": 1, "split": {"runs": 5}, "generator": {"samples": 1000, "settings": {}}, "hull": 0.1}
    quick = {
        "seed": 2,
        "split": {"runs": 2},
        "generator": {"samples": 1000, "settings": {"steps": 8}},
        "hull": 0.2,
    }
    assert other_budgets(quick, defaults) == ["generator.settings.steps 8", "split.runs 2 (default 5)"]
    assert budget_warning(defaults | {"seed": 3}, defaults) == ""
    warning = budget_warning(quick, defaults)
    page = report_page(
        ReportFiles(), [judged], pd.DataFrame(), options=OPTIONS, facts={"code": "commit abc of 2026-11-30"},
        settings="", warning=warning,
    )  # fmt: skip
    html = render(page, template=TEMPLATE, style=STYLE, script=SCRIPT)
    head = html[html.index("<header>") : html.index("</header>")]
    assert "split.runs 2 (default 5)" in head and "not what is true" in head and "commit abc of" in head
    plain = report_page(ReportFiles(), [judged], pd.DataFrame(), options=OPTIONS, facts={}, settings="")
    assert 'class="warning"' not in render(plain, template=TEMPLATE, style=STYLE, script=SCRIPT)


def test_a_page_too_large_has_fewer_sheets_and_no_link_to_those_left_out(judged: JudgedSet) -> None:
    said: list[str] = []

    def page_of(largest_bytes: int) -> str:
        said.clear()
        return report_html(
            ReportFiles(), [judged], pd.DataFrame(), options=OPTIONS, facts={}, settings="",
            parts={"template": TEMPLATE, "style": STYLE, "script": SCRIPT},
            largest_bytes=largest_bytes, log=said.append,
        )  # fmt: skip

    def sheets(html: str) -> list[str]:
        return re.findall(r'<details class="candidate" id="([^"]+)">', html)

    whole = page_of(10_000_000)
    assert sheets(whole) == list(judged.candidates["id"][:3]) and len(said) == 1
    size = len(whole.encode())
    fewer = page_of(size - 1)
    assert sheets(fewer) == sheets(whole)[:1] and len(fewer.encode()) < size
    assert "fewer sheets than asked for" in said[-1]
    targets = {target for target in re.findall(r'href="#([^"]+)"', fewer) if target in sheets(whole)}
    assert targets == set(sheets(fewer))
    assert sheets(page_of(1)) == [] and "too large even without sheets" in said[-1]


def test_a_template_that_asks_for_what_is_not_there_is_an_error() -> None:
    from jinja2 import UndefinedError

    page = Page("t", "s", (), (), (Section("a", "A", "lead", (Text("x"),)),))
    with pytest.raises(UndefinedError):
        render(page, template="{{ page.nothing }}", style="", script="")


@pytest.mark.parametrize(("largest", "sheets"), [(1000, 24), (999, 12), (160, 3), (40, 0), (39, 0)])
def test_a_page_has_as_many_sheets_as_its_size_allows(largest: int, sheets: int) -> None:
    page, kept = fitting_page(lambda sheets: "ü" * (20 + 20 * sheets), sheets=24, largest_bytes=largest)
    assert (kept, len(page)) == (sheets, 20 + 20 * sheets)


def test_a_table_aligns_its_numbers() -> None:
    table = table_of(
        [{"a": "KBr", "b": 0.25}, {"a": "NaCl", "b": float("nan")}], {"a": "formula", "b": "gap"}
    )
    assert table.numbers == {"gap"} and table.rows == (("KBr", "0.25"), ("NaCl", "–"))


def predictions(shift: float, spread: float, splits: int = 4) -> pd.DataFrame:
    """F with errors of 10, F+G_F with errors shifted by `shift` more or less."""
    generator = np.random.default_rng(0)
    rows = []
    for split in range(splits):
        for name in ("F", "F_GF"):
            error = 10 + (shift if name == "F_GF" else 0) + generator.normal(0, spread, size=40)
            rows.append(
                pd.DataFrame(
                    {
                        "dataset": "poly", "scheme": "random", "predictor": "cgcnn", "training_set": name,
                        "seed": split, "id": [f"c{i}" for i in range(40)], "target": 0.0, "prediction": error,
                    }
                )
            )  # fmt: skip
    return pd.concat(rows, ignore_index=True)


@pytest.mark.parametrize(
    ("shift", "spread", "splits", "answer", "tone"),
    [
        (-3.0, 0.5, 5, "helps", GOOD),
        (3.0, 0.5, 5, "harms", BAD),
        (0.0, 2.0, 5, "no difference shown", OPEN),
        (-3.0, 0.5, 4, "too few splits to tell", OPEN),
        (-3.0, 0.5, 1, "too few splits to tell", OPEN),
    ],
)
def test_the_answer_is_no_firmer_than_the_interval(
    shift: float, spread: float, splits: int, answer: str, tone: str
) -> None:
    contrasts = paired_contrasts(
        predictions(shift, spread, splits), seed=0, test_to_train=0.2, replicates=200
    )
    cards = training_cards(
        contrasts, OPTIONS.titles, OPTIONS.units, question="?", method="F_GF", section="table2"
    )
    assert [(card.answer, card.tone) for card in cards] == [(answer, tone)]
    assert cards[0].about == "Dielectric constants, random splits, cgcnn"


def test_an_interval_that_the_corrected_test_does_not_confirm_says_nothing() -> None:
    contrasts = paired_contrasts(predictions(3.0, 0.5, 5), seed=0, test_to_train=0.2, replicates=200)
    unsure = decided(contrasts.assign(p_corrected_t=0.06))
    assert unsure["interval_low"].min() > 0
    card = training_cards(unsure, {}, {}, question="?", method="F_GF", section="table2")[0]
    assert (card.answer, card.tone) == ("no difference shown", OPEN) and "95 % interval" in card.evidence


@pytest.mark.parametrize(
    ("network", "forest", "splits", "answer", "tone"),
    [
        (6.0, 5.0, 5, "forest", BAD),
        (5.0, 6.0, 5, "cgcnn", GOOD),
        (5.02, 5.0, 5, "no clear winner", OPEN),
        (5.0, 6.0, 4, "too few splits to tell", OPEN),
        (5.0, 6.0, 1, "too few splits to tell", OPEN),
    ],
)
def test_a_predictor_is_best_only_where_it_is_better_than_every_other(
    network: float, forest: float, splits: int, answer: str, tone: str
) -> None:
    noise = np.random.default_rng(0)
    rows = [
        (split, name, mean + split + noise.normal(0, 0.1))
        for split in range(splits)
        for name, mean in (("cgcnn", network), ("forest", forest), ("constant", 9.0))
    ]
    scores = pd.DataFrame(rows, columns=["seed", "predictor", "mae"]).assign(
        dataset="poly", scheme="random", training_set="F", test_to_train=0.2
    )
    card = baseline_cards(scores, OPTIONS.titles, OPTIONS.units)[0]
    assert (card.answer, card.tone) == (answer, tone)
    means = scores.groupby("predictor")["mae"].mean()
    if splits < 5:
        assert card.evidence == f"{splits} of at least 5 splits"
    else:
        assert f"cgcnn {in_digits(means['cgcnn'], 3)}" in card.evidence and "meV" in card.evidence
        assert "Holm over 2 comparisons" in card.evidence


def test_baselines_of_all_datasets_are_one_family_with_the_ratio_of_their_scheme() -> None:
    rows = [
        (split, name, error)
        for split, lead in enumerate((1.0, 1.4, 1.2, 1.7, 0.7))
        for name, error in (("cgcnn", 5.0), ("forest", 5.0 + lead))
    ]
    one = pd.DataFrame(rows, columns=["seed", "predictor", "mae"]).assign(
        dataset="poly", scheme="random", training_set="F", test_to_train=0.2
    )
    alone = baseline_cards(one, {}, {})[0]
    many = pd.concat([one, *(one.assign(dataset=name) for name in "abcdefgh")])
    assert alone.answer == "cgcnn" and baseline_cards(many, {}, {})[0].answer == "no clear winner"
    assert baseline_cards(one.assign(test_to_train=1.5), {}, {})[0].answer == "no clear winner"


def test_one_training_says_nothing_of_which_generator_finds_more() -> None:
    names = ["held_out_recovery_low", "held_out_recovery", "held_out_recovery_high"]
    shares = [(0.7, 0.75, 0.8), (0.5, 0.6, 0.65), (0.0, 0.01, 0.02)]
    table = pd.DataFrame(shares, columns=names).assign(
        formula_set="icsd", generator=["matgan", "substitution", "uniform"], samples=1000
    )
    card = composition_cards(table)[0]
    assert (card.answer, card.tone) == ("too few splits to tell", OPEN)
    assert "75 % (70 % to 80 %) beside 60 % of substitution" in card.evidence
    names = ["set", "stable", "relaxed", "stable_of_relaxed_low", "stable_of_relaxed_high"]
    far = pd.DataFrame([("model", 50, 149, 0.26, 0.41), ("null", 8, 149, 0.027, 0.102)], columns=names)
    card = gene_cards(far)[0]
    assert (card.answer, card.tone) == ("50 of 149 relaxed", OPEN)
    assert card.evidence.endswith("too few splits to tell")
    assert gene_cards(far.head(0)) == []


def test_thermal_rows_are_judged_at_the_largest_size() -> None:
    table = pd.DataFrame(
        {
            "method": "distance_network", "reference_method": "distance_network", "training_set": "thermal",
            "reference_training_set": "uniform_one_sided", "target": "band_gap_ev", "test_set": "thermal",
            "size": [8, 40], "mean_difference": [0.1, -0.15], "interval_low": [0.05, -0.2],
            "interval_high": [0.15, -0.1], "seeds": 10, "test_rows": 80, "corrected_standard_error": 0.02,
            "p_corrected_t": [0.3, 0.001], "note": "",
        }
    )  # fmt: skip
    plain, table = table, decided_contrasts(table)
    cards = configuration_cards(table, "band_gap_ev", "eV")
    assert [card.answer for card in cards] == ["yes"] and "with 40 rows" in cards[0].evidence
    unsure = configuration_cards(decided_contrasts(plain.assign(p_corrected_t=0.3)), "band_gap_ev", "eV")
    assert [card.answer for card in unsure] == ["no difference shown"]
    few = configuration_cards(decided_contrasts(plain.assign(seeds=4)), "band_gap_ev", "eV")
    assert [(card.answer, card.evidence) for card in few] == [
        ("too few splits to tell", "4 of at least 5 splits")
    ]
    assert configuration_cards(table, "energy_ev_per_atom", "eV") == []


def test_leakage_and_false_negatives_are_means_and_counts() -> None:
    audit = pd.DataFrame(
        {"dataset": "poly", "scheme": "random", "check": "same formula", "part": "test", "against": "train",
         "fraction": [0.1, 0.2]}
    )  # fmt: skip
    assert leakage_cards(audit, OPTIONS.titles)[0].answer == "15 % share a formula"
    verdicts = verdict_table([Verdict("a", "structure", FAIL), Verdict("b", "structure", PASS)])
    table = false_negatives(verdicts, ["a", "b"], ["structure"]).assign(set="real/poly/random/seed0")
    card = false_negative_cards(table, OPTIONS.titles)[0]
    assert card.answer == "50 % of them" and "Dielectric constants" in card.about
    # Eight more that no budget reached could all have passed.
    table = false_negatives(verdicts, ["a", "b", *map(str, range(8))], ["structure"])
    card = false_negative_cards(table.assign(set="real/poly/random/seed0"), OPTIONS.titles)[0]
    assert card.answer == "at least 10 % of them" and "8 were not judged" in card.evidence


def test_times_are_summed_by_rule(tmp_path: Path) -> None:
    header = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
    for name, line in (
        ("train/a.tsv", "3600\t1:00:00\t500.5\t1\t1\t1\t0\t0\t99\t3600"),
        ("train/b/c.tsv", "1800\t0:30:00\t700\t1\t1\t1\t0\t0\t99\t1800"),
        ("fetch/a.tsv", "0.2\t0:00:00\t-\t-\t-\t-\t-\t-\t-\t-"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(header + line + "\n")
    (tmp_path / "train" / "a.log").write_text("no benchmark")
    (tmp_path / "empty").mkdir()
    times = job_times(tmp_path, {"train": "predict"})
    assert list(times["rule"]) == ["train", "fetch"] and list(times["stage"]) == ["predict", "other"]
    row = times.iloc[0]
    assert (row["jobs"], row["wall_hours"], row["cpu_hours"], row["longest_job_hours"]) == (2, 1.5, 1.5, 1.0)
    assert row["peak_memory_mb"] == 700
    assert len(job_times(tmp_path / "nowhere", {})) == 0
