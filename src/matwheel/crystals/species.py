"""Chemical elements from what files write for them: type symbols, site labels, decorated species."""

from __future__ import annotations

import re
from functools import lru_cache

from matwheel.crystals.crystal import UnreadableCrystal

_HYDROGEN_ISOTOPES = ("D", "T")
# Fe, Fe3+, Fe+3, Al0+, O2-, O-, Mg2 and Fe2.5+; a decimal without a sign, Nb0.8, is a share of a site.
_SYMBOL = re.compile(r"([A-Za-z]{1,2})(?:\d+(?:\.\d*)?[+-]|\d+|[+-]\d*(?:\.\d+)?)?")
# O1, O(1), Mg1_2, O1A, O1', Cl-, Mg2+. After its number a label may tell copies of a site apart, no more.
_LABEL = re.compile(r"([A-Z][a-z]?)(?:\(?\d+\)?(?:[A-Ga-g]|['\"*]+|_\d+)?|\d*[+-]|[+-]\d+)?")

_WATER = re.compile(r"(?:wat?|ow|o-?h|h2o|hoh|aq|oaq)(?![a-z])", re.IGNORECASE)


@lru_cache(maxsize=4096)
def is_element(symbol: str) -> bool:
    """Whether a text is the symbol of a chemical element; D and T are isotopes, not elements."""
    from pymatgen.core import Element

    return Element.is_valid_symbol(symbol) and symbol not in _HYDROGEN_ISOTOPES


@lru_cache(maxsize=4096)
def element_of_symbol(symbol: str) -> str:
    """Return the element of a type symbol, e.g. 'Fe' of 'Fe3+', 'FE' or 'Fe'.

    Raises:
        UnreadableCrystal: it is no element, is deuterium or tritium, whose masses are not kept, or is in
            capitals and can be one element or two ('HO').
    """
    text = symbol.strip()
    refuse_isotope(text)
    match = _SYMBOL.fullmatch(text)
    letters = match.group(1) if match else ""
    element = letters.capitalize()
    if not is_element(element):
        raise UnreadableCrystal(f"{symbol!r} is not a chemical element; give each site the symbol of one")
    if letters not in (element, element.lower()) and all(map(is_element, letters)):
        raise UnreadableCrystal(
            f"{symbol!r} can be {element} or {letters[0]} with {letters[1]}; write the symbol of one element"
        )
    return element


def element_of_label(label: str) -> str:
    """Return the element that a site label names, where no type symbol does: symbol and number or charge.

    'HO1' (a hydrogen on O1), 'Wat', 'T1', 'Va1' or 'La/Sr' begin with a symbol and mean something else, so
    whatever is not plainly an element with a number is refused.

    Raises:
        UnreadableCrystal: the label is not plainly an element.
    """
    match = _LABEL.fullmatch(label.strip())
    if match is None or not is_element(match.group(1)):
        if is_water(label):
            raise UnreadableCrystal(
                f"the label {label!r} is water or hydroxyl, whose hydrogens are missing; add these as sites, "
                "and a column _atom_site_type_symbol"
            )
        isotope = " (deuterium is written as H here)" if label.startswith("D") else ""
        raise UnreadableCrystal(
            f"the label {label!r} does not say which element it is{isotope}; "
            "add a column _atom_site_type_symbol"
        )
    return match.group(1)


def is_water(label: str) -> bool:
    """Whether a label calls an oxygen water or hydroxyl: Wat1, OW, O-H, OH2."""
    return _WATER.match(label) is not None


def refuse_isotope(symbol: str) -> None:
    """Refuse deuterium and tritium by name.

    Raises:
        UnreadableCrystal: the symbol or label is one of theirs.
    """
    if match := re.fullmatch(r"(?:([DT])|([23])H)(?:\(?\d+\)?[A-Za-z]?|\d*[+-])?", symbol.strip()):
        name = "deuterium" if match.group(1) == "D" or match.group(2) == "2" else "tritium"
        raise UnreadableCrystal(
            f"{symbol!r} is {name}, not a chemical element here, since isotope masses are not kept; "
            "write H for D and T, in the formula too"
        )
