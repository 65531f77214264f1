"""Symmetry: the space group of each crystal by spglib, at stated tolerances."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import version

from matwheel.core.errors import InputError
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.symmetry.symmetry_dataset import symmetry_dataset
from matwheel.verdicts import ERROR, FAIL, PASS, Verdict

SCREEN = "symmetry"
SYMPREC_ANGSTROM = 0.1
STRICT_SYMPREC_ANGSTROM = 0.01


def symmetry_verdicts(
    crystals: Sequence[Crystal], symprec_angstrom: float = SYMPREC_ANGSTROM, smallest_space_group: int = 1
) -> list[Verdict]:
    """Judge each crystal by its space group.

    The value is the number of the space group at `symprec_angstrom`, the threshold `smallest_space_group`;
    the reason names the group there and at 0.01 Å. With the default every crystal that spglib can analyse
    passes; 2 refuses crystals without any symmetry.

    Returns:
        One verdict per crystal, in the given order; 'error' where spglib finds no group.

    Raises:
        InputError: a tolerance that is not above 0, or a space group that is none of 1 … 230.
    """
    if not symprec_angstrom > 0:
        raise InputError(f"symmetry screen: symprec is {symprec_angstrom} Å; give a length above 0")
    if smallest_space_group not in range(1, 231):
        raise InputError(f"symmetry screen: no space group {smallest_space_group!r}; give one of 1 … 230")
    spglib_version = version("spglib")
    verdicts = []
    for crystal in crystals:
        started = time.perf_counter()
        group = identify_space_group(crystal, symprec_angstrom)
        if group is None:
            verdict, number = ERROR, float("nan")
            reason = f"spglib finds no space group at {symprec_angstrom:g} Å: broken cell, or atoms too close"
        else:
            number = group[0]
            verdict = PASS if number >= smallest_space_group else FAIL
            strict = identify_space_group(crystal, STRICT_SYMPREC_ANGSTROM)
            reason = f"{_name(group)} at {symprec_angstrom:g} Å"
            if symprec_angstrom != STRICT_SYMPREC_ANGSTROM:
                reason += f", {_name(strict)} at {STRICT_SYMPREC_ANGSTROM:g} Å"
        verdicts.append(
            Verdict(
                crystal.id, SCREEN, verdict, number, smallest_space_group, reason,
                tool=f"spglib at {symprec_angstrom:g} Å", tool_version=spglib_version,
                seconds=time.perf_counter() - started,
            )
        )  # fmt: skip
    return verdicts


def identify_space_group(crystal: Crystal, symprec_angstrom: float) -> tuple[int, str] | None:
    """Return number and Hermann-Mauguin symbol of the space group, or None where spglib finds none."""
    dataset = symmetry_dataset(crystal, symprec_angstrom)
    return None if dataset is None else (int(dataset.number), str(dataset.international))


@lru_cache(maxsize=1000)
def _name(group: tuple[int, str] | None) -> str:
    return "no space group" if group is None else f"{group[1]} ({group[0]})"
