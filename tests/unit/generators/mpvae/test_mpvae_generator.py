"""The MPVAE: what its labels teach, seeds, interruptions, files, refusals, and that it learns."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from interrupted_training import BreaksOff, Interrupted, checkpoint_after_every_step

from matwheel.chapters.wycryst.gene_screens import gene_validity
from matwheel.core.errors import InputError
from matwheel.generators.mpvae.generator import MPVAE, PROPERTIES
from matwheel.generators.mpvae.scores import model_scores
from matwheel.training.checkpoints import TrainingCheckpoint
from matwheel.verdicts import PASS
from matwheel.wyckoff.wyckoff_genes import genes_of_arrays, parse_gene

TABLE = pd.read_csv(Path(__file__).resolve().parents[3] / "data" / "genes60.csv")
GENES = [parse_gene(text) for text in TABLE["gene"]]
LABELS = TABLE[list(PROPERTIES)].to_numpy(dtype=float)
TRAIN = 45
SMALL = {
    "width": 32,
    "embedding_width": 16,
    "latent_width": 8,
    "batch_size": 32,
    "pretraining_steps": 20,
    "fine_tuning_steps": 20,
    "validate_every": 20,
    "device": "cpu",
}
TOO_LARGE = parse_gene("1 Na:a16 Cl:a16")


def silent(message: str) -> None:
    pass


def rows(**changes) -> dict:
    """Training and validation rows for `pretrain` and `fine_tune`."""
    data = {
        "genes": GENES[:TRAIN],
        "labels": LABELS[:TRAIN],
        "validation_genes": GENES[TRAIN:],
        "validation_labels": LABELS[TRAIN:],
        "seed": 1,
        "log": silent,
    }
    return data | changes


def pretrained(settings: dict | None = None, **changes) -> tuple[MPVAE, dict]:
    model = MPVAE.from_settings(SMALL | (settings or {}))
    return model, model.pretrain(**rows(**changes))


def started(settings: dict | None = None, **changes) -> MPVAE:
    """A model with fresh weights only."""
    model = MPVAE.from_settings(SMALL | (settings or {}) | {"transfer": False})
    model.pretrain(**rows(**changes))
    model._network.eval()
    return model


def fitted(settings: dict | None = None, **changes) -> tuple[MPVAE, dict, dict]:
    model, first = pretrained(settings, **changes)
    return model, first, model.fine_tune(**rows(**changes))


def weights(model: MPVAE) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model._network.state_dict().items()}


def differing(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> set[str]:
    assert one.keys() == other.keys()
    return {name for name in one if not torch.equal(one[name], other[name])}


def test_the_same_seed_gives_the_same_bits_and_another_does_not():
    state = torch.get_rng_state()
    one, *reports = fitted()
    two, *again = fitted()
    other, *_ = fitted(seed=2)
    assert differing(weights(one), weights(two)) == set() and reports == again
    assert len(differing(weights(one), weights(other))) == len(weights(one))
    assert torch.equal(torch.get_rng_state(), state)
    latents, _ = one.encode(GENES)
    drawn = [genes_of_arrays(one.decode(latents, seed=seed, temperature=1.0)) for seed in (3, 3, 4)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert torch.equal(torch.get_rng_state(), state)


def test_scales_are_those_of_the_training_rows():
    model, _ = pretrained()
    gaps = LABELS[:TRAIN, 1]
    scales = model.property_scales()
    assert list(scales) == list(PROPERTIES)
    assert scales["formation_energy_ev_per_atom"] == pytest.approx(LABELS[:TRAIN, 0].std(), rel=1e-5)
    assert scales["band_gap_ev"] == pytest.approx(gaps[gaps > 0].std(), rel=1e-5)


def test_validation_labels_choose_the_state_and_nothing_else():
    changed = np.where(LABELS[TRAIN:] > 0, LABELS[TRAIN:] + 5.0, LABELS[TRAIN:] - 3.0)
    one, first, second = fitted()
    two, *_ = fitted(validation_labels=changed)
    assert differing(weights(one), weights(two)) == set()
    assert one.property_scales() == two.property_scales()
    # With several looks the kept state may be another, but the training is the same.
    (_, ours), (_, theirs) = (
        pretrained({"validate_every": 5}, **more) for more in ({}, {"validation_labels": changed})
    )
    assert len(ours["curve"]) == 4
    assert [e["training_loss"] for e in ours["curve"]] == [e["training_loss"] for e in theirs["curve"]]
    assert [e["score"] for e in ours["curve"]] != [e["score"] for e in theirs["curve"]]
    assert (first["rows"], first["kept_step"]) == (TRAIN, 20)
    assert second["rows"] == int((LABELS[:TRAIN, 1] > 0).sum())


def test_pretraining_does_not_learn_gaps():
    model, _ = pretrained()
    other_gaps = LABELS[:TRAIN].copy()
    other_gaps[:, 1] = np.where(other_gaps[:, 1] > 0, 9.0 - other_gaps[:, 1], 1.0)
    other, _ = pretrained(labels=other_gaps)
    assert differing(weights(model), weights(other)) == set()
    before, after = weights(started()), weights(model)
    last = max(name for name in before if name.startswith("head.") and name.endswith(".weight"))
    assert torch.equal(before[last][1], after[last][1])
    assert not torch.equal(before[last][0], after[last][0])


def test_unknown_labels_teach_nothing():
    unknown = LABELS[:TRAIN].copy()
    unknown[:, 0] = np.nan
    model, report = pretrained(labels=unknown)
    before, after = weights(started()), weights(model)
    last = max(name for name in before if name.startswith("head.") and name.endswith(".weight"))
    assert torch.equal(before[last][:2], after[last][:2])  # neither energy nor gap
    assert not torch.equal(before[last][2:], after[last][2:])  # the crystal system is always known
    assert report["rows"] == TRAIN and np.isfinite(report["best_score"])
    some = LABELS.copy()
    some[::2, 0], some[1::4, 1] = np.nan, np.nan
    model, _, report = fitted(labels=some[:TRAIN], validation_labels=some[TRAIN:])
    assert report["rows"] == int((some[:TRAIN, 1] > 0).sum()) and np.isfinite(report["best_score"])
    assert all(value.isfinite().all() for value in weights(model).values())
    known = some[:TRAIN, 0][np.isfinite(some[:TRAIN, 0])]
    assert model.property_scales()["formation_energy_ev_per_atom"] == pytest.approx(known.std(), rel=1e-5)


def test_without_transfer_there_is_no_pretraining():
    model, report = pretrained({"transfer": False, "freeze_encoder": True})
    assert report == {"steps": 0, "kept_step": 0, "rows": 0, "curve": []}
    before = weights(model)
    assert model.fine_tune(**rows())["steps"] == 20
    # A frozen encoder that has learnt nothing would stay random, so it is not frozen.
    assert {"element_embedding.weight", "reader.0.weight"} <= differing(before, weights(model))


@pytest.mark.parametrize("network", ["sites", "published"])
def test_a_frozen_encoder_stays_as_it_is(network):
    model, _ = pretrained({"network": network, "freeze_encoder": True})
    frozen = [
        f"{name}.{key}"
        for name, part in model._network.named_modules()
        if part in model._network.encoder_parts()
        for key in part.state_dict()
    ]
    before = weights(model)
    model.fine_tune(**rows())
    changed = differing(before, weights(model))
    assert frozen and not changed & set(frozen)
    others = {name for name, _ in model._network.named_parameters()} - set(frozen)
    assert others and len(changed & others) > 0.9 * len(others)
    assert all(weight.requires_grad for weight in model._network.parameters())
    if network == "published":
        assert any(name.endswith("running_var") for name in frozen)
        assert "convolutions.1.num_batches_tracked" in frozen
    free, _, _ = fitted({"network": network})
    assert set(frozen) <= differing(before, weights(free))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"network": "published", "optimiser": "rmsprop"},
        {"largest_gradient_norm": 0.5, "average_decay": 0.9},
    ],
)
def test_an_interrupted_training_ends_in_the_same_bits(settings, tmp_path, monkeypatch):
    settings = settings | {"validate_every": 3, "freeze_encoder": True}
    whole, *reports = fitted(settings)
    checkpoint_after_every_step(monkeypatch)
    first = tmp_path / "pretraining.checkpoint"
    with pytest.raises(Interrupted):
        pretrained(settings, checkpoint=BreaksOff(first, "a", saves=2))
    said: list[str] = []
    resumed, report = pretrained(settings, checkpoint=TrainingCheckpoint(first, "a"), log=said.append)
    assert any("pre-training: resumed at step 2" in line for line in said) and report == reports[0]
    resumed.save(tmp_path / "pretrained.pt")

    second = tmp_path / "fine-tuning.checkpoint"
    with pytest.raises(Interrupted):
        resumed.fine_tune(**rows(checkpoint=BreaksOff(second, "b", saves=2)))
    again = MPVAE.load(tmp_path / "pretrained.pt", device="cpu")
    said.clear()
    report = again.fine_tune(**rows(checkpoint=TrainingCheckpoint(second, "b"), log=said.append))
    assert any("fine-tuning: resumed at step 2" in line for line in said) and report == reports[1]
    assert differing(weights(again), weights(whole)) == set()


@pytest.mark.parametrize("network", ["sites", "published"])
def test_a_saved_model_predicts_and_writes_the_same(network, tmp_path):
    model, *_ = fitted({"network": network})
    model.save(tmp_path / "model.pt")
    loaded = MPVAE.load(tmp_path / "model.pt", device="cpu")
    assert loaded.settings == model.settings and loaded.element_numbers == model.element_numbers == (2, 3)
    assert loaded.property_scales() == model.property_scales()
    ours, theirs = model.encode(GENES), loaded.encode(GENES)
    for one, other in (
        *zip(ours, theirs, strict=True),
        *zip(model.predict(ours[0]), loaded.predict(ours[0]), strict=True),
    ):
        assert np.array_equal(one, other)
    for temperature in (0.0, 1.0):
        one, other = (own.decode(ours[0], seed=3, temperature=temperature) for own in (model, loaded))
        assert genes_of_arrays(one) == genes_of_arrays(other)
    with pytest.raises(FileNotFoundError):
        MPVAE.load(tmp_path / "none.pt")


def test_what_it_gives(tmp_path):
    model, *_ = fitted()
    means, deviations = model.encode(GENES)
    assert means.shape == deviations.shape == (60, 8) and (deviations > 0).all()
    assert np.isfinite(means).all() and np.array_equal(model.encode(GENES[5:6])[0].shape, (1, 8))
    values, systems = model.predict(means)
    assert values.shape == (60, 2) and values.dtype == np.float64 and np.isfinite(values).all()
    assert systems.shape == (60,) and set(systems) <= set(range(7))
    assert model.encode([])[0].shape == (0, 8) and model.predict(means[:0])[0].shape == (0, 2)
    groups = np.array([gene.space_group for gene in GENES])
    written = model.decode(means, seed=1, temperature=1.0, true_groups=groups, largest_atoms=12)
    assert np.array_equal(written.space_group, groups)
    window = model.decode(means, seed=1, temperature=1.0, space_groups=(1, 15))
    assert (window.space_group <= 15).all()
    # Positions may run out after the first element, never before it.
    verdicts = gene_validity([str(i) for i in range(60)], window, numbers_of_elements=(1, 2, 3))["verdict"]
    assert (verdicts == PASS).all()


def test_equivalent_descriptions_and_rows_that_are_too_large():
    genes = [*GENES[:TRAIN], TOO_LARGE]
    labels = np.vstack([LABELS[:TRAIN], [[-1.0, 99.0]]])
    model, report = pretrained(genes=genes, labels=labels)
    assert not model.learns_from(TOO_LARGE) and report["rows"] == TRAIN
    assert report["descriptions"] > TRAIN
    assert model.property_scales() == started().property_scales()
    _, report = pretrained({"augment": False})
    assert report["rows"] == report["descriptions"] == TRAIN
    larger, report = pretrained({"largest_atoms": 32}, genes=genes, labels=labels)
    assert larger.learns_from(TOO_LARGE) and report["rows"] == TRAIN + 1


def test_nothing_of_validation_goes_on_with_the_training_rows():
    said: list[str] = []
    empty = {"validation_genes": [], "validation_labels": LABELS[:0], "log": said.append}
    _, first, second = fitted(**empty)
    assert first["steps"] == second["steps"] == 20 and np.isfinite(second["best_score"])
    for name in ("pre-training", "fine-tuning"):
        assert (
            f"{name}: no validation row can be used; the training rows choose the state that is kept" in said
        )
    said.clear()
    _, report = pretrained(validation_genes=[TOO_LARGE], validation_labels=LABELS[:1], log=said.append)
    assert "no validation row can be used" in said[0] and report["steps"] == 20


def test_validation_without_gaps_serves_as_it_is():
    flat = LABELS[TRAIN:].copy()
    flat[:, 1] = 0.0
    said: list[str] = []
    model, _ = pretrained()
    report = model.fine_tune(**rows(validation_labels=flat, log=said.append))
    assert report["steps"] == 20 and f"{len(flat)} validation rows" in said[0]


def test_no_row_with_a_gap_is_refused_and_one_will_do():
    labels = LABELS[:TRAIN].copy()
    labels[:, 1] = np.where(np.arange(TRAIN) % 2, 0.0, np.nan)
    model, _ = pretrained(labels=labels)
    with pytest.raises(InputError, match=r"no training row that is small enough .* add rows with gaps"):
        model.fine_tune(**rows(labels=labels))
    labels[3, 1] = 1.0
    report = model.fine_tune(**rows(labels=labels))
    assert report["rows"] == 1 and np.isfinite(report["best_score"])


def test_wrong_use_is_refused():
    with pytest.raises(InputError, match="no weights; call pretrain first"):
        MPVAE.from_settings(SMALL).fine_tune(**rows())
    for use in (lambda m: m.encode(GENES), lambda m: m.predict(np.zeros((1, 8), np.float32))):
        with pytest.raises(InputError, match="no weights"):
            use(MPVAE.from_settings(SMALL))
    with pytest.raises(InputError, match=r"1 of 2 training genes can be learnt from \(at most 20 atoms"):
        pretrained(genes=[GENES[0], TOO_LARGE], labels=LABELS[:2])
    with pytest.raises(InputError, match="steps is 3; there is no such setting"):
        MPVAE.from_settings({"steps": 3})
    with pytest.raises(InputError, match="gene 1 Na:a17 Cl:a has more than"):
        fitted()[0].encode([parse_gene("1 Na:a17 Cl:a")])


@pytest.fixture(scope="module")
def learnt() -> MPVAE:
    """A model that has seen all 60 genes 150 times in each phase."""
    settings = {
        "width": 64,
        "latent_width": 16,
        "pretraining_steps": 150,
        "fine_tuning_steps": 150,
        "pretraining_rate": 5e-3,
        "fine_tuning_rate": 5e-3,
        "validate_every": 150,
        "augment": False,
        "dropout": 0.0,
    }
    return fitted(settings, genes=GENES, labels=LABELS, validation_genes=[], validation_labels=LABELS[:0])[0]


def test_a_small_set_is_learnt(learnt):
    settings = dataclasses.asdict(learnt.settings)
    untrained = started(settings, genes=GENES, labels=LABELS)
    ours, theirs = (model_scores(model, GENES, LABELS) for model in (learnt, untrained))
    chosen = LABELS[LABELS[:, 1] > 0]
    spread = np.abs(chosen - chosen.mean(axis=0)).mean(axis=0)
    assert ours["formation_energy_mae_ev_per_atom"] < 0.5 * spread[0]
    assert ours["band_gap_mae_ev"] < 0.5 * spread[1]
    for name in ("space_group_reconstruction", "wyckoff_reconstruction", "crystal_system_accuracy"):
        assert ours[name] > theirs[name] + 0.3, name


def test_scores_fit_together(learnt):
    scores = model_scores(learnt, GENES, LABELS)
    assert scores["gene_reconstruction"] <= scores["crystal_reconstruction"]
    assert scores["gene_reconstruction"] <= scores["wyckoff_reconstruction"]
    assert scores["wyckoff_reconstruction"] <= scores["space_group_reconstruction"] <= 1
    # Rows without a gap and rows that are too large do not count.
    chosen = LABELS[:, 1] > 0
    with_gap = [gene for gene, own in zip(GENES, chosen, strict=True) if own]
    some = np.vstack([LABELS[chosen], [[5.0, 5.0]], [[5.0, np.nan]]])
    again = model_scores(learnt, [*with_gap, TOO_LARGE, GENES[0]], some)
    assert again == pytest.approx(scores)
    predicted, _ = learnt.predict(learnt.encode(with_gap)[0])
    errors = np.abs(predicted - LABELS[chosen]).mean(axis=0)
    assert scores["formation_energy_mae_ev_per_atom"] == pytest.approx(errors[0])
    assert scores["band_gap_mae_ev"] == pytest.approx(errors[1])
    # An unknown energy is left out of the mean error of energies.
    holes = LABELS[chosen].copy()
    holes[0, 0] = np.nan
    left = np.abs(predicted - LABELS[chosen])[1:, 0].mean()
    assert model_scores(learnt, with_gap, holes)["formation_energy_mae_ev_per_atom"] == pytest.approx(left)


def test_no_gene_is_written_for_no_latent(learnt):
    assert len(learnt.decode(np.zeros((0, 16), dtype=np.float32), seed=0, temperature=0.0)) == 0
    scores = model_scores(learnt, GENES[:3], np.full((3, 2), np.nan))
    assert len(scores) == 7 and np.isnan(list(scores.values())).all()


def test_rows_with_gaps_that_are_too_large_are_refused():
    labels = LABELS[:TRAIN].copy()
    labels[:, 1] = 0.0
    genes, labels = [*GENES[:TRAIN], TOO_LARGE, TOO_LARGE], np.vstack([labels, [[-1.0, 1.0], [-1.0, 2.0]]])
    model, _ = pretrained(genes=genes, labels=labels)
    with pytest.raises(InputError, match="gap"):
        model.fine_tune(**rows(genes=genes, labels=labels))


def test_the_published_network_refuses_or_leaves_out_more_elements_than_it_learnt():
    quaternary = parse_gene("1 Na:a K:a Cl:a O:a")
    model, report = pretrained(
        {"network": "published"}, validation_genes=[*GENES[TRAIN:], quaternary],
        validation_labels=np.vstack([LABELS[TRAIN:], [[-1.0, 1.0]]]),
    )  # fmt: skip
    assert report["steps"] == 20 and not model.learns_from(quaternary)
    with pytest.raises(InputError, match="elements"):
        model.encode([quaternary])


def test_fresh_weights_read_a_gene_without_dropout():
    model, _ = pretrained({"transfer": False})
    assert np.array_equal(model.encode(GENES)[0], model.encode(GENES)[0])
