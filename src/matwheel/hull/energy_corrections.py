"""Energy corrections of the Materials Project: from raw PBE / PBE+U energies to the scale of its formation
energies.

The only module that touches pymatgen's compatibility classes. MP2020 is Wang et al., Sci. Rep. 11, 15496
(2021); its predecessor, with which Materials Project published until early 2021, is Jain et al., Phys. Rev. B
84, 045115 (2011) with the gas energies of Wang, Maxisch and Ceder, Phys. Rev. B 73, 195107 (2006). Energies
of the two schemes differ by 0.2 to 0.3 eV/atom in bromides, iodides, selenides and tellurides, so they are
never mixed: `mp2020_from_legacy_shift` takes published formation energies from one to the other.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

import numpy as np

from matwheel.compositions.average_oxidation_states import (
    Composition,
    bond_valence_states,
    electronegativity,
    states_of_formula,
)
from matwheel.crystals.crystal import Crystal, to_structure
from matwheel.potentials.potentials import ARBITRARY, MP2020_CORRECTED, RAW_PBE

ANION_RULES = ("require_bound", "no_check", "no_check_2021")
ANION_RULE = "require_bound"
"""Which atoms count as anions.

- 'require_bound', pymatgen's default since 2024: average oxidation state −1 or less, so that anion-rich
  hypothetical compounds are not stabilised by corrections that were fitted to simple anions.
- 'no_check', the scheme as published and as Materials Project's data of 2022 carry it: any negative state. It
  differs in 0.3 % of compounds (azides, polyselenides, polyiodides), by 0.1 to 0.4 eV/atom.
- 'no_check_2021', as the data of 2021 carry it: cationic sulfur, that of sulfates, is corrected too.

