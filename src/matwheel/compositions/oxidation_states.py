"""Tables of oxidation states, by name or from a user's file, and what else is taken from SMACT.

The only module that touches SMACT (Davies et al., Chem 1, 617, 2016; J. Open Source Softw. 4, 1361, 2019).
A verdict on a composition depends on the table, so a table has a name and a hash that go with every figure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from matwheel.compositions.formulas import ELEMENTS
from matwheel.core.errors import InputError
from matwheel.core.files import sha256_of_content
from matwheel.core.settings import Count, settings

if TYPE_CHECKING:
    import smact

_ATTRIBUTES: Mapping[str, str] = {
    "smact14": "oxidation_states_smact14",
    "icsd16": "oxidation_states_icsd16",
    "icsd24": "oxidation_states_icsd24",
    "pymatgen_sp": "oxidation_states_sp",
    "wiki": "oxidation_states_wiki",
}
OXIDATION_TABLES: tuple[str, ...] = (
    "smact14",
    "icsd16",
    "icsd24",
    "icsd24_consensus3",
    "pymatgen_sp",
    "wiki",
)
"""Named tables. `smact14` is SMACT's first list, by which CDVAE, MatGAN and the papers after them are judged;
`icsd16` and `icsd24` are states met in the ICSD of that year (2024: at least 6 reports); `icsd24_consensus3`
is the default of SMACT 4, at least 3 reports; `pymatgen_sp` are the states of pymatgen's structure predictor;
`wiki` is Wikipedia's list, zero states included."""

DEFAULT_OXIDATION_TABLE = "smact14"
LARGEST_STATE = 20

_BEYOND_LAWRENCIUM = "Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Uut Fl Mc Uup Lv Ts Uus Uuh Og Uuo"
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+")


@settings
class Icsd24Thresholds:
    """What a state of the ICSD of 2024 needs to count, as in `smact.screening.ICSD24FilterConfig`."""

    consensus: Count = 3
    """Smallest number of reports."""
    commonality: Literal["low", "medium", "high", "main"] | Annotated[float, Field(ge=0, le=100)] = "low"
    """Smallest share of the element's reports in per cent, or 'low' (0), 'medium' (10), 'high' (50), or
    'main' for the most frequent state of each element only.
    """
    include_zero: bool = False
    """Count the state zero too."""


@dataclass(frozen=True, eq=False)
class OxidationTable:
    """The oxidation states that a composition may use.

    Attributes:
        name: what figures are labelled with.
        states: states of each element in rising order; an element without states is not there.
        sha256: hash of `states`, the same wherever the table came from.
    """

    name: str
    states: Mapping[str, tuple[int, ...]] = field(repr=False)
    sha256: str = field(init=False)

    def __post_init__(self) -> None:
        states = {
            symbol: tuple(sorted(set(self.states[symbol]))) for symbol in ELEMENTS if self.states.get(symbol)
        }
        object.__setattr__(self, "states", MappingProxyType(states))
        object.__setattr__(self, "sha256", sha256_of_content({key: list(states[key]) for key in states}))


def oxidation_table(
    name_or_path: str = DEFAULT_OXIDATION_TABLE, icsd24_thresholds: Icsd24Thresholds | None = None
) -> OxidationTable:
    """Return a table of oxidation states.

    Args:
        name_or_path: a name of `OXIDATION_TABLES`, or a text file as `read_oxidation_table` takes it.
        icsd24_thresholds: thresholds of their own, only with the table 'icsd24'.

    Raises:
        InputError: neither a known table nor a file, a file that cannot be understood, or thresholds with
            another table.
    """
    if icsd24_thresholds is not None:
        if name_or_path != "icsd24":
            raise InputError(
                f"icsd24_thresholds do not apply to oxidation_table {name_or_path!r}, only to icsd24"
            )
        return _filtered_icsd24(icsd24_thresholds)
    if name_or_path in OXIDATION_TABLES:
        return _named_table(name_or_path)
    if Path(name_or_path).is_file():
        return read_oxidation_table(name_or_path)
    raise InputError(
        f"oxidation_table {name_or_path!r} is neither a file nor one of {', '.join(OXIDATION_TABLES)}"
    )


