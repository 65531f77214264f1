"""Values of a configuration against a schema: types, paths and faults."""

from pathlib import Path

import pytest
import yaml
from default_settings import default_settings

from matwheel.configuration.configuration import fault_of_configuration
from matwheel.core.config_values import (
    conformed,
    parsed_setting,
    survives_hand_over,
    with_paths_from,
)

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = yaml.safe_load((ROOT / "config/schemas/config.schema.yaml").read_text())
DEFAULTS = default_settings()


def from_command_line(**settings):
    return conformed({key: parsed_setting(text) for key, text in settings.items()}, SCHEMA, from_texts=True)


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("validate", "{relax_at_most: 10}", {"relax_at_most": 10}),
        ("generator", "{samples: 500}", {"samples": 500}),
        ("generator", "{samples: 5e2}", {"samples": 500}),
        ("split", "{labelled_fraction: 1e-1}", {"labelled_fraction": 0.1}),
        ("conditions", "{bandwidth: 0.3}", {"bandwidth": 0.3}),
        ("conditions", "{bandwidth: scott, targets: [1, 2.5]}", {"bandwidth": "scott", "targets": [1, 2.5]}),
        ("funnel", "{runs: [0, 1]}", {"runs": [0, 1]}),
        ("predictor_settings", "{cgcnn: {patience: null}}", {"cgcnn": {"patience": None}}),
        ("validate", "{second_opinion: null}", {"second_opinion": None}),
        ("validate", "{born_charges: null}", {"born_charges": None}),
        ("validate", "{second_opinion: 7net-0}", {"second_opinion": "7net-0"}),
        ("validate", "{phonons: {follow_unstable: false}}", {"phonons": {"follow_unstable": False}}),
        (
            "wycryst",
            "{targets: {mine: {windows: {band_gap_ev: [null, 2]}, space_groups: [1, 230]}}}",
            {"targets": {"mine": {"windows": {"band_gap_ev": [None, 2]}, "space_groups": [1, 230]}}},
        ),
        # Where the schema knows nothing, what looks like a number is one.
        (
            "predictor_settings",
            "{nearest: {neighbours: 3, name: a1}}",
            {"nearest": {"neighbours": 3, "name": "a1"}},
        ),
        (
            "generator",
            "{name: strained, settings: {strain: 0.05}}",
            {"name": "strained", "settings": {"strain": 0.05}},
        ),
        (
            "screen",
            "{further: {few: {at_most: 3, strict: true}}}",
            {"further": {"few": {"at_most": 3, "strict": True}}},
        ),
        # Names stay names.
        ("imported", "{mine: 123}", {"mine": "123"}),
        ("validate", "{potential: '7net-0'}", {"potential": "7net-0"}),
        ("phonon", "{dft: {settings: {setups: {Ag: 11}}}}", {"dft": {"settings": {"setups": {"Ag": "11"}}}}),
        ("datasets", "[1e5, no]", ["1e5", "no"]),
        # Settings in a choice, and below names of the user's own.
        (
            "screen",
            "{composition: {icsd24_thresholds: {consensus: 2, commonality: 10}}}",
            {"composition": {"icsd24_thresholds": {"consensus": 2, "commonality": 10}}},
        ),
        ("matgan", "{elements: [Ag, Cl]}", {"elements": ["Ag", "Cl"]}),
        (
            "matgan",
            "{generator: {settings_of_set: {oqmd: {steps: 1e3}}}}",
            {"generator": {"settings_of_set": {"oqmd": {"steps": 1000}}}},
        ),
    ],
)
def test_texts_that_stand_for_numbers_are_numbers(key, text, value):
    assert from_command_line(**{key: text}) == {key: value}


def test_a_text_that_is_no_number_stays_and_is_named_by_its_key():
    for text, fault in (
        ("{relax_at_most: ten}", "validate.relax_at_most is 'ten'; give a whole number from 1 to 100,000"),
        ("{relax_at_most: 2.5}", "validate.relax_at_most is '2.5'; give a whole number"),
        ("{relax_at_most: 0}", "validate.relax_at_most is 0; give a whole number from 1"),
        ("{relax_at_most: '1:30'}", "validate.relax_at_most is '1:30'; give a whole number"),
        ("{phonons: {follow_unstable: perhaps}}", "follow_unstable is 'perhaps'; give true or false"),
        ("{phonons: {amplitude: 3}}", "validate.phonons.amplitude is 3; there is no such setting"),
        (
            "{hull: {stable_ev: 3}}",
            "validate.hull.stable_ev is 3; there is no such setting; did you mean stable_ev_per_atom?",
        ),
    ):
        changed = from_command_line(validate=text)["validate"]
        said = fault_of_configuration({**DEFAULTS, "validate": {**DEFAULTS["validate"], **changed}})
        assert fault in said and "\n" not in said, said


def test_files_are_conformed_only_where_the_schema_wants_a_number():
    given = {
        **DEFAULTS,
        "split": {**DEFAULTS["split"], "labelled_fraction": "1e-1"},
        "predictor_settings": {"cgcnn": {"learning_rate": "1e-3"}, "mine": {"name": "5"}},
    }
    changed = conformed(given, SCHEMA)
    assert changed["split"]["labelled_fraction"] == 0.1
    assert changed["predictor_settings"] == {"cgcnn": {"learning_rate": 0.001}, "mine": {"name": "5"}}
    assert conformed(DEFAULTS, SCHEMA) == DEFAULTS


def test_paths_are_those_that_the_schema_calls_so(tmp_path):
    (tmp_path / "states.txt").write_text("Na 1\n")
    given = {
        "dataset_registry": "mine.yaml",
        "mirror_folders": ["mirror", "/abs"],
        "imported": {"a": "a.cif", "b": {"path": "b.csv", "crystal_column": "c"}},
        "screen": {"composition": {"oxidation_table": "states.txt"}},
        "matgan": {"validity_rules": {"x": {"oxidation_table": "smact14"}}},
        "teacher": "cgcnn",
    }
    assert with_paths_from(given, SCHEMA, tmp_path) == {
        "dataset_registry": str(tmp_path / "mine.yaml"),
        "mirror_folders": [str(tmp_path / "mirror"), "/abs"],
        "imported": {
            "a": str(tmp_path / "a.cif"),
            "b": {"path": str(tmp_path / "b.csv"), "crystal_column": "c"},
        },
        "screen": {"composition": {"oxidation_table": str(tmp_path / "states.txt")}},
        "matgan": {"validity_rules": {"x": {"oxidation_table": "smact14"}}},
        "teacher": "cgcnn",
    }


def test_what_snakemake_hands_on_to_jobs_is_told_from_what_it_does_not():
    """By Snakemake's own functions: what `--config` gave is written as repr and read again in every job."""
    from snakemake.cli import parse_config
    from snakemake.settings.types import ConfigSettings

    for text in ("{a: x, b: [1, 2]}", "{a: it's}", "{a: 'say \"so\"'}", "[größe, 'e  f']", "plain", "7net-0"):
        given = parse_config([f"key={text}"])
        handed = parse_config(ConfigSettings(config=given).config_args)
        assert handed == given and survives_hand_over(given["key"]), text
    for text in ('{a: "it\'s \\"quoted\\""}', "{a: 'back\\slash'}", '{a: "two\\nlines"}'):
        given = parse_config([f"key={text}"])
        handed = parse_config(ConfigSettings(config=given).config_args)
        assert handed != given and not survives_hand_over(given["key"]), text
