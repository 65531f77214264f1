"""Chemical formulas as counts of atoms: fast parsing of many strings, with the row of each bad one named."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from matwheel.core.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

Counts = TypeVar("Counts", bound=np.integer)

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

_PLACES = {symbol: place for place, symbol in enumerate(ELEMENTS)}
_MARKS = "·*•⋅∙∗‧・"
"""Characters that part the formulas of a hydrate or of another compound of several, CuSO4·5H2O."""
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_SIGNS = re.compile("[-+^−–‒⁺⁻⁰¹²³⁴-⁹]")
_SYMBOL = re.compile("[A-Z][a-z]?")
_WATER = re.compile(rf"[1-9][0-9]* ?(?:H2O|\(H2O\)) ?(?:$|[.{_MARKS}])")
_HALOGENS = {"F", "Cl", "Br", "I"}
_OXOANION_FORMERS = {"B", "C", "N", "Si", "P", "S", "As", "Se", "Te", *_HALOGENS}
_ISOTOPES = {"D": "deuterium", "T": "tritium"}
_LONGEST_AMOUNT = 20
_DEEPEST_BRACKETS = 16
# Of a formula from right to left; together they match every character.
_TOKENS = re.compile(
    r"(?P<symbol>[a-z]*[A-Z])|(?P<number>[0-9]+(?:[.][0-9]*)?)|(?P<oxidation>[)\]}][IV]+[(\[{])"
    r"|(?P<closing>[)\]}])|(?P<opening>[(\[{])|(?P<blank> )|(?P<unexpected>[a-z]+|.)",
    re.DOTALL,
)
# Most that a formula with fractions is multiplied by in a remedy.
_LARGEST_FACTOR = 100


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
    """Read formulas such as 'Mg2SiO4', 'HgPb2(ClO)2' or 'Li1 Fe1 P1 O4', about 150,000 per second.

    Brackets of three kinds nest, an element may occur several times, blanks between symbols, numbers and
    brackets do not count, subscripts are numbers. Amounts are whole numbers, '2' or '2.0': a fraction is an
    error, not rounded, and so is 0.

    Formulas of several parts, 'CuSO4·5H2O' and 'K2SO4·Al2(SO4)3·24H2O', are read part by part. '·', '*' and
    their like always part them. A full stop is a decimal point, unless

    - no digit follows it, 'LiOH.H2O', or blanks stand on both sides, 'CaSO4 . 2 H2O';
    - a whole number of H2O and nothing else follows, and before it stands a salt, that is two elements, one
      a halogen, or three, oxygen and one of B, C, N, Si, P, S, As, Se, Te: 'CuSO4.5H2O', 'MgCl2.6H2O'.

    'Al2O3.3H2O' or 'WO2.9H2O' may have a fraction of oxygen instead and is refused with both readings.

    Args:
        formulas: strings; None is an unreadable formula.
        elements: the columns of the counts. An element outside them is unknown.

    Raises:
        InputError: `formulas` holds something other than strings, or `elements` is wrong.
    """
    texts = _string_array(formulas).to_pylist()
    columns = symbol_columns(elements)
    counts = np.zeros((len(texts), len(columns)), dtype=np.int32)
    errors: dict[int, str] = {}
    rows: list[int] = []
    places: list[int] = []
    amounts: list[int] = []
    for row, text in enumerate(texts):
        try:
            atoms = _atoms(text, columns)
        except _NoFormula as fault:
            errors[row] = str(fault)
            continue
        rows += [row] * len(atoms)
        places += atoms.keys()
        amounts += atoms.values()
    counts[rows, places] = amounts
    return ParsedFormulas(counts, errors)


def formula_counts(
    formulas: Iterable[str | None] | pa.Array | pa.ChunkedArray,
    elements: Sequence[str] = ELEMENTS,
    *,
    source: str = "formulas",
) -> NDArray[np.int32]:
    """Read formulas as `parse_formulas` does, but refuse all when one is unreadable.

    Args:
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


def element_counts(formula: str) -> dict[str, int]:
    """Return the atoms of each element in one formula, e.g. 'Ag3 S1 Br' or 'Ca(OH)2'.

    Raises:
        InputError: an unreadable formula.
    """
    try:
        atoms = _atoms(formula, _PLACES)
    except _NoFormula as fault:
        raise InputError(f"no formula: {fault}") from None
    return {ELEMENTS[place]: count for place, count in reversed(atoms.items())}


