"""Compiled inner loops of the composition screens; import it where it is called, as it brings numba along."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit

# Constants of compiled code belong into this file: what numba keeps on disk is renewed when the file changes.
# What the parser says of a row; 0 is a formula that was read.
EMPTY, UNKNOWN_ELEMENT, UNEXPECTED, BRACKETS, FRACTION, TOO_LARGE, ZERO, OXIDATION_STATE = range(1, 9)
_DEEPEST_BRACKETS = 16
_WORD = 64


def _compiled(function: Callable) -> Callable:
    """Compile at the first call and keep the result on disk, where there is a place to write to."""
    try:
        return njit(cache=True, nogil=True)(function)
    except RuntimeError:
        return njit(nogil=True)(function)


@_compiled
def judge_rows(
    counts,
    rank,
    known,
    metal,
    mixed,
    lowest,
    highest,
    steps,
    steps_known,
    alloys_pass,
    largest_amount,
    neutral,
    balanced,
):
    """Decide charge neutrality and electronegativity balance of each row of `counts`, shape (rows, k).

    Sums of charges that can be reached are bits of a row of 64-bit words, so adding an element is an or of
    shifted rows. For the electronegativity balance the elements are sorted by electronegativity; some cut,
    never between equal ones, parts those with states ≥ 0 from those with states ≤ 0, and at that cut both
    sides reach the same amount. Neutrality alone is a subset sum: with every state counted from the lowest
    (or up to the highest) one, is the sum of the offsets reached?

    Args:
        counts: atoms, any integer type.
        rank: order of electronegativity per column, equal where it is equal, -1 where it is missing.
        known, metal, mixed: per column: has states, is a metal, atoms may differ in state.
        lowest, highest: state per column.
        steps: int64, shape (4, k, longest list): states ≥ 0; magnitudes of states ≤ 0; states above the
            lowest; states below the highest.
        steps_known: length of each list of `steps`, shape (4, k).
        alloys_pass: rows of metals only pass.
        largest_amount: larger counts are refused.
        neutral, balanced: outputs, bool, shape (rows,).

    Returns:
        The first row with a negative or too large count, -1 where there is none.
    """
    rows, columns = counts.shape
    present = np.empty(columns, dtype=np.int64)
    amount = np.empty(columns, dtype=np.int64)
    words_held = 8
    sums = np.empty((columns + 1, words_held), dtype=np.uint64)
    work = np.empty((2, words_held), dtype=np.uint64)
    for row in range(rows):
        neutral[row] = False
        balanced[row] = False
        found = 0
        for column in range(columns):
            count = np.int64(counts[row, column])
            if count != 0:
                if count < 0 or count > largest_amount:
                    return row
                present[found] = column
                amount[found] = count
                found += 1
        if found == 0:
            continue
        all_metals, all_known, all_ranked, divisor = True, True, True, np.int64(0)
        for place in range(found):
            column = present[place]
            all_metals &= metal[column]
            all_known &= known[column]
            all_ranked &= rank[column] >= 0
            divisor = _greatest_common_divisor(amount[place], divisor)
        if found == 1 or (alloys_pass and all_metals):
            neutral[row] = True
            balanced[row] = True
            continue
        if not all_known:
            continue
        least, most, down, up = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
        for place in range(found):
            amount[place] //= divisor
            column = present[place]
            least += amount[place] * lowest[column]
            most += amount[place] * highest[column]
            down += amount[place] * max(-lowest[column], 0)
            up += amount[place] * max(highest[column], 0)
        if least > 0 or most < 0:
            continue
        words = min(up, down) // _WORD + 1  # enough below too, as -least ≤ down and most ≤ up
        if words > words_held:
            words_held = 2 * words
            sums = np.empty((columns + 1, words_held), dtype=np.uint64)
            work = np.empty((2, words_held), dtype=np.uint64)
        if all_ranked:
            for place in range(1, found):  # insertion sort by electronegativity
                column, count, before = present[place], amount[place], place - 1
                while before >= 0 and rank[present[before]] > rank[column]:
                    present[before + 1] = present[before]
                    amount[before + 1] = amount[before]
                    before -= 1
                present[before + 1] = column
                amount[before + 1] = count
            if _balanced(
                present,
                amount,
                found,
                rank,
                mixed,
                steps,
                steps_known,
                words,
                sums,
                work,
            ):
                neutral[row] = True
                balanced[row] = True
                continue
        kind, target = (2, -least) if -least <= most else (3, most)
        words = target // _WORD + 1
        _start(work[0], words)
        held, reached = 0, True
        for place in range(found):
            held = _add(
                work, held, present[place], amount[place], mixed, steps[kind], steps_known[kind], words
            )
            if held < 0:
                reached = False
                break
        if reached:
            neutral[row] = (work[held, target // _WORD] >> np.uint64(target % _WORD)) & np.uint64(1) != 0
    return -1


@_compiled
def _balanced(present, amount, found, rank, mixed, steps, steps_known, words, sums, work):
    # What the elements above each cut can take up as anions, from the most electronegative down.
    first = found
    _start(sums[found], words)
    _start(work[0], words)
    held = 0
    for place in range(found - 1, -1, -1):
        held = _add(work, held, present[place], amount[place], mixed, steps[1], steps_known[1], words)
        if held < 0:
            break
        for word in range(words):
            sums[place, word] = work[held, word]
        first = place
    # What the elements below it can give as cations, compared at every cut that parts unequal elements.
    _start(work[0], words)
    held = 0
    for cut in range(found + 1):
        if cut > 0:
            held = _add(work, held, present[cut - 1], amount[cut - 1], mixed, steps[0], steps_known[0], words)
            if held < 0:
                return False
        if cut < first or (0 < cut < found and rank[present[cut - 1]] == rank[present[cut]]):
            continue
        for word in range(words):
            if work[held, word] & sums[cut, word]:
                return True
    return False


@_compiled
def _start(bits, words):
    for word in range(words):
        bits[word] = np.uint64(0)
    bits[0] = np.uint64(1)


@_compiled
def _add(work, held, column, count, mixed, steps, steps_known, words):
    """Add an element to the sums in work[held]; return where the new sums are, -1 when there are none."""
    repeats, factor = (count, np.int64(1)) if mixed[column] else (np.int64(1), count)
    for _ in range(repeats):
        other = 1 - held
        for word in range(words):
            work[other, word] = np.uint64(0)
        for step in range(steps_known[column]):
            shift = steps[column, step] * factor
            skipped = shift // _WORD
            if skipped >= words:
                continue
            left = np.uint64(shift % _WORD)
            if left == 0:
                for word in range(skipped, words):
                    work[other, word] |= work[held, word - skipped]
            else:
                right = np.uint64(_WORD) - left
                work[other, skipped] |= work[held, 0] << left
                for word in range(skipped + 1, words):
                    work[other, word] |= (work[held, word - skipped] << left) | (
                        work[held, word - skipped - 1] >> right
                    )
        held = other
        empty = True
        for word in range(words):
            if work[held, word]:
                empty = False
                break
        if empty:
            return -1
    return held


@_compiled
def _greatest_common_divisor(first, second):
    while second:
        first, second = second, first % second
    return first


@_compiled
def parse_bytes(text, offsets, symbols, largest_amount, counts, codes, places):
    """Read formulas from right to left, so that the amount of a symbol or bracket is known when it is met.

    Args:
        text: all formulas behind one another, uint8.
        offsets: where each begins and the last ends, shape (rows + 1,).
        symbols: column of each symbol, see `matwheel.compositions.formulas.symbol_columns`.
        largest_amount: most atoms of one element.
        counts: zeros, shape (rows, elements); filled.
        codes, places: shape (rows,); the error of each row, 0 for none, and the byte of the row where it is.
    """
    factors = np.empty(_DEEPEST_BRACKETS + 1, dtype=np.int64)
    closers = np.empty(_DEEPEST_BRACKETS + 1, dtype=np.uint8)
    for row in range(len(offsets) - 1):
        begin = offsets[row]
        at = offsets[row + 1] - 1
        depth, code, place, atoms = 0, 0, 0, np.int64(0)
        factors[0] = 1
        number = np.int64(-1)
        while at >= begin:
            byte = text[at]
            place = at - begin
            if byte == 32:  # space
                at -= 1
            elif 48 <= byte <= 57:  # digits
                if number >= 0:
                    code = UNEXPECTED
                    break
                number = np.int64(byte - 48)
                at -= 1
                # Most amounts have one digit; to read it here saves a sixth of the whole time.
                if at >= begin and text[at] <= 57:
                    number, at = _digits(text, begin, at + 1, largest_amount)
                    if at >= begin and text[at] == 46:  # decimals: 2.0 is a whole number, 2.5 is none
                        decimals = number
                        number, at = _digits(text, begin, at - 1, largest_amount)
                        if decimals > 0 or text[at + 1] == 46:  # 46: no digit before the point
                            place, code = at + 1 - begin, FRACTION
                            break
                if number == 0 or number > largest_amount:
                    place, code = at + 1 - begin, ZERO if number == 0 else TOO_LARGE
                    break
            elif byte == 41 or byte == 93 or byte == 125:  # ) ] }
                # (II), (IV): roman numbers are an oxidation state, not iodine and vanadium.
                inner = at - 1
                while inner >= begin and (text[inner] == 73 or text[inner] == 86):  # I, V
                    inner -= 1
                if begin <= inner < at - 1 and (text[inner] == 40 or text[inner] == 91 or text[inner] == 123):
                    place, code = inner - begin, OXIDATION_STATE
                    break
                if depth == _DEEPEST_BRACKETS:
                    code = BRACKETS
                    break
                factor = factors[depth] * (1 if number < 0 else number)
                if factor > largest_amount:
                    code = TOO_LARGE
                    break
                depth += 1
                factors[depth] = factor
                closers[depth] = byte
                number = np.int64(-1)
                at -= 1
            elif byte == 40 or byte == 91 or byte == 123:  # ( [ {
                if number >= 0:
                    code = UNEXPECTED
                    break
                if depth == 0 or closers[depth] - byte > 2 or closers[depth] < byte:
                    code = BRACKETS
                    break
                depth -= 1
                at -= 1
            elif 65 <= byte <= 90 or 97 <= byte <= 122:  # a symbol
                last = at
                while at >= begin and 97 <= text[at] <= 122:
                    at -= 1
                if at < begin or not 65 <= text[at] <= 90:
                    place, code = at + 1 - begin, UNEXPECTED
                    break
                place = at - begin
                column = -1
                if last == at:
                    column = symbols[text[at] - 65, 0]
                elif last == at + 1:
                    column = symbols[text[at] - 65, text[last] - 96]
                if column < 0:
                    code = UNKNOWN_ELEMENT
                    break
                total = counts[row, column] + factors[depth] * (1 if number < 0 else number)
                if total > largest_amount:
                    code = TOO_LARGE
                    break
                atoms += total - counts[row, column]
                counts[row, column] = total
                number = np.int64(-1)
                at -= 1
            else:
                code = UNEXPECTED
                break
        if code == 0:
            if number >= 0:
                place, code = 0, UNEXPECTED
            elif depth > 0:
                place, code = 0, BRACKETS
            elif atoms == 0:
                code = EMPTY
        if code != 0:
            codes[row] = code
            places[row] = place
            counts[row, :] = 0


@_compiled
def _digits(text, begin, at, largest):
    """Read the digits that end at `at`; return their number, at most `largest` + 1, and the place before."""
    number, power = np.int64(0), np.int64(1)
    while at >= begin and 48 <= text[at] <= 57:
        number += power * (text[at] - 48)
        at -= 1
        # Neither many digits nor leading zeros may overflow.
        if power <= largest:
            power *= 10
        elif number > largest:
            number = largest + 1
    return number, at
