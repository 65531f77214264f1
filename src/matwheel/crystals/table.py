"""Crystal tables: the one crystal format between rules (Parquet, one row per crystal)."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from matwheel.core.files import atomic_path
from matwheel.core.parquet import reading, write_parquet
from matwheel.crystals.crystal import Crystal, to_structure
from matwheel.crystals.symmetry.symmetry_dataset import symmetry_dataset

COLUMNS = ("id", "species", "lattice", "frac_coords", "formula", "space_group")
PERIODICITY = "pbc"  # a column only where some crystal does not repeat along every lattice vector
SYMPREC_ANGSTROM = 0.01


def crystal_table(
    crystals: Sequence[Crystal], properties: Mapping[str, Sequence[Any]] | None = None
) -> pd.DataFrame:
    """Return crystals as a table, in the given order.

    Columns: id, species (list), lattice (9 floats, Å, row by row), frac_coords (3 × atoms floats),
    formula (reduced), space_group (number at 0.01 Å; 0 where spglib finds none), pbc (3 booleans; only where
    a crystal is not periodic in all directions), then `properties`.
    """
    frame = table_without_space_groups(crystals)
    frame["space_group"] = [space_group(crystal) for crystal in crystals]
    frame = with_periodicity(frame, crystals)
    for name, values in (properties or {}).items():
        frame[name] = list(values)
    return frame


def table_without_space_groups(crystals: Sequence[Crystal]) -> pd.DataFrame:
    """Return the columns of `COLUMNS` but the last, which takes most of the time of making a table."""
    return pd.DataFrame(
        {
            "id": [crystal.id for crystal in crystals],
            "species": [list(crystal.species) for crystal in crystals],
            "lattice": [crystal.lattice.ravel().tolist() for crystal in crystals],
            "frac_coords": [crystal.frac_coords.ravel().tolist() for crystal in crystals],
            "formula": [reduced_formula(crystal) for crystal in crystals],
        }
    )


def with_periodicity(frame: pd.DataFrame, crystals: Sequence[Crystal]) -> pd.DataFrame:
    """Return a table of crystals with the column pbc, if one is not periodic in all directions."""
    if all(all(crystal.pbc) for crystal in crystals):
        return frame
    return frame.assign(
        **{PERIODICITY: pd.Series([list(crystal.pbc) for crystal in crystals], index=frame.index)}
    )


def geometry_columns(frame: pd.DataFrame) -> list[str]:
    """Return the columns that describe the crystals of a table: `COLUMNS`, and pbc where it has one."""
    return [*COLUMNS, *([PERIODICITY] if PERIODICITY in frame else [])]


def crystals_of_table(frame: pd.DataFrame) -> list[Crystal]:
    """Return the crystals of a table, in row order."""
    periodicity = frame[PERIODICITY] if PERIODICITY in frame else [None] * len(frame)
    rows = zip(*(frame[name] for name in COLUMNS[:4]), periodicity, strict=True)
    return [
        Crystal(name, tuple(species), np.array(lattice), np.array(frac_coords), _periodic(pbc))
        for name, species, lattice, frac_coords, pbc in rows
    ]


def _periodic(cell: Any) -> tuple[bool, bool, bool]:
    """Return a cell of the column pbc; an empty one, as of tables put together, is periodic throughout."""
    if isinstance(cell, (list, tuple, np.ndarray)):
        first, second, third = cell
        return bool(first), bool(second), bool(third)
    return True, True, True


def write_table(frame: pd.DataFrame, path: str | Path) -> None:
    """Write a table as Parquet: whole or not at all, the same bytes for the same content."""
    import pyarrow as pa

    write_parquet(pa.Table.from_pandas(frame.reset_index(drop=True), preserve_index=False), path)


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a table written by `write_table`.

    With one thread, and not through pandas, which hands Arrow an open file: its pools of threads now and then
    abort a process that has done its work (apache/arrow#34314), and Snakemake then deletes what it wrote.

    Raises:
        InputError: the file is damaged.
    """
    import pyarrow.parquet as pq

    with reading(path):
        table = pq.read_table(str(path), use_threads=False, pre_buffer=False)
        return table.to_pandas(use_threads=False)


def reduced_formula(crystal: Crystal) -> str:
    """Return the reduced formula, e.g. 'Mg2SiO4'; the empty string for a crystal without atoms."""
    from pymatgen.core import Composition

    return Composition(crystal.element_counts).reduced_formula if crystal.species else ""


def space_group(crystal: Crystal, symprec_angstrom: float = SYMPREC_ANGSTROM) -> int:
    """Return the space-group number by spglib, or 0 where it finds none."""
    dataset = symmetry_dataset(crystal, symprec_angstrom)
    return int(dataset.number) if dataset is not None else 0


def write_cif_archive(crystals: Sequence[Crystal], path: str | Path) -> None:
    """Write one CIF per crystal into a zip archive; the entries carry no time stamps."""
    from pymatgen.io.cif import CifWriter

    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for crystal in crystals:
            entry = zipfile.ZipInfo(f"{crystal.id}.cif", date_time=(1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, str(CifWriter(to_structure(crystal))), zipfile.ZIP_DEFLATED)