def reduce_counts(counts: NDArray[Counts]) -> NDArray[Counts]:
    """Return counts divided by the greatest common divisor of each row, shape and dtype kept."""
    divisors = np.gcd.reduce(counts, axis=1, initial=0)
    return counts // np.maximum(divisors, 1)[:, None].astype(counts.dtype)


def reduced(counts: Mapping[str, int]) -> dict[str, int]:
    """Return the counts of one formula divided by their greatest common divisor, zeros left out."""
    divisor = gcd(*counts.values())
    return {symbol: count // divisor for symbol, count in counts.items() if count}


def symbol_columns(elements: Sequence[str]) -> dict[str, int]:
    """Return the column of each symbol.

    Raises:
        InputError: an element is unknown or listed twice.
    """
    columns: dict[str, int] = {}
    for column, symbol in enumerate(elements):
        if symbol not in ELEMENTS:
            raise InputError(f"column {column + 1} is {symbol!r}, not one of the 103 elements H to Lr")
        if symbol in columns:
            raise InputError(
                f"element {symbol} is listed twice, as columns {columns[symbol] + 1} and {column + 1}"
            )
        columns[symbol] = column
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


class _NoFormula(Exception):
    """A text is no formula; the message says what is wrong and what to write."""


class _Fault(Exception):
    """A formula of one part cannot be read: the kind of its rightmost fault and its character."""

    def __init__(self, kind: str, place: int) -> None:
        super().__init__(kind)
        self.kind, self.place = kind, place


class _Part:
    """A formula of one part, read from right to left: an amount is known when its symbol or bracket is met.

    Attributes:
        atoms: of each column.
    """

    def __init__(self, formula: str, columns: Mapping[str, int]) -> None:
        """Read it, or raise a `_Fault`."""
        self.atoms: dict[int, int] = {}
        self._columns = columns
        self._brackets: list[tuple[str, int]] = []  # not yet opened, and the factor outside of each
        self._factor, self._amount = 1, 0
        length = len(formula)
        for token in _TOKENS.finditer(formula[::-1]):
            kind, text, place = token.lastgroup, token[0], length - token.end()
            if kind == "symbol":
                self._add(text[::-1], place)
            elif kind == "number":
                if self._amount:
                    raise _Fault("unexpected", length - token.start() - 1)
                self._amount = _whole(text[::-1], place)
            elif kind == "closing":
                self._close(text, place)
            elif kind == "opening":
                self._open(text, place)
            elif kind != "blank":
                raise _Fault(kind or "", place)
        if self._amount or self._brackets or not self.atoms:
            raise _Fault("unexpected" if self._amount else "brackets" if self._brackets else "empty", 0)

    def _add(self, symbol: str, place: int) -> None:
        if symbol not in self._columns:
            raise _Fault("unknown", place)
        column = self._columns[symbol]
        total = self.atoms.get(column, 0) + self._factor * (self._amount or 1)
        if total > LARGEST_AMOUNT:
            raise _Fault("large", place)
        self.atoms[column], self._amount = total, 0

    def _close(self, bracket: str, place: int) -> None:
        if len(self._brackets) == _DEEPEST_BRACKETS:
            raise _Fault("brackets", place)
        self._brackets.append((bracket, self._factor))
        self._factor *= self._amount or 1
        if self._factor > LARGEST_AMOUNT:
            raise _Fault("large", place)
        self._amount = 0

    def _open(self, bracket: str, place: int) -> None:
        if self._amount:
            raise _Fault("unexpected", place)
        if not self._brackets or bracket + self._brackets[-1][0] not in ("()", "[]", "{}"):
            raise _Fault("brackets", place)
        _, self._factor = self._brackets.pop()


def _whole(amount: str, place: int) -> int:
    """Return the amount of '2' or '2.0'; '2.5' and '.5' are faults, and so is what is 0 or too large."""
    digits, _, decimals = amount.partition(".")
    if not digits or decimals.strip("0"):
        raise _Fault("fraction", place)
    number = int(digits.lstrip("0")[: len(str(LARGEST_AMOUNT)) + 1] or 0)
    if not 0 < number <= LARGEST_AMOUNT:
        raise _Fault("large" if number else "zero", place)
    return number


def _atoms(formula: str | None, columns: Mapping[str, int]) -> dict[int, int]:
    """Return the atoms of a formula by column.

    Raises:
        _NoFormula: it cannot be read, neither as it stands nor as several parts.
    """
    if formula is None:
        raise _NoFormula("the formula is missing")
    try:
        return _Part(formula, columns).atoms
    except _Fault:
        return _atoms_of_parts(formula, columns)


def _atoms_of_parts(formula: str, columns: Mapping[str, int]) -> dict[int, int]:
    shown = repr(formula if len(formula) <= 60 else formula[:57] + "...")
    parts = _parts(formula, shown)
    read = []
    for _, part in parts:
        try:
            read.append(_Part(part, columns).atoms)
        except _Fault as fault:
            where = shown if part == formula else f"{part!r} of {shown}"
            raise _NoFormula(_complaint(parts, part, where, fault)) from None
    for factor, part in parts:
        if factor.denominator > 1:
            raise _NoFormula(f"{shown} has {factor} of {part}, no whole number; {_multiplied_up(parts)}")
    total: dict[int, int] = {}
    for (factor, _), atoms in zip(parts, read, strict=True):
        for column, count in atoms.items():
            total[column] = total.get(column, 0) + int(factor) * count
    if max(total.values()) > LARGEST_AMOUNT:
        raise _NoFormula(f"{shown} has more than {LARGEST_AMOUNT} atoms of one element")
    return total


def _parts(formula: str, shown: str) -> list[tuple[Fraction, str]]:
    """Return the parts of a formula and how often each occurs: CuSO4 once and H2O five times."""
    if sign := _SIGNS.search(formula):
        raise _NoFormula(
            f"{shown} has a charge or a range, {sign.group()!r} at character {sign.start() + 1}; leave "
            "charges out and write whole amounts"
        )
    if beside := re.search("[0-9][₀-₉]|[₀-₉][0-9]", formula):
        raise _NoFormula(
            f"{shown} has {beside.group()} at character {beside.start() + 1}, a subscript beside a number; "
            "write '·' between parts"
        )
    # A full stop between a subscript and a number on the line is no decimal point.
    text = re.sub("(?<=[₀-₉])[.](?=[0-9])", "·", formula).translate(_SUBSCRIPTS)
    text = _with_marks(" ".join(text.split()))
    if not text:
        raise _NoFormula(f"{shown} is an empty formula")
    first, *others = (part.strip() for part in re.split(f"[{_MARKS}]", text))
    parts = [(Fraction(1), first)]
    for part in others:
        amount = _beginning("[0-9]+/[0-9]*[1-9][0-9]*|[0-9]+[.][0-9]+|[0-9]+", part)
        factor = Fraction(amount[:_LONGEST_AMOUNT] or 1)
        if factor == 0:
            raise _NoFormula(f"{shown} has the amount 0 of {part[len(amount) :].strip()}; leave it out")
        if factor > LARGEST_AMOUNT or len(amount) > _LONGEST_AMOUNT:
            raise _NoFormula(f"{shown} has more than {LARGEST_AMOUNT} atoms of one element")
        parts.append((factor, part[len(amount) :].strip()))
    if any(not part for _, part in parts):
        raise _NoFormula(f"{shown}: nothing stands before or after a mark or full stop; remove it")
    if others and any(
        len(re.findall(r"[(\[{]", part)) != len(re.findall(r"[)\]}]", part)) for _, part in parts
    ):
        raise _NoFormula(f"brackets of {shown} hold a mark of parts; multiply the bracket out")
    if number := re.match("[0-9./]+", first):
        rest, whole = first[number.end() :].strip(), number.group().isdigit()
        remedy = f"write ({rest}){number.group()} for it" if rest and whole else "multiply the formula up"
        raise _NoFormula(f"{shown} begins with a number, at character 1; {remedy}")
    return parts


def _with_marks(text: str) -> str:
    """Return a formula with '·' for the full stops that part formulas, see `parse_formulas`."""
    pieces = re.split("( ?[.] ?)", text)
    marked = pieces[0]
    for place in range(1, len(pieces), 2):
        stop, after = pieces[place], "".join(pieces[place + 1 :])
        parting = (
            stop == " . "
            or not re.match("[0-9]", after)
            or re.match("(0|[1-9][0-9]*)[.][0-9]", after)  # V2O5.1.5H2O: the second one is the decimal point
            or (_WATER.match(after) and _is_salt(re.split(f"[{_MARKS}]", marked)[-1]))
        )
        marked += ("·" if parting else stop) + pieces[place + 1]
    return marked


def _is_salt(part: str) -> bool:
    symbols = set(_SYMBOL.findall(part))
    if "." in part or len(symbols) < 2:
        return False
    return bool(symbols & _HALOGENS) or (
        len(symbols) > 2 and "O" in symbols and bool(symbols & _OXOANION_FORMERS)
    )


def _beginning(pattern: str, text: str) -> str:
    """Return what a pattern finds at the beginning of a text, empty where that is nothing."""
    found = re.match(pattern, text)
    return found.group() if found else ""


def _complaint(parts: Sequence[tuple[Fraction, str]], part: str, where: str, fault: _Fault) -> str:
    before, rest, at, kind = part[: fault.place], part[fault.place :], fault.place + 1, fault.kind
    if kind == "empty":
        return f"{where} is an empty formula"
    if kind == "unknown":
        return _unknown(_beginning("[A-Z][a-z]*", rest), part, where)
    if kind == "brackets":
        return f"brackets of {where} do not match at character {at}"
    if kind == "oxidation":
        roman = _beginning(".[IV]*.", rest)
        return f"{where} has an oxidation state, {roman} at character {at}; leave it out"
    amount = _beginning("[0-9]*[.]?[0-9]*", rest)
    if kind == "fraction":
        said = f"{where} has the amount {amount} at character {at}, no whole number"
        return f"{said}; {_multiplied_up(parts)}{_other_reading(before, rest)}"
    if kind == "zero":
        symbol = re.search("[A-Z][a-z]?(?= ?$)", before)
        what = symbol.group() if symbol else "the bracket"
        return f"{where} has the amount 0 at character {at}; leave {what} out or correct the amount"
    if kind == "large":
        return f"{where} has more than {LARGEST_AMOUNT} atoms of one element at character {at}"
    if small := re.match("[a-z]+", rest):
        return (
            f"{where} is no formula: {small.group()!r} at character {at} is no symbol; elements begin with a "
            "capital letter"
        )
    return f"{where} is no formula: unexpected {rest[:1]!r} at character {at}"


def _unknown(symbol: str, part: str, where: str) -> str:
    if symbol in _ISOTOPES:
        return f"{symbol!r} in {where} is {_ISOTOPES[symbol]}, no element of its own here; write H"
    if symbol in ELEMENTS:
        return f"{symbol!r} in {where} is not among the elements asked for"
    capitals = len(part) > 1 and part.isupper()
    hint = "; the second letter of a symbol is no capital: Na, not NA" if capitals else ""
    return f"{symbol!r} in {where} is no element from H to Lr{hint}"


def _multiplied_up(parts: Sequence[tuple[Fraction, str]]) -> str:
    """Return the remedy for fractions: the formula times the smallest factor that makes it whole."""
    exact = [_exact_amounts(part) for _, part in parts]
    amounts: dict[str, Fraction] = {}
    for (factor, _), part in zip(parts, exact, strict=True):
        for symbol, amount in part.items():
            amounts[symbol] = amounts.get(symbol, Fraction(0)) + factor * amount
    multiple = lcm(*(amount.denominator for amount in amounts.values()))
    if not all(exact) or multiple > _LARGEST_FACTOR:
        return "correct it or multiply the formula up"
    whole = {symbol: int(multiple * amount) for symbol, amount in amounts.items()}
    if not 0 < min(whole.values()) <= max(whole.values()) <= LARGEST_AMOUNT:
        return "correct it or multiply the formula up"
    return "write " + "".join(f"{symbol}{count if count > 1 else ''}" for symbol, count in whole.items())


def _exact_amounts(part: str) -> dict[str, Fraction]:
    """Return the amounts of a formula with fractions, in its order; nothing where it has further faults."""
    token = re.compile(
        r"(?P<open>[(\[{]) ?|(?:(?P<symbol>[A-Z][a-z]?)|[)\]}]) ?(?P<amount>[0-9]{0,9}[.]?[0-9]{0,9}) ?"
    )
    groups: list[dict[str, Fraction]] = [{}]
    at = 0
    while at < len(part):
        found = token.match(part, at)
        if found is None:
            return {}
        at = found.end()
        if found["open"]:
            groups.append({})
            continue
        factor = Fraction((found["amount"].strip(".") and found["amount"]) or 1)
        inner = {found["symbol"]: Fraction(1)} if found["symbol"] else groups.pop()
        if not groups or not set(inner) <= set(ELEMENTS):
            return {}
        for symbol, amount in inner.items():
            groups[-1][symbol] = groups[-1].get(symbol, Fraction(0)) + factor * amount
    return groups[0] if len(groups) == 1 else {}


def _other_reading(before: str, rest: str) -> str:
    """Return how to write a fraction whose full stop may part two formulas; nothing where it cannot."""
    found = re.match("([0-9]*)[.]([1-9].*)", rest)
    if not found or (found[1] and not found[1].strip("0")) or len(set(_SYMBOL.findall(found[2]))) < 2:
        return ""
    return f", or {before}{found[1]}·{found[2]} if the full stop parts two formulas"
