"""Con-CDVAE: its parts against what they promise, and a tiny training on real crystals."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from interrupted_training import BreaksOff, Interrupted, checkpoint_after_every_step
from scipy.spatial.transform import Rotation

from matwheel.core.errors import InputError
from matwheel.crystals.crystal import Crystal, to_structure
from matwheel.generators.con_cdvae import training
from matwheel.generators.con_cdvae.composition_head import CompositionHead
from matwheel.generators.con_cdvae.crystal_tensors import ELEMENTS, crystal_tensors, niggli_reduced
from matwheel.generators.con_cdvae.diffusion_prior import DiffusionPrior
from matwheel.generators.con_cdvae.generator import ConCDVAE
from matwheel.generators.con_cdvae.lattices import (
    lattice_matrices,
    lattice_parameters,
    scaled_parameters,
    unscaled_parameters,
)
from matwheel.generators.con_cdvae.model import ConditionalAutoencoder, noise_levels
from matwheel.generators.con_cdvae.neighbours import nearest_images
from matwheel.generators.con_cdvae.sampling import (
    _draw_atom_counts,
    assign_types,
    batches_of,
    draw_blueprints,
)
from matwheel.generators.con_cdvae.sampling_settings import ConCDVAESamplingSettings
from matwheel.generators.con_cdvae.settings import ConCDVAESettings
from matwheel.generators.registry import load_generator, make_generator
from matwheel.training.checkpoints import TrainingCheckpoint

TINY = ConCDVAESettings(
    latent_width=16,
    hidden_width=32,
    decoder_width=24,
    decoder_layers=2,
    decoder_vectors=4,
    encoder_width=16,
    encoder_convolutions=2,
    noise_levels=8,
    first_level=0,
    batch_size=16,
    autoencoder_steps=24,
    head_patience=24,
    decoder_steps=8,
    prior_steps=20,
    prior_width=32,
    prior_noise_steps=20,
    evaluate_every=4,
    device="cpu",
)
SAMPLING = ConCDVAESamplingSettings()


def silent(message: str) -> None:
    """Log nothing."""


def fit(crystals, labels, *, seed=3, checkpoint=None, settings=TINY):
    generator = ConCDVAE(settings)
    report = generator.fit(
        crystals[:30],
        labels[:30],
        validation_crystals=crystals[30:],
        validation_labels=labels[30:],
        seed=seed,
        checkpoint=checkpoint,
        log=silent,
    )
    return generator, report


@pytest.fixture(scope="module")
def fitted(jarvis_crystals):
    return fit(*jarvis_crystals)


@pytest.fixture(scope="module")
def autoencoder(jarvis_crystals):
    torch.manual_seed(0)
    data = crystal_tensors(*jarvis_crystals)
    model = ConditionalAutoencoder(TINY, int(data.atom_counts.max()))
    model.set_ranges(data)
    return model.double().eval()


def noisy_crystal(seed=0, atoms=5):
    generator = torch.Generator().manual_seed(seed)
    coords = torch.rand(atoms, 3, generator=generator, dtype=torch.float64)
    lattice = 4 * torch.eye(3, dtype=torch.float64) + torch.rand(
        3, 3, generator=generator, dtype=torch.float64
    )
    types = torch.randint(ELEMENTS, (atoms,), generator=generator)
    return types, coords, lattice


def scores(model, types, coords, lattice, level=3):
    joined = torch.linspace(-1, 1, TINY.hidden_width, dtype=torch.float64)[None]
    owner = torch.zeros(len(types), dtype=torch.long)
    with torch.no_grad():
        return model.scores(types, coords, lattice[None], [len(types)], owner, joined, torch.tensor([level]))


def test_scores_turn_with_the_crystal(autoencoder):
    types, coords, lattice = noisy_crystal()
    displacement, logits = scores(autoencoder, types, coords, lattice)
    assert displacement.abs().max() > 1e-4
    for matrix in (Rotation.from_euler("xyz", [0.3, 1.1, -2.0]).as_matrix(), np.diag([1.0, 1.0, -1.0])):
        turn = torch.from_numpy(matrix)
        turned, same = scores(autoencoder, types, coords, lattice @ turn)
        torch.testing.assert_close(turned, displacement @ turn, rtol=0, atol=1e-9)
        torch.testing.assert_close(same, logits, rtol=0, atol=1e-9)


def test_scores_ignore_the_origin_and_follow_the_order_of_atoms(autoencoder):
    types, coords, lattice = noisy_crystal()
    displacement, logits = scores(autoencoder, types, coords, lattice)
    moved = (coords + torch.tensor([0.37, 0.81, 0.14], dtype=torch.float64)) % 1
    same, same_logits = scores(autoencoder, types, moved, lattice)
    torch.testing.assert_close(same, displacement, rtol=0, atol=1e-9)
    torch.testing.assert_close(same_logits, logits, rtol=0, atol=1e-9)
    order = torch.tensor([3, 0, 4, 2, 1])
    permuted, permuted_logits = scores(autoencoder, types[order], coords[order], lattice)
    torch.testing.assert_close(permuted, displacement[order], rtol=0, atol=1e-9)
    torch.testing.assert_close(permuted_logits, logits[order], rtol=0, atol=1e-9)


def test_scores_depend_on_noise_level_elements_and_condition(autoencoder):
    types, coords, lattice = noisy_crystal()
    displacement, _ = scores(autoencoder, types, coords, lattice)
    assert not torch.allclose(displacement, scores(autoencoder, types, coords, lattice, level=6)[0])
    assert not torch.allclose(displacement, scores(autoencoder, (types + 1) % ELEMENTS, coords, lattice)[0])


def test_ideal_crystal_of_high_symmetry_feels_no_force(autoencoder):
    # fcc copper: whatever the network, the 12 + 6 neighbours around an atom cancel, ties at the cut included.
    lattice = torch.tensor([[0, 1.8, 1.8], [1.8, 0, 1.8], [1.8, 1.8, 0]], dtype=torch.float64)
    displacement, _ = scores(autoencoder, torch.tensor([28]), torch.zeros(1, 3, dtype=torch.float64), lattice)
    assert displacement.abs().max() < 1e-9


def test_nearest_images_agree_with_pymatgen(jarvis_crystals):
    crystals = sorted(
        (niggli_reduced(crystal) for crystal in jarvis_crystals[0][:6]), key=lambda c: len(c.species)
    )
    coords = torch.from_numpy(np.concatenate([crystal.frac_coords for crystal in crystals]))
    lattices = torch.from_numpy(np.stack([crystal.lattice for crystal in crystals]))
    counts = [len(crystal.species) for crystal in crystals]
    images = nearest_images(coords, lattices, counts, 12, 7.0)
    first = 0
    for crystal, count in zip(crystals, counts, strict=True):
        target, _, _, distance = to_structure(crystal).get_neighbor_list(12.0)
        for atom in range(count):
            expected = np.sort(distance[target == atom])[:12]
            np.testing.assert_allclose(images.distance[first + atom].numpy(), expected, atol=1e-6)
        assert (images.source[first : first + count] // 1 >= first).all()
        assert (images.source[first : first + count] < first + count).all()
        first += count
    assert ((images.weight >= 0) & (images.weight <= 1)).all()
    assert (images.weight[images.distance > 7.0] == 0).all()


def test_lattice_parameters_round_trip(jarvis_crystals):
    lattices = torch.from_numpy(np.stack([crystal.lattice for crystal in jarvis_crystals[0]]))
    counts = torch.tensor([len(crystal.species) for crystal in jarvis_crystals[0]])
    parameters = lattice_parameters(lattices)
    again = unscaled_parameters(scaled_parameters(parameters, counts), counts)
    torch.testing.assert_close(again, parameters)
    # The orientation is lost, lengths and angles (the metric) are not.
    matrices = lattice_matrices(parameters)
    torch.testing.assert_close(
        matrices @ matrices.transpose(1, 2), lattices @ lattices.transpose(1, 2), rtol=0, atol=1e-4
    )
    assert lattice_matrices(torch.tensor([[1.0, 1.0, 1.0, 170.0, 170.0, 170.0]])).isnan().any()


def test_noise_levels_are_geometric():
    levels = noise_levels(ConCDVAESettings())
    assert len(levels) == 50
    assert levels[0] == pytest.approx(10.0)
    assert levels[-1] == pytest.approx(0.01)
    torch.testing.assert_close(levels[1:] / levels[:-1], torch.full((49,), (0.001) ** (1 / 49)))


def test_niggli_cell_keeps_atoms_and_volume_per_atom(jarvis_crystals):
    for crystal in jarvis_crystals[0][:5]:
        reduced = niggli_reduced(crystal)
        assert reduced.element_counts == crystal.element_counts
        assert reduced.volume_angstrom3 == pytest.approx(crystal.volume_angstrom3, rel=1e-4)


def test_compositions_are_whole_complete_and_of_allowed_elements():
    torch.manual_seed(0)
    head = CompositionHead(4, 8, 6, 5).double()
    joined = torch.randn(1, 4, dtype=torch.float64)
    uniform = torch.rand(200, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    counts = torch.full((200,), 3)
    allowed = torch.tensor([True, True, False, True, True, True])
    drawn = head.sample(joined.expand(200, -1), counts, uniform, allowed, 1.0)
    assert (drawn.sum(-1) == 3).all()
    assert (drawn[:, 2] == 0).all()
    assert len({tuple(row) for row in drawn.tolist()}) > 5


def test_composition_loss_does_not_depend_on_neighbours_in_the_batch_or_order_of_atoms():
    torch.manual_seed(0)
    head = CompositionHead(4, 8, 10, 5).double()
    joined = torch.randn(2, 4, dtype=torch.float64)
    both = head.loss(
        joined, torch.tensor([1, 2, 2, 5, 6]), torch.tensor([3, 2]), torch.tensor([0, 0, 0, 1, 1])
    )
    first = head.loss(joined[:1], torch.tensor([2, 1, 2]), torch.tensor([3]), torch.tensor([0, 0, 0]))
    second = head.loss(joined[1:], torch.tensor([6, 5]), torch.tensor([2]), torch.tensor([0, 0]))
    torch.testing.assert_close(both * 5, first * 3 + second * 2)


def test_composition_head_learns_to_count():
    # A2B and AB2 of the same elements: a distribution that all atoms share would give A3 and B3 as well.
    torch.manual_seed(0)
    head = CompositionHead(2, 16, 6, 6)
    joined = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    types, counts, owner = (
        torch.tensor([1, 1, 3, 1, 3, 3]),
        torch.tensor([3, 3]),
        torch.tensor([0, 0, 0, 1, 1, 1]),
    )
    optimiser = torch.optim.Adam(head.parameters(), lr=0.02)
    for _ in range(150):
        optimiser.zero_grad()
        head.loss(joined, types, counts, owner).backward()
        optimiser.step()
    uniform = torch.rand(2, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    drawn = head.sample(joined, counts, uniform, torch.ones(6, dtype=torch.bool), 0.5)
    assert drawn[:, [1, 3]].tolist() == [[2, 1], [1, 2]]


def test_atom_numbers_follow_their_probabilities():
    logits = torch.log(torch.tensor([[0.5, 0.1, 0.3, 0.1]])).expand(1000, -1)
    uniform = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    drawn = _draw_atom_counts(logits, uniform, 1.0)
    assert torch.bincount(drawn, minlength=4).tolist() == [0, 200, 600, 200]
    assert (_draw_atom_counts(logits, uniform, 0.0) == 2).all()


def test_dropout_is_for_training_only(autoencoder):
    joined = torch.ones(50, TINY.hidden_width)
    assert autoencoder.dropped(joined, None) is joined
    dropped = autoencoder.dropped(joined, torch.Generator().manual_seed(0))
    assert (dropped == 0).double().mean() == pytest.approx(TINY.dropout, abs=0.05)


def test_types_are_handed_out_by_logits():
    logits = np.zeros((3, ELEMENTS), dtype=np.float32)
    logits[0, 7], logits[1, 7], logits[2, 3] = 2.0, 1.0, 5.0
    assert assign_types(logits, np.array([3, 7, 7])).tolist() == [7, 7, 3]


def test_batches_hold_every_crystal_once():
    counts = np.array([5, 1, 40, 3, 3, 7])
    batches = batches_of(counts, 10)
    assert sorted(np.concatenate(batches).tolist()) == list(range(6))
    assert all(counts[batch].sum() <= 10 or len(batch) == 1 for batch in batches)


def test_rows_of_steps_are_shuffled_epochs():
    rows = np.concatenate([training.rows_of_step(10, 4, step, seed=1) for step in range(5)])
    assert sorted(rows[:10]) == sorted(rows[10:]) == list(range(10))
    assert rows[:10].tolist() != rows[10:].tolist()


def test_learning_rate_rises_and_falls():
    rates = [training.one_cycle(step, 100, 2e-3) for step in range(100)]
    assert max(rates) == pytest.approx(2e-3)
    assert rates[0] < 2e-4
    assert rates[-1] < 1e-5


def test_fit_learns_and_reports(fitted):
    generator, report = fitted
    curve = report["stages"]["autoencoder"]["curve"]
    assert curve[-1]["train"]["composition"] < curve[0]["train"]["composition"]
    heads = {entry["step"]: entry["validation"]["heads"] for entry in curve}
    assert heads[report["stages"]["autoencoder"]["kept_step"]] == min(heads.values())
    json.dumps(report, allow_nan=False)
    assert report["max_atoms"] == generator._models[0].max_atoms


def test_maximum_atoms_come_from_the_data(fitted, jarvis_crystals):
    assert fitted[1]["max_atoms"] == max(len(crystal.species) for crystal in jarvis_crystals[0][:30])


def test_condition_enters(fitted):
    autoencoder, prior = fitted[0]._models
    latent = torch.zeros(2, TINY.latent_width)
    joined = autoencoder.joined(latent, torch.tensor([5.0, 500.0]))
    assert not torch.allclose(joined[0], joined[1])
    noise = torch.randn(1, TINY.prior_noise_steps + 1, TINY.latent_width).expand(2, -1, -1)
    drawn = prior.sample(torch.tensor([5.0, 500.0]), noise)
    assert not torch.allclose(drawn[0], drawn[1])


def test_samples_answer_every_condition_and_repeat(fitted, jarvis_crystals):
    generator = fitted[0]
    conditions = np.linspace(10.0, 300.0, 12)
    crystals = generator.sample(conditions, seed=5, id_prefix="g", log=silent)
    assert [crystal.id for crystal in crystals] == [f"g-{i:05d}" for i in range(12)]
    seen = {symbol for crystal in jarvis_crystals[0][:30] for symbol in crystal.species}
    for crystal in crystals:
        assert crystal.species
        assert set(crystal.species) <= seen
        assert crystal.volume_angstrom3 > 0.1
        assert np.isfinite(crystal.frac_coords).all()
    again = generator.sample(conditions, seed=5, id_prefix="g", log=silent)
    for a, b in zip(crystals, again, strict=True):
        assert a.species == b.species
        assert (a.frac_coords == b.frac_coords).all()
        assert (a.lattice == b.lattice).all()
    other = generator.sample(conditions, seed=6, id_prefix="g", log=silent)
    assert any(
        a.frac_coords.shape != b.frac_coords.shape or (a.frac_coords != b.frac_coords).any()
        for a, b in zip(crystals, other, strict=True)
    )
    # A crystal does not depend on how many others are asked for.
    alone = generator.sample(conditions[:1], seed=5, id_prefix="g", log=silent)[0]
    assert alone.species == crystals[0].species
    np.testing.assert_allclose(alone.lattice, crystals[0].lattice, rtol=1e-4)
    assert generator.sample([], seed=5, id_prefix="g", log=silent) == []


def test_settings_of_sampling_change_samples_and_no_model(fitted):
    generator = fitted[0]
    conditions = np.linspace(10.0, 300.0, 12)
    options = {"seed": 5, "id_prefix": "g", "log": silent}
    crystals = generator.sample(conditions, **options)
    same = generator.sample(conditions, settings={"langevin_steps": SAMPLING.langevin_steps}, **options)
    fewer = generator.sample(conditions, settings={"langevin_steps": 1}, **options)
    for one, equal, other in zip(crystals, same, fewer, strict=True):
        assert (one.frac_coords == equal.frac_coords).all() and (one.lattice == other.lattice).all()
        assert (one.frac_coords != other.frac_coords).any()
    with pytest.raises(InputError, match="langevin_step is 1"):
        generator.sample(conditions, settings={"langevin_step": 1}, **options)
    with pytest.raises(InputError, match="langevin_steps"):
        ConCDVAE.from_settings({"langevin_steps": 1})


def test_degenerate_cells_are_drawn_anew_and_then_clamped(fitted):
    autoencoder, prior = fitted[0]._models
    bias = autoencoder.lattice_head[-1].bias
    kept = bias.detach().clone()
    with torch.no_grad():
        bias[:3] = -1e4
    try:
        blueprints, report = draw_blueprints(
            autoencoder, prior, torch.tensor([50.0, 60.0]), SAMPLING, seed=1, log=silent
        )
    finally:
        with torch.no_grad():
            bias.copy_(kept)
    assert report == {"redrawn": 2 * SAMPLING.resampling_attempts, "clamped": 2}
    assert all(torch.linalg.det(blueprint.lattice).abs() > 0.1 for blueprint in blueprints)


def test_no_crystal_of_zero_atoms(fitted):
    autoencoder, prior = fitted[0]._models
    bias = autoencoder.atom_count_head[-1].bias
    kept = bias.detach().clone()
    with torch.no_grad():
        bias[0] = 1e4
    try:
        blueprints, _ = draw_blueprints(
            autoencoder, prior, torch.tensor([50.0, 60.0]), SAMPLING, seed=1, log=silent
        )
    finally:
        with torch.no_grad():
            bias.copy_(kept)
    assert all(len(blueprint.types) >= 1 for blueprint in blueprints)


def test_save_and_load(fitted, tmp_path):
    path = tmp_path / "generator.pt"
    fitted[0].save(path)
    loaded = load_generator("con_cdvae", path)
    a = fitted[0].sample([20.0, 80.0], seed=2, id_prefix="g", log=silent)
    b = loaded.sample([20.0, 80.0], seed=2, id_prefix="g", log=silent)
    assert all((x.frac_coords == y.frac_coords).all() for x, y in zip(a, b, strict=True))
    first = path.read_bytes()
    loaded.save(path)
    assert path.read_bytes() == first


@pytest.mark.parametrize("saves", [2, 7, 12])
def test_interrupted_training_ends_with_the_same_bits(fitted, jarvis_crystals, tmp_path, monkeypatch, saves):
    checkpoint_after_every_step(monkeypatch)
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(Interrupted):
        fit(*jarvis_crystals, checkpoint=BreaksOff(path, "same", saves=4 * saves))
    resumed, report = fit(*jarvis_crystals, checkpoint=TrainingCheckpoint(path, "same"))
    assert report == fitted[1]
    for mine, other in zip(resumed._models, fitted[0]._models, strict=True):
        for name, value in other.state_dict().items():
            assert torch.equal(mine.state_dict()[name], value), name


@pytest.mark.parametrize("changes", [{"gradient_norm": None, "average_decay": 0.0}, {"gradient_norm": 1e-3}])
def test_clipping_and_averaging_are_settings(fitted, jarvis_crystals, tmp_path, monkeypatch, changes):
    settings = dataclasses.replace(TINY, autoencoder_steps=6, decoder_steps=3, prior_steps=6, **changes)
    whole, report = fit(*jarvis_crystals, settings=settings)
    checkpoint_after_every_step(monkeypatch)
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(Interrupted):
        fit(*jarvis_crystals, settings=settings, checkpoint=BreaksOff(path, "same", saves=9))
    resumed, again = fit(*jarvis_crystals, settings=settings, checkpoint=TrainingCheckpoint(path, "same"))
    assert again == report
    usual = dataclasses.replace(settings, gradient_norm=TINY.gradient_norm, average_decay=TINY.average_decay)
    others = fit(*jarvis_crystals, settings=usual)[0]._models
    for mine, theirs, other in zip(whole._models, resumed._models, others, strict=True):
        assert all(map(torch.equal, mine.state_dict().values(), theirs.state_dict().values()))
        assert not all(map(torch.equal, mine.state_dict().values(), other.state_dict().values()))


def test_global_random_state_is_left_alone(jarvis_crystals):
    before = torch.get_rng_state()
    settings = dataclasses.replace(TINY, autoencoder_steps=2, decoder_steps=0, prior_steps=2)
    fit(*jarvis_crystals, settings=settings)
    assert torch.equal(torch.get_rng_state(), before)


def test_diverging_loss_names_stage_and_step(jarvis_crystals):
    settings = dataclasses.replace(TINY)
    object.__setattr__(settings, "learning_rate", 1e18)  # no user may give such a rate
    with pytest.raises(FloatingPointError, match=r"stage autoencoder, at step \d+ of .*lattice"):
        fit(*jarvis_crystals, settings=settings)


def test_one_atom_cells_and_equal_labels_train(jarvis_crystals):
    iron = [
        Crystal(f"c{i}", (symbol,), np.eye(3) * 2.6, np.zeros((1, 3)))
        for i, symbol in enumerate(["Fe", "Cu", "Ni"])
    ]
    generator = ConCDVAE(dataclasses.replace(TINY, autoencoder_steps=3, decoder_steps=2, prior_steps=2))
    generator.fit(iron, [5.0, 5.0, 5.0], seed=0, log=silent)
    crystals = generator.sample([5.0, 5.0], seed=0, id_prefix="g", log=silent)
    assert [len(crystal.species) for crystal in crystals] == [1, 1]


def test_bad_training_data_is_named(jarvis_crystals):
    crystals, labels = list(jarvis_crystals[0][:3]), [1.0, 2.0, 3.0]
    generator = ConCDVAE(TINY)
    with pytest.raises(ValueError, match=crystals[1].id):
        generator.fit(crystals, [1.0, float("nan"), 3.0], seed=0, log=silent)
    with pytest.raises(ValueError, match="needs 2 or more"):
        generator.fit(crystals[:1], labels[:1], seed=0, log=silent)
    with pytest.raises(ValueError, match="one label per crystal"):
        generator.fit(crystals, labels[:2], seed=0, log=silent)
    empty = Crystal("empty-one", (), np.eye(3), np.zeros((0, 3)))
    with pytest.raises(ValueError, match="empty-one"):
        generator.fit([*crystals, empty], [*labels, 4.0], seed=0, log=silent)
    lonely = Crystal("lonely-one", ("He",), np.eye(3) * 90, np.zeros((1, 3)))
    with pytest.raises(ValueError, match="lonely-one"):
        generator.fit([*crystals, lonely], [*labels, 4.0], seed=0, log=silent)
    with pytest.raises(ValueError, match="Md"):
        generator.fit(
            [*crystals, Crystal("md", ("Md",), np.eye(3) * 3, np.zeros((1, 3)))],
            [*labels, 4.0],
            seed=0,
            log=silent,
        )


def test_bad_conditions_are_named(fitted):
    with pytest.raises(ValueError, match="condition 1"):
        fitted[0].sample([1.0, float("nan")], seed=0, id_prefix="g", log=silent)
    with pytest.raises(RuntimeError, match="not trained"):
        ConCDVAE(TINY).sample([1.0], seed=0, id_prefix="g", log=silent)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("latent_widht", 3),
        ("batch_size", 0),
        ("batch_size", 2.5),
        ("learning_rate", float("nan")),
        ("device", "tpu"),
        ("average_decay", 1.0),
        ("neighbours", 26),
        ("device", 1),
    ],
)
def test_bad_settings_are_named(name, value):
    with pytest.raises(InputError, match=name):
        ConCDVAESettings(**{name: value})


def test_registry_names_what_it_knows():
    assert make_generator("con_cdvae", {"autoencoder_steps": 5}).settings.autoencoder_steps == 5
    with pytest.raises(InputError, match="con_cdvae"):
        make_generator("magic")
    with pytest.raises(InputError, match="equivariant"):
        ConditionalAutoencoder(dataclasses.replace(TINY, decoder="magic"), 5)


def test_prior_learns_a_shifted_distribution():
    settings = dataclasses.replace(TINY, latent_width=2, prior_width=32, prior_noise_steps=50)
    torch.manual_seed(0)
    prior = DiffusionPrior(settings)
    labels = torch.cat([torch.full((100,), 1.0), torch.full((100,), 100.0)])
    mean = torch.stack([torch.where(labels > 50, 3.0, -3.0), torch.zeros(200)], dim=-1)
    prior.set_ranges(mean, torch.full((200, 2), -2.0), labels)
    optimiser = torch.optim.Adam(prior.parameters(), lr=3e-3)
    for step in range(300):
        generator = torch.Generator().manual_seed(step)
        latent = mean + torch.randn(200, 2, generator=generator) * np.exp(-1.0)
        optimiser.zero_grad()
        prior.loss(latent, labels, generator).backward()
        optimiser.step()
    noise = torch.randn(200, 51, 2, generator=torch.Generator().manual_seed(0))
    drawn = prior.sample(labels, noise)
    assert drawn[:100, 0].mean() == pytest.approx(-3, abs=0.5)
    assert drawn[100:, 0].mean() == pytest.approx(3, abs=0.5)
