"""Formula sets: which there are, what is drawn and judged for each, and what the chapter shows; no rules."""

from matwheel.compositions.formulas import ELEMENTS, MATGAN_ELEMENTS
from matwheel.generators.compositions import COMPOSITION_GENERATORS
from matwheel.generators.parted_settings import parted_settings

MATGAN = config["matgan"]
COMPOSER = MATGAN["generator"]
if workflow.is_main_process:
    for own in [name for name in MATGAN["sets"] if name in REGISTRY]:
        look_at_own_dataset(own)
SYMBOLS = {"matgan": list(MATGAN_ELEMENTS), "all": list(ELEMENTS)}.get(
    MATGAN["elements"] if isinstance(MATGAN["elements"], str) else "",
    MATGAN["elements"],
)
SAMPLE_SHARDS = range(MATGAN["sample_shards"])
TABLES_OF_COMPOSITIONS = [
    "table1",
    "table2",
    "validity",
    "uniqueness",
    "recovery",
    "recovery_curve",
]


def out_of_reach(formula_set):
    """Say whether all sources of a formula set are files of mirror folders that none of them has."""
    entry = REGISTRY[formula_set]
    if "derived_from" in entry:
        return out_of_reach(entry["derived_from"])
    names = [
        source["name"] if source["kind"] == "mirror" else None
        for source in entry.get("sources", [])
    ]
    return None not in names and names and not mirror_files(*names)


FORMULA_SETS = [name for name in MATGAN["sets"] if not out_of_reach(name)]
for missing in [name for name in MATGAN["sets"] if name not in FORMULA_SETS]:
    logger.warning(
        f"formula set {missing} needs a file that none of the mirror folders "
        f"({', '.join(config['mirror_folders'])}) has; the other sets go on without it"
    )

# Where samples are: of the GAN, and of each null generator.
COMPOSITION_SETS = [
    composition_set
    for formula_set in FORMULA_SETS
    for composition_set in (
        formula_set,
        *(f"{formula_set}/null/{null}" for null in MATGAN["nulls"]),
    )
]
EVALUATIONS = [f"results/matgan/{name}/evaluation.json" for name in COMPOSITION_SETS]

# Sets that a further model is trained on: which compositions an autoencoder can decode, formation energies, gaps.
DECODED, ENERGIES, GAPS = (
    [name for name in [MATGAN[model]["set"]] if name in FORMULA_SETS]
    for model in ("autoencoder", "formation_energy", "band_gap")
)
COMPOSITION_TABLES = [
    *(f"results/matgan/{name}.csv" for name in TABLES_OF_COMPOSITIONS),
    *(f"results/matgan/{name}/decodability.csv" for name in DECODED),
    *(f"results/matgan/{name}/formation_energy_errors.csv" for name in ENERGIES),
    *(f"results/matgan/{name}/band_gap_errors.csv" for name in GAPS),
    *(f"results/matgan/{name}/band_gap_distances.csv" for name in GAPS),
]
COMPOSITION_FIGURES = [
    *(f"results/matgan/figures/fig3_map_{name}.svg" for name in FORMULA_SETS),
    "results/matgan/figures/fig4a_validity.svg",
    *(
        f"results/matgan/figures/fig4b_formation_energies_{name}.svg"
        for name in ENERGIES
    ),
    "results/matgan/figures/fig5a_uniqueness.svg",
    "results/matgan/figures/fig5b_recovery.svg",
    "results/matgan/figures/recovery_curve.svg",
    *(f"results/matgan/figures/fig6_band_gaps_{name}.svg" for name in GAPS),
    *(f"results/matgan/figures/fig7_decodable_{name}.svg" for name in DECODED),
    *(f"results/matgan/figures/distributions_{name}.svg" for name in FORMULA_SETS),
]


NAMED_AT_THE_END.append("results/matgan/report")
HEADLINES += ["results/matgan/report"] if FORMULA_SETS else []
if FORMULA_SETS:
    REPORT_FILES["compositions"] = ["results/matgan/table1.csv"]
    REPORT_FILES["composition_figures"] = [
        path for path in COMPOSITION_FIGURES if "distributions" not in path
    ]
PROVENANCE_OF_DATA += [
    f"results/formulas/{name}/provenance.json" for name in FORMULA_SETS
]


def formulas_of(formula_set):
    """Table of a formula set."""
    return f"results/formulas/{formula_set}/formulas.parquet"


def composer_settings(formula_set):
    """Settings of the generator for a set, those for all and the set's own: of training, and of sampling."""
    own = COMPOSER["settings_of_set"].get(formula_set, {})
    return parted_settings(COMPOSER["name"], COMPOSER["settings"] | own)


wildcard_constraints:
    formula_set="[a-z0-9_]+",
    null="|".join(name for name in COMPOSITION_GENERATORS if name != "matgan"),
    composition_set=r"[a-z0-9_]+(/null/[a-z]+)?",
