"""What a CIF says of its content, held against what was read: formula, Z, multiplicities, density."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

_FORMULA = "_chemical_formula_sum"
_STRUCTURAL = "_chemical_formula_structural"
_FORMULA_UNITS = "_cell_formula_units_z"
_VOLUME = "_cell_volume"
_DENSITY = "_exptl_crystal_density_diffrn"
_MULTIPLICITIES = (
    "_atom_site_site_symmetry_multiplicity",
    "_atom_site_symmetry_multiplicity",
    "_atom_site_site_symmetry_order",
)
_ORDER_TAG = "_atom_site_site_symmetry_order"
# Volumes and densities are printed with three digits or more; masses and cells are rounded.
_VOLUME_TOLERANCE, _DENSITY_TOLERANCE = 0.02, 0.03
_DALTON_PER_ANGSTROM3_IN_G_PER_CM3 = 1.66053907

_AMOUNT = re.compile(r"([A-Z][a-z]?)\s*(\d+(?:\.\d*)?|\.\d+)?\s*")


@dataclass(frozen=True)
class Statements:
    """What a block states; None or empty where it does not.

    Attributes:
        formula: amount of each element as printed, text by symbol.
        formula_text: the formula as it stands in the file.
        formula_units: Z.
        structural_unit_atoms: atoms of the structural formula, such as the O2 of oxygen; 0 without.
        multiplicities: of each site, as printed; empty without.
        labels: of the sites.
        are_orders: the multiplicities are declared as orders of the site symmetry.
        volume_angstrom3: of the cell.
        density_g_per_cm3: of the crystal, by X-ray.
    """

    formula: Mapping[str, str]
    formula_text: str
    formula_units: int | None
    structural_unit_atoms: float
    multiplicities: tuple[int, ...]
    labels: tuple[str, ...]
    are_orders: bool
    volume_angstrom3: float | None
    density_g_per_cm3: float | None

    @property
    def counts_atoms(self) -> bool:
        """Whether something is stated that tells one cell content from a multiple of it."""
        return bool(
            (self.formula and self.formula_units) or self.multiplicities or self.density_g_per_cm3 is not None
        )

    def contradictions(
        self, counts: Mapping[str, int], orbits: Sequence[int], operations: int, volume_angstrom3: float
    ) -> list[str]:
        """Return what the file states otherwise, each with both figures.

        Args:
            counts: atoms of each element in the cell.
            orbits: atoms that each site became.
            operations: number of symmetry operations.
            volume_angstrom3: of the cell.
        """
        found = [
            self._of_formula(counts),
            self._of_formula_units(counts),
            self._of_multiplicities(orbits, operations),
            self._of_volume(volume_angstrom3),
            self._of_density(counts, volume_angstrom3),
        ]
        return [said for said in found if said]

    def _of_formula(self, counts: Mapping[str, int]) -> str:
        if not self.formula:
            return ""
        same = set(self.formula) == set(counts) and _common_scale(self.formula, counts)
        return "" if same else f"the sites give {spelled(counts)}, the file says {self.formula_text}"

    def _of_formula_units(self, counts: Mapping[str, int]) -> str:
        if not self.formula or self.formula_units is None or set(self.formula) != set(counts):
            return ""
        amounts = {symbol: float(text) for symbol, text in self.formula.items()}
        # Programs write the formula of the cell beside Z, or the reduced one, or Z of the structural formula.
        total, atoms = sum(amounts.values()), sum(counts.values())
        whole = all(amount == int(amount) for amount in amounts.values())
        divisor = int(np.gcd.reduce([int(amount) for amount in amounts.values()])) if whole else 1
        units = {total, total / max(divisor, 1), self.structural_unit_atoms}
        if any(abs(atoms - self.formula_units * unit) <= 0.02 * atoms for unit in units if unit):
            return ""
        return (
            f"the sites give {spelled(counts)} in the cell, the file says {self.formula_text} "
            f"with Z = {self.formula_units}"
        )

    def _of_multiplicities(self, orbits: Sequence[int], operations: int) -> str:
        stated = self.multiplicities
        if not stated or len(stated) != len(orbits) or list(stated) == list(orbits):
            return ""
        # SHELXL wrote the order of the site symmetry under the name of the multiplicity.
        orders = [operations // orbit for orbit in orbits]
        if list(stated) == orders:
            return ""
        expected = orders if self.are_orders else list(orbits)
        place = next(i for i, (one, other) in enumerate(zip(stated, expected, strict=True)) if one != other)
        what = "order of the site symmetry" if self.are_orders else "multiplicity"
        return f"site {self.labels[place]} has {what} {expected[place]}, the file says {stated[place]}"

    def _of_volume(self, volume_angstrom3: float) -> str:
        stated = self.volume_angstrom3
        if stated is None or abs(volume_angstrom3 - stated) <= _VOLUME_TOLERANCE * stated:
            return ""
        return f"the cell parameters give {volume_angstrom3:.2f} Å³, the file says {stated:g} Å³"

    def _of_density(self, counts: Mapping[str, int], volume_angstrom3: float) -> str:
        stated = self.density_g_per_cm3
        if stated is None:
            return ""
        density = mass_dalton(counts) / volume_angstrom3 * _DALTON_PER_ANGSTROM3_IN_G_PER_CM3
        if abs(density - stated) <= _DENSITY_TOLERANCE * stated + 0.05:
            return ""
        return f"the sites give a density of {density:.2f} g/cm³, the file says {stated:g} g/cm³"


def statements_of(tags: Mapping[str, Sequence[str]]) -> tuple[Statements, list[str]]:
    """Return what a block states of its content, and notes on what of it cannot be understood.

    Args:
        tags: values of the block by tag in lower case.
    """
    notes: list[str] = []
    text = _value(tags, _FORMULA)
    formula = formula_amounts(text)
    if text and not formula:
        notes.append(f"the formula {text!r} cannot be read and was not compared")
    units = number_of_cif(_value(tags, _FORMULA_UNITS))
    multiplicities, are_orders = _multiplicities(tags)
    return (
        Statements(
            formula=formula,
            formula_text=text,
            formula_units=int(units) if units >= 1 and units == int(units) else None,
            structural_unit_atoms=sum(map(float, formula_amounts(_value(tags, _STRUCTURAL)).values())),
            multiplicities=multiplicities,
            labels=tuple(tags.get("_atom_site_label") or tags.get("_atom_site_type_symbol") or ()),
            are_orders=are_orders,
            volume_angstrom3=_positive(_value(tags, _VOLUME)),
            density_g_per_cm3=_positive(_value(tags, _DENSITY)),
        ),
        notes,
    )


def number_of_cif(text: str) -> float:
    """Return a CIF number without its standard uncertainty, NaN where it is none."""
    try:
        return float(re.sub(r"\(\d*\)$", "", text.strip()))
    except ValueError:
        return float("nan")


def formula_amounts(text: str) -> dict[str, str]:
    """Return the amounts of a formula such as 'H2 Mg O2' or 'Mg0.33 O.67' as printed; empty if it is none."""
    amounts: dict[str, str] = {}
    place = 0
    stripped = text.strip()
    for match in _AMOUNT.finditer(stripped):
        if match.start() != place or match.group(1) in amounts:
            return {}
        place = match.end()
        amounts[match.group(1)] = match.group(2) or "1"
    return amounts if place == len(stripped) and all(float(it) > 0 for it in amounts.values()) else {}


def spelled(counts: Mapping[str, int]) -> str:
    """Return counts as a formula in alphabetical order, e.g. 'H2 Mg O2'."""
    return " ".join(f"{symbol}{n if n > 1 else ''}" for symbol, n in sorted(counts.items()))


def mass_dalton(counts: Mapping[str, int]) -> float:
    """Return the mass of atoms."""
    import gemmi

    return float(sum(gemmi.Element(symbol).weight * count for symbol, count in counts.items()))


def _common_scale(formula: Mapping[str, str], counts: Mapping[str, int]) -> bool:
    """Whether the counts are one multiple of the printed amounts, rounded to their last digit or not."""
    low, high = 0.0, float("inf")
    for symbol, text in formula.items():
        decimals = len(text.partition(".")[2])
        slack = 0.5 * 10.0**-decimals * 1.01 if "." in text and decimals else 0.0
        amount, count = float(text), counts[symbol]
        low = max(low, count / (amount + slack))
        high = min(high, count / (amount - slack) if amount > slack else float("inf"))
    return low <= high * (1 + 1e-9)


def _multiplicities(tags: Mapping[str, Sequence[str]]) -> tuple[tuple[int, ...], bool]:
    for tag in _MULTIPLICITIES:
        values = [number_of_cif(text) for text in tags.get(tag, ())]
        if values and all(value >= 1 and value == int(value) for value in values):
            return tuple(int(value) for value in values), tag == _ORDER_TAG
    return (), False


def _value(tags: Mapping[str, Sequence[str]], tag: str) -> str:
    text = " ".join(tags.get(tag, ("",))[0].split())
    return "" if text in ("?", ".") else text


def _positive(text: str) -> float | None:
    value = number_of_cif(text)
    return value if value > 0 and np.isfinite(value) else None


def as_counts(species: Sequence[str]) -> dict[str, int]:
    """Return the atoms of each element, sorted by symbol."""
    return {symbol: species.count(symbol) for symbol in sorted(set(species))}
