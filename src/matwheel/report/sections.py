"""The sections of the page: each from the files of its chapter, left out where they do not exist."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import pandas as pd

from matwheel.core.progress import Log
from matwheel.core.table_rows import records
from matwheel.figures.figures import look, new_figure, styled
from matwheel.report.blocks import (
    Bars,
    Block,
    Card,
    Folded,
    Gallery,
    Page,
    Picture,
    Section,
    Table,
    Text,
    fitting_page,
    in_digits,
    render,
    table_of,
)
from matwheel.report.candidate_pages import JudgedSet, candidate_gallery, funnel_of
from matwheel.report.pictures import png_source, svg_source
from matwheel.report.table_columns import (
    CONTRASTS,
    FALSE_NEGATIVES,
    ORACLES,
    OUTLIERS,
    PERTURBED,
    RATES,
    RECOVERY,
    TABLE2,
    TIMES,
    YIELDS,
)
from matwheel.report.verdict_cards import (
    baseline_cards,
    candidate_cards,
    composition_cards,
    configuration_cards,
    false_negative_cards,
    gene_cards,
    leakage_cards,
    training_cards,
)
from matwheel.statistics.paired_statistics import TOO_FEW

Files = Sequence[Path]

CAPTIONS = {
    "fig3_map": "Map of the compositions by t-SNE.",
    "fig4a_validity": "Share of charge-neutral and of electronegativity-balanced compositions.",
    "fig4b_formation_energies": "Predicted formation energies of generated and other compositions.",
    "fig5a_uniqueness": "How the share of distinct samples falls as more are drawn.",
    "recovery_curve": "How many training and held-out formulas are found again as more samples are drawn.",
    "fig5b_recovery": "Which training and held-out formulas are found again, by their number of elements.",
    "fig6_band_gaps": "Predicted band gaps of generated, training and enumerated compositions.",
    "fig7_decodable": "Formulas that the autoencoder decodes, and which of them the GAN finds.",
    "conditions": "What was asked for and what was drawn, judged by models other than the generator.",
    "latent_maps": "The latent space of the generator, coloured by property.",
    "ablation": "Wyckoff augmentation and transfer learning, alone and together.",
    "parity": "Formation energy as predicted from the gene and as validated by the potential.",
    "bands": "Phonon bands of the compounds; imaginary frequencies are drawn below zero.",
    "displacements": "Energy of displaced configurations, by policy for imaginary vibrations, or random.",
    "cross_table": "Each kind of configuration tested on every other, beside baselines.",
    "learning_curves": "Test error against the number of training configurations.",
    "explanations": "Which bonds the networks look at, and whether altering those matters.",
}
"""Captions of figures by the beginning of their file's name."""


QUESTIONS = {
    "table2": {
        "F_GF": "Does training on generated crystals beside real ones help?",
        "S_GS": "Does it help where labels are few?",
    },
    "perturbed": {"F_T": "Do thermal copies of the training crystals help?"},
}
"""Section → training set → what is asked of it in comparison with real rows alone."""


@dataclass(frozen=True, kw_only=True)
class ReportFiles:
    """Files of the results by their role; a role is empty where they do not exist.

    Figures are SVG, tables CSV; what they hold is said by the functions that wrote them.
    """

    table2: Files = ()
    table2_scores: Files = ()
    table2_contrasts: Files = ()
    table2_figure: Files = ()
    generator_figures: Files = ()
    audits: Files = ()
    audit_figures: Files = ()
    oracle_cards: Files = ()
    oracle_outliers: Files = ()
    oracle_figures: Files = ()
    false_negatives: Files = ()
    perturbed_table: Files = ()
    perturbed_contrasts: Files = ()
    uniqueness: Files = ()
    compositions: Files = ()
    composition_figures: Files = ()
    gene_yields: Files = ()
    gene_figures: Files = ()
    configuration_contrasts: Files = ()
    configuration_figures: Files = ()

    @classmethod
    def roles(cls) -> tuple[str, ...]:
        """Return the names of all roles."""
        return tuple(field.name for field in fields(cls))

    def __bool__(self) -> bool:
        return any(getattr(self, role) for role in self.roles())


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """What the page needs to know beside the results.

    Attributes:
        titles: dataset → words.
        units: dataset → unit of its target.
        drawn_target: label of displaced configurations that the card is about, with its unit at the end;
            empty where there is no such chapter.
        candidate_sheets: candidates per set that get a sheet.
        listed_candidates: candidates named behind a count of the funnel.
    """

    titles: Mapping[str, str]
    units: Mapping[str, str]
    drawn_target: str = ""
    candidate_sheets: int
    listed_candidates: int


