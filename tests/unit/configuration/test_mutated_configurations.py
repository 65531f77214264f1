"""Whatever is wrong with a configuration is refused at once, in one short line that names key and value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import yaml
from default_settings import ROOT, default_settings
from mutated_configurations import Mutation, mutations, registry_mutations, right_configuration

from matwheel.configuration.configuration import fault_of_configuration
from matwheel.configuration.registry import fault_of_names, fault_of_registry

REGISTRY = yaml.safe_load((ROOT / "config/datasets.yaml").read_text(encoding="utf-8"))


def fault_of(values: dict[str, Any]) -> str:
    return fault_of_configuration(values) or fault_of_names(values, REGISTRY, REGISTRY)


def test_nothing_is_wrong_with_what_is_changed() -> None:
    assert fault_of(right_configuration()) == ""


def test_every_wrong_configuration_is_refused_in_one_line() -> None:
    made = mutations()
    kinds = Counter(mutation.kind for mutation in made)
    assert len(made) >= 310 and len(kinds) == 6 and min(kinds.values()) >= 30, kinds
    assert_refused(made, fault_of)


def test_every_wrong_registry_is_refused_in_one_line() -> None:
    assert fault_of_registry(REGISTRY) == ""
    made = registry_mutations(REGISTRY)
    kinds = Counter(mutation.kind for mutation in made)
    assert len(made) >= 100 and min(kinds.values()) >= 10, kinds
    assert_refused(made, fault_of_registry)


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ({"path": "a.csv", "titel": "t"}, "mine.titel is 't'; there is no such setting; did you mean title?"),
        ({"path": "a.csv", "expected": {"rows": "40"}}, "mine.expected.rows is '40'; give a whole number"),
        ({"path": "a.csv", "sources": []}, "mine.sources is []; give a list of 1 or more"),
        ({"title": "t"}, "mine: give either `path` (your own data) or `sources` (places to fetch from)"),
    ],
)
def test_a_wrong_entry_of_the_registry_is_named(entry: dict[str, Any], fault: str) -> None:
    assert fault_of_registry({"mine": entry}).startswith(fault)


def assert_refused(made: Sequence[Mutation], fault_of: Callable[[Any], str]) -> None:
    faults = []
    for kind, path, value, configuration in made:
        said = fault_of(configuration)
        where = ".".join(map(str, path))
        if not said:
            faults.append(f"{kind}, {where} = {value!r}: not refused")
        elif "\n" in said or len(said) >= 300:
            faults.append(f"{kind}, {where}: {len(said)} characters: {said}")
        elif where not in said:
            faults.append(f"{kind}, {where} = {value!r}: names another place: {said}")
        elif kind != "missing key" and not isinstance(value, (Mapping, list)) and shown(value) not in said:
            faults.append(f"{kind}, {where} = {value!r}: does not say the value: {said}")
    assert not faults, f"{len(faults)} of {len(made)}: " + "\n".join(faults)


def shown(value: object) -> str:
    words = {None: "null", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else repr(value)[:50]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"predcitor": {}}, "predcitor is {}; there is no such setting; did you mean predictors?"),
        ({"split.schemes": []}, "split.schemes is []; there is no such setting"),
        ({"chapters": ["phonons"]}, "chapters.0 is 'phonons'; give one of"),
        ({"chapters": "phonon"}, "chapters is 'phonon'; give a list"),
        ({"predictors": ["oracle"]}, "predictors.0 is 'oracle'; give one of cgcnn"),
        (
            {"predictor_settings": {"cgcnn": {"stepz": 3}}},
            "predictor_settings.cgcnn.stepz is 3; there is no such setting; did you mean steps?",
        ),
        (
            {"generator": {"samples": 12, "settings": {"latent": 3}}},
            "generator.settings.latent is 3; there is no such",
        ),
        (
            {"generator": {"sample": 5}},
            "generator.sample is 5; there is no such setting; did you mean samples?",
        ),
        ({"split": {"runs": -1}}, "split.runs is -1; give a whole number from 1 to 100"),
        ({"split": {"runs": 0}}, "split.runs is 0; give a whole number from 1"),
        ({"validate": {"second_opinion": "7net"}}, "validate.second_opinion is '7net'; give one of"),
        (
            {"split": {"runs": 100000}},
            "split.runs is 100000; give a whole number from 1 to 100: each run",
        ),
        ({"funnel": {"runs": [0, 5]}}, "funnel.runs.1 is 5; split.runs is 5; give 0 to 4"),
        ({"funnel": {"supervisions": ["fulll"]}}, "give one of full, semi; did you mean full?"),
        (
            {"split": {"runs": 6, "schemes": ["chang2022"]}, "funnel": {"runs": []}},
            "split.runs is 6; scheme chang2022 has five published splits; give 5 or fewer",
        ),
        ({"split": {"fractions": {"train": 0.9}}}, "split.fractions: the three fractions add up to 1.2, not"),
        ({"baselines": ["forest"]}, "baselines is ['forest']; name constant too"),
        ({"baselines": ["constant", "cgcnn"]}, "baselines.1 is 'cgcnn'; predictors has it too"),
        ({"conditions": {"method": "target"}}, "conditions.targets is []; conditions.method is target"),
        (
            {"predictor_settings": {"oracle": {"depth": 3}}},
            "predictor_settings.oracle: there is no such predictor; there are cgcnn, constant",
        ),
        (
            {"predictor_settings": {"cgcnn": {"steps": 10, "epochs": 3}}},
            "predictor_settings.cgcnn.epochs is 3; set either steps or epochs",
        ),
        (
            {"predictor_settings": {"latent": {"potentials": ["7net-0", "emt"]}}},
            "predictor_settings.latent.potentials.1 is 'emt'; give one of 7net-0, 7net-l3i5",
        ),
        (
            {"generator": {"settings": {"noise_levels": 5}}},
            "generator.settings.first_level is 6; give less than noise_levels (5)",
        ),
        (
            {"screen": {"require": ["structure", "noval_mp"]}},
            "screen.require.1 is 'noval_mp'; give a name of screen.further or one of structure, symmetry",
        ),
        ({"screen": {"require": ["symmetry"]}}, "screen.require is ['symmetry']; name structure too"),
        (
            {"screen": {"further": {"radio": {}}}},
            "screen.further.radio is {}; its name must be one of radioactivity",
        ),
        (
            {"screen": {"further": {"radioactivity": {"tolerated": ["Xx"]}}}},
            "screen.further.radioactivity: radioactivity screen: tolerated has 'Xx', which is no element",
        ),
        (
            {"screen": {"composition": {"oxidation_table": "smact4"}}},
            "screen.composition.oxidation_table is 'smact4'; give one of smact14, icsd16",
        ),
        (
            {"screen": {"composition": {"icsd24_thresholds": {"consensus": 0}}}},
            "screen.composition.icsd24_thresholds.consensus is 0; give a whole number from 1",
        ),
        (
            {"validate": {"second_opinion": "7net-l3i5"}},
            "validate.second_opinion is '7net-l3i5'; validate.phonon_potential is the same",
        ),
        (
            {"validate": {"relaxation": {"lowest_energy_ev_per_atom": 20}}},
            "validate.relaxation.lowest_energy_ev_per_atom is 20; give less than highest_energy_ev_per_atom",
        ),
        (
            {"validate": {"phonons": {"stable_above_thz": -0.9}}},
            "validate.phonons.stable_above_thz is -0.9; give at least unstable_below_thz (-0.5)",
        ),
        (
            {"validate": {"hull": {"metastable_ev_per_atom": -1}}},
            "validate.hull.stable_ev_per_atom is 0.0; give at most metastable_ev_per_atom (-1)",
        ),
        (
            {"imported": {"my set": "a.cif"}},
            "imported.my set is 'a.cif'; its name must be a text that matches",
        ),
        (
            {"imported": {"mine": {"path": "a.csv", "column": "c"}}},
            "imported.mine.column is 'c'; there is no such",
        ),
        ({"imported": {"mine": {"id_column": "c"}}}, "imported.mine.path is missing; give a text"),
        (
            {"matgan": {"generator": {"settings_of_set": {"oqdm": {"steps": 5}}}}},
            "matgan.generator.settings_of_set.oqdm is 'oqdm'; config/datasets.yaml has no such entry of kind "
            "formulas, add one there; did you mean oqmd?",
        ),
        (
            {"matgan": {"generator": {"settings_of_set": {"oqmd": {"setps": 5}}}}},
            "matgan.generator.settings_of_set.oqmd.setps is 5; there is no such setting; did you mean steps?",
        ),
        (
            {"matgan": {"sets": ["mp_poly_total"]}},
            "matgan.sets.0 is 'mp_poly_total', which config/datasets.yaml",
        ),
        ({"matgan": {"elements": ["Ag", "Xx"]}}, "matgan.elements.1 is 'Xx'; give the symbol of an element"),
        (
            {"datasets": ["mp_poly_totel"]},
            "datasets.0 is 'mp_poly_totel'; config/datasets.yaml has no such entry",
        ),
        ({"datasets": ["oqmd"]}, "datasets.0 is 'oqmd', which config/datasets.yaml says holds formulas"),
        (
            {"wycryst": {"tasks": ["condition_3"]}},
            "wycryst.tasks.0 is 'condition_3'; wycryst.targets says nothing",
        ),
        (
            {"wycryst": {"funnel": ["denovoo"]}},
            "wycryst.funnel.0 is 'denovoo'; wycryst.targets says nothing of it",
        ),
        (
            {"wycryst": {"targets": {"denovo": {"windows": {"band_gap_ev": [2, 1]}}}}},
            "wycryst.targets.denovo.windows.band_gap_ev is [2, 1]; give the smaller bound first",
        ),
        (
            {"wycryst": {"data": {"validation_share": 0.95}}},
            "wycryst.data.test_share is 0.1; give less than 1 - validation_share (0.05)",
        ),
        (
            {"phonon": {"compounds": ["Ag3SF"]}},
            "phonon.compounds.0 is 'Ag3SF'; phonon.files says nothing of it",
        ),
        (
            {"phonon": {"learning": {"compound": "Ag3SBrr"}}},
            "phonon.learning.compound is 'Ag3SBrr'; phonon.files",
        ),
        (
            {"phonon": {"learning": {"targets": ["stress_gpa"]}}},
            "phonon.learning.drawn_target is 'band_gap_ev'; phonon.learning.targets has stress_gpa",
        ),
        (
            {"phonon": {"supercell": [2, 2, 200]}},
            "phonon.supercell.2 is 200; give a whole number from 1 to 20: the",
        ),
        (
            {"properties": {"computed": {"ionic_respons": {}}}},
            "layer_geometry; say which with `property`; did you mean ionic_response?",
        ),
        (
            {"properties": {"computed": {"mine": {"property": "bulk_modulus", "settings": {"steps": 3}}}}},
            "properties.computed.mine.settings.steps is 3; there is no such setting",
        ),
        (
            {"phonon": {"self_consistent": {"snapshots": 7}}},
            "snapshots is 7; give a whole number divisible by 2",
        ),
        ({"phonon": {"temperatures_kelvin": [-5]}}, "phonon.temperatures_kelvin.0 is -5; give a number"),
        (
            {"phonon": {"displacements": {"cutoff_thz": -1}}},
            "phonon.displacements.cutoff_thz is -1; give a number above 0",
        ),
        ({"phonon": None}, "phonon is null; give a mapping"),
        ({"split": {1: 2}}, "split.1 is 2; there is no such setting, but schemes, runs"),
        ({7: "seven"}, "7 is 'seven'; there is no such setting"),
        (
            {"predictor_settings": {"constant": {"a": 1}}},
            "predictor_settings.constant.a is 1; there is no such",
        ),
        ({"imported": {"mine": {"path": ""}}}, "imported.mine.path is ''; give a text that is not empty"),
        ({"wycryst": {"targets": {"x" * 400: {}}}}, "wycryst.targets.xxx"),
    ],
)
def test_what_does_not_go_together_is_refused(change: dict[str, Any], said: str) -> None:
    fault = fault_of(merged(default_settings(), change))
    assert said in fault and "\n" not in fault and len(fault) < 300, fault


def test_a_property_of_a_dataset_that_nobody_computes_is_refused() -> None:
    values, registry = default_settings(), {**REGISTRY}
    name = values["datasets"][0]
    registry[name] = {**registry[name], "properties": ["layer_geometry", "exfoliation_enrgy"]}
    said = fault_of_names(values, registry, REGISTRY)
    assert f"{name}.properties.1 is 'exfoliation_enrgy'; give one of bulk_modulus" in said
    assert said.endswith("did you mean exfoliation_energy?")
    registry[name]["properties"] = ["mine"]
    values["properties"]["computed"] = {"mine": {"property": "bulk_modulus"}}
    assert fault_of_names(values, registry, REGISTRY) == ""


def merged(base: Any, change: Any) -> Any:
    """Lay a config over another, as snakemake does."""
    if not (isinstance(base, dict) and isinstance(change, dict)):
        return change
    return base | {key: merged(base.get(key), value) for key, value in change.items()}


def test_a_chapter_that_is_left_out_needs_no_section() -> None:
    values = {key: value for key, value in default_settings().items() if key != "phonon"}
    assert fault_of(values).startswith("phonon is null; chapter phonon needs it")
    assert fault_of({**values, "chapters": ["matwheel", "perturb", "matgan", "wycryst"]}) == ""
