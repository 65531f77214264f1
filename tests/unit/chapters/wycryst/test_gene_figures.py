"""Figures of generated genes: what they print, that nothing is lost, the same bytes every time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from matwheel.candidates.funnel import funnel_counts
from matwheel.chapters.wycryst.gene_distributions import JudgedGenes
from matwheel.chapters.wycryst.gene_figures import (
    draw_energy_parity,
    draw_latent_maps,
    draw_property_densities,
    draw_survivors,
)
from matwheel.chapters.wycryst.gene_screens import charge_neutrality, one_anion, property_window
from matwheel.figures.figures import save_figure
from matwheel.generators.null_genes import random_genes
from matwheel.wyckoff.gene_targets import Target
from matwheel.wyckoff.wyckoff_genes import gene_arrays, parse_gene

TABLE = pd.read_csv(Path(__file__).resolve().parents[3] / "data" / "genes60.csv")
ARRAYS = gene_arrays([parse_gene(text) for text in TABLE["gene"]])
ENERGY, GAP = "formation_energy_ev_per_atom", "band_gap_ev"
TARGETS = [
    Target("condition_1", {ENERGY: [None, -0.5], GAP: [1.2, 1.8]}, (195, 230)),
    Target("condition_2", {ENERGY: [None, -1.0]}, (143, 230)),
]


def judged(rows):
    properties = {name: TABLE[name].to_numpy()[rows] for name in (ENERGY, GAP)}
    return JudgedGenes(ARRAYS[rows], np.arange(len(rows), dtype=np.uint64), properties)


def densities():
    low = np.flatnonzero(TABLE[ENERGY] < -0.8)
    sets = {
        "training": judged(np.arange(60)),
        "unconditional": judged(np.arange(0, 60, 2)),
        "conditional": judged(low),
    }
    return draw_property_densities([(target, sets) for target in TARGETS])


def maps():
    points = np.random.default_rng(0).normal(size=(60, 2))
    gap = TABLE[GAP].where(TABLE[GAP] > 0).to_numpy()
    return draw_latent_maps(
        points,
        space_group=TABLE["space_group"],
        properties={GAP: gap, ENERGY: TABLE[ENERGY]},
        explained=[0.4, 0.2],
    )


def parity():
    predicted = TABLE[ENERGY].to_numpy()
    validated = predicted + np.where(np.arange(60) % 2, 0.1, -0.3)
    validated[:4] = np.nan
    return draw_energy_parity(predicted, validated, groups=["mpvae", "random"] * 30)


def survivors():
    ids = [f"g-{place:06d}" for place in range(200)]
    counts = {}
    for seed, name in enumerate(("mpvae", "random genes")):
        genes = random_genes(ARRAYS, 200, seed=seed)
        tables = [
            charge_neutrality(ids, genes),
            one_anion(ids, genes, most_anions=0),
            property_window(ids, {"space_group": genes.space_group}, {"space_group": (230, 230)}),
        ]
        screens = [table["screen"].iloc[0] for table in tables]
        counts[name] = funnel_counts(pd.concat(tables), ids, screens)
    return draw_survivors(counts), counts


def words(axes):
    return [text.get_text() for text in axes.texts]


def test_densities_print_the_share_inside_each_window():
    figure = densities()
    assert len(figure.axes) == 6
    shares = [words(axes) for axes in figure.axes]
    conditional = TABLE[TABLE[ENERGY] < -0.8]
    assert shares[0][0] == f"{100 * (TABLE[ENERGY] <= -0.5).mean():.1f} %" and shares[0][2] == "100.0 %"
    assert shares[1][2] == f"{100 * conditional[GAP].between(1.2, 1.8).mean():.1f} %"
    assert shares[4] == []  # condition 2 asks for no band gap
    assert shares[5][0] == f"{100 * (TABLE['space_group'] >= 143).mean():.1f} %"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "training",
        "unconditional",
        "conditional",
    ]
    # The space groups of all 60 training rows are in the bins.
    heights = figure.axes[2].patches[0].get_data().values
    assert heights.sum() == pytest.approx(1.0)


def test_a_property_that_is_not_known_is_said():
    genes = JudgedGenes(ARRAYS, np.arange(60, dtype=np.uint64), {ENERGY: TABLE[ENERGY], GAP: [np.nan] * 60})
    figure = draw_property_densities([(TARGETS[0], {"training": genes})])
    assert words(figure.axes[1]) == ["not known"]
    with pytest.raises(ValueError, match="no target"):
        draw_property_densities([])


def test_maps_draw_every_gene_once_per_panel():
    figure = maps()
    panels = [axes for axes in figure.axes if axes.get_title("left")]
    assert [axes.get_title("left") for axes in panels] == [
        "a  band gap",
        "b  formation energy",
        "c  crystal system",
    ]
    for axes in panels:
        assert sum(len(drawn.get_offsets()) for drawn in axes.collections) == 60
    assert panels[0].get_xlabel() == "component 1 (40 % of the variance)"
    with pytest.raises(ValueError, match="shape"):
        draw_latent_maps(np.zeros((3, 3)), space_group=[1, 2, 3], properties={})
    with pytest.raises(ValueError, match="shape"):
        draw_latent_maps(np.zeros((3, 2)), space_group=[1, 2, 3], properties={GAP: [1.0]})


def test_large_maps_are_thinned_and_say_so():
    n = 30_000
    figure = draw_latent_maps(np.zeros((n, 2)), space_group=np.full(n, 225), properties={})
    assert len(figure.axes[0].collections[0].get_offsets()) == 20_000
    assert any("20,000 of 30,000 genes" in text.get_text() for text in figure.texts)


def test_parity_prints_errors_of_each_group_and_what_is_left_out():
    figure = parity()
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == [
        "mpvae: MAE 0.300 eV/atom, bias +0.300, n = 28",
        "random: MAE 0.100 eV/atom, bias −0.100, n = 28",
        "all: MAE 0.200 eV/atom, bias +0.100, n = 56",
    ]
    assert any("4 without a value" in text.get_text() for text in figure.texts)
    nothing = draw_energy_parity([np.nan], [1.0])
    assert any("No candidate has both values" in text.get_text() for text in nothing.texts)
    with pytest.raises(ValueError, match="as many"):
        draw_energy_parity([1.0, 2.0], [1.0])


def test_survivors_print_how_many_are_left():
    figure, counts = survivors()
    expected = [f"{alive:,}" for table in counts.values() for alive in table["alive"]]
    assert words(figure.axes[0]) == expected
    assert "mpvae (n = 200)" in [text.get_text() for text in figure.legends[0].get_texts()]
    with pytest.raises(ValueError, match="same screens"):
        draw_survivors({"one": counts["mpvae"], "other": counts["mpvae"].head(1)})
    with pytest.raises(ValueError, match="same screens"):
        draw_survivors({})


@pytest.mark.parametrize("draw", [densities, maps, parity, lambda: survivors()[0]])
def test_same_content_same_bytes(draw, tmp_path):
    for name in ("one.svg", "other.svg"):
        save_figure(draw(), tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "other.svg").read_bytes()
