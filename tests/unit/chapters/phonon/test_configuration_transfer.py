import numpy as np
import pandas as pd
import pytest

from matwheel.chapters.phonon.bond_baselines import BondLengthRidge, ConstantBaseline
from matwheel.chapters.phonon.configuration_transfer import (
    BOTH,
    TEST_SETS,
    TRAINING_SETS,
    check_blocks_apart,
    contrasts,
    cross_table,
    labelled_rows,
    learning_curves,
    r_squared,
    seed_scores,
    split_blocks,
    training_order,
    transfer_predictions,
    validation_rows,
)
from matwheel.chapters.phonon.transfer_figures import draw_cross_table, draw_learning_curves
from matwheel.core.errors import InputError
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.table import crystal_table
from matwheel.figures.figures import save_figure

AT_REST = np.array([[0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5], [0.5, 0.5, 0.5], [0, 0, 0]])
METHODS = {"bond_length_ridge": BondLengthRidge, "constant": ConstantBaseline}
TARGETS = ("band_gap_ev", "energy_ev_per_atom")


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """48 configurations of each kind in blocks of 4; the gap is the mean squared displacement and a bit."""
    crystals, rows = [], []
    for place, kind in enumerate(TEST_SETS):
        for index in range(48):
            random = np.random.default_rng([place, index])
            size = 0.1 * (place + 1) * random.uniform(0.5, 1.5)
            shift = random.normal(0, size, (5, 3))
            crystals.append(
                Crystal(
                    f"{kind}-{index}", ("Ag", "Ag", "Ag", "S", "Br"), 4.9 * np.eye(3), AT_REST + shift / 4.9
                )
            )
            gap = 0.6 + (shift**2).sum()
            rows.append((kind, index // 4, gap, -3 + gap / 10, "ok"))
    columns = ("kind", "block", *TARGETS, "status")
    return crystal_table(crystals, {name: [row[place] for row in rows] for place, name in enumerate(columns)})


@pytest.fixture(scope="module")
def predictions(table: pd.DataFrame) -> pd.DataFrame:
    parts = [
        transfer_predictions(table, arm, seed, METHODS, targets=TARGETS, sizes=(8, 16, 24, 99))[0]
        for arm in TRAINING_SETS
        for seed in range(3)
    ]
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("seed", range(5))
def test_blocks_are_whole_and_sets_are_cut_near_the_fractions(table: pd.DataFrame, seed: int) -> None:
    parts = split_blocks(table, seed)
    assert (table.assign(part=parts).groupby("block")["part"].nunique() == 1).all()
    shares = pd.crosstab(table["kind"], parts, normalize="index")
    assert (np.abs(shares[["train", "validation", "test"]] - [0.7, 0.15, 0.15]) < 1 / 12).all(axis=None)


def test_split_depends_on_the_seed_and_not_on_the_order_of_rows(table: pd.DataFrame) -> None:
    parts = split_blocks(table, 1)
    shuffled = table.sample(frac=1.0, random_state=0)
    assert split_blocks(shuffled, 1).sort_index().equals(parts)
    assert any(not split_blocks(table, seed).equals(parts) for seed in range(2, 5))


def test_sets_of_unlike_numbers_of_blocks_all_get_a_share(table: pd.DataFrame) -> None:
    few = table[(table["kind"] != "thermal") | (table["block"] < 4)]
    for seed in range(10):
        shares = pd.crosstab(few["kind"], split_blocks(few, seed))
        assert (shares > 0).all(axis=None)


def test_a_block_on_both_sides_is_refused(table: pd.DataFrame) -> None:
    parts = split_blocks(table, 0)
    wrong = parts.copy()
    first = wrong.index[(wrong == "train")][0]
    wrong[first] = "test"
    with pytest.raises(InputError, match=rf"block {table.loc[first, 'block']} stands in test, train"):
        check_blocks_apart(table, wrong)
    check_blocks_apart(table, parts)
    with pytest.raises(InputError, match="must assign every"):
        check_blocks_apart(table, parts[1:])
    with pytest.raises(InputError, match="occurs twice"):
        doubled = pd.concat([table, table[:1]], ignore_index=True)
        check_blocks_apart(doubled, pd.concat([parts, parts[:1]], ignore_index=True))


def test_splits_that_cannot_be_made_are_refused(table: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="set thermal has 2 blocks"):
        split_blocks(table[table["block"] < 2], 0)
    with pytest.raises(InputError, match="configuration thermal-0 has no block"):
        split_blocks(table.assign(block=table["block"].where(table.index > 0)), 0)


def test_training_sets_are_nested_and_both_holds_half_of_each(table: pd.DataFrame) -> None:
    parts = split_blocks(table, 2)
    orders = {arm: training_order(table, parts, arm, 2) for arm in TRAINING_SETS}
    for rows in orders.values():
        assert len(set(rows)) == len(rows)
        assert (parts.iloc[rows] == "train").all()
    both = orders[BOTH][:16]
    assert set(both[::2]) == set(orders["thermal"][:8])
    assert set(both[1::2]) == set(orders["uniform_one_sided"][:8])
    alone, mixed = (validation_rows(table, parts, arm, 2) for arm in ("thermal", BOTH))
    assert len(alone) == len(mixed)
    assert (parts.iloc[mixed] == "validation").all()
    with pytest.raises(InputError, match="unknown training set 'hot'"):
        training_order(table, parts, "hot", 2)


def test_order_of_the_table_does_not_change_the_rows(table: pd.DataFrame) -> None:
    shuffled = table.sample(frac=1.0, random_state=1).reset_index(drop=True)
    chosen = [
        frame["id"].iloc[training_order(frame, split_blocks(frame, 0), "thermal", 0)].tolist()
        for frame in (table, shuffled)
    ]
    assert chosen[0] == chosen[1]


def test_rows_without_labels_are_left_out(table: pd.DataFrame) -> None:
    holed = table.copy()
    holed.loc[:9, list(TARGETS)] = np.nan
    holed.loc[10, "status"] = "error"
    holed.loc[11, "band_gap_ev"] = np.nan
    assert len(labelled_rows(holed, TARGETS)) == len(table) - 11
    with pytest.raises(InputError, match="label stress_gpa"):
        labelled_rows(table, ("stress_gpa",))
    with pytest.raises(InputError, match="label band_gap_ev"):
        labelled_rows(table.assign(band_gap_ev=np.nan), TARGETS)


def test_all_arms_are_scored_on_the_same_test_rows_of_untouched_blocks(
    table: pd.DataFrame, predictions: pd.DataFrame
) -> None:
    assert sorted(predictions["size"].unique()) == [8, 16, 24]
    for seed, part in predictions.groupby("seed"):
        rows = part.groupby(["training_set", "size", "method", "target"])["id"].agg(frozenset)
        assert rows.nunique() == 1
        parts = split_blocks(table, seed)
        assert rows.iloc[0] == frozenset(table.loc[parts == "test", "id"])
    truth = table.set_index("id")["band_gap_ev"]
    gaps = predictions[predictions["target"] == "band_gap_ev"]
    assert np.array_equal(gaps["truth"], truth.loc[gaps["id"]])


def test_too_few_rows_for_the_smallest_size(table: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="fewer than the smallest size 200"):
        transfer_predictions(table, "thermal", 0, METHODS, targets=TARGETS, sizes=(200,))


def example(seeds: int = 2, **errors: float) -> pd.DataFrame:
    """Predictions off by a given error per training set, by default two seeds, three test rows each."""
    rows = [
        (arm, 8, seed, "distance_network", "band_gap_ev", "thermal", f"{seed}-{row}", truth, truth + error)
        for arm, error in errors.items()
        for seed in range(seeds)
        for row, truth in enumerate((0.5, 0.6, 0.7))
    ]
    columns = ["training_set", "size", "seed", "method", "target", "test_set", "id", "truth", "prediction"]
    return pd.DataFrame(rows, columns=columns)


def test_scores_by_hand() -> None:
    scores = seed_scores(example(thermal=0.1))
    assert scores["mae"].tolist() == pytest.approx([0.1, 0.1])
    assert scores["bias"].tolist() == pytest.approx([0.1, 0.1])
    # Σ error² = 0.03, Σ (truth − mean)² = 0.02
    assert scores["r2"].tolist() == pytest.approx([-0.5, -0.5])
    assert np.isnan(r_squared(np.array([1.0]), np.array([1.0])))
    assert np.isnan(r_squared(np.ones(3), np.zeros(3)))


def test_curves_average_over_seeds_and_hold_the_published_values() -> None:
    values = example(thermal=0.1)
    values.loc[values["seed"] == 1, "prediction"] += 0.2
    row = learning_curves(values).iloc[0]
    assert row["mae_mean"] == pytest.approx(0.2)
    assert row["mae_std"] == pytest.approx(np.std([0.1, 0.3], ddof=1))
    assert (row["published_r2"], row["published_mae"]) == (0.85, 0.030)
    other = learning_curves(example(uniform_one_sided=0.1)).iloc[0]
    assert np.isnan(other["published_mae"])


def test_contrasts_find_the_better_set_and_do_not_invent_one() -> None:
    table = contrasts(example(5, thermal=0.1, uniform_one_sided=0.3))
    row = table[table["reference_training_set"] == "uniform_one_sided"].iloc[0]
    assert row["mean_difference"] == pytest.approx(-0.2)
    assert (row["better"], row["family"]) == ("first", "thermal or random")
    assert (row["seeds"], row["test_rows"]) == (5, 15)
    same = contrasts(example(5, thermal=0.1, uniform_one_sided=-0.1)).iloc[0]
    assert same["better"] == "undecided"
    assert (
        contrasts(example(thermal=0.1, uniform_one_sided=0.3)).iloc[0]["better"] == "too few splits to tell"
    )
    lone = example(thermal=0.1, uniform_one_sided=0.3)
    lone = contrasts(lone[lone["seed"] == 0]).iloc[0]
    assert np.isnan(lone["interval_low"])
    assert "fewer than two" in lone["note"]


def test_nothing_is_called_better_by_an_interval_alone() -> None:
    """220 rows of a committed table were called decided where the corrected test had p above 0.05."""
    rows = example(6, thermal=0.1, uniform_one_sided=0.3)
    scatter = np.random.default_rng(1).normal(0, 0.25, 6)[rows["seed"]]
    rows["prediction"] += np.where(rows["training_set"] == "thermal", scatter, 0)
    row = contrasts(rows).iloc[0]
    assert row["interval_high"] < 0 and row["p_corrected_t"] > 0.05
    assert row["better"] == "undecided"


def test_predictions_that_cannot_be_compared_are_refused() -> None:
    good = example(thermal=0.1, both=0.2)
    with pytest.raises(InputError, match="different test rows"):
        cross_table(good[1:])
    # The labels of rows repeat when tables are joined; the message names one row all the same.
    with pytest.raises(
        InputError, match=rf"^{good['id'].iloc[0]} occurs twice in [^\n]+; give each run once$"
    ):
        cross_table(pd.concat([good, good[:1]]))
    with pytest.raises(InputError, match="not finite"):
        cross_table(good.assign(prediction=np.nan))
    with pytest.raises(InputError, match="two truths"):
        cross_table(good.assign(truth=good["truth"] + (good["training_set"] == "both")))
    with pytest.raises(InputError, match="lack the columns size"):
        cross_table(good.drop(columns="size"))
    with pytest.raises(InputError, match="no predictions"):
        cross_table(good[:0])
    unlike = good.assign(size=np.where(good["training_set"] == "both", 16, 8))
    with pytest.raises(InputError, match="share no size"):
        cross_table(unlike)


def test_cross_table_is_full_and_at_equal_size(predictions: pd.DataFrame) -> None:
    table = cross_table(predictions)
    assert (table["size"] == 24).all()
    assert len(table) == len(TRAINING_SETS) * len(TEST_SETS) * len(METHODS) * len(TARGETS)
    own = table[(table["method"] == "constant") & (table["training_set"] == table["test_set"])]
    assert own["mae_over_constant"].tolist() == pytest.approx([1.0] * len(own))


def test_contrasts_pair_methods_and_training_sets(predictions: pd.DataFrame) -> None:
    renamed = predictions.replace({"method": {"bond_length_ridge": "distance_network"}})
    table = contrasts(renamed, replicates=50)
    assert set(table["size"]) == {8, 16, 24}
    within = table[table["training_set"] == table["reference_training_set"]]
    assert set(within["training_set"]) == set(TRAINING_SETS)
    assert (within["reference_method"] == "constant").all()
    assert not table.duplicated(list(table.columns[:7])).any()
    pd.testing.assert_frame_equal(table, contrasts(renamed.sample(frac=1.0, random_state=0), replicates=50))


def test_figures_show_every_arm_and_have_the_same_bytes(predictions: pd.DataFrame, tmp_path) -> None:
    renamed = predictions.replace({"method": {"bond_length_ridge": "distance_network"}})
    curves, table = learning_curves(renamed), cross_table(renamed)
    for name, draw in (
        ("curves", lambda: draw_learning_curves(curves)),
        ("table", lambda: draw_cross_table(table)),
    ):
        for copy in "ab":
            save_figure(draw(), tmp_path / f"{name}{copy}.svg")
        assert (tmp_path / f"{name}a.svg").read_bytes() == (tmp_path / f"{name}b.svg").read_bytes()
    panels = draw_learning_curves(curves).axes
    assert len(panels) == 3
    shown = panels[0].get_legend_handles_labels()[1]
    assert len(shown) == len(TRAINING_SETS) + 1
    cells = [text.get_text() for axes in draw_cross_table(table).axes[:2] for text in axes.texts]
    assert len(cells) == 2 * len(TRAINING_SETS) * len(TEST_SETS)
    assert all("R²" in text for text in cells)
    with pytest.raises(ValueError, match="no learning curve"):
        draw_learning_curves(curves, "stress_gpa")
    with pytest.raises(ValueError, match="no cell"):
        draw_cross_table(table[table["method"] != "distance_network"])
