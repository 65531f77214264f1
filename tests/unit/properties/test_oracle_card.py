"""The card of an oracle: correlations, errors before and after a line, outliers by name."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from matwheel.core.errors import InputError
from matwheel.datasets.splits import Split
from matwheel.figures.figures import save_figure
from matwheel.properties.interface import FAILED, OK
from matwheel.properties.oracle_card import apply_line, least_absolute_line, oracle_card, outliers
from matwheel.properties.oracle_figure import draw_oracle

N = 60


@pytest.fixture
def crystals() -> pd.DataFrame:
    generator = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "id": [f"c{n}" for n in range(N)],
            "formula": [f"A{n}" for n in range(N)],
            "target": np.exp(generator.normal(3, 1, N)),
        }
    )


def table(crystals: pd.DataFrame, values: np.ndarray) -> pd.DataFrame:
    computed = np.isfinite(values)
    return pd.DataFrame(
        {
            "id": crystals["id"],
            "energy": values,
            "status": np.where(computed, OK, FAILED),
            "reason": np.where(computed, "", "it broke"),
            "seconds": 0.5,
        }
    )


def splits(crystals: pd.DataFrame, number: int = 3) -> list[Split]:
    made = []
    for seed in range(number):
        ids = list(np.random.default_rng(seed).permutation(crystals["id"]))
        train, validation, test = ids[:40], ids[40:45], ids[45:]
        made.append(Split("d", "0" * 64, "random", seed, tuple(train), tuple(validation), tuple(test)))
    return made


def test_a_line_takes_a_scaled_oracle_to_the_label(crystals: pd.DataFrame) -> None:
    label = crystals["target"].to_numpy()
    (row,) = oracle_card(crystals, table(crystals, 3 * label + 20), splits(crystals), ["energy"]).to_dict(
        "records"
    )
    assert row["spearman"] == pytest.approx(1) and row["pearson"] == pytest.approx(1)
    assert row["mae_raw"] == pytest.approx(np.abs(2 * label + 20).mean())
    assert row["mae_line"] < 1e-6 < row["mae_log_line"] < row["mae_constant"]
    assert row["computed"] == row["rows"] == N and row["seconds"] == 0.5


def test_a_power_law_is_a_line_in_logarithms(crystals: pd.DataFrame) -> None:
    label = crystals["target"].to_numpy()
    powered = np.expm1(2 * np.log1p(label))
    row = oracle_card(crystals, table(crystals, powered), splits(crystals), []).iloc[0]
    assert row["mae_log_line"] < 1e-6 < row["mae_line"] and np.isnan(row["mae_raw"])


def test_one_wild_row_does_not_turn_the_line(crystals: pd.DataFrame) -> None:
    values = crystals["target"].to_numpy().copy()
    label = 2 * values + 1
    label[7] = 1e5
    assert least_absolute_line(values, label) == pytest.approx((1, 2), abs=1e-6)
    assert apply_line((1, 2), np.array([3.0]))[0] == 7


def test_rows_without_a_value_are_predicted_by_the_median_and_named(crystals: pd.DataFrame) -> None:
    values = crystals["target"].to_numpy().copy()
    values[[3, 5]] = np.nan
    crystals.loc[8, "target"] = 1e4
    broken = table(crystals, values)
    card = oracle_card(crystals, broken, splits(crystals), ["energy"]).iloc[0]
    assert card["computed"] == N - 2 and card["mae_line"] > 0
    worst = outliers(crystals, broken, ["energy"], most=2)
    assert worst["id"][0] == "c8" and worst["formula"][0] == "A8" and worst["error"][0] < -9000
    assert list(worst["id"][2:]) == ["c3", "c5"] and list(worst["reason"][2:]) == ["it broke"] * 2
    none = oracle_card(crystals, table(crystals, np.full(N, np.nan)), splits(crystals), ["energy"]).iloc[0]
    assert none["mae_line"] == none["mae_constant"] and np.isnan(none["spearman"])


def test_another_dataset_is_refused(crystals: pd.DataFrame) -> None:
    other = table(crystals, crystals["target"].to_numpy()).iloc[::-1]
    with pytest.raises(InputError, match="not that of these crystals"):
        oracle_card(crystals, other, splits(crystals), ["energy"])


@pytest.mark.parametrize("estimates", [["energy"], []])
def test_the_figure_is_drawn_the_same_twice(crystals: pd.DataFrame, tmp_path, estimates: list[str]) -> None:
    values = crystals["target"].to_numpy() * 1.5
    values[3] = np.nan
    computed = table(crystals, values)
    card = oracle_card(crystals, computed, splits(crystals), estimates)
    for name in ("one.svg", "two.svg"):
        figure = draw_oracle(
            crystals,
            computed,
            card,
            outliers(crystals, computed, estimates),
            estimates=estimates,
            property_name="some_energy",
            target_label="energy (eV)",
            title="sixty crystals",
        )
        save_figure(figure, tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
