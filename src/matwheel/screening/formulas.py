"""Chemical formulas as counts of atoms: fast parsing of many strings, with the row of each bad one named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import gcd
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from matwheel.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

_SYMBOLS = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr "
    "Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu "
    "Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr"
)
ELEMENTS: tuple[str, ...] = tuple(_SYMBOLS.split())
"""The 103 elements that SMACT knows, by atomic number: the columns of an N × 103 count matrix."""

_ABSENT = "He Ne Ar Kr Po At Rn Fr Ra Am Cm Bk Cf Es Fm Md No Lr"
MATGAN_ELEMENTS: tuple[str, ...] = tuple(symbol for symbol in ELEMENTS if symbol not in _ABSENT.split())
"""The 85 elements of MatGAN (Dan et al., npj Comput. Mater. 6, 84, 2020): columns of an N × 85 matrix."""

LARGEST_AMOUNT = 10_000
"""Most atoms of one element in a formula; above it a formula is taken for a mistake."""


@dataclass(frozen=True, eq=False)
class ParsedFormulas:
    """Formulas as counts.

    Attributes:
        counts: atoms of each element, shape (formulas, elements), int32; a row of zeros where unreadable.
        errors: what is wrong with each unreadable formula, by its row counted from 0, in order.
    """

    counts: NDArray[np.int32]
    errors: Mapping[int, str]


def parse_formulas(
    formulas: Iterable[str | None] | pa.Array | pa.ChunkedArray, elements: Sequence[str] = ELEMENTS
) -> ParsedFormulas:
    """Read formulas such as 'Mg2SiO4', 'HgPb2(ClO)2' or 'Li1 Fe1 P1 O4', at about a million per second.

    Brackets of three kinds nest, an element may occur several times, spaces between parts do not count.
    Amounts are whole numbers: a fraction is an error, not rounded.

    Args:
        formulas: strings; None is an unreadable formula.
        elements: the columns of the counts. An element outside them is unknown.

    Raises:
        InputError: `formulas` holds something other than strings, or `elements` is wrong.
    """
    from matwheel.screening.kernels import parse_bytes

    array = _string_array(formulas)
    counts = np.zeros((len(array), len(elements)), dtype=np.int32)
    codes = np.zeros(len(array), dtype=np.uint8)
    places = np.zeros(len(array), dtype=np.int64)
    _, offsets_buffer, data_buffer = array.buffers()
    if len(array):
        offsets = np.frombuffer(offsets_buffer, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
        text = np.frombuffer(data_buffer, dtype=np.uint8) if data_buffer else np.zeros(0, dtype=np.uint8)
        parse_bytes(text, offsets, symbol_columns(elements), LARGEST_AMOUNT, counts, codes, places)
    errors = {
        int(row): _complaint(array[int(row)].as_py(), int(codes[row]), int(places[row]))
        for row in np.flatnonzero(codes)
    }
    return ParsedFormulas(counts, errors)


def formula_counts(
    formulas: Iterable[str | None] | pa.Array | pa.ChunkedArray,
    elements: Sequence[str] = ELEMENTS,
    *,
    source: str = "formulas",
) -> NDArray[np.int32]:
    """Read formulas as `parse_formulas` does, but refuse all when one is unreadable.

    Args:
        formulas: strings.
        elements: the columns of the counts.
        source: what the error message calls the formulas, e.g. the name of their file.

    Returns:
        Counts, shape (formulas, elements), int32.

    Raises:
        InputError: an unreadable formula, by its row counted from 1.
    """
    parsed = parse_formulas(formulas, elements)
    for row, complaint in parsed.errors.items():
        others = len(parsed.errors) - 1
        more = f" ({others} more rows cannot be read)" if others else ""
        raise InputError(f"{source}, row {row + 1}: {complaint}; correct or remove the row{more}")
    return parsed.counts


def reduce_counts(counts: NDArray[np.integer]) -> NDArray[np.integer]:
    """Return counts divided by the greatest common divisor of each row, shape and dtype kept."""
    divisors = np.gcd.reduce(counts, axis=1, initial=0)
    return counts // np.maximum(divisors, 1)[:, None].astype(counts.dtype)


def reduced(counts: Mapping[str, int]) -> dict[str, int]:
    """Return the counts of one formula divided by their greatest common divisor, zeros left out."""
    divisor = gcd(*counts.values())
    return {symbol: count // divisor for symbol, count in counts.items() if count}


def symbol_columns(elements: Sequence[str]) -> NDArray[np.int16]:
    """Return the column of each symbol by its letters, shape (26, 27), -1 where there is none.

    Row: first letter from A; column: 0 for symbols of one letter, else second letter from a = 1.

    Raises:
        InputError: an element is unknown or listed twice.
    """
    columns = np.full((26, 27), -1, dtype=np.int16)
    for column, symbol in enumerate(elements):
        if symbol not in ELEMENTS:
            raise InputError(f"column {column + 1} is {symbol!r}, not one of the 103 elements H to Lr")
        place = ord(symbol[0]) - ord("A"), ord(symbol[1]) - ord("a") + 1 if len(symbol) == 2 else 0
        if columns[place] >= 0:
            raise InputError(
                f"element {symbol} is listed twice, as columns {columns[place] + 1} and {column + 1}"
            )
        columns[place] = column
    return columns


def _string_array(formulas: Iterable[str | None] | pa.Array | pa.ChunkedArray) -> pa.LargeStringArray:
    import pyarrow as pa

    if isinstance(formulas, str | bytes):
        raise InputError(f"{formulas!r} is one formula; give a list of formulas")
    if isinstance(formulas, pa.ChunkedArray):
        formulas = formulas.combine_chunks()
    try:
        if isinstance(formulas, pa.Array):
            return formulas.cast(pa.large_string())
        if not isinstance(formulas, list | tuple | np.ndarray) and not hasattr(formulas, "__array__"):
            formulas = list(formulas)
        return pa.array(formulas, type=pa.large_string(), from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise InputError(f"formulas must be strings: {error}") from None


def _complaint(formula: str | None, code: int, place: int) -> str:
    from matwheel.screening import kernels

    if formula is None:
        return "the formula is missing"
    shown = repr(formula if len(formula) <= 60 else formula[:57] + "...")
    # `place` counts bytes of UTF-8.
    at = len(formula.encode()[:place].decode(errors="ignore")) + 1
    if code == kernels.EMPTY:
        return f"{shown} is an empty formula"
    if code == kernels.UNKNOWN_ELEMENT:
        symbol = formula[at - 1 : at] + "".join(_lowercase_run(formula[at:]))
        return f"{symbol!r} in {shown} is no element of the columns asked for"
    if code == kernels.BRACKETS:
        return f"brackets of {shown} do not match at character {at}"
    if code == kernels.FRACTION:
        return f"{shown} has an amount that is no whole number at character {at}; multiply the formula up"
    if code == kernels.TOO_LARGE:
        return f"{shown} has more than {LARGEST_AMOUNT} atoms of one element at character {at}"
    return f"{shown} is no formula: unexpected character {at}"


def _lowercase_run(text: str) -> Iterable[str]:
    for letter in text:
        if not "a" <= letter <= "z":
            return
        yield letter
