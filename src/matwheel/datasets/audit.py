"""What random splits hide: duplicate structures, conflicting labels, test rows that training has seen."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from matwheel.crystals.crystal import to_structure
from matwheel.crystals.table import crystals_of_table
from matwheel.datasets.splits import Split
from matwheel.figures.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CONFLICT_TOLERANCE = 0.10
LEAK_CHECKS = ("same formula", "same prototype", "duplicate structure", "duplicate with another label")
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")


def audit_dataset(table: pd.DataFrame, *, conflict_tolerance: float = CONFLICT_TOLERANCE) -> pd.DataFrame:
    """Return the pairs of rows that pymatgen's StructureMatcher calls the same structure.

    Pairs are compared within one reduced formula, on primitive cells scaled to equal volume.

    Args:
        conflict_tolerance: labels conflict when |a - b| exceeds this share of (|a| + |b|) / 2.

    Returns:
        One row per pair, in row order: first_id, second_id, formula, first_target, second_target,
        difference (|a - b|, target units), relative_difference, conflicting.
    """
    from pymatgen.analysis.structure_matcher import StructureMatcher

    matcher = StructureMatcher(ltol=0.2, stol=0.3, angle_tol=5.0, primitive_cell=True, scale=True)
    structures = [to_structure(crystal) for crystal in crystals_of_table(table)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pairs = sorted(
            pair
            for rows in table.groupby("formula").indices.values()
            for pair in combinations(np.asarray(rows).tolist(), 2)
            if matcher.fit(structures[pair[0]], structures[pair[1]])
        )
    first, second = (table.iloc[[pair[end] for pair in pairs]].reset_index(drop=True) for end in (0, 1))
    a, b = (rows["target"].to_numpy(float) for rows in (first, second))
    difference, mean = np.abs(a - b), (np.abs(a) + np.abs(b)) / 2
    relative = np.divide(difference, mean, out=np.zeros(len(mean)), where=mean > 0)
    return pd.DataFrame(
        {
            "first_id": first["id"].astype(object),
            "second_id": second["id"].astype(object),
            "formula": first["formula"].astype(object),
            "first_target": a,
            "second_target": b,
            "difference": difference,
            "relative_difference": relative,
            "conflicting": relative > conflict_tolerance,
        }
    )


def audit_split(
    table: pd.DataFrame,
    split: Split,
    labelled: Sequence[str],
    duplicates: pd.DataFrame,
    prototypes: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Return what the parts of a split share, one row per check.

    Args:
        labelled: ids of its labelled rows, a part of the training rows.
        duplicates: the pairs of `audit_dataset`.
        prototypes: prototype label of each row, when already known.

    Returns:
        Columns dataset, scheme, seed, check, part, against, rows (rows of the part), count (those that
        meet the check), fraction. `LEAK_CHECKS` are made of test and of validation against train and of
        test against labelled; 'conflicting duplicate' counts the rows of a part with a duplicate of
        another label within the same part; 'repeated formula' and 'duplicate structure' with part 'all'
        count the rows of the dataset that are not alone.

    Raises:
        ValueError: the split holds ids that the table does not.
    """
    if prototypes is None:
        from matwheel.crystals.symmetry.prototypes import prototype_table

        prototypes = prototype_table(table)["prototype"].tolist()
    formula = dict(zip(table["id"], table["formula"], strict=True))
    prototype = dict(zip(table["id"], prototypes, strict=True))
    unknown = [i for part in (split.train, split.validation, split.test) for i in part if i not in formula]
    if unknown:
        raise ValueError(
            f"split of {split.dataset}, seed {split.seed}: {len(unknown)} ids are not in the table, first "
            f"{unknown[0]}; make the split again from this table"
        )
    partners = _partners(duplicates)
    # A CSV without rows does not say that the column holds truth values.
    conflicting = _partners(duplicates[duplicates["conflicting"].astype(bool)])
    parts = {
        "train": split.train,
        "labelled": labelled,
        "validation": split.validation,
        "test": split.test,
    }
    checks: list[tuple[str, str, str, list[bool]]] = []
    for part, against in (("test", "train"), ("validation", "train"), ("test", "labelled")):
        ids, others = parts[part], set(parts[against])
        formulas, labels = ({of[other] for other in others} for of in (formula, prototype))
        flags = (
            [formula[i] in formulas for i in ids],
            [prototype[i] in labels for i in ids],
            [bool(partners.get(i, set()) & others) for i in ids],
            [bool(conflicting.get(i, set()) & others) for i in ids],
        )
        checks += [(check, part, against, own) for check, own in zip(LEAK_CHECKS, flags, strict=True)]
    for part, ids in parts.items():
        inside = set(ids)
        flags_inside = [bool(conflicting.get(i, set()) & inside) for i in ids]
        checks.append(("conflicting duplicate", part, part, flags_inside))
    checks += [
        ("repeated formula", "all", "all", table["formula"].duplicated(keep=False).tolist()),
        ("duplicate structure", "all", "all", [i in partners for i in table["id"]]),
        ("conflicting duplicate", "all", "all", [i in conflicting for i in table["id"]]),
    ]
    return pd.DataFrame(
        {
            "dataset": split.dataset,
            "scheme": split.scheme,
            "seed": split.seed,
            "check": check,
            "part": part,
            "against": against,
            "rows": len(flags),
            "count": sum(flags),
            "fraction": sum(flags) / len(flags) if flags else 0.0,
        }
        for check, part, against, flags in checks
    )