def report_html(
    files: ReportFiles,
    sets: Sequence[JudgedSet],
    times: pd.DataFrame,
    *,
    options: ReportOptions,
    facts: Mapping[str, str],
    settings: str,
    warning: str = "",
    parts: Mapping[str, str],
    largest_bytes: int,
    log: Log,
) -> str:
    """Return the page as HTML, with fewer sheets of candidates where it would be too large.

    Args:
        files, sets, times, options, facts, settings, warning: see `report_page`.
        parts: template, style and script of `render`.
        largest_bytes: size that the page should keep to.
        log: told of the page, and of what was left out for its size.
    """

    def with_sheets(sheets: int) -> str:
        chosen = replace(options, candidate_sheets=sheets)
        page = report_page(
            files, sets, times, options=chosen, facts=facts, settings=settings, warning=warning
        )
        html = render(page, **parts)
        anchors = ", ".join(section.anchor for section in page.sections)
        log(f"{len(page.cards)} cards; {anchors}; {sheets} sheets per set: {len(html.encode()) / 1e6:.2f} MB")
        return html

    html, sheets = fitting_page(with_sheets, sheets=options.candidate_sheets, largest_bytes=largest_bytes)
    if len(html.encode()) > largest_bytes:
        log("too large even without sheets; list fewer candidates (report.listed_candidates)")
    elif sheets < options.candidate_sheets:
        log(f"fewer sheets than asked for: the page may have {largest_bytes / 1e6:.0f} MB")
    return html


def report_page(
    files: ReportFiles,
    sets: Sequence[JudgedSet],
    times: pd.DataFrame,
    *,
    options: ReportOptions,
    facts: Mapping[str, str],
    settings: str,
    warning: str = "",
) -> Page:
    """Put the page together.

    Args:
        sets: candidates, in the order of the page.
        times: table of `job_times`.
        facts: of the head: seed, versions, commit ...
        warning: what a reader must know before any figure; empty: nothing.
    """
    sections = [
        table2_section(files),
        generators_section(files),
        candidates_section(files, [one for one in sets if not one.from_genes], options),
        compositions_section(files),
        genes_section(files, [one for one in sets if one.from_genes], options),
        configurations_section(files),
        perturbed_section(files),
        oracles_section(files, options.titles),
        trust_section(files, options.titles),
        budget_section(times, settings),
    ]
    return Page(
        title="matwheel",
        subtitle="generate → screen → validate → learn again: what this run found",
        facts=tuple(facts.items()),
        cards=tuple(verdict_cards(files, sets, options)),
        sections=tuple(section for section in sections if section.blocks),
        warning=warning,
    )