Candidates and references always go by the same rule.
"""

CORRECTED_ANIONS = frozenset({"Br", "I", "Se", "Si", "Sb", "Te", "H", "N", "F", "Cl"})
"""Elements that MP2020 corrects where they are anions; a compound without them needs no oxidation states."""

_GASES = {"N2": "N", "F2": "F", "Cl2": "Cl", "H2": "H"}
_PEROXIDE_TOLERANCE = 1.05  # of bond lengths, as pymatgen's scheme has it


def composition_of(counts: Mapping[str, float]) -> Composition:
    """Return counts of atoms in the hashable form that this module works with, without absent elements."""
    return tuple(sorted((symbol, float(count)) for symbol, count in counts.items() if count > 0))


def hubbard_u(counts: Mapping[str, float]) -> dict[str, float]:
    """Return the Hubbard U (eV) of each element of a compound in Materials Project; empty for plain PBE.

    U is used for Co, Cr, Fe, Mn, Mo, Ni, V, W where O or F is the most electronegative element.
    """
    anion = max(counts, key=lambda symbol: (electronegativity(symbol), symbol))
    settings = _scheme(ANION_RULE).u_settings.get(anion, {})
    return {symbol: float(settings[symbol]) for symbol in sorted(counts) if settings.get(symbol)}


def mp2020_correction(
    crystal: Crystal, anion_rule: str = ANION_RULE, *, states: Mapping[str, float] | None = None
) -> float:
    """Return what MP2020 adds to the raw energy of a crystal, eV/atom.

    Peroxides, superoxides and sulfates are told from oxides and sulfides by the distances in the crystal, and
    anions by bond valence sums, or by the formula where these say nothing.

    Args:
        crystal: ordered crystal.
        anion_rule: one of `ANION_RULES`.
        states: average oxidation states that are known otherwise, to be taken instead.

    Raises:
        ValueError: a species is not an element, or pymatgen refuses the crystal.
    """
    composition = composition_of(crystal.element_counts)
    if states is None and not _depends_on_structure(composition):
        return mp2020_correction_of_formula(composition, anion_rule)
    key = (crystal.species, crystal.lattice.tobytes(), crystal.frac_coords.tobytes())
    oxide, sulfide = _types_of_structure(*key)
    types = {"oxide_type": oxide, "sulfide_type": "sulfide" if anion_rule == "no_check_2021" else sulfide}
    entry = _entry(composition, _states_of_structure(*key) if states is None else states, **types)
    return _adjustment(entry, anion_rule) / len(crystal.species)


@lru_cache(maxsize=400_000)
def mp2020_correction_of_formula(composition: Composition, anion_rule: str = ANION_RULE) -> float:
    """Return what MP2020 adds to the raw energy of a compound of which only the formula is known, eV/atom.

    Peroxides and superoxides are recognised by formula (pymatgen's list), and sulfur counts as sulfide unless
    it is oxidised.
    """
    states = states_of_formula(composition)
    is_sulfate = anion_rule != "no_check_2021" and _is_oxidised_sulfur(composition, states)
    entry = _entry(composition, states, sulfide_type="sulfate" if is_sulfate else "")
    return _adjustment(entry, anion_rule) / sum(count for _, count in composition)


def _is_oxidised_sulfur(composition: Composition, states: Mapping[str, float]) -> bool:
    """Whether the sulfur of a formula is that of sulfates and their like.

    Guesses from a formula fail where they matter: (NH4)2SO4 comes out with sulfide and oxidised nitrogen,
    K2S2O8 without states. Four oxygens for each sulfur, or three where no states are found, are sulfate; the
    oxide sulfides that are known have fewer.
    """
    counts = dict(composition)
    oxygens = counts.get("O", 0.0) / counts["S"] if counts.get("S") else 0.0
    return states.get("S", -1.0) > 0 or oxygens >= 4 or (oxygens >= 3 and "S" not in states)


def legacy_correction_of_formula(composition: Composition) -> float:
    """Return what Materials Project's scheme before 2021 added to a compound's raw energy, eV/atom.

    Its data took all sulfur for sulfide, that of sulfates included.
    """
    entry = _entry(composition, {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        total = sum(_legacy_scheme().get_corrections_dict(entry)[0].values())
    return float(total) / sum(count for _, count in composition)


def mp2020_from_legacy_shift(
    composition: Composition, elemental_references: Mapping[str, float], anion_rule: str = ANION_RULE
) -> float:
    """Return what to add to a formation energy of the scheme before 2021 to have it in MP2020, eV/atom.

    Three terms: the old anion and U corrections come off, those of MP2020 come on, and N2, F2, Cl2, H2, whose
    energies the old scheme replaced by fitted ones, are taken as calculated (`elemental_references`).
    """
    if len(composition) == 1:
        return 0.0
    fitted = _legacy_gas_energies()
    atoms = sum(count for _, count in composition)
    gases = sum(count * (fitted[symbol] - elemental_references[symbol])
                for symbol, count in composition if symbol in fitted)  # fmt: skip
    return (
        mp2020_correction_of_formula(composition, anion_rule)
        - legacy_correction_of_formula(composition)
        + gases / atoms
    )


def corrected_energy(
    crystal: Crystal, energy_ev_per_atom: float, energy_kind: str, anion_rule: str = ANION_RULE
) -> float:
    """Return a potential's energy on the MP2020 scale, eV/atom.

    Raw PBE energies are corrected. Energies that already carry MP2020 as published are not corrected twice;
    only where `anion_rule` judges an anion differently (0.3 % of compounds) the difference is applied.
    Energies without a common zero are left as they are.

    Raises:
        ValueError: unknown kind of energy, or a crystal that cannot be corrected.
    """
    if energy_kind == RAW_PBE:
        return energy_ev_per_atom + mp2020_correction(crystal, anion_rule)
    if energy_kind == MP2020_CORRECTED:
        return energy_ev_per_atom + anion_rule_shift_of_crystal(crystal, anion_rule)
    if energy_kind == ARBITRARY:
        return energy_ev_per_atom
    raise ValueError(f"unknown kind of energy {energy_kind!r}")


def anion_rule_shift(
    composition: Composition, anion_rule: str = ANION_RULE, *, carried: str = "no_check"
) -> float:
    """Return what to add to an energy that carries MP2020 under one rule for another rule, eV/atom."""
    if anion_rule == carried or not (CORRECTED_ANIONS | {"S"}) & {symbol for symbol, _ in composition}:
        return 0.0
    before = mp2020_correction_of_formula(composition, carried)
    return mp2020_correction_of_formula(composition, anion_rule) - before


def anion_rule_shift_of_crystal(
    crystal: Crystal, anion_rule: str = ANION_RULE, *, carried: str = "no_check"
) -> float:
    """Return what `anion_rule_shift` returns, with the states and sulfur of the structure, eV/atom.

    Raises:
        ValueError: as `mp2020_correction`.
    """
    if anion_rule == carried or not (CORRECTED_ANIONS | {"S"}) & set(crystal.species):
        return 0.0
    return mp2020_correction(crystal, anion_rule) - mp2020_correction(crystal, carried)


def _adjustment(entry: Any, anion_rule: str) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(sum(adjustment.value for adjustment in _scheme(anion_rule).get_adjustments(entry)))


def _depends_on_structure(composition: Composition) -> bool:
    elements = {symbol for symbol, _ in composition}
    return len(elements) > 1 and bool(elements & (CORRECTED_ANIONS | {"O", "S"}))


# A set's crystals are corrected under every anion rule; what is seen in a structure is the same each time.
@lru_cache(maxsize=20_000)
def _states_of_structure(species: tuple[str, ...], lattice: bytes, frac_coords: bytes) -> Mapping[str, float]:
    if not set(species) & CORRECTED_ANIONS:
        return {}
    crystal = Crystal("", species, np.frombuffer(lattice), np.frombuffer(frac_coords))
    return bond_valence_states(crystal) or states_of_formula(composition_of(crystal.element_counts))


@lru_cache(maxsize=20_000)
def _types_of_structure(species: tuple[str, ...], lattice: bytes, frac_coords: bytes) -> tuple[str, str]:
    """Return pymatgen's types of oxide and sulfide; empty without oxygen or sulfur."""
    from pymatgen.core.structure_analyzer import oxide_type, sulfide_type

    structure = to_structure(Crystal("", species, np.frombuffer(lattice), np.frombuffer(frac_coords)))
    oxide = str(oxide_type(structure, _PEROXIDE_TOLERANCE)) if "O" in species else ""
    return oxide, (sulfide_type(structure) or "sulfate") if "S" in species else ""


def _entry(composition: Composition, states: Mapping[str, float], **types: str) -> Any:
    """Return an entry of energy 0 as pymatgen's schemes expect it; empty types are found by the formula."""
    from pymatgen.analysis.compatibility import ComputedEntry

    counts = dict(composition)
    hubbards = hubbard_u(counts)
    parameters = {"run_type": "GGA+U" if hubbards else "GGA", "hubbards": hubbards}
    data = {"oxidation_states": dict(states), **types}
    return ComputedEntry(counts, 0.0, parameters=parameters, data=data)


@cache
def _scheme(anion_rule: str) -> Any:
    from pymatgen.analysis.compatibility import MaterialsProject2020Compatibility

    if anion_rule not in ANION_RULES:
        raise ValueError(f"unknown anion rule {anion_rule!r}; choose one of {', '.join(ANION_RULES)}")
    bound = anion_rule == "require_bound"
    return MaterialsProject2020Compatibility(
        check_potcar=False, strict_anions="require_bound" if bound else "no_check"
    )


@cache
def _legacy_scheme() -> Any:
    from pymatgen.analysis.compatibility import (
        CorrectionsList,
        MaterialsProjectCompatibility,
        PotcarCorrection,
    )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is deprecated, and that is why it is wanted
        corrections = MaterialsProjectCompatibility().corrections
    return CorrectionsList([item for item in corrections if not isinstance(item, PotcarCorrection)])


@cache
def _legacy_gas_energies() -> dict[str, float]:
    from pymatgen.analysis.compatibility import GasCorrection

    gas = next(item for item in _legacy_scheme().corrections if isinstance(item, GasCorrection))
    return {_GASES[formula]: float(energy) for formula, energy in gas.cpd_energies.items()}
