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
_WEIGHT = "_chemical_formula_weight"
_OTHER_FORMULAS = ("_chemical_formula_iupac", "_chemical_formula_moiety")
_DENSITY = "_exptl_crystal_density_diffrn"
_MULTIPLICITIES = (
    "_atom_site_site_symmetry_multiplicity",
    "_atom_site_symmetry_multiplicity",
    "_atom_site_site_symmetry_order",
)
_ORDER_TAG = "_atom_site_site_symmetry_order"
# Volumes and densities are printed with three digits or more; masses and cells are rounded.
VOLUME_TOLERANCE, _DENSITY_TOLERANCE, _WEIGHT_TOLERANCE = 0.02, 0.02, 0.01
_DALTON_PER_ANGSTROM3_IN_G_PER_CM3 = 1.66053907

_NUMBER = r"(\d+(?:\.\d*)?|\.\d+)?"
_TOKEN = re.compile(rf"\s*(?:([A-Z][a-z]?)|([(\[{{])|([)\]}}]))\s*{_NUMBER}\s*")
_HYDRATE_MARK = re.compile(r"[·•⋅∙*]|\s\.\s")
# Marks of subscripts and quotes around or in a formula.
_MARKS = re.compile(r"<[^>]*>|[~\"'_]")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉,;", "0123456789  ")

Amounts = Mapping[str, tuple[float, float]]
"""Amount of each element and how far it may be rounded, by symbol."""


