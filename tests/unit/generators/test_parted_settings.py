"""Settings of generators in two parts: of the training, and of the sampling."""

from dataclasses import fields

import pytest

from matwheel.core.registries import registered
from matwheel.generators.con_cdvae.settings import ConCDVAESettings
from matwheel.generators.matgan.settings import MatGANSettings
from matwheel.generators.parted_settings import SAMPLING_SETTINGS, parted_settings
from matwheel.generators.registry import GENERATORS, SAMPLERS


def test_each_setting_goes_to_the_part_that_reads_it():
    given = {"langevin_steps": 3, "latent_width": 8, "latent_temperature": 0.5}
    training, sampling = parted_settings("con_cdvae", given)
    assert (training, sampling) == ({"latent_width": 8}, {"langevin_steps": 3, "latent_temperature": 0.5})
    assert parted_settings("matgan", {"refills": 2, "width": 8}) == ({"width": 8}, {"refills": 2})
    # Whoever does not part its settings is trained with all of them.
    assert parted_settings("strained", given) == (given, {})
    assert parted_settings("con_cdvae", {}) == ({}, {})


TRAINING_SETTINGS = {"con_cdvae": ConCDVAESettings, "matgan": MatGANSettings}


@pytest.mark.parametrize("name", SAMPLING_SETTINGS)
def test_no_setting_is_in_both_parts_and_the_defaults_can_be_made(name):
    sampling, training = registered(SAMPLING_SETTINGS, name, "generator"), TRAINING_SETTINGS[name]
    assert not {field.name for field in fields(sampling)} & {field.name for field in fields(training)}
    sampling(), training()


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_is_found_and_its_generator_takes_settings(name):
    assert name in GENERATORS and name in SAMPLING_SETTINGS
    assert callable(registered(SAMPLERS, name, "generator"))
