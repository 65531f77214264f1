"""What rules share: constants from the config, and what jobs carry: code, seed, memory; no rules."""

import os
import re
from functools import cache

from matwheel.core.files import sha256_of_file
from matwheel.core.seeds import derive_seed
from matwheel.generators.registry import GENERATORS
from matwheel.potentials.potentials import POTENTIALS
from matwheel.predictors.registry import PREDICTORS
from matwheel.runs.recorded_code import PlannedCode
from matwheel.screening.registry import SCREENS
from matwheel.screening.synthesizability import SCORES

PLANNED_CODE = PlannedCode(
    ROOT / "src",
    ROOT / "workflow" / "scripts",
    is_main_process=workflow.is_main_process,
)


def code(script, *modules):
    """Hash a rule's script with the library code that it reaches; modules are names, or functions of wildcards.

    Not before a job asks: on a cluster every job reads the whole workflow, and needs the hash of its own rule only.
    """

    def hash_for(wildcards):
        names = [name(wildcards) if callable(name) else name for name in modules]
        return PLANNED_CODE.code(script, *names)

    return hash_for


def job_seed(*names):
    """Derive a job's seed from the config's seed, the rule and the wildcards."""
    return lambda wildcards: derive_seed(
        config["seed"], *names, *(wildcards[name] for name in sorted(wildcards.keys()))
    )


def not_compared(value):
    """A parameter that decides nothing of the result, such as where data lie; a value, or a function of wildcards.

    Snakemake compares no parameter of a function that asks for `input`.
    """
    return lambda wildcards, input: value(wildcards) if callable(value) else value


@cache
def content_of_file(path):
    """Hash of a file that may lie anywhere; one that cannot be read is refused by the job that wants it."""
    try:
        return sha256_of_file(path)
    except OSError as error:
        return str(error)


def contents(paths):
    """What some files hold, by their names; a parameter in place of the files as inputs, whose paths would count."""
    return lambda wildcards: {Path(path).name: content_of_file(path) for path in paths}


def grows(megabytes):
    """Ask for that much memory, and for as much again at each further attempt."""
    return lambda wildcards, attempt: megabytes * attempt


def inputs_of_snakemake(paths):
    """Those of some paths that Snakemake can take as inputs: what stands in braces is a wildcard to it."""
    return [path for path in paths if not re.search("[{}]", str(path))]


LATENT_POTENTIALS = config["predictor_settings"]["latent"].get("potentials", ["7net-0"])

DATASETS = config["datasets"]
SCHEMES = config["split"]["schemes"]
RUNS = list(range(config["split"]["runs"]))
SUPERVISIONS = ["full", "semi"]
GPU = 1 if config["device"] == "cuda" else 0

# Columns of Table 2: the real rows that a predictor learns from, and whose crystals join them.
TRAINING_SETS = {
    "F": {"real": "train", "generated": []},
    "GF": {"real": "none", "generated": ["full"]},
    "F_GF": {"real": "train", "generated": ["full"]},
    "S": {"real": "labelled", "generated": []},
    "GS": {"real": "none", "generated": ["semi"]},
    "S_GS": {"real": "labelled", "generated": ["semi"]},
}

# What `screen.synthetic_filter` asks of a generated crystal before a predictor learns from it.
SCREENS_OF_FILTER = {
    "none": [],
    "composition": ["charge_neutrality", "electronegativity"],
    "structure": ["structure"],
    "hull": ["hull_dft"],
}


wildcard_constraints:
    dataset="[a-z0-9_]+",
    scheme="random|formula|prototype|chang2022",
    seed=r"\d+",
    supervision="full|semi",
    predictor="|".join(PREDICTORS),
    training_set="F|GF|F_GF|S|GS|S_GS",
