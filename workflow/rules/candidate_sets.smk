"""Sets of candidates: which screens they go through and what those need; no rules.

Chapters register further families of sets in `SETS`; the rules of screen.smk and validate.smk ask it only.
"""

from functools import cache

from matwheel.candidates.candidate_set import (
    FILE_OF_SCREEN,
    CandidateSet,
    CandidateSets,
)
from matwheel.command_line.imported_sets import content_sha256, located, other_input
from matwheel.core.errors import InputError
from matwheel.potentials.potentials import definition, potential_card

SCREEN, VALIDATE = config["screen"], config["validate"]

# A user's own crystals: name → path, and the columns of a table where they have unusual names.
IMPORTED = {
    name: given if isinstance(given, dict) else {"path": given}
    for name, given in sorted(config["imported"].items())
}

SYNTHESIZABILITY_MODULES = SCORES.get(SCREEN["synthesizability"]["model"], ())[:1]


def mirror_files(*patterns):
    """Files of the mirror folders that match a pattern; of a name that several have, the first."""
    found = {}
    for folder in config["mirror_folders"]:
        for pattern in patterns:
            for path in sorted(Path(folder).glob(pattern)):
                found.setdefault(path.name, str(path))
    return [found[name] for name in sorted(found)]


# Crystals of the Materials Project, which PyPI does not carry: without a mirror there are none.
MP_FILES = mirror_files("mp20_*.csv.gz", "mpts52_*.csv.gz")
KNOWN_CRYSTALS = ["results/references/mp_crystals.parquet"] if MP_FILES else []

# Formulas with an ICSD code and the others: what a score of synthesizability is learnt from.
SYNTHESIZABILITY_FILES = {
    name: mirror_files(pattern)
    for name, pattern in {
        "listed": "icsd_listed_mp_formulas.txt*",
        "entries": "mp_e_above_hull.csv*",
    }.items()
}
HAS_SYNTHESIZABILITY = all(SYNTHESIZABILITY_FILES.values())

if SCREEN["synthesizability"]["model"] != "none" and not HAS_SYNTHESIZABILITY:
    raise WorkflowError(
        "config: screen.synthesizability needs icsd_listed_mp_formulas.txt.gz and mp_e_above_hull.csv.gz in a "
        f"mirror folder ({', '.join(config['mirror_folders'])}); put them there or set its model to none"
    )


def refuse_other_input(name, path):
    """Refuse to read one user's crystals over the results of others."""
    try:
        other = other_input(name, located(path), Path.cwd())
    except InputError as error:
        raise WorkflowError(f"config: imported.{name}: {error}")
    if other:
        raise WorkflowError(
            f"config: imported.{name} is {path}, but results/imported/{name} was made of {other}, which holds "
            "other crystals; give the set another name, or move that folder away"
        )


# Once per run: jobs, on a cluster each with a process of its own, take it as seen.
if workflow.is_main_process:
    for name, source in IMPORTED.items():
        if Path(source["path"]).exists():
            refuse_other_input(name, source["path"])
        elif not inputs_of_snakemake([source["path"]]):
            raise WorkflowError(
                f"config: imported.{name}: {source['path']} does not exist; correct the path"
            )


# A wrong file ends the run here, not after the relaxations.
if VALIDATE["born_charges"] and workflow.is_main_process:
    from matwheel.vibrations.born_charges import read_born_charges

    try:
        read_born_charges(VALIDATE["born_charges"])
    except InputError as error:
        raise WorkflowError(f"config: validate.born_charges: {error}") from None


def files_of_born_charges():
    """Files of Born charges, if there are any."""
    if not VALIDATE["born_charges"]:
        return []
    from matwheel.vibrations.born_charges import born_charge_files

    return [str(path) for path in born_charge_files(VALIDATE["born_charges"])]


def content_of_born_charges():
    """Stand for all of them: what each holds; None where there are none."""
    return {path: sha256_of_file(path) for path in files_of_born_charges()} or None


@cache
def content_of_import(name):
    """Stand for what a user's file or folder holds; hashed where the job that reads it is planned or run."""
    try:
        return content_sha256(Path(IMPORTED[name]["path"]))
    except InputError as error:  # the job refuses it in these words
        return str(error)


