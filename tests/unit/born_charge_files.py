"""Files of Born charges as phonopy writes them, for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from matwheel.crystals.crystal import Crystal


def write_phonopy_yaml(
    path: Path,
    crystal: Crystal,
    charges_e: object,
    dielectric: object,
    factor: float | None = None,
    calculator: str = "vasp",
) -> Path:
    """Write the sections of phonopy.yaml that matter: `primitive_cell` and `nac`."""

    def rows(matrix: object, indent: str) -> list[str]:
        return [f"{indent}- [ {', '.join(f'{value:.12f}' for value in row)} ]" for row in np.array(matrix)]

    lines = ["phonopy:", "  version: 4.8.6", f"  calculator: {calculator}", "primitive_cell:", "  lattice:"]
    lines += [*rows(crystal.lattice, "  "), "  points:"]
    for symbol, position in zip(crystal.species, crystal.frac_coords, strict=True):
        place = ", ".join(f"{value:.12f}" for value in position)
        lines += [f"  - symbol: {symbol}", f"    coordinates: [ {place} ]"]
    lines += ["nac:", "  born_effective_charge:"]
    for charge in np.array(charges_e):
        first, *others = rows(charge, "    ")
        lines += [f"  - {first.strip()}", *others]
    lines += ["  dielectric_constant:", *rows(dielectric, "  ")]
    lines += [] if factor is None else [f"  unit_conversion_factor: {factor}"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path
