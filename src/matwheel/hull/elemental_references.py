"""Energies of the elements that formation energies count from: those of Materials Project.

They are the lowest energies per atom of each element's own phases in Materials Project (PBE, uncorrected, as
MP2020 leaves elements). No file of the mirror carries them; the pure-Python archive camd==2022.8.24 on PyPI
(Apache-2.0, Toyota Research Institute) has them for 89 elements as the table `MP_REFERENCES`, which is read
as data, not run. Formation energies of a potential against Materials Project's own are the test of the table
(benchmarks/hull.py).
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from matwheel.datasets.sources import DatasetError, SourceBytes, WheelFile

ELEMENTAL_ARCHIVE = WheelFile(
    requirement="camd==2022.8.24",
    sha256="50bbd1b010ef365fc9c2d54c8867b13c764c8d35e650028c778eb797b4eee070",
    member="camd/utils/data.py",
)
_TABLE = "MP_REFERENCES"
_FEWEST_ELEMENTS = 80


def elemental_references_of_archive(read: SourceBytes) -> pd.DataFrame:
    """Return Materials Project's elemental energies from the bytes of the archive's module.

    Returns:
        Columns element, energy_ev_per_atom, source, sorted by symbol.

    Raises:
        DatasetError: the module holds no such table, or values that cannot be energies.
    """
    energies = _literal_table(read)
    faulty = [symbol for symbol, value in energies.items() if not _is_energy(value)]
    if faulty or len(energies) < _FEWEST_ELEMENTS:
        found = (
            f"the value of {faulty[0]} is {energies[faulty[0]]!r}" if faulty else f"{len(energies)} elements"
        )
        raise DatasetError(f"{read.origin}: {_TABLE} is not the table of elemental energies ({found})")
    symbols = sorted(energies)
    return pd.DataFrame(
        {
            "element": symbols,
            "energy_ev_per_atom": [float(energies[symbol]) for symbol in symbols],
            "source": f"Materials Project, {read.origin}",
        }
    )


def elemental_energies(table: pd.DataFrame) -> dict[str, float]:
    """Return a table of elemental references as a mapping from symbol to energy, eV/atom."""
    return dict(zip(table["element"], table["energy_ev_per_atom"].astype(float), strict=True))


def formation_energy(
    element_counts: Mapping[str, int], energy_ev_per_atom: float, elemental_references: Mapping[str, float]
) -> float:
    """Return energy minus that of the elements, eV/atom.

    Args:
        energy_ev_per_atom: energy on the scale of the references (MP2020-corrected).
        elemental_references: energy of each element, eV/atom.

    Raises:
        KeyError: an element has no reference; see `elements_without_reference`.
    """
    atoms = sum(element_counts.values())
    elements = sum(count * elemental_references[symbol] for symbol, count in element_counts.items())
    return energy_ev_per_atom - elements / atoms


def elements_without_reference(
    elements: Sequence[str], elemental_references: Mapping[str, float]
) -> tuple[str, ...]:
    """Return the elements that have no reference energy, sorted."""
    return tuple(sorted(set(elements) - set(elemental_references)))


def _literal_table(read: SourceBytes) -> Mapping[str, Any]:
    try:
        module = ast.parse(read.content.decode("utf-8"))
        for node in module.body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == _TABLE:
                table = ast.literal_eval(node.value)
                if isinstance(table, dict):
                    return table
    except (SyntaxError, ValueError) as error:
        raise DatasetError(f"{read.origin}: cannot be read ({error})") from error
    raise DatasetError(f"{read.origin}: holds no table {_TABLE}")


def _is_energy(value: object) -> bool:
    return isinstance(value, float) and math.isfinite(value) and -30.0 < value < 0.0