def read_oxidation_table(path: str | Path) -> OxidationTable:
    """Read a table from a text file: per line an element and its states, as in 'Fe +2 +3'.

    The format of SMACT's own files: blank lines and lines that start with # do not count, an element alone
    has no states, elements beyond lawrencium are left out.

    Raises:
        InputError: the file and line that cannot be understood.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"oxidation table {path} cannot be read: {error}") from None
    states: dict[str, tuple[int, ...]] = {}
    line_of: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        parts = line.split()
        if not parts or parts[0].startswith("#"):
            continue
        symbol, *words = parts
        where = f"oxidation table {path}, line {number}"
        if symbol in _BEYOND_LAWRENCIUM.split():
            continue
        if symbol not in ELEMENTS:
            raise InputError(
                f"{where}: {symbol!r} is no element; write a symbol and its states, e.g. 'Fe 2 3'"
            )
        if symbol in line_of:
            raise InputError(f"{where}: {symbol} is already in line {line_of[symbol]}; keep one of them")
        for word in words:
            if not _WHOLE_NUMBER.fullmatch(word) or abs(int(word)) > LARGEST_STATE:
                raise InputError(
                    f"{where}: {word!r} is no oxidation state of {symbol}; write whole numbers from "
                    f"-{LARGEST_STATE} to {LARGEST_STATE} parted by spaces"
                )
        line_of[symbol] = number
        states[symbol] = tuple(int(word) for word in words)
    if not any(states.values()):
        raise InputError(
            f"oxidation table {path} has no states; write a symbol and its states, e.g. 'Fe 2 3'"
        )
    return OxidationTable(path.name, states)


@cache
def pauling_electronegativities() -> Mapping[str, float]:
    """Return the Pauling electronegativity of each element that has one (not He, Ne, Ar, Pm, Rn, Lr)."""
    return MappingProxyType(
        {
            symbol: element.pauling_eneg
            for symbol, element in _smact_elements().items()
            if element.pauling_eneg is not None
        }
    )


@cache
def metals() -> frozenset[str]:
    """Return the elements that SMACT takes for metals in its alloy shortcut."""
    import smact

    return frozenset(smact.metals)


@cache
def mixed_valence_elements() -> frozenset[str]:
    """Return the elements whose atoms may differ in their state under mixed valence."""
    from smact.screening import MIXED_VALENCE_ELEMENTS

    return frozenset(MIXED_VALENCE_ELEMENTS)


@cache
def smact_version() -> str:
    """Return the version of the installed SMACT, as its package says (its module may lag behind)."""
    from importlib.metadata import version

    return version("smact")


@cache
def _smact_elements() -> Mapping[str, smact.Element]:
    import smact

    return smact.element_dictionary(ELEMENTS)


@cache
def _named_table(name: str) -> OxidationTable:
    if name == "icsd24_consensus3":
        return OxidationTable(name, _filtered_icsd24(Icsd24Thresholds()).states)
    attribute = _ATTRIBUTES[name]
    states = {symbol: getattr(element, attribute) or () for symbol, element in _smact_elements().items()}
    return OxidationTable(name, states)


@cache
def _filtered_icsd24(thresholds: Icsd24Thresholds) -> OxidationTable:
    from smact.utils.oxidation import ICSD24OxStatesFilter

    kept = ICSD24OxStatesFilter().filter(
        consensus=thresholds.consensus,
        include_zero=thresholds.include_zero,
        commonality=thresholds.commonality,
    )
    states = {
        str(row.element): tuple(int(state) for state in str(row.oxidation_state).split())
        for row in kept.itertuples(index=False)
    }
    share = thresholds.commonality
    label = f"icsd24 (consensus {thresholds.consensus}, commonality {share}"
    return OxidationTable(label + (", zero states)" if thresholds.include_zero else ")"), states)
