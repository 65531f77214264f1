"""The card of a generated set: validity, uniqueness, novelty, likeness to training, adherence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from matwheel.core.proportions import proportion
from matwheel.crystals.crystal import Crystal
from matwheel.screening.composition_validity import DEFAULT_OXIDATION_TABLE
from matwheel.screening.novelty import novelty
from matwheel.screening.structure_validity import structure_validity
from matwheel.screening.uniqueness import uniqueness
from matwheel.screening.validity import validity_flags

if TYPE_CHECKING:
    from matwheel.predictors.interface import Predictor

CARD_COLUMNS = ("generator", "metric", "value", "interval_low", "interval_high", "n", "unit", "meaning")

GRAM_PER_CM3 = 1.66053906660
"""One atomic mass unit per Å³ in g/cm³."""

PROPORTIONS = {
    "structure_valid": "structure valid: atoms ≥ 0.5 Å apart, own images included, volume ≥ 0.1 Å³",
    "composition_valid": "composition valid: charge-neutral under the Pauling criterion (SMACT), or an alloy",
    "valid": "structure and composition valid",
    "unique": "distinct structures over all crystals (StructureMatcher)",
    "unique_formula": "distinct reduced formulas over all crystals",
    "novel": "structure not in the training set (StructureMatcher)",
    "novel_formula": "reduced formula not in the training set",
    "valid_unique_novel": "distinct structures that are valid and novel, over all crystals",
}
DISTANCES = {"density": "g/cm³", "number_of_elements": "elements", "atoms_per_cell": "atoms"}


def generator_card(
    generated: Sequence[Crystal],
    training: Sequence[Crystal],
    *,
    conditions: ArrayLike | None = None,
    judged: ArrayLike | None = None,
    ceiling: Mapping[str, float | int | None] | None = None,
    oxidation_table: str = DEFAULT_OXIDATION_TABLE,
) -> dict[str, Any]:
    """Describe a generated set beside its training set.

    Args:
        generated: the generated crystals, ids unique.
        conditions: the condition each crystal answers, shape (n,), in the unit of the property.
        judged: the property of each crystal by a predictor that never saw the generated set, shape (n,).
        ceiling: `condition_adherence` of real test crystals: their labels, and what that predictor says of
            them. No generator can be seen to follow its condition more closely than that.
        oxidation_table: table of oxidation states for the composition validity, see
            `matwheel.screening.composition_validity.OXIDATION_TABLES`.

    Returns:
        JSON-able: n, training_n, oxidation_table; `proportions`, each with value, count, n and the 95 %
        Wilson interval low, high; `distances`, Wasserstein-1 distances to training, each with value, unit and
        the number n of crystals used (density: structure-valid ones only); `adherence` (None without
        conditions and judged values, see `condition_adherence`); `ceiling`, as given; `not_compared`,
        crystals that the matcher could not handle or that met its comparison limit (they count as distinct
        and novel).

    Raises:
        ValueError: an empty set, repeated ids, or conditions and judged values of another length.
    """
    if not generated or not training:
        raise ValueError(
            f"a generator card needs crystals: {len(generated)} generated, {len(training)} in training"
        )
    ids = [crystal.id for crystal in generated]
    if len(set(ids)) < len(ids):
        raise ValueError("the ids of the generated crystals are not unique")
    n = len(generated)
    flags = validity_flags(generated, oxidation_table)
    groups = uniqueness(generated)
    known = novelty(generated, training)
    valid = flags["structure_valid"] & flags["composition_valid"]
    novel = known["structure_novel"]
    counts = {
        "structure_valid": flags["structure_valid"].sum(),
        "composition_valid": flags["composition_valid"].sum(),
        "valid": valid.sum(),
        "unique": groups["group"].nunique(),
        "unique_formula": groups["formula"].nunique(),
        "novel": novel.sum(),
        "novel_formula": known["formula_novel"].sum(),
        "valid_unique_novel": groups.loc[valid & novel, "group"].nunique(),
    }
    adherence = None
    if conditions is not None and judged is not None:
        conditions, judged = (np.asarray(values, dtype=np.float64).ravel() for values in (conditions, judged))
        if len(conditions) != n or len(judged) != n:
            raise ValueError(
                f"{n} crystals, but {len(conditions)} conditions and {len(judged)} judged values"
            )
        adherence = condition_adherence(conditions, judged)
    return {
        "n": n,
        "training_n": len(training),
        "oxidation_table": oxidation_table,
        "proportions": {name: proportion(int(counts[name]), n) for name in PROPORTIONS},
        "distances": _distances(generated, flags["structure_valid"].to_numpy(), training),
        "adherence": adherence,
        "ceiling": None if ceiling is None else dict(ceiling),
        "not_compared": int(((groups["error"] != "") | (known["error"] != "")).sum()),
    }


def judge(crystals: Sequence[Crystal], predictor: Predictor) -> NDArray[np.float64]:
    """Return the predicted property of each crystal, shape (n,); NaN where the structure is not valid."""
    valid = structure_validity(crystals)["structure_valid"].to_numpy()
    judged = np.full(len(crystals), np.nan)
    if valid.any():
        judged[valid] = predictor.predict([c for c, ok in zip(crystals, valid, strict=True) if ok])
    return judged


def mean_cards(cards: pd.DataFrame) -> pd.DataFrame:
    """Return the mean of the cards of several runs.

    Args:
        cards: rows of `cards_table`, one card per generator and run.

    Returns:
        The columns of `cards_table`; n is summed. With two runs or more the interval is the 95 % t-interval
        of the mean over runs, kept within what a share or a correlation can be; with one it is that run's.
    """
    from scipy.stats import t

    rows = []
    for (generator, metric), part in cards.groupby(["generator", "metric"], sort=False):
        row = part.iloc[0].to_dict() | {"value": part["value"].mean(), "n": part["n"].sum()}
        if len(part) > 1 and part["interval_low"].notna().any():
            margin = t.ppf(0.975, len(part) - 1) * part["value"].std() / np.sqrt(len(part))
            lowest = 0.0 if row["unit"] == "share" else -1.0
            row["interval_low"] = max(lowest, row["value"] - margin)
            row["interval_high"] = min(1.0, row["value"] + margin)
        rows.append(row | {"generator": generator, "metric": metric})
    return pd.DataFrame(rows, columns=list(CARD_COLUMNS))


def condition_adherence(
    conditions: NDArray[np.float64], judged: NDArray[np.float64]
) -> dict[str, float | int | None]:
    """Return how closely judged values follow the conditions they answer.

    Returns:
        n (pairs of finite numbers); mae; mae_shuffled, the expectation of the MAE over all shufflings of the
        conditions (the mean over all pairs of crystals; what a generator deaf to its condition would get);
        spearman with its 95 % interval spearman_low, spearman_high (Fisher's z with the standard error of
        Bonett & Wright, Psychometrika 65, 23, 2000). None where not defined.
    """
    from scipy.stats import rankdata

    finite = np.isfinite(conditions) & np.isfinite(judged)
    conditions, judged = conditions[finite], judged[finite]
    n = len(conditions)
    names = ("mae", "mae_shuffled", "spearman", "spearman_low", "spearman_high")
    result: dict[str, float | int | None] = {"n": n, **dict.fromkeys(names)}
    if n == 0:
        return result
    result["mae"] = float(np.abs(judged - conditions).mean())
    # One row at a time: all pairs of a large set at once would not fit into memory.
    result["mae_shuffled"] = float(np.mean([np.abs(value - conditions).mean() for value in judged]))
    if n > 3 and np.ptp(conditions) > 0 and np.ptp(judged) > 0:
        rho = float(np.corrcoef(rankdata(conditions), rankdata(judged))[0, 1])
        z = np.arctanh(np.clip(rho, -1 + 1e-12, 1 - 1e-12))
        margin = 1.959963984540054 * np.sqrt((1 + rho**2 / 2) / (n - 3))
        result |= {
            "spearman": rho,
            "spearman_low": float(np.tanh(z - margin)),
            "spearman_high": float(np.tanh(z + margin)),
        }
    return result


def cards_table(cards: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Return generator cards as one long table.

    Args:
        cards: name of the generator → its card, in the order to show.

    Returns:
        Columns generator, metric, value, interval_low, interval_high, n, unit, meaning; one row per figure.
    """
    rows: list[tuple[object, ...]] = []
    for name, card in cards.items():
        for metric, figure in card["proportions"].items():
            meaning = PROPORTIONS[metric]
            if "composition" in metric or metric.startswith("valid"):
                meaning += f" [oxidation states: {card['oxidation_table']}]"
            ends = figure["low"], figure["high"]
            rows.append((name, metric, figure["value"], *ends, figure["n"], "share", meaning))
        for metric, figure in card["distances"].items():
            meaning = f"Wasserstein distance of {metric.replace('_', ' ')} to training"
            own = (figure["value"], None, None, figure["n"], figure["unit"], meaning)
            rows.append((name, f"wasserstein_{metric}", *own))
        if card["adherence"] is not None:
            figure, n = card["adherence"], card["adherence"]["n"]
            for metric, meaning in (
                ("mae", "mean absolute difference between condition and judged property"),
                ("mae_shuffled", "the same with shuffled conditions: a generator deaf to them"),
            ):
                own = (figure[metric], None, None, n, "unit of the property", meaning)
                rows.append((name, f"condition_{metric}", *own))
            meaning = "rank correlation of condition and judged value"
            rows.append((name, "condition_spearman", *_correlation(figure), n, "", meaning))
            if card["ceiling"] is not None:
                figure = card["ceiling"]
                meaning = (
                    "rank correlation of the judge with the labels of real test crystals: the most that the "
                    "correlation with the condition can show"
                )
                rows.append((name, "judge_spearman", *_correlation(figure), figure["n"], "", meaning))
        meaning = "crystals not or not fully compared (errors, comparison limit); counted as distinct"
        rows.append((name, "not_compared", card["not_compared"], None, None, card["n"], "crystals", meaning))
    table = pd.DataFrame(rows, columns=list(CARD_COLUMNS))
    return table.astype({"value": float, "interval_low": float, "interval_high": float})


