"""Ablation of Wyckoff augmentation and transfer learning: a 2 × 2 design repeated over seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from matwheel.core.errors import InputError
from matwheel.core.table_rows import records
from matwheel.figures.figures import BLUE, GENERATOR_COLOURS, GREY, ORANGE, new_figure, set_headings, styled
from matwheel.statistics.paired_statistics import (
    FIRST,
    SECOND,
    better_of,
    corrected_standard_error,
    corrected_t_test,
    holm,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INPUT_COLUMNS = ("augmentation", "transfer", "seed", "metric", "value")
CELLS = {
    (False, False): "neither",
    (True, False): "augmentation",
    (False, True): "transfer",
    (True, True): "both",
}
"""(augmentation, transfer) → name of the cell."""

AGAINST_NEITHER, EFFECT = "against neither", "effect"
CONTRASTS: Mapping[str, tuple[str, Mapping[str, float]]] = MappingProxyType(
    {
        "augmentation − neither": (AGAINST_NEITHER, {"augmentation": 1.0, "neither": -1.0}),
        "transfer − neither": (AGAINST_NEITHER, {"transfer": 1.0, "neither": -1.0}),
        "both − neither": (AGAINST_NEITHER, {"both": 1.0, "neither": -1.0}),
        "main effect of augmentation": (
            EFFECT,
            {"augmentation": 0.5, "both": 0.5, "neither": -0.5, "transfer": -0.5},
        ),
        "main effect of transfer": (
            EFFECT,
            {"transfer": 0.5, "both": 0.5, "neither": -0.5, "augmentation": -0.5},
        ),
        "interaction": (EFFECT, {"both": 1.0, "neither": 1.0, "augmentation": -1.0, "transfer": -1.0}),
    }
)
"""Name → family of its tests, and the weight of each cell."""

CELL_COLUMNS = ("metric", "cell", "augmentation", "transfer", "seeds", "mean", "sd")
CONTRAST_COLUMNS = (
    "metric", "contrast", "family", "seeds", "mean_difference", "sd_difference", "interval_low",
    "interval_high", "t", "p_t", "p_t_holm", "p_sign_flip", "p_sign_flip_holm", "relative_change_percent",
    "relative_low_percent", "relative_high_percent", "claim", "p_claim", "p_claim_holm", "claim_met", "note",
)  # fmt: skip
_MOST_SEEDS_OF_ALL_SIGNS = 20


@dataclass(frozen=True)
class Claim:
    """What a paper says that both together change.

    Attributes:
        weakest_percent: the least relative change that makes it true, in %; its sign says which way is
            better.
    """

    words: str
    weakest_percent: float

    def met(self, change_percent: float, p_holm: float, seeds: int) -> str:
        """Return 'yes' or 'no' where the test against the weakest change decides, else why it does not.

        Args:
            p_holm: of the corrected t-test of the change against the weakest one, after Holm's correction.
            seeds: how many it rests on.
        """
        if np.isnan(change_percent):
            return ""
        short = np.sign(self.weakest_percent) * (self.weakest_percent - change_percent)
        return {FIRST: "yes", SECOND: "no"}.get(word := better_of(short, p_holm, seeds), word)


PAPER_CLAIMS: Mapping[str, Claim] = MappingProxyType(
    {
        "formation_energy_mae_ev_per_atom": Claim("MAE −10 to −30 %", -10.0),
        "band_gap_mae_ev": Claim("MAE −10 to −30 %", -10.0),
        "wyckoff_reconstruction": Claim("more than +30 %", 30.0),
    }
)
"""Metric → claim of WyCryst+ (section 2.1). It does not say whether its 30 % are relative or points of
percentage, nor against what the change is taken; here it is relative to neither."""


def ablation_cells(runs: pd.DataFrame) -> pd.DataFrame:
    """Return mean and standard deviation (n − 1) over seeds of each cell and metric.

    Args:
        runs: columns `INPUT_COLUMNS`, a row per run and metric.

    Returns:
        Columns `CELL_COLUMNS`, metrics as they come and cells in the order of `CELLS`; NaN where not run.

    Raises:
        InputError: a column is missing, a run is listed twice, or a value is not finite.
    """
    rows = []
    for metric, values in _values_by_metric(runs).items():
        for (augmentation, transfer), cell in CELLS.items():
            own = values[cell].dropna().to_numpy()
            mean = float(own.mean()) if len(own) else np.nan
            sd = float(own.std(ddof=1)) if len(own) > 1 else np.nan
            rows.append((metric, cell, augmentation, transfer, len(own), mean, sd))
    return pd.DataFrame(rows, columns=list(CELL_COLUMNS))


def ablation_contrasts(runs: pd.DataFrame, *, claims: Mapping[str, Claim] = PAPER_CLAIMS) -> pd.DataFrame:
    """Compare the cells on the seeds that they share.

    The seeds share one split and differ in initialisation only, so that the intervals tell of that split.

    Args:
        runs: as for `ablation_cells`.
        claims: metric → claim about 'both' against 'neither'.

    Returns:
        Columns `CONTRAST_COLUMNS`, six contrasts per metric. Each is formed within a seed; its interval and
        `p_t` are Student's over seeds, `p_sign_flip` is exact over all 2^seeds signs (Monte Carlo is never
        used; NaN above 20 seeds). Holm's correction runs within a family over all metrics, separately for the
        two tests. The relative change is the mean over seeds of the difference in % of 'neither', with its t
        interval; only against neither. `claim_met` is 'yes' or 'no' where the corrected t-test of
        the relative change against the claim's weakest (`p_claim`), after Holm's correction over the claims,
        decides; else 'undecided', or 'too few splits to tell'.

    Raises:
        InputError: as `ablation_cells`.
    """
    rows = []
    for metric, values in _values_by_metric(runs).items():
        for contrast, (family, weights) in CONTRASTS.items():
            row = _contrast(values, weights, family)
            if contrast == "both − neither" and metric in claims:
                row["claim"] = claims[metric].words
            rows.append(
                {"metric": metric, "contrast": contrast, "family": family, "claim": "", "claim_met": ""} | row
            )
    table = pd.DataFrame(rows, columns=list(CONTRAST_COLUMNS))
    table = table.astype({name: float for name in CONTRAST_COLUMNS[4:16]})
    about = table["claim"] != ""
    table.loc[about, "p_claim"] = [_p_of_claim(row, claims[row["metric"]]) for row in records(table[about])]
    table["p_claim"] = table["p_claim"].astype(float)
    table["p_claim_holm"] = holm(table["p_claim"])
    table.loc[about, "claim_met"] = [
        claims[row["metric"]].met(row["relative_change_percent"], row["p_claim_holm"], row["seeds"])
        for row in records(table[about])
    ]
    for test in ("p_t", "p_sign_flip"):
        for _, part in table.groupby("family"):
            table.loc[part.index, f"{test}_holm"] = holm(part[test])
    return table


def _p_of_claim(row: Mapping[str, float], claim: Claim) -> float:
    """Return the two-sided p of the t-test of the relative change against the weakest one that is claimed.

    The t interval of the change is given; its half width is a multiple of the standard error.
    """
    from scipy.stats import t as student

    freedom = row["seeds"] - 1
    if not freedom > 0:
        return np.nan
    half = (row["relative_high_percent"] - row["relative_low_percent"]) / 2
    off = abs(row["relative_change_percent"] - claim.weakest_percent)
    if not half > 0:
        return np.nan if np.isnan(half) else float(off == 0)
    return float(2 * student.sf(off / half * student.ppf(0.975, freedom), freedom))


def sign_flip_p(differences: ArrayLike) -> float:
    """Return the exact two-sided p of the mean difference under all changes of signs (Fisher 1935).

    With n differences no p below 2^(1 − n) is possible. NaN without differences, or with more than 20.
    """
    values = np.asarray(differences, dtype=np.float64).ravel()
    if not 0 < len(values) <= _MOST_SEEDS_OF_ALL_SIGNS:
        return np.nan
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    observed = abs(values.sum())
    # Sums that are equal but for rounding count as equal.
    return float(np.mean(np.abs(sums) >= observed - 1e-12 * np.abs(values).sum()))


@styled
def draw_ablation(runs: pd.DataFrame) -> Figure:
    """Draw the ablation: a panel per metric with its runs, means and the change against neither.

    What the paper claims is shaded from its weakest value on.

    Args:
        runs: as for `ablation_cells`.
    """
    metrics = _values_by_metric(runs)
    contrasts = ablation_contrasts(runs)
    figure = new_figure(max(6.4, 1.3 + 3.1 * len(metrics)), 4.1)
    grid = figure.subplots(1, len(metrics), squeeze=False)[0]
    for column, (axes, (metric, values)) in enumerate(zip(grid, metrics.items(), strict=True)):
        part = contrasts[(contrasts["metric"] == metric) & (contrasts["family"] == AGAINST_NEITHER)]
        _draw_metric(axes, values, part.set_index("contrast"), PAPER_CLAIMS.get(metric), labels=column == 0)
        axes.set_xlabel(metric.replace("_", " "))
    set_headings(
        figure,
        "What augmentation and transfer learning change",
        "Dots: seeds; bar: mean ± one standard deviation; number: mean, with the change within a seed "
        "against neither and its 95 % interval.\nShaded: what the paper claims of both together.",
    )
    figure.subplots_adjust(left=0.12, right=0.985, top=1 - 1.05 / 4.1, bottom=0.55 / 4.1, wspace=0.12)
    return figure


def _draw_metric(
    axes: Axes, values: pd.DataFrame, part: pd.DataFrame, claim: Claim | None, *, labels: bool
) -> None:
    colours = (GREY, BLUE, ORANGE, GENERATOR_COLOURS[2])
    baseline = values["neither"].mean()
    low, high = float(values.min().min()), float(values.max().max())
    if claim and not np.isnan(baseline):
        bound = baseline * (1 + claim.weakest_percent / 100)
        low, high = min(low, bound), max(high, bound)
    margin = 0.06 * ((high - low) or abs(high) or 1.0)
    low, high = low - margin, high + margin
    if claim and not np.isnan(baseline):
        outer = low if claim.weakest_percent < 0 else high
        axes.axvspan(*sorted((bound, outer)), color="#E69F00", alpha=0.15, lw=0)
    for y, cell in enumerate(CELLS.values()):
        own = values[cell].dropna()
        if not len(own):
            axes.text(0.5, y, "not run", transform=axes.get_yaxis_transform(), color=GREY, va="center")
            continue
        spread = own.std(ddof=1) if len(own) > 1 else 0.0
        axes.plot([own.mean() - spread, own.mean() + spread], [y, y], color=colours[y], lw=2)
        axes.plot(own.mean(), y, "o", color=colours[y], ms=7)
        axes.plot(own, np.full(len(own), y - 0.17), "o", color=colours[y], ms=3.2, alpha=0.55, mew=0)
        text = f"{own.mean():#.3g}"
        if cell != "neither":
            row = part.loc[f"{cell} − neither"]
            if not np.isnan(row["relative_change_percent"]):
                text += f" ({row['relative_change_percent']:+.0f} %"
            if not np.isnan(row["relative_low_percent"]):
                text += f" [{row['relative_low_percent']:+.0f}, {row['relative_high_percent']:+.0f}]"
            text += ")" if "(" in text else ""
        axes.text(
            0.5, y + 0.3, text.replace("-", "−"), transform=axes.get_yaxis_transform(), ha="center",
            va="center", fontsize=8, color=colours[y],
        )  # fmt: skip
    axes.axvline(baseline, color=GREY, lw=0.8, ls="--", zorder=0)
    axes.set_xlim(low, high)
    axes.set_ylim(3.6, -0.5)
    axes.set_yticks(range(4), list(CELLS.values()) if labels else [""] * 4)
    axes.tick_params(axis="y", length=0)


def _values_by_metric(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the values of each metric: a row per seed, a column per cell, NaN where not run."""
    missing = [name for name in INPUT_COLUMNS if name not in runs.columns]
    if missing:
        raise InputError(
            f"runs of the ablation have no column {', '.join(missing)}; give {', '.join(INPUT_COLUMNS)}"
        )
    if not len(runs):
        raise InputError("the ablation has no runs")
    broken = runs[~np.isfinite(runs["value"].to_numpy(dtype=np.float64))]
    if len(broken):
        row = broken.iloc[0]
        raise InputError(
            f"ablation, row {broken.index[0]}: {row['metric']} of seed {row['seed']} is {row['value']}"
        )
    twice = runs[runs.duplicated(list(INPUT_COLUMNS[:-1]))]
    if len(twice):
        row = twice.iloc[0]
        raise InputError(
            f"ablation, row {twice.index[0]}: {row['metric']} of seed {row['seed']} is listed twice"
        )
    pairs = zip(runs["augmentation"].astype(bool), runs["transfer"].astype(bool), strict=True)
    named = runs.assign(cell=[CELLS[pair] for pair in pairs])
    return {
        str(metric): part.pivot(index="seed", columns="cell", values="value")
        .reindex(columns=list(CELLS.values()))
        .sort_index()
        .astype(float)
        for metric, part in named.groupby("metric", sort=False)
    }


