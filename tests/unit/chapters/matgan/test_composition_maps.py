"""Maps of composition space and distributions of properties."""

import time

import numpy as np
import pandas as pd
import pytest

from matwheel.chapters.matgan.composition_maps import (
    MapSettings,
    composition_map,
    draw_composition_maps,
    draw_property_distributions,
    kernel_density,
    wasserstein_table,
)
from matwheel.core.errors import InputError
from matwheel.figures.figures import save_figure


def compositions(rows: int, elements: range, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    counts = np.zeros((rows, 85), dtype=np.uint8)
    for row in counts:
        row[generator.choice(elements, size=2, replace=False)] = generator.integers(1, 3, size=2)
    return counts


@pytest.fixture(scope="module")
def points():
    groups = {"training": compositions(120, range(5)), "generated": compositions(60, range(40, 45), seed=1)}
    return composition_map(groups, settings=MapSettings(iterations=300, perplexity=15), seed=3)


def test_maps_keep_unlike_compositions_apart(points):
    assert points.columns.tolist() == ["group", "row", "x", "y"]
    assert points["group"].value_counts().to_dict() == {"training": 120, "generated": 60}
    places = points[["x", "y"]].to_numpy()
    distance = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    group = points["group"].to_numpy()
    assert (group[distance.argmin(axis=1)] == group).mean() > 0.95


def test_maps_repeat_themselves_and_are_thinned_in_proportion():
    groups = {"training": compositions(300, range(30)), "held_out": compositions(100, range(30), seed=1)}
    settings = MapSettings(largest_points=40, iterations=250, perplexity=5)
    one, two, three = (composition_map(groups, settings=settings, seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(one, two)
    assert not one.equals(three)
    assert one["group"].value_counts().to_dict() == {"training": 30, "held_out": 10}
    assert one.loc[one["group"] == "training", "row"].is_unique and one["row"].max() < 300


def test_map_figures_are_small_and_repeat_themselves(points, tmp_path):
    many = pd.concat([points] * 100)
    panels = [["training"], ["generated", "training"]]
    for name in ("one.svg", "two.svg"):
        save_figure(draw_composition_maps(many, panels, title="Composition space"), tmp_path / name)
    text = (tmp_path / "one.svg").read_bytes()
    assert text == (tmp_path / "two.svg").read_bytes()
    assert len(text) < 1_000_000 and b"<image" in text
    axes = draw_composition_maps(points, panels).axes
    assert [len(panel.collections) for panel in axes] == [1, 2]
    # A group keeps its colour in every panel.
    first, second = axes[0].collections[0], axes[1].collections[1]
    assert np.array_equal(first.get_facecolor(), second.get_facecolor())
    assert len(second.get_offsets()) == 120


def test_wasserstein_distances():
    generator = np.random.default_rng(0)
    values = {
        "training": generator.normal(size=3000),
        "generated": generator.normal(size=3000),
        "enumerated": generator.normal(2.0, size=3000),
    }
    table = wasserstein_table(values, "training", seed=1, replicates=100).set_index("set")
    assert table.index.tolist() == ["training, two halves", "generated", "enumerated"]
    assert table.loc["enumerated", "distance"] == pytest.approx(2.0, abs=0.1)
    far = table.loc["enumerated"]
    assert 1.85 < far["distance_low"] < far["distance"] < far["distance_high"] < 2.15
    assert table.loc["generated", "distance"] < 0.1
    assert table.loc["training, two halves", "distance"] < 0.1
    assert table.loc["enumerated", "median"] == np.median(values["enumerated"])
    assert table["quartile_low"].lt(table["median"]).all()
    again = wasserstein_table(values, "training", seed=1, replicates=100).set_index("set")
    pd.testing.assert_frame_equal(table, again)


@pytest.mark.parametrize("lowest", [None, 0.0])
def test_densities_integrate_to_one(lowest):
    values = np.random.default_rng(0).exponential(size=200_000)
    grid = np.linspace(-3 if lowest is None else 0, 25, 4000)
    started = time.process_time()
    density = kernel_density(values, grid, lowest=lowest)
    assert time.process_time() - started < 1
    step = grid[1] - grid[0]
    assert density.sum() * step == pytest.approx(1, abs=0.01)
    middle = (grid > 0.5) & (grid < 4)
    np.testing.assert_allclose(density[middle], np.exp(-grid[middle]), rtol=0.1)
    # Without the edge the density at 0 is smeared out over both sides.
    assert density[np.abs(grid).argmin()] == pytest.approx(0.5 if lowest is None else 1.0, abs=0.1)


def test_distribution_figures(tmp_path):
    generator = np.random.default_rng(0)
    values = {"training": generator.gamma(2, size=500), "generated": generator.gamma(3, size=400)}
    distances = wasserstein_table(values, "training", seed=0, replicates=50)
    for name in ("one.svg", "two.svg"):
        figure = draw_property_distributions(
            values, label="predicted band gap (eV)", title="Band gaps", distances=distances, lowest=0.0
        )
        save_figure(figure, tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    words = " ".join(text.get_text() for text in figure.axes[0].texts)
    assert f"{distances['distance'][1]:.3g}" in words and f"{np.median(values['generated']):.3g}" in words
    assert figure.axes[0].get_xlim()[0] == 0


def test_wrong_input_is_refused(points):
    with pytest.raises(InputError, match="too few"):
        composition_map({"training": compositions(5, range(9))}, seed=0)
    with pytest.raises(InputError, match="no points of 'held_out'"):
        draw_composition_maps(points, [["held_out"]])
    with pytest.raises(InputError, match="no panel"):
        draw_composition_maps(points, [])
    with pytest.raises(InputError, match="no set 'training'"):
        wasserstein_table({"generated": np.zeros(5)}, "training", seed=0)
    with pytest.raises(InputError, match="generated: give at least two finite"):
        wasserstein_table({"generated": np.array([1.0, np.nan])}, "generated", seed=0)
    with pytest.raises(InputError, match="no set of values"):
        draw_property_distributions({}, label="")
    with pytest.raises(InputError, match="perplexity"):
        MapSettings(perplexity=1)