def verdict_cards(files: ReportFiles, sets: Sequence[JudgedSet], options: ReportOptions) -> list[Card]:
    """Return the cards of the verdict, in the order of the sections."""
    titles, units = options.titles, options.units

    def of_each(paths: Files, make: Callable[[pd.DataFrame], list[Card]]) -> list[Card]:
        return [card for path in paths for card in make(pd.read_csv(path))]

    def training(table: pd.DataFrame, section: str) -> list[Card]:
        return [
            card
            for method, question in QUESTIONS[section].items()
            for card in training_cards(
                table, titles, units, question=question, method=method, section=section
            )
        ]

    unit = options.drawn_target.rpartition("_")[2].replace("ev", "eV").replace("gpa", "GPa")
    return [
        *of_each(files.table2_contrasts, lambda table: training(table, "table2")),
        *of_each(files.table2_scores, lambda table: baseline_cards(table, titles, units)),
        # Of sets from genes the yields speak, model and nulls together.
        *(
            card
            for one in sets
            if not one.from_genes
            for card in candidate_cards(one.rates, one.candidates, one.title)
        ),
        *of_each(files.compositions, composition_cards),
        *of_each(files.gene_yields, gene_cards),
        *of_each(
            files.configuration_contrasts,
            lambda table: configuration_cards(table, options.drawn_target, unit),
        ),
        *of_each(files.perturbed_contrasts, lambda table: training(table, "perturbed")),
        *of_each(files.audits, lambda table: leakage_cards(table, titles)),
        *of_each(files.false_negatives, lambda table: false_negative_cards(table, titles)),
    ]


def table2_section(files: ReportFiles) -> Section:
    """Table 2 with its interval plot, the numbers behind both folded."""
    blocks: list[Block] = [
        Picture(
            svg_source(path),
            "Table 2: test errors of six training sets, and their paired differences",
            "Dots: runs; bars: one standard deviation above, 95 % intervals of paired differences below.",
        )
        for path in files.table2_figure
    ]
    blocks += _numbers("test errors", files.table2, TABLE2)
    blocks += [
        Folded("The numbers: paired differences", (_contrasts_table(p),)) for p in files.table2_contrasts
    ]
    return Section(
        "table2",
        "Table 2",
        "Test error of predictors trained on real rows (F, S), on generated crystals (G) or on both. Skill "
        "is 1 − MAE / MAE of the constant predictor on the same split.",
        tuple(blocks),
    )


def generators_section(files: ReportFiles) -> Section:
    """Generator cards, a figure per dataset and scheme."""
    blocks = tuple(
        Picture(svg_source(path), f"generator cards of {path.parent.parent.name}", _place(path))
        for path in files.generator_figures
    )
    return Section(
        "generators",
        "Generators",
        "How many generated crystals are valid, unique and novel, and whether they have the property that "
        "was asked for. Null generators, which learn nothing, show what a figure is worth.",
        blocks,
    )


def candidates_section(files: ReportFiles, sets: Sequence[JudgedSet], options: ReportOptions) -> Section:
    """Funnels that open to the candidates, rates, sheets of the best; uniqueness as sets grow."""
    blocks: list[Block] = list(_blocks_of_sets(sets, options))
    curves = {path.parent: pd.read_csv(path) for path in files.uniqueness}
    if curves:
        names = {folder: "/".join(folder.parts[-4:]) for folder in curves}
        blocks.append(
            Picture(
                uniqueness_source({names[folder]: curve for folder, curve in curves.items()}),
                "share of distinct structures against the number of generated crystals",
                "How the share of distinct structures falls as more crystals are generated.",
            )
        )
    return Section(
        "candidates",
        "Candidates",
        "What each screen left of the candidates; a count opens to the crystals behind it, a crystal to its "
        "sheet with structure, history and CIF. Not judged: left out by a budget, never a failure.",
        tuple(blocks),
    )


def compositions_section(files: ReportFiles) -> Section:
    """Compositions by the GAN: validity, uniqueness and recovery curves, maps."""
    blocks: list[Block] = [_captioned(path) for path in files.composition_figures]
    blocks += _numbers("recovery", files.compositions, RECOVERY)
    return Section(
        "compositions",
        "Compositions",
        "Compositions drawn by a GAN beside null generators at the same number of samples: which held-out "
        "formulas are found, how many samples are distinct, valid and new.",
        tuple(blocks),
    )


def genes_section(files: ReportFiles, sets: Sequence[JudgedSet], options: ReportOptions) -> Section:
    """Wyckoff genes: conditions, latent maps, funnels, yields."""
    blocks: list[Block] = list(_blocks_of_sets(sets, options))
    blocks += [_captioned(path) for path in files.gene_figures]
    blocks += _numbers("yields", files.gene_yields, YIELDS)
    return Section(
        "genes",
        "Wyckoff genes",
        "Genes (space group and Wyckoff positions of each element) drawn for several properties at once, "
        "built into crystals and taken through the same funnel, beside null generators.",
        tuple(blocks),
    )