def _contrast(values: pd.DataFrame, weights: Mapping[str, float], family: str) -> dict[str, object]:
    """Return the figures of one contrast."""
    used = values[list(weights)]
    complete = used.dropna()
    notes = []
    if left_out := len(used.dropna(how="all")) - len(complete):
        notes.append(f"{left_out} seeds lack a cell and are left out")
    row: dict[str, object] = {"seeds": len(complete)}
    if not len(complete):
        return row | {"note": "; ".join([*notes, "no seed has all cells"])}
    differences = complete.to_numpy() @ np.array(list(weights.values()))
    row["mean_difference"] = float(differences.mean())
    relative = None
    if family == AGAINST_NEITHER and (complete["neither"] != 0).all():
        relative = 100 * differences / complete["neither"].abs().to_numpy()
        row["relative_change_percent"] = float(relative.mean())
    if len(differences) < 2:
        return row | {"note": "; ".join([*notes, "one seed: no interval and no test"])}
    row["sd_difference"] = float(differences.std(ddof=1))
    row["interval_low"], row["interval_high"] = _t_interval(differences)
    row["t"], row["p_t"] = corrected_t_test(differences, 0.0)
    row["p_sign_flip"] = sign_flip_p(differences)
    floor = 2.0 ** (1 - len(differences))
    if floor > 0.05:
        notes.append(f"sign flips of {len(differences)} seeds cannot go below p = {floor:.3g}")
    if relative is not None:
        row["relative_low_percent"], row["relative_high_percent"] = _t_interval(relative)
    return row | {"note": "; ".join(notes)}


def _t_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    from scipy.stats import t as student

    margin = student.ppf(0.975, len(values) - 1) * corrected_standard_error(values, 0.0)
    return float(values.mean() - margin), float(values.mean() + margin)
