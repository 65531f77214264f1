"""Candidates for the page: the funnel with the names behind its counts, and a sheet for each of the best."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import quote

import numpy as np
import pandas as pd

from matwheel.candidates.ranking import in_words
from matwheel.candidates.why import history
from matwheel.core.table_rows import records
from matwheel.crystals.table import crystals_of_table, read_table
from matwheel.report.blocks import CandidatePage, Funnel, FunnelGroup, FunnelStep, Gallery, Listed, in_digits
from matwheel.report.pictures import svg_text_source
from matwheel.report.structure_drawing import draw_crystal
from matwheel.verdicts import ERROR, FAIL, PASS, UNDECIDED, verdict_matrix

_GROUPS = ((PASS, "passed"), (FAIL, "failed"), (UNDECIDED, "undecided"), (ERROR, "error"))
_NOT_JUDGED = "not judged"
_FACTS = {
    "predicted_property": "predicted property",
    "condition": "property asked for",
    "band_gap_ev": "predicted band gap, eV",
    "e_hull_dft_ev_per_atom": "energy above the hull (DFT phases), eV/atom",
    "e_hull_potential_ev_per_atom": "energy above the hull (potential), eV/atom",
    "lowest_frequency_thz": "lowest phonon frequency, THz",
    "dynamical_verdict": "dynamically stable",
    "gene": "Wyckoff gene",
}


@dataclass(frozen=True, eq=False)
class JudgedSet:
    """A set of candidates with everything that its page shows.

    Attributes:
        from_genes: whether its crystals were built from Wyckoff genes.
        candidates: ranked, columns of `matwheel.candidates.ranking.COLUMNS`.
        relaxed: crystal table as relaxed, with `status`.
        screens: screens of the funnel in order.
        cifs: archive with `{id}.cif`.
        phonon_figures: archives with a figure of the phonon bands per candidate, `{id}.svg`.
        rates: table of `matwheel.candidates.funnel.sun_rates`.
    """

    title: str
    from_genes: bool
    candidates: pd.DataFrame
    verdicts: pd.DataFrame
    crystals: pd.DataFrame
    relaxed: pd.DataFrame
    screens: tuple[str, ...]
    cifs: Path
    phonon_figures: tuple[Path, ...]
    rates: pd.DataFrame

    @classmethod
    def read(
        cls,
        title: str,
        *,
        from_genes: bool,
        candidates: Path,
        verdicts: Path,
        crystals: Path,
        relaxed: Path,
        funnel: Path,
        rates: Path,
        cifs: Path,
        phonon_figures: Sequence[Path],
    ) -> Self:
        """Read the tables of a set from their files; archives are opened when a page needs them."""
        return cls(
            title=title,
            from_genes=from_genes,
            # An id may look like a number, or like a missing value.
            candidates=pd.read_csv(candidates, dtype={"id": str}, keep_default_na=False, na_values=[""]),
            verdicts=read_table(verdicts),
            crystals=read_table(crystals),
            relaxed=read_table(relaxed),
            screens=tuple(pd.read_csv(funnel)["screen"]),
            cifs=cifs,
            phonon_figures=tuple(phonon_figures),
            rates=pd.read_csv(rates),
        )


def candidate_gallery(one: JudgedSet, *, at_most: int) -> Gallery:
    """Return the sheets of the best candidates of a set that became crystals and were relaxed."""
    best = one.candidates[one.candidates["cif"].fillna("").ne("")].head(at_most)
    shown = set(best["id"])
    relaxed = one.relaxed[one.relaxed["id"].isin(shown)]
    crystals = {crystal.id: crystal for crystal in crystals_of_table(relaxed)}
    generated = {row["id"]: row for row in records(one.crystals[one.crystals["id"].isin(shown)])}
    cifs = texts_of_archives([one.cifs], {f"{name}.cif" for name in shown})
    bands = texts_of_archives(one.phonon_figures, {f"{name}.svg" for name in shown})
    pages = []
    for row in records(best):
        name = str(row["id"])
        cif = cifs.get(f"{name}.cif", "")
        figure = bands.get(f"{name}.svg", "")
        pages.append(
            CandidatePage(
                candidate_id=name,
                title=f"{with_subscripts(str(row['formula']))}, {_space_group(row['space_group'])}",
                overall=str(row["verdict"]),
                reason=str(row["reason"]),
                facts=tuple(
                    (words, in_digits(row[key]))
                    for key, words in _FACTS.items()
                    if key in row and row[key] == row[key]
                ),
                history=history(name, one.verdicts, generated.get(name), screens=one.screens),
                drawing=draw_crystal(crystals[name]) if name in crystals else "",
                phonon_bands=svg_text_source(figure, name) if figure else "",
                cif_name=f"{name}.cif" if cif else "",
                cif=f"data:chemical/x-cif;charset=utf-8,{quote(cif)}" if cif else "",
            )
        )
    return Gallery(f"The best {len(pages)} of {one.title}", tuple(pages))


def texts_of_archives(archives: Sequence[Path], names: set[str]) -> dict[str, str]:
    """Return the text files of those names that the zip archives hold."""
    texts = {}
    for path in archives:
        with zipfile.ZipFile(path) as archive:
            for name in sorted(names & set(archive.namelist())):
                texts[name] = archive.read(name).decode("utf-8")
    return texts


def funnel_of(one: JudgedSet, *, listed_at_most: int, with_page: frozenset[str] = frozenset()) -> Funnel:
    """Return the funnel of a set, each count of `funnel_counts` with the candidates behind it.

    Args:
        listed_at_most: candidates named per count, the best first.
        with_page: ids that have a sheet on the page.
    """
    ids = [str(name) for name in one.candidates["id"]]
    formulas = [with_subscripts(formula) for formula in one.candidates["formula"].fillna("").astype(str)]
    judged = one.verdicts[one.verdicts["screen"].isin(one.screens)]
    grid = verdict_matrix(judged, ids).reindex(columns=list(one.screens)).to_numpy(dtype=object)
    alive = np.ones(len(ids), dtype=bool)
    steps = []
    for column, screen in enumerate(one.screens):
        said = _said_by(judged, screen)
        here = grid[:, column]
        unjudged = np.array([verdict is None or verdict != verdict for verdict in here], dtype=bool)
        groups = [(words, alive & (here == verdict)) for verdict, words in _GROUPS]
        groups.append((_NOT_JUDGED, alive & unjudged))
        counted = []
        for words, members in groups:
            places = np.flatnonzero(members)
            listed = [
                Listed(ids[place], formulas[place], said.get(ids[place], ""), ids[place] in with_page)
                for place in places[:listed_at_most]
            ]
            counted.append(FunnelGroup(words, len(places), tuple(listed)))
        steps.append(FunnelStep(in_words(screen), int(alive.sum()), tuple(counted)))
        alive &= here == PASS
    return Funnel(one.title, len(ids), tuple(steps))


def _said_by(verdicts: pd.DataFrame, screen: str) -> Mapping[str, str]:
    rows = verdicts[verdicts["screen"] == screen]
    return dict(zip(rows["candidate_id"], rows["reason"], strict=True))


def with_subscripts(formula: str) -> str:
    """Return a formula with its numbers as subscripts, e.g. 'Li₂SnSb'."""
    return formula.translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))


def _space_group(number: float | None) -> str:
    """Return the symbol of a space group with its number."""
    from pymatgen.symmetry.groups import sg_symbol_from_int_number

    if number is None or number != number or not 1 <= int(number) <= 230:
        return "no space group found"
    return f"{sg_symbol_from_int_number(int(number))} ({int(number)})"
