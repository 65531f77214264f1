"""The config schema describes every key, and knows exactly the settings that the library knows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from matwheel.chapters.phonon.distance_network import DistanceNetworkSettings
from matwheel.chapters.phonon.labelled_configurations import TARGETS
from matwheel.chapters.wycryst.gene_boosting import GeneBoostingSettings
from matwheel.composition_models.formula_synthesizability import KINDS, FormulaScoreSettings
from matwheel.dft.dft import BACKENDS, DFTSettings
from matwheel.generators.con_cdvae.settings import ConCDVAESettings
from matwheel.generators.mpvae.settings import PRESETS as MPVAE_PRESETS
from matwheel.generators.mpvae.settings import MPVAESettings, SamplingSettings
from matwheel.hull.hull import HullSettings
from matwheel.potentials.relaxation import RelaxationSettings
from matwheel.predictors.cgcnn import NetworkSettings
from matwheel.predictors.latent import LatentSettings
from matwheel.predictors.registry import PREDICTORS
from matwheel.predictors.training_settings import CHOICES, PRESETS, TrainingSettings
from matwheel.screening.composition_validity import OXIDATION_TABLES, CompositionSettings
from matwheel.screening.structure_validity import StructureSettings
from matwheel.vibrations.displacements import POLICIES, RANDOM_SETS, THERMAL, DisplacementSettings
from matwheel.vibrations.perturbed_crystals import PerturbationSettings
from matwheel.vibrations.phonon_settings import PhononSettings
from matwheel.vibrations.self_consistent_phonons import SelfConsistentSettings
from matwheel.wyckoff.gene_crystals import GeneCrystalSettings
from matwheel.wyckoff.gene_table import GeneTableSettings

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = yaml.safe_load((ROOT / "config/schemas/config.schema.yaml").read_text())
KEYS = SCHEMA["properties"]


def names(*classes: type) -> set[str]:
    return {item.name for cls in classes for item in fields(cls)}


def leaves(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, part in schema.get("properties", {}).items():
        if "properties" in part:
            yield from leaves(part, f"{path}{name}.")
        else:
            yield f"{path}{name}", part


@pytest.mark.parametrize(("path", "part"), list(leaves(SCHEMA)))
def test_every_key_is_described(path: str, part: dict[str, Any]) -> None:
    assert len(part["description"]) > 10, path


def test_unknown_keys_are_refused_at_every_level() -> None:
    def objects(part: Any) -> Iterator[dict[str, Any]]:
        if isinstance(part, dict):
            if "properties" in part and part.get("type") == "object":
                yield part
            for value in part.values():
                yield from objects(value)

    found = list(objects(SCHEMA))
    # Predictors of a user's own have settings that the schema cannot know; they are refused by the predictor.
    found.remove(KEYS["predictor_settings"])
    assert len(found) > 6
    assert all(part["additionalProperties"] is False for part in found)


def test_settings_are_those_of_the_library() -> None:
    settings = dict(KEYS["predictor_settings"]["properties"]["cgcnn"]["properties"])
    assert settings.pop("preset")["enum"] == list(PRESETS)
    assert set(settings) == names(TrainingSettings, NetworkSettings) - {"network"}
    for name, allowed in CHOICES.items():
        assert settings[name]["enum"] == list(allowed)
    generator = SCHEMA["$defs"]["con_cdvae_settings"]
    assert set(generator["properties"]) == names(ConCDVAESettings) - {"device"}
    assert set(KEYS["predictor_settings"]["properties"]) <= set(PREDICTORS)


@pytest.mark.parametrize(
    ("section", "name", "settings", "further"),
    [
        ("predictor_settings", "latent", LatentSettings, set()),
        ("screen", "composition", CompositionSettings, set()),
        ("screen", "structure", StructureSettings, set()),
        ("validate", "relaxation", RelaxationSettings, set()),
        ("validate", "hull", HullSettings, set()),
        ("validate", "phonons", PhononSettings, set()),
        ("validate", "dft", DFTSettings, {"at_most"}),
        ("phonon", "displacements", DisplacementSettings, set()),
        ("phonon", "self_consistent", SelfConsistentSettings, set()),
        ("perturbation", "settings", PerturbationSettings, set()),
    ],
)
def test_settings_of_screens_and_validation(
    section: str, name: str, settings: type, further: set[str]
) -> None:
    assert set(KEYS[section]["properties"][name]["properties"]) == names(settings) | further


def test_settings_of_the_phonon_chapter() -> None:
    phonon = KEYS["phonon"]["properties"]
    dft, learning = phonon["dft"]["properties"], phonon["learning"]["properties"]
    assert set(dft["settings"]["properties"]) == names(DFTSettings)
    assert set(learning["network"]["properties"]) == names(DistanceNetworkSettings)
    assert phonon["policies"]["items"]["enum"] == list(POLICIES)
    for part in (phonon["random_sets"]["items"], dft["configurations"]["propertyNames"]):
        assert set(part["enum"]) - {THERMAL} == set(RANDOM_SETS)
    assert learning["targets"]["items"]["enum"] == list(TARGETS)


def test_names_are_those_of_the_library() -> None:
    validation, screens = KEYS["validate"]["properties"], KEYS["screen"]["properties"]
    assert validation["dft"]["properties"]["backend"]["enum"] == list(BACKENDS)
    described = screens["composition"]["properties"]["oxidation_table"]["description"]
    assert all(table in described for table in OXIDATION_TABLES)


@pytest.mark.parametrize(
    ("key", "settings"),
    [
        ("data", GeneTableSettings),
        ("sampling", SamplingSettings),
        ("judges", GeneBoostingSettings),
        ("build", GeneCrystalSettings),
    ],
)
def test_settings_of_genes_are_those_of_the_library(key: str, settings: type) -> None:
    assert set(KEYS["wycryst"]["properties"][key]["properties"]) == names(settings)


def test_settings_of_the_mpvae_and_of_synthesizability_are_those_of_the_library() -> None:
    described = dict(SCHEMA["$defs"]["mpvae_settings"]["properties"])
    assert described.pop("preset")["enum"] == list(MPVAE_PRESETS)
    assert set(described) == names(MPVAESettings) - {"device"}
    score = KEYS["screen"]["properties"]["synthesizability"]["properties"]["settings"]["properties"]
    assert set(score) == names(FormulaScoreSettings)
    assert score["kind"]["enum"] == list(KINDS)
