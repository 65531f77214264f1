"""Energy above the convex hull: does a crystal fall apart into known phases?

Two hulls, both shown. The reference hull is made of Materials Project's formation energies; the potential's
energy of the candidate is put on their scale (MP2020 corrections, elemental references), so its errors count
in full. The potential's own hull is made of the same potential's energies of the reference structures, so its
errors cancel in part, but fewer phases have structures. A verdict is robust only when both agree.

The distance to the hull is a linear program: the cheapest mixture of reference phases with the candidate's
composition. Only phases of the candidate's own chemical system and its subsystems take part. The candidate
itself is not among them, so a new stable phase has a negative distance: how far it lies below the hull
without it.

A layer under vacuum lacks the energy that would hold it in a crystal, so it has a threshold of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import isfinite, nan
from typing import Any

import numpy as np
import pandas as pd

from matwheel.compositions.formulas import element_counts
from matwheel.core.settings import NotNegative, WrongSetting, settings
from matwheel.core.table_rows import records
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.dimensionality import NAMES, VACUUM_ANGSTROM, VacuumGap, vacuum
from matwheel.crystals.table import crystals_of_table
from matwheel.hull.elemental_references import elements_without_reference, formation_energy
from matwheel.hull.energy_corrections import ANION_RULE, corrected_energy
from matwheel.hull.reference_phases import PHASE_COLUMNS, formula_of, subsystems, system_of
from matwheel.potentials.potentials import ARBITRARY, PotentialCard
from matwheel.verdicts import ERROR, FAIL, PASS, ROUNDING_EV_PER_ATOM, UNDECIDED, Verdict

_MOST_ENUMERATED_ELEMENTS = 10
_SMALLEST_FRACTION = 1e-6


@settings
class HullSettings:
    """Thresholds of the verdicts."""

    stable_ev_per_atom: float = 0.0
    """At or below it a crystal counts as stable."""
    metastable_ev_per_atom: float = 0.1
    """At or below it a crystal counts as metastable; the threshold of the screens."""
    layer_metastable_ev_per_atom: float = 0.2
    """The same for a layer under vacuum, which lacks the energy that would hold it in a crystal. 0.2 is the
    limit of high thermodynamic stability in the Computational 2D Materials Database (Haastrup et al., 2D
    Materials 5, 042002, 2018).
    """
    band_ev_per_atom: NotNegative = 0.025
    """Closer to the threshold than this nothing is decided."""
    terminal_tolerance_ev_per_atom: NotNegative = 0.05
    """An element serves the potential's own hull only if one of its structures is known to be its ground
    state, or comes this close to Materials Project's elemental energy; otherwise it counts as missing.
    """
    vacuum_angstrom: VacuumGap = VACUUM_ANGSTROM

    def __post_init__(self) -> None:
        for name in ("metastable_ev_per_atom", "layer_metastable_ev_per_atom"):
            if self.stable_ev_per_atom > getattr(self, name):
                advice = f"give at most {name} ({getattr(self, name):g})"
                raise WrongSetting(advice, "stable_ev_per_atom")

    def threshold_of(self, dimensionality: int) -> float:
        """Return the threshold of the screens for a layer (2) or a crystal, eV/atom."""
        return self.layer_metastable_ev_per_atom if dimensionality == 2 else self.metastable_ev_per_atom


@dataclass(frozen=True)
class HullResult:
    """Where a formation energy lies with respect to a hull.

    Attributes:
        e_above_hull_ev_per_atom: distance to the hull, negative below it; NaN where it was refused.
        competitors: phases that the composition falls apart into, as (formula, fraction of the atoms), the
            largest share first.
        missing_elements: elements without a reference phase of their own; with any, the distance is refused.
        missing_binaries: pairs of elements ('Ag-Br') without any reference compound. The distance is a lower
            bound where one of them has a stable compound after all.
        compounds: number of reference compounds (two elements or more) in the system; with none the distance
            is to the elements alone.
        reason: why it was refused; empty otherwise.
    """

    e_above_hull_ev_per_atom: float
    competitors: tuple[tuple[str, float], ...] = ()
    missing_elements: tuple[str, ...] = ()
    missing_binaries: tuple[str, ...] = ()
    compounds: int = 0
    reason: str = ""


class ReferenceHull:
    """Convex hull over reference phases, of any chemical system on demand."""

    def __init__(self, phases: pd.DataFrame) -> None:
        """Index the phases by chemical system.

        Args:
            phases: columns `PHASE_COLUMNS`; several rows of one formula are polymorphs. Energies of one
                scale, eV/atom.
        """
        frame = phases[list(PHASE_COLUMNS)].sort_values(
            ["system", "formula", "formation_energy_ev_per_atom", "id"], kind="stable", ignore_index=True
        )
        self._formulas = frame["formula"].to_numpy()
        self._energies = frame["formation_energy_ev_per_atom"].to_numpy(dtype=float)
        self._ids = frame["id"].to_numpy()
        systems = frame["system"].to_numpy()
        starts = np.flatnonzero(np.r_[True, systems[1:] != systems[:-1]]) if len(frame) else np.array([], int)
        ends = np.r_[starts[1:], len(frame)].astype(int)
        self._rows = {systems[start]: range(start, end) for start, end in zip(starts, ends, strict=False)}

    def formulas_of_system(self, elements: Collection[str]) -> set[str]:
        """Return the formulas of all phases in a chemical system and its subsystems."""
        return {self._formulas[row] for row in self._rows_within(elements)}

    def energy_above_hull(
        self,
        element_counts: Mapping[str, float],
        formation_energy_ev_per_atom: float,
        *,
        exclude: Collection[str] = (),
    ) -> HullResult:
        """Return the distance of a formation energy to the hull at a composition.

        Args:
            element_counts: atoms of each element, any multiple of the formula.
            formation_energy_ev_per_atom: on the scale of the phases.
            exclude: ids of phases that do not take part, e.g. the tested material itself.
        """
        counts = {symbol: float(count) for symbol, count in sorted(element_counts.items()) if count > 0}
        elements = list(counts)
        phases = self._lowest(elements, frozenset(exclude))
        missing = tuple(symbol for symbol in elements if symbol not in phases)
        present = [frozenset(_elements(formula)) for formula in phases]
        pairs = ("-".join(pair) for pair in combinations(elements, 2))
        binaries = tuple(pair for pair in pairs if frozenset(pair.split("-")) not in present)
        compounds = sum(len(system) > 1 for system in present)
        if not elements or not isfinite(formation_energy_ev_per_atom):
            reason = "no formation energy" if elements else "no atoms"
            return HullResult(nan, (), missing, binaries, compounds, reason)
        if missing:
            reason = f"no reference phase of the element{'s' * (len(missing) > 1)} {', '.join(missing)}"
            return HullResult(nan, (), missing, binaries, compounds, reason)
        total = sum(counts.values())
        target = np.array([count / total for count in counts.values()])
        hull_energy, shares = _cheapest_mixture(
            list(phases), np.array(list(phases.values())), elements, target
        )
        distance = formation_energy_ev_per_atom - hull_energy
        return HullResult(distance, shares, (), binaries, compounds)

    def _rows_within(self, elements: Collection[str]) -> list[int]:
        symbols = set(elements)
        if len(symbols) <= _MOST_ENUMERATED_ELEMENTS:
            systems = [name for name in subsystems(symbols) if name in self._rows]
        else:
            systems = [name for name in self._rows if set(name.split("-")) <= symbols]
        return [row for name in systems for row in self._rows[name]]

    def _lowest(self, elements: Sequence[str], exclude: frozenset[str]) -> dict[str, float]:
        """Return the lowest energy of each formula in the system, sorted as the phases are."""
        lowest: dict[str, float] = {}
        for row in self._rows_within(elements):  # energies of one formula ascend
            if self._formulas[row] not in lowest and self._ids[row] not in exclude:
                lowest[self._formulas[row]] = float(self._energies[row])
        return lowest


def potential_phases(
    structures: pd.DataFrame,
    energies: pd.DataFrame,
    card: PotentialCard,
    elemental_references: Mapping[str, float],
    settings: HullSettings | None = None,
    *,
    anion_rule: str = ANION_RULE,
) -> pd.DataFrame:
    """Return the phases of the potential's own hull.

    The same corrections as for candidates apply, so that compounds with and without Hubbard U mix. Formation
    energies count from the same elemental references, which shifts all of them alike; the terminals are the
    potential's own elements. Energies of an arbitrary zero are taken as they are.

    Args:
        structures: crystal table of `reference_structures`.
        energies: columns id, energy_ev_per_atom (raw energies of the potential; NaN where it failed).
        elemental_references: Materials Project's elemental energies, eV/atom.
        anion_rule: see `matwheel.hull.energy_corrections.ANION_RULES`.

    Returns:
        Columns `PHASE_COLUMNS`. Elements whose best structure is too far from the reference energy are left
        out, so that they count as missing.
    """
    settings = settings or HullSettings()
    raw = dict(zip(energies["id"], energies["energy_ev_per_atom"].astype(float), strict=True))
    rows = []
    for crystal in crystals_of_table(structures):
        if not isfinite(raw.get(crystal.id, nan)):
            continue
        try:
            energy = _formation_energy(crystal, raw[crystal.id], card, elemental_references, anion_rule)
        except (
            KeyError,
            ValueError,
        ):  # no elemental reference, or not to be corrected: no phase of this hull
            continue
        counts = crystal.element_counts
        rows.append((crystal.id, formula_of(counts), system_of(counts), energy, card.name))
    phases = pd.DataFrame(rows, columns=list(PHASE_COLUMNS))
    if card.energy_kind == ARBITRARY or phases.empty:
        return phases
    elements = phases[~phases["system"].str.contains("-", regex=False)]
    near = elements["formation_energy_ev_per_atom"] <= settings.terminal_tolerance_ev_per_atom
    certain = elements["id"].isin(structures.loc[structures["ground_state"], "id"])
    doubtful = set(elements["system"]) - set(elements.loc[near | certain, "system"])
    return phases[~phases["system"].isin(doubtful)].reset_index(drop=True)


def e_above_hull_table(
    crystals: Sequence[Crystal],
    energies_ev_per_atom: Sequence[float],
    card: PotentialCard,
    elemental_references: Mapping[str, float],
    reference_hull: ReferenceHull,
    potential_hull: ReferenceHull | None = None,
    *,
    anion_rule: str = ANION_RULE,
    vacuum_angstrom: float = VACUUM_ANGSTROM,
) -> pd.DataFrame:
    """Return formation energy and distance to both hulls of each candidate, in the given order.

    Args:
        energies_ev_per_atom: their raw energies by the potential; NaN where there is none.
        elemental_references: Materials Project's elemental energies, eV/atom.
        potential_hull: hull of `potential_phases`; None when there are no structures.
        anion_rule: see `matwheel.hull.energy_corrections.ANION_RULES`; that of the phases.
        vacuum_angstrom: see `HullSettings`.

    Returns:
        Columns id, dimensionality (2 for a layer under vacuum; 3 also where it cannot be told),
        formation_energy_ev_per_atom, then for each hull (suffixes _dft, _potential)
        e_above_hull_…_ev_per_atom (NaN where refused), competitors_… ('0.40 CaTe + 0.60 Ag2Te', fractions of
        the atoms), missing_… (elements, binaries without a compound, and for the potential's hull the
        competitors of the reference hull that have no structure), compounds_… (reference compounds in the
        system), reason_… (why it was refused), and hull_reason (why there is no formation energy).
    """
    rows = []
    for crystal, energy in zip(crystals, energies_ev_per_atom, strict=True):
        counts = crystal.element_counts
        reason, formation = "", nan
        try:
            without = elements_without_reference(tuple(counts), elemental_references)
            if not counts:
                reason = "no atoms"
            elif not isfinite(energy):
                reason = "no energy"
            elif not without or card.energy_kind == ARBITRARY:
                formation = _formation_energy(crystal, energy, card, elemental_references, anion_rule)
            dft = _reference_result(reference_hull, counts, formation, without, card)
            own = _potential_result(potential_hull, counts, formation, without)
            absent = _competitors_without_structure(dft, potential_hull, counts)
        except Exception as error:  # one crystal never ends the batch
            reason = f"{type(error).__name__}: {error}"
            formation, absent = nan, ()
            dft = own = HullResult(nan, reason=reason)
        shown = nan if card.energy_kind == ARBITRARY else formation
        dimensionality = _dimensionality(crystal, vacuum_angstrom)
        rows.append((crystal.id, dimensionality, shown, *_cells(dft), *_cells(own, absent), reason))
    columns = ["id", "dimensionality", "formation_energy_ev_per_atom"]
    for name in ("dft", "potential"):
        columns += [f"e_above_hull_{name}_ev_per_atom"]
        columns += [f"{what}_{name}" for what in ("competitors", "missing", "compounds", "reason")]
    columns += ["hull_reason"]
    numbers = [name for name in columns if name.endswith("_ev_per_atom")]
    types = dict.fromkeys(numbers, float) | {"dimensionality": np.int64}
    return pd.DataFrame(rows, columns=columns).astype(types)


def hull_verdicts(
    table: pd.DataFrame,
    card: PotentialCard,
    settings: HullSettings | None = None,
    *,
    reference_version: str = "",
) -> list[Verdict]:
    """Return the verdicts of the screens hull_dft, hull_potential and hull, three per candidate.

    Each hull passes what lies at or below the metastable threshold, that of layers for a layer. Undecided is
    what lies in the band around it, a refused distance, a wire or molecule, and a pass against elements
    alone, which shows nothing. `hull` is decided where both hulls say the same;
    its value is the larger distance, so that a value ≤ 0 means stable by both. The reason of an undecided or
    failed one names thresholds, band and competitors.

    Args:
        table: what `e_above_hull_table` returned.
        reference_version: version or hash of the reference phases, for the record.
    """
    settings = settings or HullSettings()
    tool_version = " ".join(part for part in (card.version, reference_version) if part)
    verdicts = []
    for row in records(table):
        pair = [_hull_verdict(row, name, card.name, tool_version, settings) for name in ("dft", "potential")]
        verdicts += [*pair, _joint_verdict(row, pair, card.name, tool_version, settings)]
    return verdicts


def _hull_verdict(
    row: Mapping[str, Any], name: str, tool: str, tool_version: str, settings: HullSettings
) -> Verdict:
    value = float(row[f"e_above_hull_{name}_ev_per_atom"])
    dimensionality = int(row["dimensionality"])
    threshold = settings.threshold_of(dimensionality)
    competitors, missing = row[f"competitors_{name}"], row[f"missing_{name}"]
    if not isfinite(value):
        verdict = ERROR if row["hull_reason"] else UNDECIDED
        reason = str(row["hull_reason"] or row[f"reason_{name}"])
    else:
        verdict = PASS if value <= threshold + ROUNDING_EV_PER_ATOM else FAIL
        notes = [f"{value:.3f} eV/atom above {competitors}"] if verdict == FAIL else []
        if abs(value - threshold) < settings.band_ev_per_atom:
            notes = [f"{value:.3f} eV/atom, {_band_note(threshold, settings)}"]
            verdict = UNDECIDED
        if dimensionality < 2:
            notes = [f"a {NAMES[dimensionality]}: the thresholds are those of crystals and layers"]
            verdict = UNDECIDED
        elif not row[f"compounds_{name}"] and len(str(competitors).split(" + ")) > 1:
            notes.append(
                "no reference compound in this chemical system: the distance is to the elements alone"
            )
            verdict = UNDECIDED if verdict == PASS else verdict
        elif missing and verdict != FAIL:
            notes.append(f"a lower bound, as there is no reference for {missing}")
        reason = "; ".join(notes)
    screen = f"hull_{name}"
    return Verdict(str(row["id"]), screen, verdict, value, threshold, reason, tool, tool_version)


def _joint_verdict(
    row: Mapping[str, Any], pair: Sequence[Verdict], tool: str, tool_version: str, settings: HullSettings
) -> Verdict:
    dft, own = pair
    value = max(dft.value, own.value) if isfinite(dft.value) and isfinite(own.value) else nan
    threshold = settings.threshold_of(int(row["dimensionality"]))
    shown = f"{dft.value:.3f} by the reference hull, {own.value:.3f} by the potential's own (eV/atom)"
    limits = (
        f"stable at {settings.stable_ev_per_atom:g}, metastable at {threshold:g}, band "
        f"±{settings.band_ev_per_atom:g}"
    )
    decided = {PASS, FAIL}
    if ERROR in (dft.verdict, own.verdict):
        verdict, reason = ERROR, dft.reason or own.reason
    elif dft.verdict not in decided or own.verdict not in decided:
        verdict = UNDECIDED
        open_ones = [item for item in pair if item.verdict not in decided]
        reason = "; ".join(f"{item.screen} is undecided: {item.reason}" for item in open_ones)
    elif dft.verdict != own.verdict:
        verdict, reason = UNDECIDED, f"the hulls disagree: {shown}; {limits}"
    else:
        verdict, notes = dft.verdict, []
        if verdict == FAIL:
            notes.append(f"{shown}; {limits}; competitors {row['competitors_dft']}")
        elif len({item.value <= settings.stable_ev_per_atom + ROUNDING_EV_PER_ATOM for item in pair}) > 1:
            notes.append(f"metastable by both, stable by one only: {shown}; {limits}")
        reason = "; ".join(notes)
    return Verdict(str(row["id"]), "hull", verdict, value, threshold, reason, tool, tool_version)


def _dimensionality(crystal: Crystal, vacuum_angstrom: float) -> int:
    try:
        return vacuum(crystal, vacuum_angstrom).dimensionality
    except ValueError:  # no atoms, no cell: such a crystal has no energy either
        return 3


def _band_note(threshold: float, settings: HullSettings) -> str:
    return f"within the band of ±{settings.band_ev_per_atom:g} eV/atom around {threshold:g}"


def _formation_energy(
    crystal: Crystal,
    energy_ev_per_atom: float,
    card: PotentialCard,
    elemental_references: Mapping[str, float],
    anion_rule: str,
) -> float:
    energy = corrected_energy(crystal, energy_ev_per_atom, card.energy_kind, anion_rule)
    if card.energy_kind == ARBITRARY:
        return energy
    return formation_energy(crystal.element_counts, energy, elemental_references)


def _reference_result(
    hull: ReferenceHull,
    counts: Mapping[str, int],
    formation: float,
    without: Sequence[str],
    card: PotentialCard,
) -> HullResult:
    if card.energy_kind == ARBITRARY:
        reason = f"energies of {card.name} have no common zero with the reference phases"
        return HullResult(nan, reason=reason)
    if without:
        reason = f"no elemental reference energy of {', '.join(without)}"
        return HullResult(nan, missing_elements=tuple(without), reason=reason)
    return hull.energy_above_hull(counts, formation)


def _potential_result(
    hull: ReferenceHull | None, counts: Mapping[str, int], formation: float, without: Sequence[str]
) -> HullResult:
    if hull is None:
        return HullResult(
            nan, missing_elements=tuple(sorted(counts)), reason="no structures of reference phases"
        )
    if without and not isfinite(formation):
        reason = f"no elemental reference energy of {', '.join(without)}"
        return HullResult(nan, missing_elements=tuple(without), reason=reason)
    result = hull.energy_above_hull(counts, formation)
    if result.missing_elements:
        names = ", ".join(result.missing_elements)
        reason = f"no structure of the ground state of {names} to compute with the potential"
        return HullResult(nan, (), result.missing_elements, result.missing_binaries, result.compounds, reason)
    return result


def _competitors_without_structure(
    dft: HullResult, potential_hull: ReferenceHull | None, counts: Mapping[str, int]
) -> tuple[str, ...]:
    if potential_hull is None:
        return ()
    known = potential_hull.formulas_of_system(counts)
    return tuple(
        formula for formula, _ in dft.competitors if formula not in known and len(_elements(formula)) > 1
    )


def _cells(result: HullResult, absent: Sequence[str] = ()) -> tuple[float, str, str, int, str]:
    competitors = " + ".join(f"{share:.2f} {_shown(formula)}" for formula, share in result.competitors)
    missing = [*result.missing_elements, *result.missing_binaries, *(_shown(formula) for formula in absent)]
    distance = result.e_above_hull_ev_per_atom
    return distance, competitors, ", ".join(missing), result.compounds, result.reason


def _shown(formula: str) -> str:
    """Return a formula as chemists write it."""
    from pymatgen.core import Composition

    counts = element_counts(formula)
    return Composition(counts).reduced_formula if len(counts) > 1 else next(iter(counts))


def _elements(formula: str) -> tuple[str, ...]:
    return tuple(element_counts(formula))


def _cheapest_mixture(
    formulas: Sequence[str], energies: np.ndarray, elements: Sequence[str], target: np.ndarray
) -> tuple[float, tuple[tuple[str, float], ...]]:
    """Return the lowest energy (eV/atom) of a mixture of phases with a composition, and the mixture.

    Minimise Σ λ_i e_i over λ_i ≥ 0 with Σ λ_i x_i = target, where x_i are atomic fractions; λ_i is the
    fraction of the atoms that phase i holds.
    """
    from scipy.optimize import linprog

    fractions = np.zeros((len(elements), len(formulas)))
    for column, formula in enumerate(formulas):
        counts = element_counts(formula)
        total = sum(counts.values())
        for symbol, count in counts.items():
            fractions[elements.index(symbol), column] = count / total
    # Simplex, not interior point: it ends at a vertex, which is a real decomposition.
    solution = linprog(energies, A_eq=fractions, b_eq=target, bounds=(0, None), method="highs-ds")
    if not solution.success or solution.x is None or solution.fun is None:
        raise ValueError(f"no mixture of reference phases found ({solution.message})")
    shares = [(formula, float(share)) for formula, share in zip(formulas, solution.x, strict=True)
              if share > _SMALLEST_FRACTION]  # fmt: skip
    return float(solution.fun), tuple(sorted(shares, key=lambda item: (-item[1], item[0])))
