"""Configurations that are wrong in one place, made of the defaults by a seed; nothing here asks the model."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, NamedTuple

from default_settings import default_settings

Path = tuple[Any, ...]

# Single settings below sections that the defaults leave empty, with a right value each; there are more.
SINGLE_SETTINGS: dict[str, dict[str, Any]] = {
    "predictor_settings.cgcnn": {"learning_rate": 0.01, "batch_size": 64, "loss": "l1", "convolutions": 3},
    "predictor_settings.latent": {"potentials": ["7net-0"], "gammas": [0.1], "folds": 5, "tube": 0.03},
    "predictor_settings.forest": {"trees": 100, "features_per_split": 0.3, "target": "raw"},
    "generator.settings": {"latent_width": 128, "prior_steps": 100, "dropout": 0.1, "learning_rate": 0.001},
    "screen.composition": {"alloys_pass": True, "mixed_valence": False},
    "screen.structure": {"net_dimensions": 2, "largest_atoms": 100, "minimum_scaled_distance": 0.5},
    "screen.synthesizability.settings": {"kind": "reported", "trees": 10, "folds": 3},
    "validate.relaxation": {"max_steps": 10, "fmax_ev_per_angstrom": 0.05, "keep_symmetry": True},
    "validate.phonons": {
        "displacement_angstrom": 0.01,
        "follow_unstable": True,
        "mode_amplitudes_angstrom": [0.1, 0.2],
        "max_supercell_atoms": 100,
    },
    "validate.dft": {"cutoff_ev": 300.0, "tasks": ["single_point"], "spin": "auto", "max_atoms": 5},
    "properties.computed": {
        "ionic_response": {"potential": "7net-l3i5", "settings": {"max_atoms": 30}},
        "exfoliation_energy": {"settings": {"shifts": 1, "vacuum_angstrom": 6.0}},
    },
    "perturbation.settings": {"temperature_kelvin": 300.0, "policy": "cutoff", "per_crystal": 1},
    "matgan.generator.settings": {"network": "dense", "width": 128, "steps": 100, "critic_rate": 0.001},
    "matgan.maps": {"iterations": 500, "perplexity": 30.0},
    "matgan.autoencoder.settings": {"network": "dense", "latent_width": 32, "threshold": 0.5},
    "matgan.formation_energy.elemnet": {"epochs": 10, "dropout": [0.1, 0.1, 0.1, 0.1], "preset": "laptop"},
    "matgan.band_gap.boosting": {"trees": 100, "preset": "gbdt", "subsample": 0.5},
    "wycryst.ablation.settings": {"augment": True, "pretraining_steps": 100, "optimiser": "adam"},
    "wycryst.sampling": {"temperature": 1.0, "latents_per_reference": 10},
    "wycryst.judges": {"trees": 100, "calibration_folds": 3},
    "wycryst.build": {"placement": "spread", "realisations": 8, "volume_factor": 1.0},
    "wycryst.anions": {"anions": ["O", "S"]},
    "phonon.displacements": {"policy": "cutoff", "cutoff_thz": 0.5},
    "phonon.self_consistent": {"snapshots": 10, "damping": 0.7, "memory": 5},
    "phonon.learning.network": {"width": 32, "loss": "mse", "average_decay": 0.9},
}
# Numbers that may be negative, or without end.
SIGNED = {
    *("lowest_energy_ev_per_atom", "stable_ev_per_atom", "metastable_ev_per_atom"),
    *("windows", "formation_energy_ev_per_atom", "band_gap_ev"),
}
ENDLESS = SIGNED | {"seed", "bandwidth"}
WHOLE_BY_CHANCE = {"cutoff_ev", "target_sigmas", "target_above"}
# Texts and keys of the user's choice: paths, titles and what his own sets are called.
FREE_TEXTS = {
    *(
        "dataset_registry",
        "mirror_folders",
        "store",
        "files",
        "shipped_labels",
        "setups",
        "set",
        "sets",
        "datasets",
    ),
}
FREE_KEYS = {"matgan.validity_rules", "wycryst.targets", "phonon.files", "phonon.shipped_labels", "imported"}
# Sections whose keys are all optional, and those that a plan can be made without.
OPTIONAL = set(SINGLE_SETTINGS) | {
    *("wycryst.data", "wycryst.model", "validate.hull", "screen.composition", "phonon.dft.settings"),
    *("screen.further", "matgan.generator.settings_of_set", "phonon.dft.configurations"),
    *("properties.computed.ionic_response", "properties.computed.exfoliation_energy"),
    *("matgan.validity_rules", "phonon.dft.settings.setups", "wycryst.targets"),
}


class Mutation(NamedTuple):
    """A wrong configuration: what was done, where, and the value there."""

    kind: str
    path: Path
    value: Any
    configuration: dict[str, Any]


def right_configuration() -> dict[str, Any]:
    """Return the defaults with single settings in every section that has some; nothing is wrong with it."""
    values = default_settings()
    for section, settings in SINGLE_SETTINGS.items():
        here = values
        for key in section.split("."):
            here = here.setdefault(key, {})
        here |= settings
    return values


def mutations(seed: int = 0) -> list[Mutation]:
    """Return wrong configurations, at least one of every kind for every key that it can happen to."""
    right, draw = right_configuration(), random.Random(seed)
    made: list[Mutation] = []

    def change(kind: str, path: Path, value: Any) -> None:
        wrong = deepcopy(right)
        _at(wrong, path[:-1])[path[-1]] = value
        made.append(Mutation(kind, path, value, wrong))

    for path, value in _walk(right):
        section, key = ".".join(map(str, path[:-1])), path[-1]
        if isinstance(key, str) and section not in FREE_KEYS:
            wrong = deepcopy(right)
            parent, typo = _at(wrong, path[:-1]), _typo(key, draw)
            parent[typo] = parent[key]
            made.append(Mutation("typo in a key", (*path[:-1], typo), value, wrong))
            if not _may_be_left_out(path):
                wrong = deepcopy(right)
                del _at(wrong, path[:-1])[key]
                made.append(Mutation("missing key", path, None, wrong))
        for wrong_value in _of_wrong_type(value, path):
            change("wrong type", path, wrong_value)
        if isinstance(value, str) and not FREE_TEXTS & set(path):
            change("unknown name", path, _typo(value, draw))
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            if not SIGNED & set(path) and not str(key).endswith("_thz"):
                change("out of range", path, -abs(value) - 1)
            if isinstance(value, int) and not ENDLESS & set(path):
                change("absurd budget", path, 10**13)
    return made


def registry_mutations(entries: Mapping[str, Any], seed: int = 0) -> list[Mutation]:
    """Return registries of datasets that are wrong in one place."""
    draw, made = random.Random(seed), []

    def change(kind: str, path: Path, key: Any, value: Any) -> None:
        wrong = deepcopy(dict(entries))
        _at(wrong, path[:-1])[key] = value
        made.append(Mutation(kind, (*path[:-1], key), value, wrong))

    for path, value in _walk(entries):
        if len(path) == 1:
            continue
        for wrong_value in _of_wrong_type(value, path):
            change("wrong type", path, path[-1], wrong_value)
        if isinstance(path[-1], str):
            change("typo in a key", path, _typo(path[-1], draw), value)
        if path[-1] in (
            "kind",
            "merged_target",
            "derived_from",
            "balanced_under",
            "crystal_format",
        ):
            change("unknown name", path, path[-1], _typo(value, draw))
        if path[-1] in ("rows", "max_atoms", "rows_tolerance", "target_tolerance"):
            change("out of range", path, path[-1], -1)
    return made


def _walk(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield key path and value of everything below a mapping; of a list the first item."""
    items = value.items() if isinstance(value, Mapping) else enumerate(value[:1])
    for key, item in items:
        yield (*path, key), item
        if isinstance(item, (Mapping, list)):
            yield from _walk(item, (*path, key))


