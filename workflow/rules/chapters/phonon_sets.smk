"""Displaced configurations: which compounds, sets and labels there are, and who learns from what; no rules."""

from matwheel.vibrations.displacements import SETS as KINDS
from matwheel.vibrations.displacements import DisplacementSettings

PHONON = config["phonon"] | {
    key: {name: shipped(path) for name, path in config["phonon"][key].items()}
    for key in ("files", "shipped_labels")
}
COMPOUNDS = PHONON["compounds"]
TEMPERATURES = PHONON["temperatures_kelvin"]
PHONON_LEARNING = PHONON["learning"]
LEARNT_COMPOUND = PHONON_LEARNING["compound"]
PHONON_DFT = PHONON["dft"]

if workflow.is_main_process:
    for compound in COMPOUNDS:
        if not Path(PHONON["files"][compound]).is_file():
            raise WorkflowError(
                f"config: phonon.files.{compound} is {PHONON['files'][compound]!r}; there is no such file, "
                "correct the path"
            )

DISPLACEMENTS = DisplacementSettings(**PHONON["displacements"])


def family_of(kind):
    """Folder of the sets of a kind that models learn from."""
    policy = f"_{DISPLACEMENTS.policy}" if kind in ("thermal", "uniform_scaled") else ""
    return kind + policy


# A family of sets is a folder: thermal_cutoff, uniform_scaled_cutoff (at all temperatures), uniform_one_sided.
COMPARED_FAMILIES = [
    *(f"thermal_{policy}" for policy in PHONON["policies"]),
    *(family_of(kind) for kind in PHONON["random_sets"]),
]


def temperatures_of(family):
    """Temperatures of the sets of a family."""
    if family.endswith("_self_consistent"):
        return PHONON["self_consistent_temperatures_kelvin"]
    return TEMPERATURES


def sets_of_family(family):
    """Names of the sets of a family, each with the number of its configurations per block."""
    if family in ("uniform_one_sided", "uniform_symmetric"):
        # As many as a thermal family has at all temperatures.
        return {family: PHONON["block_size"] * len(TEMPERATURES)}
    return {
        f"{family}_{temperature:g}": PHONON["block_size"]
        for temperature in temperatures_of(family)
    }


def shards_of(number, size):
    """Numbers of the shards that hold so many configurations."""
    return range(-(-number // size))


def constants_of(compound, family):
    """Files of the force constants that a family is displaced by: one, or one for each temperature."""
    if not family.endswith("_self_consistent"):
        return f"results/phonon/{compound}/force_constants.npz"
    return [
        f"results/phonon/{compound}/self_consistent_{temperature:g}.npz"
        for temperature in temperatures_of(family)
    ]


def configuration_files(compound, name):
    """Files, of configurations or of the potential's labels, of a compound's compared families."""
    return [
        f"results/phonon/{compound}/configurations/{family}/{name}{shard}.parquet"
        for family in COMPARED_FAMILIES
        for shard in shards_of(PHONON["configurations"], PHONON["shard_size"])
    ]


def dft_files(compound, folder):
    """Files, of configurations or of labels by DFT, of a compound's labelled families."""
    return [
        f"results/phonon/{compound}/{folder}/{family_of(kind)}/shard{shard}.parquet"
        for kind, number in PHONON_DFT["configurations"].items()
        for shard in shards_of(number, PHONON["shard_size"])
    ]


def kind_of(family):
    """Kind of the sets of a family."""
    return next(kind for kind in KINDS if family.startswith(kind))


PHONON_RUNS = range(PHONON_LEARNING["seeds"])
EXPLAINED_MODELS = [
    (learnt_set, seed)
    for learnt_set in PHONON_LEARNING["explained_sets"]
    for seed in PHONON_RUNS
]

NAMED_AT_THE_END.append("results/phonon/cross_table.csv")
REPORT_OPTIONS["drawn_target"] = PHONON_LEARNING["drawn_target"]
REPORT_FILES["configuration_figures"] = []
INPUT_FILES += [
    *(PHONON["files"][name] for name in COMPOUNDS),
    *PHONON["shipped_labels"].values(),
]
if COMPOUNDS:
    HEADLINES += [
        "results/phonon/displacements.svg",
        "results/phonon/bands.svg",
    ]
    REPORT_FILES["configuration_figures"] += [
        "results/phonon/bands.svg",
        "results/phonon/displacements.svg",
    ]
if LEARNT_COMPOUND in COMPOUNDS:
    REPORT_FILES["configuration_contrasts"] = ["results/phonon/contrasts.csv"]
    REPORT_FILES["configuration_figures"] += [
        f"results/phonon/{name}.svg"
        for name in ("cross_table", "learning_curves", "explanations")
    ]
    HEADLINES += [
        "results/phonon/learning_curves.csv",
        "results/phonon/cross_table.csv",
        "results/phonon/agreement.csv",
        "results/phonon/explanations.svg",
    ]


wildcard_constraints:
    compound="[A-Za-z0-9_]+",
    family="thermal_[a-z_]+|uniform_scaled_[a-z_]+|uniform_one_sided|uniform_symmetric",
    temperature=r"[0-9.]+",
    learnt_set="thermal|uniform_one_sided|uniform_symmetric|uniform_scaled|both",
