"""Settings of the MPVAE: presets, single changes, and what is refused."""

import dataclasses

import pytest

from matwheel.core.errors import InputError
from matwheel.generators.mpvae.settings import PRESETS, PUBLISHED, MPVAESettings, settings_from_mapping


def test_the_default_preset_is_the_defaults():
    assert settings_from_mapping({}) == settings_from_mapping({"preset": "default"}) == MPVAESettings()
    assert settings_from_mapping({}).network == "sites"


def test_the_published_preset_is_that_of_the_public_code():
    published = settings_from_mapping({"preset": "published"})
    assert published.network == "published" and published.optimiser == "rmsprop"
    assert (published.latent_width, published.batch_size) == (256, 512)
    assert published.freeze_encoder and published.transfer and published.augment
    assert published.schedule == "constant" and published.formula_weight > 0
    assert dataclasses.asdict(published).items() >= PUBLISHED.items()


def test_single_settings_change_a_preset_and_nothing_else():
    mapping = {"preset": "published", "latent_width": 16, "transfer": False}
    changed = settings_from_mapping(mapping)
    expected = dataclasses.replace(MPVAESettings(**PUBLISHED), latent_width=16, transfer=False)
    assert changed == expected
    assert mapping == {"preset": "published", "latent_width": 16, "transfer": False}
    assert PRESETS["published"]["latent_width"] == 256


@pytest.mark.parametrize(
    "name", [field.name for field in dataclasses.fields(MPVAESettings) if field.name.endswith("_weight")]
)
def test_weights_and_dropout_may_be_zero(name):
    assert getattr(settings_from_mapping({name: 0}), name) == 0
    assert settings_from_mapping({"dropout": 0.0}).dropout == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"preset": "paper"}, "unknown MPVAE preset 'paper'; choose one of default, published"),
        ({"latent": 8}, "unknown MPVAE setting 'latent'; known: preset, .*latent_width"),
        ({"latent_width": 0}, "latent_width is 0; it must be positive"),
        ({"latent_width": 8.0}, "latent_width must be a whole number, not 8.0"),
        ({"batch_size": True}, "batch_size must be a whole number, not True"),
        ({"width": "192"}, "width must be a whole number, not '192'"),
        ({"largest_atoms": -1}, "largest_atoms is -1"),
        ({"pretraining_rate": 0.0}, "pretraining_rate is 0.0"),
        ({"fine_tuning_rate": float("nan")}, "fine_tuning_rate is nan"),
        ({"kl_weight": float("inf")}, "kl_weight is inf; it must be positive and finite"),
        ({"property_weight": -1.0}, "property_weight is -1.0"),
        ({"property_weight": None}, "property_weight must be a number, not None"),
        ({"pretraining_steps": 0}, "pretraining_steps is 0"),
        ({"dropout": 1.0}, "dropout must be below 1"),
        ({"augment": 1}, "augment must be true or false, not 1"),
        ({"transfer": "no"}, "transfer must be true or false, not 'no'"),
        ({"network": "gan"}, "network is 'gan'; choose one of sites, published"),
        ({"optimiser": "sgd"}, "optimiser is 'sgd'; choose one of adam, rmsprop"),
        ({"schedule": "cosine"}, "schedule is 'cosine'; choose one of constant, one_cycle"),
        ({"device": "tpu"}, "device is 'tpu'; choose one of auto, cpu, cuda"),
        ({"device": None}, "device is None"),
    ],
)
def test_wrong_settings_are_refused_by_name(changes, message):
    with pytest.raises(InputError, match=message):
        settings_from_mapping(changes)
