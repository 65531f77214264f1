import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from matwheel.chapters.matwheel.generator_card import (
    CARD_COLUMNS,
    cards_table,
    condition_adherence,
    generator_card,
    judge,
    mean_cards,
)
from matwheel.core.proportions import proportion
from matwheel.crystals.crystal import Crystal
from matwheel.figures.figures import draw_generator_cards, save_figure
from matwheel.generators.null import rattle_crystals, resample_elements
from matwheel.screening.validity import validity_flags


def test_wilson_interval_against_published_values():
    # Newcombe, Statist. Med. 17, 857 (1998), table I: Wilson without continuity correction.
    shown = proportion(81, 263)
    assert (shown["low"], shown["high"]) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    none, every = proportion(0, 20), proportion(20, 20)
    assert none["low"] == 0.0 and none["high"] == pytest.approx(0.1611, abs=5e-5)
    assert every["high"] == 1.0 and every["low"] == pytest.approx(1 - 0.1611, abs=5e-5)


def test_training_set_against_itself_is_valid_known_and_near(jarvis_crystals):
    training = jarvis_crystals[0][:25]
    card = generator_card(training, training)
    shares = {name: figure["value"] for name, figure in card["proportions"].items()}
    assert shares["structure_valid"] == 1.0 and shares["novel"] == 0.0 and shares["novel_formula"] == 0.0
    assert shares["valid_unique_novel"] == 0.0 and shares["unique"] > 0.8
    assert [figure["value"] for figure in card["distances"].values()] == [0.0, 0.0, 0.0]
    assert card["adherence"] is None and card["not_compared"] == 0