def _correlation(figure: Mapping[str, Any]) -> tuple[Any, ...]:
    return figure["spearman"], figure["spearman_low"], figure["spearman_high"]


def _distances(
    generated: Sequence[Crystal], structure_valid: NDArray[np.bool_], training: Sequence[Crystal]
) -> dict[str, dict[str, Any]]:
    """Return the Wasserstein-1 distances of simple statistics between the two sets."""
    from scipy.stats import wasserstein_distance

    dense = [crystal for crystal, valid in zip(generated, structure_valid, strict=True) if valid]
    with_atoms = [crystal for crystal in generated if crystal.species]
    samples: dict[str, tuple[Sequence[float], Sequence[float]]] = {
        "density": (_densities(dense), _densities(training)),
        "number_of_elements": (
            [len(set(c.species)) for c in with_atoms],
            [len(set(c.species)) for c in training],
        ),
        "atoms_per_cell": ([len(c.species) for c in with_atoms], [len(c.species) for c in training]),
    }
    return {
        name: {
            "value": float(wasserstein_distance(one, other)) if len(one) and len(other) else None,
            "unit": DISTANCES[name],
            "n": len(one),
        }
        for name, (one, other) in samples.items()
    }


def _densities(crystals: Sequence[Crystal]) -> list[float]:
    """Return the densities in g/cm³ of the crystals that have one."""
    from pymatgen.core import Element

    masses: dict[str, float] = {}
    result = []
    for crystal in crystals:
        try:
            for symbol in set(crystal.species) - set(masses):
                masses[symbol] = float(Element(symbol).atomic_mass)
        except ValueError:  # not an element: such a crystal is invalid already by its composition
            continue
        if crystal.volume_angstrom3 > 0:
            mass = sum(masses[symbol] for symbol in crystal.species)
            result.append(GRAM_PER_CM3 * mass / crystal.volume_angstrom3)
    return result
