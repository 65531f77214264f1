"""Constants of the workflow, taken from the config; no rules."""

import os
import sys
from importlib.metadata import version
from pathlib import Path

from snakemake.exceptions import WorkflowError

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT / "src"))

from matwheel.code_version import code_version
from matwheel.files import sha256_of_file
from matwheel.generators.registry import GENERATORS
from matwheel.predictors.registry import PREDICTORS
from matwheel.screening.registry import SCREENS
from matwheel.screening.synthesizability import SCORES
from matwheel.seeds import derive_seed
from matwheel.validation.potentials import POTENTIALS


def code(script, *modules):
    """Hash a rule's script with the library code that it reaches; modules are names, or functions of wildcards.

    Not before a job asks: on a cluster every job reads the whole workflow, and needs the hash of its own rule only.
    """
    path = ROOT / "workflow" / "scripts" / f"{script}.py"

    def hash_for(wildcards):
        names = [name(wildcards) if callable(name) else name for name in modules]
        return code_version(path, *names, source_root=ROOT / "src")

    return hash_for


def job_seed(*names):
    """Derive a job's seed from the config's seed, the rule and the wildcards."""
    return lambda wildcards: derive_seed(
        config["seed"], *names, *(wildcards[name] for name in sorted(wildcards.keys()))
    )


def grows(megabytes):
    """Ask for that much memory, and for as much again at each further attempt."""
    return lambda wildcards, attempt: megabytes * attempt


LATENT_POTENTIAL = config["predictor_settings"]["latent"].get("potential", "7net-0")

DATASETS = config["datasets"]
SCHEMES = config["split"]["schemes"]
RUNS = list(range(config["split"]["runs"]))
SUPERVISIONS = ["full", "semi"]
GPU = 1 if config["device"] == "cuda" else 0

# An upgrade of these changes results; Snakemake sees it only among the parameters.
TORCH, SMACT = version("torch"), version("smact")

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

# The schema leaves open what is a name of a registry.
for key, names, registry in (
    ("predictors", config["predictors"], PREDICTORS),
    ("predictor_settings", config["predictor_settings"], PREDICTORS),
    ("teacher", [config["teacher"]], PREDICTORS),
    ("judge", [config["judge"]], PREDICTORS),
    ("baselines", config["baselines"], PREDICTORS),
    ("perturbation.predictors", config["perturbation"]["predictors"], PREDICTORS),
    ("generator.name", [config["generator"]["name"]], GENERATORS),
    ("screen.further", config["screen"]["further"], SCREENS),
    ("validate.potential", [config["validate"]["potential"]], POTENTIALS),
    ("validate.phonon_potential", [config["validate"]["phonon_potential"]], POTENTIALS),
    ("perturbation.potential", [config["perturbation"]["potential"]], POTENTIALS),
    (
        "screen.synthesizability.model",
        [config["screen"]["synthesizability"]["model"]],
        ["none", *SCORES],
    ),
):
    for unknown in [name for name in names if name not in registry]:
        raise WorkflowError(
            f"config: {key} names {unknown!r}, which is none of {', '.join(registry)}"
        )
for twice in [name for name in config["baselines"] if name in config["predictors"]]:
    raise WorkflowError(
        f"config: {twice} is in predictors and in baselines; name it in one of them"
    )

for folder in (Path("results"), Path("logs"), Path(".")):
    if folder.exists() and not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise WorkflowError(
            f"{folder.resolve()} is not a folder that you may write to; "
            "change its permissions or run in a copy of the project"
        )
if abs(sum(config["split"]["fractions"].values()) - 1) > 1e-9:
    raise WorkflowError("config: split.fractions do not add up to 1")
if "chang2022" in SCHEMES and len(RUNS) > 5:
    raise WorkflowError(
        "config: scheme chang2022 has five published splits; set split.runs to 5 or fewer"
    )
if config["conditions"]["method"] == "target" and not config["conditions"]["targets"]:
    raise WorkflowError(
        "config: conditions.method is target, but conditions.targets is empty"
    )


wildcard_constraints:
    dataset="[a-z0-9_]+",
    scheme="random|formula|prototype|chang2022",
    seed=r"\d+",
    supervision="full|semi",
    predictor="|".join(PREDICTORS),
    training_set="F|GF|F_GF|S|GS|S_GS",