@cache
def size_of_import(name):
    """Crystals in a user's file or folder."""
    from matwheel.crystals.crystal_files import open_crystal_file

    path, *columns = (
        IMPORTED[name].get(key) for key in ("path", "crystal_column", "id_column")
    )
    asked = dict(zip(("crystal_column", "id_column"), columns))
    try:
        return len(open_crystal_file(Path(path), **asked).entries)
    except InputError:  # the job that reads it refuses it
        return 0


# Sets of candidates, of a user's own crystals and of what chapters register; each is a folder under results/.
SETS = CandidateSets()


def compared_set(
    name, title, *, training=(), parsed=False, required=(), predicted=(), size=None
):
    """A set of crystals that go through the configured screens, with the rows that they were generated from."""
    files = {
        "training": training,
        "mp": KNOWN_CRYSTALS,
        "formula": ["results/references/archive_phases.csv"],
    }
    references = {name: files[name] for name in SCREEN["novelty"] if files[name]}
    # The first reference set that there is decides what is novel in S.U.N.; a formula stays what it is when
    # the crystal relaxes.
    first = next(iter(references), "training")
    screens = [
        *(["parse"] if parsed else []),
        "structure",
        "symmetry",
        "charge_neutrality",
        "electronegativity",
        *SCREEN["further"],
        "unique",
        *(f"novel_{reference}" for reference in references),
        *(
            ["synthesizability"]
            if SCREEN["synthesizability"]["model"] != "none"
            else []
        ),
    ]
    required = required or ["parse", *SCREEN["require"]]
    return CandidateSet(
        name,
        title,
        screens={screen: FILE_OF_SCREEN.get(screen, screen) for screen in screens},
        required=[screen for screen in screens if screen in required],
        unique="unique",
        novel=[f"novel_{first}", *([] if first == "formula" else ["novel_relaxed"])],
        references=references,
        references_after={
            reference: files
            for reference, files in references.items()
            if reference == first != "formula"
        },
        relax_at_most=VALIDATE["relax_at_most"],
        phonons_at_most=VALIDATE["phonons_at_most"],
        relaxation=VALIDATE["relaxation"],
        predicted=predicted,
        size=size,
    )


def training_rows(dataset, scheme, seed):
    """Files that say what the crystals of a run were learnt from."""
    folder = f"results/data/{dataset}"
    return [f"{folder}/crystals.parquet", f"{folder}/{scheme}/{seed}/split.json"]


def imported_set(name):
    """A user's own crystals."""
    imported = name.split("/")[1]
    return compared_set(
        name, imported, parsed=True, size=lambda: size_of_import(imported)
    )


def real_set(name):
    """Test rows of a dataset as if they were candidates; only broken ones are not relaxed, for the audit."""
    dataset, *run = name.split("/")[1:]
    return compared_set(
        name, dataset, training=training_rows(dataset, *run), required=["structure"]
    )


SETS.register("imported/[A-Za-z0-9_-]+", imported_set)
SETS.register(r"real/[a-z0-9_]+/[a-z0-9]+/seed\d+", real_set)


def phonon_shards(crystal_set):
    """Shards of the phonons of a set."""
    one = SETS[crystal_set]
    return one.shards_of(one.phonons_at_most, VALIDATE["phonon_shard_size"])


def relaxation_shards(crystal_set):
    """Shards of the relaxations of a set."""
    one = SETS[crystal_set]
    return one.shards_of(one.relax_at_most, VALIDATE["shard_size"])


def reference_shards(crystal_set):
    """Shards of the energies of a set's reference structures; few candidates have few."""
    return relaxation_shards(crystal_set)[: VALIDATE["reference_shards"]]


def of_set(ask):
    """A function of wildcards that asks the set of candidates which they name."""
    return lambda wildcards: ask(SETS[wildcards.crystal_set])


def crystals_of_folder(folder):
    """Crystal table of a dataset or of a candidate set."""
    name = "crystals" if folder.startswith("data/") else "generated"
    return f"results/{folder}/{name}.parquet"


def potential_params(name):
    """Name, version and entry of a potential, so that other weights or arguments are seen."""
    version = potential_card(name).version
    return {"name": name, "version": version, "definition": definition(name)}


wildcard_constraints:
    name="[A-Za-z0-9_-]+",
    shard=r"\d+",