def _partners(duplicates: pd.DataFrame) -> dict[str, set[str]]:
    partners: dict[str, set[str]] = {}
    for first, second in zip(duplicates["first_id"], duplicates["second_id"], strict=True):
        partners.setdefault(first, set()).add(second)
        partners.setdefault(second, set()).add(first)
    return partners


def draw_audit(
    audits: pd.DataFrame | Sequence[pd.DataFrame],
    duplicates: Mapping[str, pd.DataFrame] | None = None,
    target_labels: Mapping[str, str] | None = None,
) -> Figure:
    """Return a figure of the audits: what share of the test rows training has already seen.

    Args:
        audits: tables of `audit_split`, of any number of datasets, schemes and seeds.
        duplicates: pairs of `audit_dataset` by dataset; adds a panel of the two labels of each pair.
        target_labels: axis label of the target by dataset, e.g. 'exfoliation energy (meV/atom)'.
    """
    frame = audits if isinstance(audits, pd.DataFrame) else pd.concat(list(audits), ignore_index=True)
    duplicates, target_labels = duplicates or {}, target_labels or {}
    leaks = frame[
        (frame["part"] == "test") & (frame["against"] == "train") & frame["check"].isin(LEAK_CHECKS)
    ]
    datasets, schemes = list(dict.fromkeys(leaks["dataset"])), list(dict.fromkeys(leaks["scheme"]))
    columns = 2 if duplicates else 1
    height = 1.3 + len(LEAK_CHECKS) * (0.35 + 0.22 * len(schemes))
    figure = new_figure(7.0 if columns == 1 else 11.5, height * max(1, len(datasets)))
    figure.set_layout_engine("constrained")
    grid = figure.add_gridspec(max(1, len(datasets)), columns, width_ratios=[1.6, 1][:columns])
    for row, dataset in enumerate(datasets):
        axes = figure.add_subplot(grid[row, 0])
        _draw_leaks(axes, leaks[leaks["dataset"] == dataset], schemes)
        axes.set_title(f"{dataset}: what training has already seen", loc="left", fontsize=10)
        if row == 0:
            axes.legend(frameon=False, fontsize=8, loc="lower right", title="dot: one seed, bar: mean")
        if dataset in duplicates:
            axes = figure.add_subplot(grid[row, 1])
            _draw_pairs(axes, duplicates[dataset], target_labels.get(dataset, "target"))
    return figure


def _draw_leaks(axes: Axes, leaks: pd.DataFrame, schemes: Sequence[str]) -> None:
    """Draw the shares of one dataset: a row per check, in it a line per scheme."""
    step = 0.7 / max(1, len(schemes))
    for position, scheme in enumerate(schemes):
        offset = (position - (len(schemes) - 1) / 2) * step
        colour = _COLOURS[position % len(_COLOURS)]
        for level, check in enumerate(LEAK_CHECKS):
            chosen = leaks[(leaks["scheme"] == scheme) & (leaks["check"] == check)]
            if chosen.empty:
                continue
            shares, y = 100 * chosen["fraction"].to_numpy(float), level + offset
            name = f"{scheme} split ({len(shares)} seed{'s' if len(shares) != 1 else ''})"
            axes.plot(shares, np.full(len(shares), y), "o", ms=4, alpha=0.35, color=colour)
            label = name if level == 0 else None
            axes.plot(shares.mean(), y, "|", ms=14, mew=2.5, color=colour, label=label)
            axes.annotate(
                f"{shares.mean():.1f} %", (shares.max(), y), xytext=(8, 0), textcoords="offset points",
                va="center", fontsize=8, color=colour,
            )  # fmt: skip
    axes.set_yticks(range(len(LEAK_CHECKS)), LEAK_CHECKS)
    axes.set_ylim(len(LEAK_CHECKS) - 0.4, -0.6)
    largest = max(100 * leaks["fraction"].max(), 5)
    axes.set_xlim(-0.02 * largest, 1.18 * largest)
    axes.set_xlabel("test crystals with such a partner in training (% of test)")
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_pairs(axes: Axes, pairs: pd.DataFrame, target_label: str) -> None:
    low = pairs[["first_target", "second_target"]].min(axis=1)
    high = pairs[["first_target", "second_target"]].max(axis=1)
    percent = f"{100 * CONFLICT_TOLERANCE:g} %"
    kinds = (
        (False, "#777777", f"labels within {percent}"),
        (True, "#d55e00", f"further apart than {percent}"),
    )
    for conflicting, colour, name in kinds:
        chosen = pairs["conflicting"].to_numpy(bool) == conflicting
        label = f"{name} ({int(chosen.sum())} pairs)"
        axes.plot(low[chosen], high[chosen], "o", ms=4.5, alpha=0.7, color=colour, label=label)
    if len(pairs):
        ends = [low.min(), high.max()]
        axes.plot(ends, ends, color="black", lw=0.8, zorder=0)
        if ends[0] > 0 and ends[1] > 20 * ends[0]:
            axes.set_xscale("log")
            axes.set_yscale("log")
    axes.set_xlabel(f"{target_label}, lower of the pair")
    axes.set_ylabel("higher of the pair")
    axes.set_title("Pairs of rows with the same structure", loc="left", fontsize=10)
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    axes.spines[["top", "right"]].set_visible(False)