def configurations_section(files: ReportFiles) -> Section:
    """Displaced configurations: phonon bands, energies, learning curves, explanations."""
    blocks: list[Block] = [_captioned(path) for path in files.configuration_figures]
    return Section(
        "configurations",
        "Vibrations",
        "Crystals displaced along their vibrations or at random: phonon bands, the energies of the "
        "configurations, what a network learns from each kind, and which bonds it looks at.",
        tuple(blocks),
    )


def perturbed_section(files: ReportFiles) -> Section:
    """Displaced copies of training crystals as further rows."""
    blocks: list[Block] = [table_of(records(pd.read_csv(path)), PERTURBED) for path in files.perturbed_table]
    blocks += [
        Folded("The numbers: paired differences", (_contrasts_table(p),)) for p in files.perturbed_contrasts
    ]
    return Section(
        "perturbed",
        "Displaced copies",
        "Test error with thermal copies (T) of the training crystals, with random copies (R), or with as "
        "many generated crystals (G) as further training rows.",
        tuple(blocks),
    )


def oracles_section(files: ReportFiles, titles: Mapping[str, str]) -> Section:
    """Properties that a potential computes, against the labels of the datasets."""
    blocks: list[Block] = [
        Picture(svg_source(path), f"{path.stem} against the label", _place(path.parent))
        for path in files.oracle_figures
    ]
    cards = [
        {"dataset": _dataset_of_oracle(path, titles), "property": path.stem.replace("_", " "), **row}
        for path in files.oracle_cards
        for row in records(pd.read_csv(path))
    ]
    if cards:
        blocks.append(Folded("The numbers: cards of the oracles", (table_of(cards, ORACLES),)))
    for path in files.oracle_outliers:
        worst = records(pd.read_csv(path, keep_default_na=False, na_values=[""]))
        if worst:
            words = f"{_dataset_of_oracle(path, titles)}: {path.stem.replace('_', ' ')}"
            blocks.append(Folded(words, (table_of(worst, OUTLIERS),)))
    return Section(
        "oracles",
        "Oracles",
        "Properties that a potential computes beside the label of a dataset: how well they rank it, and how "
        "far off they are as they come and after a line that training rows decide. A computed label worse "
        "than the predictor cannot help it as a label, but may as a feature.",
        tuple(blocks),
    )


def trust_section(files: ReportFiles, titles: Mapping[str, str]) -> Section:
    """Leakage between splits, and real crystals in the funnel."""
    blocks: list[Block] = [
        Picture(svg_source(path), f"leakage audit of {path.parent.parent.name}", _place(path))
        for path in files.audit_figures
    ]
    for path in files.false_negatives:
        rows = [
            row | {"set": titles.get(row["set"].split("/")[1], row["set"])}
            for row in records(pd.read_csv(path))
        ]
        blocks.append(Text("Real crystals, the datasets' own test rows, through the same screens:"))
        blocks.append(table_of(rows, FALSE_NEGATIVES))
    return Section(
        "trust",
        "Can it be trusted?",
        "Test rows that training rows already hold flatter every test error; real materials that the "
        "screens reject say what a rejection is worth.",
        tuple(blocks),
    )


