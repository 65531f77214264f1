"""Drawing genes for a target: references, distances to windows, turns and the choice of latents."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from matwheel.chapters.wycryst.gene_screens import gene_validity
from matwheel.core.errors import InputError
from matwheel.generators.mpvae.generator import MPVAE, PROPERTIES
from matwheel.generators.mpvae.sampling import (
    FEWEST_REFERENCES,
    draw_genes,
    reference_rows,
    violation,
)
from matwheel.generators.mpvae.sampling_settings import SamplingSettings
from matwheel.verdicts import PASS
from matwheel.wyckoff.gene_rows import genes_of_table
from matwheel.wyckoff.gene_targets import Target
from matwheel.wyckoff.wyckoff_genes import genes_of_arrays, parse_gene

TABLE = pd.read_csv(Path(__file__).resolve().parents[3] / "data" / "genes60.csv")
ENERGY, GAP = PROPERTIES
WITH_GAP = TABLE[TABLE[GAP] > 0]
TARGET = Target("stable", {ENERGY: (None, -1.0), GAP: (1.0, 4.0)})
NOWHERE = Target("nowhere", {ENERGY: (0.5, 0.6), GAP: (7.0, None)})


def silent(message: str) -> None:
    pass


@pytest.fixture(scope="module")
def model() -> MPVAE:
    made = MPVAE.from_settings(
        {
            "width": 32, "embedding_width": 16, "latent_width": 8, "batch_size": 32, "pretraining_steps": 60,
            "fine_tuning_steps": 60, "validate_every": 60, "pretraining_rate": 5e-3,
            "fine_tuning_rate": 5e-3, "augment": False, "device": "cpu",
        }
    )  # fmt: skip
    labels = TABLE[list(PROPERTIES)].to_numpy(dtype=float)
    for train in (made.pretrain, made.fine_tune):
        train(
            [parse_gene(text) for text in TABLE["gene"]],
            labels,
            validation_genes=[],
            validation_labels=labels[:0],
            seed=1,
            log=silent,
        )
    return made


def test_references_are_the_rows_inside():
    said: list[str] = []
    rows = reference_rows(TABLE, TARGET, said.append)
    wanted = [
        row.id
        for row in TABLE.itertuples()
        if row.formation_energy_ev_per_atom <= -1 and 1 <= row.band_gap_ev <= 4
    ]
    assert rows["id"].tolist() == wanted and 1 < len(wanted) < len(WITH_GAP) and not said
    groups = Target("cubic", {ENERGY: (None, 0.0)}, (195, 230))
    cubic = WITH_GAP[(WITH_GAP["space_group"] >= 195) & (WITH_GAP[ENERGY] <= 0)]
    if len(cubic):
        assert reference_rows(TABLE, groups, silent)["id"].tolist() == cubic["id"].tolist()
    # A metal is no reference, even where the windows would take it.
    assert (reference_rows(TABLE, Target("any", {ENERGY: (None, 5.0)}), silent)[GAP] > 0).all()


def test_without_a_target_all_rows_with_a_gap_are_references():
    table = TABLE.copy()
    table.loc[table.index[:3], GAP] = np.nan
    rows = reference_rows(table, None, silent)
    assert rows["id"].tolist() == table[table[GAP] > 0]["id"].tolist()


def test_the_nearest_rows_serve_where_none_is_inside():
    said: list[str] = []
    rows = reference_rows(TABLE, NOWHERE, said.append)
    assert len(rows) == min(FEWEST_REFERENCES, len(WITH_GAP)) < len(WITH_GAP)
    assert said == [
        "WARNING: no training row meets target nowhere; drawing around the 20 nearest rows. "
        "Widen the windows, or add crystals that have these properties"
    ]
    distance = (0.5 - WITH_GAP[ENERGY]) / WITH_GAP[ENERGY].std() + (7.0 - WITH_GAP[GAP]) / WITH_GAP[GAP].std()
    nearest = distance.sort_values(kind="stable").index[:FEWEST_REFERENCES]
    assert rows.index.tolist() == sorted(nearest)


def test_a_wrong_space_group_counts_as_one_standard_deviation():
    target = Target("triclinic", {ENERGY: (-50.0, -40.0)}, (1, 2))
    rows = reference_rows(TABLE, target, silent)
    distance = (-40.0 - WITH_GAP[ENERGY]).abs() / WITH_GAP[ENERGY].std() + (WITH_GAP["space_group"] > 2)
    assert rows.index.tolist() == sorted(distance.sort_values(kind="stable").index[:FEWEST_REFERENCES])


def test_no_row_with_a_gap_is_refused():
    table = TABLE.assign(**{GAP: 0.0})
    table.loc[0, GAP] = np.nan
    for target in (None, TARGET):
        with pytest.raises(InputError, match="no training row has a band gap above 0"):
            reference_rows(table, target, silent)


def test_violation_is_the_distance_to_the_windows():
    values = {ENERGY: np.array([-2.0, -1.0, 0.0, -1.0]), GAP: np.array([2.0, 1.0, 0.0, 6.0])}
    scales = {ENERGY: 0.5, GAP: 2.0}
    assert violation(values, TARGET, scales, 4).tolist() == [0.0, 0.0, 2.0 + 0.5, 1.0]
    assert violation(values, Target("any", {ENERGY: (None, None)}), scales, 4).tolist() == [0.0] * 4
    assert violation(values, Target("one", {GAP: (None, 1.0)}), scales, 4).tolist() == [0.5, 0.0, 0.0, 2.5]
    assert violation(values, Target("none", {}), scales, 4).tolist() == [0.0] * 4


def test_drawing_is_the_same_for_a_seed_and_another_for_another(model):
    one, two, other = (draw_genes(model, TABLE, TARGET, 80, seed=seed, log=silent) for seed in (1, 1, 2))
    assert genes_of_arrays(one.genes) == genes_of_arrays(two.genes) != genes_of_arrays(other.genes)
    for name in ("latents", "predicted", "reference"):
        assert np.array_equal(getattr(one, name), getattr(two, name))
        assert not np.array_equal(getattr(one, name), getattr(other, name))


def test_what_is_drawn_fits_together(model):
    said: list[str] = []
    drawn = draw_genes(model, TABLE, TARGET, 60, largest_atoms=16, seed=1, log=said.append)
    assert len(drawn.genes) == len(drawn.latents) == len(drawn.predicted) == len(drawn.reference) == 60
    assert np.allclose(drawn.predicted, model.predict(drawn.latents)[0])
    assert set(drawn.reference) <= set(reference_rows(TABLE, TARGET, silent)["id"])
    assert (drawn.genes.atoms_in_primitive_cell <= 16).all()
    ids = [str(row) for row in range(60)]
    verdicts = gene_validity(ids, drawn.genes, numbers_of_elements=(1, 2, 3))["verdict"]
    assert (verdicts == PASS).all()
    assert said == [f"60 genes drawn around {len(reference_rows(TABLE, TARGET, silent))} reference rows"]
    cubic = Target("cubic", {GAP: (0.0, None)}, (195, 230))
    groups = draw_genes(model, TABLE, cubic, 40, seed=1, log=silent).genes.space_group
    assert ((groups >= 195) & (groups <= 230)).all()


def test_references_take_turns(model):
    references = reference_rows(TABLE, TARGET, silent)
    settings = SamplingSettings(latents_per_reference=3, latent_choice=1)
    n = 3 * len(references)
    drawn = draw_genes(model, TABLE, TARGET, 2 * n + 4, settings=settings, seed=1, log=silent)
    blocks = drawn.reference[: 2 * n].reshape(-1, 3)
    assert (blocks == blocks[:, :1]).all()
    turns = blocks[:, 0].reshape(2, -1)
    assert all(sorted(turn) == sorted(references["id"]) for turn in turns)
    assert len(set(drawn.reference[2 * n : 2 * n + 3])) == 1


def test_without_noise_the_latents_are_those_of_the_references(model):
    settings = SamplingSettings(latent_noise=0.0, latents_per_reference=1, temperature=0.0)
    drawn = draw_genes(model, TABLE, None, 46, settings=settings, seed=1, log=silent)
    rows = TABLE.set_index("id").loc[list(drawn.reference)].reset_index()
    means, deviations = model.encode(genes_of_table(rows))
    assert np.allclose(drawn.latents, means, atol=1e-5)
    assert genes_of_arrays(drawn.genes) == genes_of_arrays(
        model.decode(drawn.latents, seed=9, temperature=0.0)
    )
    wide = SamplingSettings(latent_noise=2.0, latents_per_reference=1)
    drawn = draw_genes(model, TABLE, None, 460, settings=wide, seed=1, log=silent)
    rows = TABLE.set_index("id").loc[list(drawn.reference)].reset_index()
    means, deviations = model.encode(genes_of_table(rows))
    assert ((drawn.latents - means) / deviations).std() == pytest.approx(2.0, rel=0.1)


def test_the_choice_of_latents_moves_predictions_towards_the_windows(model):
    target = Target("narrow", {ENERGY: (None, -2.0), GAP: (2.5, 3.5)})
    scales = model.property_scales()
    outside = []
    for choice in (1, 4):
        settings = SamplingSettings(latent_choice=choice, latents_per_reference=5)
        drawn = draw_genes(model, TABLE, target, 100, settings=settings, seed=1, log=silent)
        assert len(drawn.genes) == 100
        outside.append(violation(dict(zip(PROPERTIES, drawn.predicted.T, strict=True)), target, scales, 100))
    assert outside[1].mean() < 0.7 * outside[0].mean() and outside[1].max() < outside[0].max()
    # Without windows there is nothing to choose by.
    one, four = (
        draw_genes(model, TABLE, None, 30, settings=SamplingSettings(latent_choice=k), seed=1, log=silent)
        for k in (1, 4)
    )
    assert np.array_equal(one.latents, four.latents)


def test_references_that_are_too_large_are_left_out(model):
    table = TABLE[TABLE[GAP] > 0].copy()
    large = table["id"].iloc[0]
    table.loc[table.index[0], "gene"] = "1 Na:a16 Cl:a16"
    drawn = draw_genes(model, table, None, 60, settings=SamplingSettings(latents_per_reference=1), seed=1,
                       log=silent)  # fmt: skip
    assert set(drawn.reference) == set(table["id"]) - {large}
    with pytest.raises(InputError, match="none of the reference rows is small enough"):
        draw_genes(model, table.iloc[:1], None, 5, seed=1, log=silent)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"latent_noise": -0.1}, "latent_noise is -0.1; give a number from 0"),
        ({"latent_noise": float("nan")}, "latent_noise is nan"),
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"latents_per_reference": 0}, "give a whole number from 1"),
        ({"latent_choice": 0}, "give a whole number from 1"),
    ],
)
def test_wrong_settings_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        SamplingSettings(**changes)


def test_a_target_of_space_groups_only_takes_the_nearest_rows():
    rows = reference_rows(TABLE, Target("one group", {}, (230, 230)), silent)
    assert rows["id"].tolist() == WITH_GAP["id"].tolist()[:FEWEST_REFERENCES]


def test_a_window_of_what_the_model_does_not_predict_chooses_references_only(model):
    target = Target("on the hull", {"e_above_hull_ev_per_atom": (None, 0.01), GAP: (1.0, 4.0)})
    drawn = draw_genes(model, TABLE, target, 20, seed=1, log=silent)
    assert len(drawn.genes) == 20
    assert set(drawn.reference) <= set(reference_rows(TABLE, target, silent)["id"])


def test_an_unknown_property_is_not_near():
    table = TABLE.assign(**{ENERGY: TABLE[ENERGY].where(TABLE["id"] != WITH_GAP["id"].iloc[0])})
    rows = reference_rows(table, Target("zero", {ENERGY: (0.5, 0.6)}), silent)
    assert rows[ENERGY].notna().all()


def test_no_gene_can_be_asked_for(model):
    assert len(draw_genes(model, TABLE, TARGET, 0, seed=1, log=silent).genes) == 0
