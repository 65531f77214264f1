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
        ({"latent": 8}, "latent is 8; there is no such setting"),
        ({"latent_width": 0}, "latent_width is 0; give a whole number from 1"),
        ({"latent_width": 8.0}, "latent_width is 8.0; give a whole number"),
        ({"batch_size": True}, "batch_size is true; give a whole number"),
        ({"width": "192"}, "width is '192'; give a whole number"),
        ({"largest_atoms": -1}, "largest_atoms is -1"),
        ({"pretraining_rate": 0.0}, "pretraining_rate is 0.0"),
        ({"fine_tuning_rate": float("nan")}, "fine_tuning_rate is nan"),
        ({"kl_weight": float("inf")}, "kl_weight is inf; give a number from 0"),
        ({"property_weight": -1.0}, "property_weight is -1.0"),
        ({"property_weight": None}, "property_weight is null; give a number"),
        ({"pretraining_steps": 0}, "pretraining_steps is 0"),
        ({"dropout": 1.0}, "dropout is 1.0; give a number from 0, below 1"),
        ({"augment": 1}, "augment is 1; give true or false"),
        ({"transfer": "no"}, "transfer is 'no'; give true or false"),
        ({"network": "gan"}, "network is 'gan'; give one of sites, published"),
        ({"optimiser": "sgd"}, "optimiser is 'sgd'; give one of adam, rmsprop"),
        ({"schedule": "cosine"}, "schedule is 'cosine'; give one of constant, one_cycle"),
        ({"device": "tpu"}, "device is 'tpu'; give one of auto, cpu, cuda"),
        ({"device": None}, "device is null"),
    ],
)
def test_wrong_settings_are_refused_by_name(changes, message):
    with pytest.raises(InputError, match=message):
        settings_from_mapping(changes)