def test_density_distance_in_grams_per_cubic_centimetre():
    gold = Crystal(
        "gold", ("Au",) * 4, 4.0782 * np.eye(3), [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    )
    silver = Crystal("silver", ("Ag",) * 4, 4.0853 * np.eye(3), gold.frac_coords)
    distance = generator_card([gold], [silver])["distances"]["density"]
    assert distance["value"] == pytest.approx(19.28 - 10.50, abs=0.06) and distance["unit"] == "g/cm³"


def test_broken_crystals_are_counted_and_not_fatal(jarvis_crystals):
    training = jarvis_crystals[0][:10]
    nan = Crystal("nan", ("Na", "Cl"), np.full((3, 3), np.nan), np.zeros((2, 3)))
    empty = Crystal("empty", (), np.eye(3), np.zeros((0, 3)))
    overlap = Crystal("overlap", ("Na", "Cl"), 4 * np.eye(3), np.zeros((2, 3)))
    card = generator_card([*training, nan, empty, overlap], training)
    json.dumps(card, allow_nan=False)
    assert card["proportions"]["structure_valid"]["count"] == 10
    assert card["not_compared"] == 2
    flags = validity_flags([overlap, empty]).set_index("id")
    assert flags.loc["overlap", "composition_valid"] and not flags.loc["overlap", "structure_valid"]
    assert "apart" in flags.loc["overlap", "reason"] and "no atoms" in flags.loc["empty", "reason"]
    with pytest.raises(ValueError, match="not unique"):
        generator_card([*training, training[0]], training)
    with pytest.raises(ValueError, match="0 generated"):
        generator_card([], training)


def test_condition_adherence():
    generator = np.random.default_rng(0)
    conditions = generator.lognormal(4, 1, size=300)
    obedient = condition_adherence(conditions, conditions * 1.1)
    assert obedient["spearman"] == pytest.approx(1.0) and obedient["mae"] < 0.2 * obedient["mae_shuffled"]
    deaf = condition_adherence(conditions, generator.permutation(conditions))
    assert deaf["mae"] == pytest.approx(deaf["mae_shuffled"], rel=0.15)
    assert deaf["spearman_low"] < 0 < deaf["spearman_high"]
    small = condition_adherence(np.array([1.0, 2.0, np.nan]), np.array([3.0, 5.0, 1.0]))
    assert small["n"] == 2 and small["mae"] == 2.5 and small["spearman"] is None
    assert small["mae_shuffled"] == pytest.approx((2 + 1 + 4 + 3) / 4)


def test_cards_of_the_nulls_as_table_and_figure(jarvis_crystals, tmp_path):
    training, labels = jarvis_crystals[0][:20], jarvis_crystals[1]
    elements = resample_elements(training, 30, seed=0, id_prefix="e")
    rattled = rattle_crystals(training, 30, seed=0, id_prefix="r", displacement_angstrom=0.05, strain=0.01)
    conditions = np.resize(labels, 30)
    target, predicted = np.arange(20.0), np.concatenate([np.arange(10.0), np.arange(20.0, 10.0, -1)])
    ceiling = condition_adherence(target, predicted)
    cards = {
        "swap": generator_card(
            elements, training, conditions=conditions, judged=conditions[::-1], ceiling=ceiling
        ),
        "rattle": generator_card(rattled, training, oxidation_table="smact14"),
    }
    table = cards_table(cards).set_index(["generator", "metric"])
    assert table.loc[("swap", "novel_formula"), "value"] > table.loc[("rattle", "novel_formula"), "value"]
    assert table.loc[("rattle", "novel"), "value"] < 0.2
    assert table.loc[("swap", "condition_mae"), "value"] == cards["swap"]["adherence"]["mae"]
    assert ("rattle", "condition_mae") not in table.index
    # What the judge itself reaches on real test crystals stands beside what the generator does by it.
    row = table.loc[("swap", "judge_spearman")]
    assert row["value"] == pytest.approx(spearmanr(target, predicted).statistic) and row["n"] == 20
    assert row["interval_low"] < row["value"] < row["interval_high"]
    assert ("rattle", "judge_spearman") not in table.index
    drawn = draw_generator_cards(cards_table(cards))
    adherence = drawn.axes[1]
    labels = [label.get_text() for label in adherence.get_yticklabels()]
    assert labels == [name for name in cards if cards[name]["adherence"] is not None]
    words = [text.get_text() for axes in drawn.axes for text in axes.texts]
    assert any(f"the judge reaches {row['value']:.2f}" in text for text in words)
    assert "smact14" in table.loc[("rattle", "composition_valid"), "meaning"]
    save_figure(draw_generator_cards(cards_table(cards)), tmp_path / "cards.png")
    assert (tmp_path / "cards.png").stat().st_size > 10_000
    with pytest.raises(ValueError, match="30 crystals, but 3"):
        generator_card(elements, training, conditions=[1, 2, 3], judged=[1, 2, 3])


def test_mean_of_cards_has_the_t_interval_over_runs_within_what_a_share_can_be():
    def runs(*values, unit="share"):
        rows = [("g", "valid", value, value - 0.1, value + 0.1, 10, unit, "m") for value in values]
        return pd.DataFrame(rows, columns=list(CARD_COLUMNS))

    mean = mean_cards(runs(0.4, 0.6)).iloc[0]
    # Two runs: t(0.975, 1) = 12.706 times the standard error 0.1 is wider than [0, 1].
    assert (mean["value"], mean["n"]) == (pytest.approx(0.5), 20)
    assert (mean["interval_low"], mean["interval_high"]) == (0.0, 1.0)
    mean = mean_cards(runs(0.50, 0.51, 0.52)).iloc[0]
    margin = 4.302653 * 0.01 / 3**0.5
    assert mean["interval_low"] == pytest.approx(0.51 - margin, abs=1e-7)
    assert mean["interval_high"] == pytest.approx(0.51 + margin, abs=1e-7)
    single = mean_cards(runs(0.4)).iloc[0]
    assert (single["interval_low"], single["interval_high"]) == (pytest.approx(0.3), pytest.approx(0.5))


def test_only_valid_structures_are_judged(jarvis_crystals):
    class AtomCounter:
        def predict(self, crystals):
            return np.array([float(len(crystal.species)) for crystal in crystals])

    good = jarvis_crystals[0][0]
    broken = Crystal("broken", ("Na", "Cl"), np.eye(3) * 4, np.zeros((2, 3)))
    judged = judge([broken, good, broken], AtomCounter())
    assert np.isnan(judged).tolist() == [True, False, True]
    assert judged[1] == len(good.species)