@dataclass(frozen=True)
class Statements:
    """What a block states; None or empty where it does not.

    Attributes:
        formula_text: the formula as it stands in the file.
        formula_units: Z.
        structural_unit_atoms: atoms of the structural formula, such as the O2 of oxygen; 0 without.
        multiplicities: of each site, as printed; empty without.
        are_orders: the multiplicities are declared as orders of the site symmetry.
        density_g_per_cm3: of the crystal, by X-ray.
        density_rounding: half a unit of its last digit.
        formula_weight_dalton: of a formula unit.
        elements: of further formulas that the file states, where it states no sum formula.
    """

    formula: Amounts
    formula_text: str
    formula_units: int | None
    structural_unit_atoms: float
    multiplicities: tuple[int, ...]
    labels: tuple[str, ...]
    are_orders: bool
    volume_angstrom3: float | None
    density_g_per_cm3: float | None
    density_rounding: float
    formula_weight_dalton: float | None
    elements: frozenset[str]

    @property
    def counts_atoms(self) -> bool:
        """Whether something is stated that tells one cell content from a multiple of it."""
        return bool(
            (self.formula and self.formula_units) or self.multiplicities or self.density_g_per_cm3 is not None
        )

    def contradictions(
        self, counts: Mapping[str, int], orbits: Sequence[int], operations: int, volume_angstrom3: float
    ) -> list[str]:
        """Return what the file states otherwise, each with both figures."""
        found = [
            self._of_formula(counts),
            self._of_elements(counts),
            self._of_weight(counts),
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

    def _of_elements(self, counts: Mapping[str, int]) -> str:
        missing = sorted(self.elements - set(counts))
        if not missing:
            return ""
        return f"the sites give {spelled(counts)}, the file names {', '.join(missing)} too"

    def _of_weight(self, counts: Mapping[str, int]) -> str:
        """Hold the mass of the cell against multiples of the stated weight of a formula unit."""
        stated = self.formula_weight_dalton
        if stated is None:
            return ""
        mass = mass_dalton(counts)
        units = mass / stated
        nearest = round(units) if units >= 1 else 1 / max(round(1 / units), 1)
        # With Z it is known how many; without, small cells tell a missing hydrogen from a multiple.
        nearest = nearest if nearest > 0 else 1
        if abs(units - nearest) <= _WEIGHT_TOLERANCE * nearest:
            return ""
        return f"the sites weigh {mass:.2f} Da, which is no multiple of the file's {stated:g} Da"

    def _of_formula_units(self, counts: Mapping[str, int]) -> str:
        if not self.formula or self.formula_units is None or set(self.formula) != set(counts):
            return ""
        amounts = {symbol: amount for symbol, (amount, _) in self.formula.items()}
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
        if stated is None or abs(volume_angstrom3 - stated) <= VOLUME_TOLERANCE * stated:
            return ""
        return f"the cell parameters give {volume_angstrom3:.2f} Å³, the file says {stated:g} Å³"

    def _of_density(self, counts: Mapping[str, int], volume_angstrom3: float) -> str:
        stated = self.density_g_per_cm3
        if stated is None:
            return ""
        density = mass_dalton(counts) / volume_angstrom3 * _DALTON_PER_ANGSTROM3_IN_G_PER_CM3
        if abs(density - stated) <= _DENSITY_TOLERANCE * stated + self.density_rounding:
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
    structural = formula_amounts(_value(tags, _STRUCTURAL))
    if not formula and structural:
        formula, text = structural, _value(tags, _STRUCTURAL)
    density = _value(tags, _DENSITY)
    units = number_of_cif(_value(tags, _FORMULA_UNITS))
    multiplicities, are_orders = _multiplicities(tags)
    return (
        Statements(
            formula=formula,
            formula_text=text,
            formula_units=int(units) if units >= 1 and units == int(units) else None,
            structural_unit_atoms=sum(amount for amount, _ in structural.values()),
            multiplicities=multiplicities,
            labels=tuple(tags.get("_atom_site_label") or tags.get("_atom_site_type_symbol") or ()),
            are_orders=are_orders,
            volume_angstrom3=_positive(_value(tags, _VOLUME)),
            density_g_per_cm3=_positive(density),
            density_rounding=0.5 * 10.0 ** -len(re.sub(r"\(.*", "", density).partition(".")[2]),
            formula_weight_dalton=_positive(_value(tags, _WEIGHT)),
            elements=frozenset() if formula else _elements_of_other_formulas(tags),
        ),
        notes,
    )


def number_of_cif(text: str) -> float:
    """Return a CIF number without its standard uncertainty, NaN where it is none."""
    try:
        return float(re.sub(r"\(\d*\)$", "", text.strip()))
    except ValueError:
        return float("nan")


def formula_amounts(text: str) -> dict[str, tuple[float, float]]:
    """Return amount and rounding of each element of 'H2 Mg O2', 'Mg0.33 O.67', 'Mg(OH)2', 'Na Cl · 2H2 O'.

    Empty where the text is no such formula: with charges or variables, say.
    """
    plain = _MARKS.sub("", text.translate(_SUBSCRIPTS)).strip()
    total: dict[str, tuple[float, float]] = {}
    for part in _HYDRATE_MARK.split(plain):
        multiple = re.match(rf"\s*{_NUMBER}\s*", part)
        if not multiple:
            return {}
        amounts = _bracketed(part[multiple.end() :])
        if not amounts:
            return {}
        _add(total, amounts, float(multiple.group(1) or 1))
    return total if all(amount > 0 for amount, _ in total.values()) else {}


def _bracketed(text: str) -> dict[str, tuple[float, float]] | None:
    """Return the amounts of a formula with brackets; None where it is none."""
    levels: list[dict[str, tuple[float, float]]] = [{}]
    place = 0
    for match in _TOKEN.finditer(text):
        if match.start() != place:
            return None
        place = match.end()
        symbol, opens, closes, number = match.groups()
        decimals = len(number.partition(".")[2]) if number else 0
        amount = (float(number or 1), 0.505 * 10.0**-decimals if decimals else 0.0)
        if opens and not number:
            levels.append({})
        elif closes and len(levels) > 1:
            inner = levels.pop()
            _add(levels[-1], inner, amount[0])
        elif symbol:
            _add(levels[-1], {symbol: amount}, 1.0)
        else:
            return None
    return levels[0] if place == len(text) and len(levels) == 1 else None


def _add(total: dict[str, tuple[float, float]], amounts: Amounts, multiple: float) -> None:
    for symbol, (amount, rounding) in amounts.items():
        before = total.get(symbol, (0.0, 0.0))
        total[symbol] = (before[0] + amount * multiple, before[1] + rounding * multiple)


def spelled(counts: Mapping[str, int]) -> str:
    """Return counts as a formula in alphabetical order, e.g. 'H2 Mg O2'."""
    return " ".join(f"{symbol}{n if n > 1 else ''}" for symbol, n in sorted(counts.items()))


def mass_dalton(counts: Mapping[str, int]) -> float:
    """Return the mass of atoms."""
    import gemmi

    return float(sum(gemmi.Element(symbol).weight * count for symbol, count in counts.items()))


def _common_scale(formula: Amounts, counts: Mapping[str, int]) -> bool:
    """Whether the counts are a multiple of the stated amounts, or these of the counts, within their rounding.

    Of an element the amount has to go into the count: nothing else tells a missing atom.
    """
    low, high = 0.0, float("inf")
    for symbol, (amount, rounding) in formula.items():
        low = max(low, counts[symbol] / (amount + rounding))
        high = min(high, counts[symbol] / (amount - rounding) if amount > rounding else float("inf"))
    if low > high * (1 + 1e-9):
        return False
    if any(rounding or amount != int(amount) for amount, rounding in formula.values()):
        return True
    scale = low
    is_multiple = abs(scale - round(scale)) < 1e-6 and round(scale) > 0
    is_part = len(formula) > 1 and abs(1 / scale - round(1 / scale)) < 1e-6
    return is_multiple or is_part


def _multiplicities(tags: Mapping[str, Sequence[str]]) -> tuple[tuple[int, ...], bool]:
    for tag in _MULTIPLICITIES:
        values = [number_of_cif(text) for text in tags.get(tag, ())]
        if values and all(value >= 1 and value == int(value) for value in values):
            return tuple(int(value) for value in values), tag == _ORDER_TAG
    return (), False


def _elements_of_other_formulas(tags: Mapping[str, Sequence[str]]) -> frozenset[str]:
    """Return the elements of formulas that name parts, '2(H O 1-), Mg 2+'; what is none is left out."""
    found: set[str] = set()
    for tag in _OTHER_FORMULAS:
        for part in re.split(r"[,;]", _value(tags, tag)):
            found |= set(formula_amounts(re.sub(r"\s\d*[+-](?=[\s)]|$)", "", part)))
    return frozenset(found)


def _value(tags: Mapping[str, Sequence[str]], tag: str) -> str:
    text = " ".join(tags.get(tag, ("",))[0].split())
    return "" if text in ("?", ".") else text


def _positive(text: str) -> float | None:
    value = number_of_cif(text)
    return value if value > 0 and np.isfinite(value) else None