def budget_section(times: pd.DataFrame, settings: str) -> Section:
    """Times per stage and rule, and the settings."""
    blocks: list[Block] = []
    if len(times):
        stages = times.groupby("stage", sort=True)[["jobs", "wall_hours", "cpu_hours"]].sum()
        stages = stages.sort_values("cpu_hours", ascending=False)
        total = f"{_hours(stages['cpu_hours'].sum())} in {int(stages['jobs'].sum())} jobs"
        blocks.append(
            Bars(
                tuple(
                    (str(stage), row["cpu_hours"], f"{_hours(row['cpu_hours'])} CPU, {int(row['jobs'])} jobs")
                    for stage, row in stages.iterrows()
                ),
                f"CPU time per stage; all: {total}.",
            )
        )
        rows = [
            row
            | {
                "cpu": _hours(row["cpu_hours"]),
                "wall": _hours(row["wall_hours"]),
                "longest": _hours(row["longest_job_hours"]),
                "peak_memory_mb": round(row["peak_memory_mb"]) if row["peak_memory_mb"] > 0 else None,
            }
            for row in records(times)
        ]
        blocks.append(Folded("Times per rule", (table_of(rows, TIMES),)))
    if settings:
        blocks.append(Folded("Settings of the run", (Text(settings, verbatim=True),)))
    return Section(
        "budgets",
        "Budgets and times",
        "What the run was given and what it took, from the benchmark file that each job wrote when it last "
        "ran.",
        tuple(blocks),
    )


@styled
def uniqueness_source(curves: Mapping[str, pd.DataFrame]) -> str:
    """Draw how uniqueness falls, one line per set; columns of `uniqueness_curve`."""
    figure = new_figure(7.4, 3.6)
    figure.set_layout_engine("constrained")
    axes = figure.subplots()
    for place, (name, curve) in enumerate(curves.items()):
        axes.plot(curve["n"], curve["fraction_unique"], color=look(place)[0], label=name)
    axes.set_xlabel("crystals generated")
    axes.set_ylabel("share of distinct structures")
    axes.set_ylim(0, 1.02)
    axes.legend(frameon=False)
    return png_source(figure)


def _blocks_of_sets(sets: Sequence[JudgedSet], options: ReportOptions) -> list[Block]:
    funnels: list[Block] = []
    galleries: list[Gallery] = []
    for one in sets:
        gallery = candidate_gallery(one, at_most=options.candidate_sheets)
        with_page = frozenset(page.candidate_id for page in gallery.pages)
        funnels.append(funnel_of(one, listed_at_most=options.listed_candidates, with_page=with_page))
        rates = table_of(records(one.rates), RATES)
        funnels.append(Folded("Rates: stable, unique and novel", (rates,)))
        if gallery.pages:
            galleries.append(gallery)
    return [*funnels, *galleries]


def _numbers(what: str, paths: Files, columns: Mapping[str, str]) -> list[Block]:
    return [Folded(f"The numbers: {what}", (table_of(records(pd.read_csv(p)), columns),)) for p in paths]


def _contrasts_table(path: Path) -> Table:
    contrasts = pd.read_csv(path)
    figures = ["mean_difference", "interval_low", "interval_high", "p_corrected_t_holm"]
    contrasts.loc[contrasts["better"] == TOO_FEW, [*figures, "minimum_detectable_difference"]] = float("nan")
    return table_of(
        records(contrasts),
        CONTRASTS,
        caption="Below zero the first training set has the lower error; better: corrected t-test, Holm over "
        "this table.",
    )


def _place(path: Path) -> str:
    """Return dataset and scheme of a figure from its folders."""
    return f"{path.parent.parent.name}, {path.parent.name} splits"


def _dataset_of_oracle(path: Path, titles: Mapping[str, str]) -> str:
    """Return title and scheme of a file in `data/{dataset}/{scheme}/oracles/`."""
    dataset, scheme = path.parts[-4:-2]
    return f"{titles.get(dataset, dataset)}, {scheme} splits"


def _captioned(path: Path) -> Picture:
    """Return a figure with the caption of its kind, and what of its name goes beyond the kind."""
    kind = next((name for name in CAPTIONS if path.stem.startswith(name)), path.stem)
    caption = CAPTIONS.get(kind, kind.replace("_", " "))
    what = path.stem.removeprefix(kind).strip("_")
    return Picture(
        svg_source(path), caption, f"{what}: {caption[0].lower()}{caption[1:]}" if what else caption
    )


def _hours(hours: float) -> str:
    if hours >= 1:
        return f"{in_digits(hours, 3)} h"
    return f"{in_digits(60 * hours, 2)} min" if hours >= 1 / 60 else f"{in_digits(3600 * hours, 2)} s"