def _may_be_left_out(path: Path) -> bool:
    above = {".".join(map(str, path[:end])) for end in (len(path) - 1, len(path) - 2)}
    return bool(above & OPTIONAL) or path[-1] == "forest" or "windows" in path[:-1]


def _at(values: Any, path: Path) -> Any:
    for key in path:
        values = values[key]
    return values


def _typo(word: str, draw: random.Random) -> str:
    """Return a word with a letter doubled, left out or swapped with the next."""
    place = draw.randrange(len(word))
    kinds = (
        word[:place] + word[place] + word[place:],
        word[:place] + word[place + 1 :] if len(word) > 3 else f"{word}x",
        word[:place] + word[place + 1 : place + 2] + word[place] + word[place + 2 :],
    )
    return next(typo for typo in draw.sample(kinds, 3) if typo != word)


def _of_wrong_type(value: Any, path: Path) -> Iterator[Any]:
    if isinstance(value, bool):
        yield from (1, "perhaps")
    elif isinstance(value, (int, float)):
        yield from ("many", True, [value])
        if isinstance(value, int) and path[-1] not in WHOLE_BY_CHANCE and not isinstance(path[-1], int):
            yield value + 0.5
    elif isinstance(value, str):
        yield from (["a", "b"], {"a": 7})
    elif isinstance(value, list):
        yield from ("all", 3)
    elif isinstance(value, Mapping):
        yield from ("none", [1])
