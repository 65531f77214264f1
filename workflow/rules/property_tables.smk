"""Properties that a potential computes: which there are, of which crystals and in how many jobs; no rules."""

from functools import cache
from math import ceil

from matwheel.properties.registry import PROPERTIES, make_property

PROPERTY_SETTINGS = config["properties"]


@cache
def chosen_property(name):
    """Registry's name, potential and settings of a property; no potential where it needs none."""
    choice = PROPERTY_SETTINGS["computed"].get(name, {})
    kind, settings = choice.get("property") or name, choice.get("settings", {})
    potential = choice.get("potential") or PROPERTY_SETTINGS["potential"]
    if not make_property(kind, settings).uses_potential:
        potential = None
    return {"property": kind, "potential": potential, "settings": settings}


def property_shards(folder, name):
    """Shards of a property of a dataset or candidate set; one where the number of crystals is not known."""
    size = PROPERTY_SETTINGS["shard_size"]
    if chosen_property(name)["potential"] is None:
        return range(1)
    if not folder.startswith("data/"):
        return SETS[folder].shards_of(SETS[folder].relax_at_most, size)
    return range(max(1, ceil(rows_of_dataset(folder.removeprefix("data/")) / size)))


def crystals_of_properties(folder):
    """Crystals of a dataset as they are; those of a candidate set relaxed."""
    relaxed = f"results/{folder}/relaxed.parquet"
    return crystals_of_folder(folder) if folder.startswith("data/") else relaxed


def oracle_files(file):
    """A file of every property that a dataset is compared with, for every scheme."""
    return [
        f"results/data/{dataset}/{scheme}/oracles/{name}{file}"
        for dataset in DATASETS
        for name in REGISTRY[dataset].get("properties", [])
        for scheme in SCHEMES
    ]


wildcard_constraints:
    property="|".join(sorted({*PROPERTIES, *PROPERTY_SETTINGS["computed"]})),
