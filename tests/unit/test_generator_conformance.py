"""Every generator of the registry keeps the promises of `generators.interface`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from matwheel.core.errors import InputError
from matwheel.generators.registry import GENERATORS, load_generator, make_generator

TINY = {"con_cdvae": {"autoencoder_steps": 4, "decoder_steps": 2, "prior_steps": 4, "noise_levels": 8}}


def silent(message: str) -> None:
    """Log nothing."""


@pytest.mark.parametrize("name", GENERATORS)
def test_fit_sample_save_load(name: str, poly_crystals, tmp_path: Path) -> None:
    crystals, target = poly_crystals
    rows = {"validation_crystals": crystals[24:32], "validation_labels": target[24:32]}
    generators = []
    for _ in range(2):
        generator = make_generator(name, {**TINY.get(name, {}), "device": "cpu"})
        report = generator.fit(crystals[:24], target[:24], **rows, seed=5, log=silent)
        json.dumps(report, allow_nan=False)
        generators.append(generator)
    generators[0].save(tmp_path / "model.pt")
    generators.append(load_generator(name, tmp_path / "model.pt"))

    conditions = np.array([3.0, 11.0, 90.0, 11.0, 6.5])
    first, *others = [it.sample(conditions, seed=8, id_prefix="g", log=silent) for it in generators]
    assert [crystal.id for crystal in first] == [f"g-{i:05d}" for i in range(5)]
    largest = max(len(crystal.species) for crystal in crystals[:24])
    assert all(1 <= len(crystal.species) <= largest for crystal in first)
    for sampled in others:
        for one, other in zip(first, sampled, strict=True):
            assert one.species == other.species
            assert (one.lattice == other.lattice).all()
            assert (one.frac_coords == other.frac_coords).all()
    again = generators[0].sample(conditions, seed=9, id_prefix="g", log=silent)
    pairs = list(zip(first, again, strict=True))
    assert any(one.species != other.species or (one.lattice != other.lattice).any() for one, other in pairs)


@pytest.mark.parametrize("name", GENERATORS)
def test_wrong_settings_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="no_such_setting"):
        make_generator(name, {"no_such_setting": 1})


def test_unknown_generator_is_refused() -> None:
    with pytest.raises(InputError, match=r"'no_such'.*con_cdvae"):
        make_generator("no_such")
