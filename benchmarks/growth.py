"""How the cost of stages grows with their size, where that is not obvious: CPU seconds at several sizes each.

    OMP_NUM_THREADS=1 python benchmarks/growth.py TABLE.parquet [--csv FILE] [--only STAGE ...]

TABLE is a crystal table with a column `target`. The last column is the exponent k of cost ~ size^k between
two sizes of a stage; 1 is linear. Verdicts of the tables are drawn at random, as only their number counts.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from math import log, nan
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

import numpy as np
import pandas as pd
import torch
from run import POTENTIAL, ROOT, SEED, seconds, silent

from matwheel.crystals.crystal import Crystal
from matwheel.crystals.table import crystal_table, crystals_of_table, read_table
from matwheel.generators.null import rattle_crystals, resample_elements

TRAINING_SETS = ("F", "GF", "F_GF", "S", "GS", "S_GS")


@dataclass(frozen=True)
class Point:
    """CPU seconds of a stage at one size; peak memory is that of the process so far."""

    stage: str
    unit: str
    size: int
    cpu_s: float
    peak_mb: float = 0.0
    exponent: float = nan


def repeated(crystals: list[Crystal], number: int) -> list[Crystal]:
    """Return so many crystals, the given ones over and over under new ids."""
    return [replace(crystals[place % len(crystals)], id=f"{place:06d}") for place in range(number)]


def graphs(crystals: list[Crystal], targets: np.ndarray) -> Iterator[Point]:
    from matwheel.crystals.graphs import build_graphs

    build_graphs(crystals[:2])
    for number in (1000, 4000, 16000):
        some = repeated(crystals, number)
        yield Point("neighbour graphs", "crystal", number, seconds(lambda some=some: build_graphs(some)))


def cgcnn(crystals: list[Crystal], targets: np.ndarray) -> Iterator[Point]:
    from matwheel.predictors.registry import make_predictor

    for number in (100, 500, 2000, 8000):  # the first pays for imports
        some, labels = repeated(crystals, number), np.resize(targets, number)
        settings = {"steps": None, "epochs": 2, "device": "cpu", "validate_every_steps": None}
        model = make_predictor("cgcnn", settings)
        fit = seconds(
            lambda model=model, some=some, labels=labels: model.fit(
                some, labels, some[:50], labels[:50], seed=SEED, log=silent
            )
        )
        yield Point("CGCNN, two epochs", "training row", number, fit)


def forest(crystals: list[Crystal], targets: np.ndarray) -> Iterator[Point]:
    from matwheel.predictors.registry import make_predictor

    for number in (100, 500, 1000, 4000):  # the first pays for imports
        some = resample_elements(crystals, number, seed=SEED, id_prefix="row")
        labels = np.resize(targets, number)
        model = make_predictor("forest", {})
        fit = seconds(
            lambda model=model, some=some, labels=labels: model.fit(
                some, labels, [], np.zeros(0), seed=SEED, log=silent
            )
        )
        yield Point("random forest", "training row", number, fit)


def uniqueness(crystals: list[Crystal], targets: np.ndarray) -> Iterator[Point]:
    from matwheel.screening.uniqueness import uniqueness as groups

    for number in (1000, 4000, 16000):
        some = resample_elements(crystals, number, seed=SEED, id_prefix="row")
        own = seconds(lambda some=some: groups(some))
        yield Point("uniqueness, elements drawn anew", "crystal", number, own)
    for number in (500, 1000, 2000, 4000):  # all crystals within 50 formulas
        some = rattle_crystals(crystals[:50], number, seed=SEED, id_prefix="row", displacement_angstrom=0.02)
        own = seconds(lambda some=some: groups(some))
        yield Point("uniqueness, 50 formulas", "crystal", number, own)


def novelty(crystals: list[Crystal], targets: np.ndarray) -> Iterator[Point]:
    from matwheel.screening.novelty import novelty as compare

    candidates = rattle_crystals(crystals, 500, seed=SEED, id_prefix="row")
    for number in (1000, 4000, 16000):
        known = resample_elements(crystals, number, seed=SEED, id_prefix="known")
        own = seconds(lambda known=known: compare(candidates, known))
        yield Point("novelty of 500 crystals", "known crystal", number, own)


def single_points(crystals: list[Crystal], targets: np.ndarray) -> Iterator[Point]:
    from matwheel.potentials.atoms import to_atoms
    from matwheel.potentials.potentials import make_calculator

    calculator = make_calculator(POTENTIAL, double_precision=True)
    small = to_atoms(next(one for one in crystals if len(one.species) == 8))
    small.calc = calculator
    small.get_forces()
    for copies in (1, 2, 4, 8):
        atoms = small * (copies, 1, 1)
        atoms.calc = calculator
        atoms.rattle(0.01, seed=SEED)

        def evaluate(atoms=atoms) -> None:
            for _ in range(5):
                atoms.rattle(0.001, seed=SEED)
                atoms.get_forces()
                atoms.get_stress()

        yield Point("energy, forces, stress (five times)", "atom", len(atoms), seconds(evaluate))


def phonons(crystals: list[Crystal], targets: np.ndarray) -> Iterator[Point]:
    from matwheel.potentials.potentials import make_calculator
    from matwheel.vibrations.phonons import phonon_stability

    calculator = make_calculator(POTENTIAL)
    for atoms in (2, 4, 8, 16):
        some = [one for one in crystals if len(one.species) == atoms][:4]
        own = seconds(lambda some=some: [phonon_stability(one, calculator, None, silent) for one in some])
        yield Point("phonons, mean of four", "atom", atoms, own / len(some))


def verdicts(crystals: list[Crystal], targets: np.ndarray) -> Iterator[Point]:
    from matwheel.candidates.funnel import funnel_counts, sun_rates
    from matwheel.candidates.ranking import CandidateSet, candidates_table
    from matwheel.verdicts import FAIL, PASS, Verdict, join_verdicts, survivors, verdict_table

    screens = [
        *("structure", "charge_neutrality", "electronegativity", "unique", "novel_training"),
        *("relaxation", "unique_relaxed", "novel_relaxed", "hull", "phonons"),
    ]
    some = crystal_table(crystals[:500])
    for number in (2000, 20_000, 100_000):
        ids = [f"{place:06d}" for place in range(number)]
        table = some.iloc[np.resize(np.arange(len(some)), number)].assign(id=ids)
        rng = np.random.default_rng(SEED)
        parts = [
            verdict_table(
                Verdict(name, screen, PASS if passed else FAIL, reason="" if passed else "drawn")
                for name, passed in zip(ids, rng.random(number) < 0.8, strict=True)
            )
            for screen in screens
        ]
        joined = []
        own = seconds(lambda parts=parts, ids=ids, joined=joined: joined.append(join_verdicts(parts, ids)))
        yield Point("join ten tables of verdicts", "candidate", number, own)
        own = seconds(lambda joined=joined, ids=ids: survivors(joined[0], ids, screens))
        yield Point("who survived", "candidate", number, own)

        def count(joined=joined, ids=ids) -> None:
            funnel_counts(joined[0], ids, screens)
            sun_rates(
                joined[0],
                ids,
                screens,
                unique_screens=["unique", "unique_relaxed"],
                novelty_screens=["novel_training", "novel_relaxed"],
                stable_ev_per_atom=0.0,
                metastable_ev_per_atom=0.1,
            )

        yield Point("funnel and rates", "candidate", number, seconds(count))
        one = CandidateSet(dataset="drawn", crystals=table, verdicts=joined[0], screens=screens)
        own = seconds(lambda one=one: candidates_table([one]))
        yield Point("ranking", "candidate", number, own)


def reports(crystals: list[Crystal], targets: np.ndarray) -> Iterator[Point]:
    from matwheel.candidates.funnel import draw_funnel
    from matwheel.chapters.matwheel.contrasts import paired_contrasts
    from matwheel.chapters.matwheel.table2 import table2
    from matwheel.figures.figures import draw_table2, save_figure
    from matwheel.statistics.scores import run_scores

    published = pd.read_csv(ROOT / "resources" / "published_table2.csv")
    funnel = pd.read_csv(ROOT / "docs" / "results" / "funnel.csv")
    one = funnel[funnel["set"] == funnel["set"].iloc[0]].drop(columns="set")
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder, "figure.svg")
        for number in (5, 50):
            predictions = drawn_predictions(targets[:150], number)
            tables = []

            def tabulate(predictions=predictions, number=number, tables=tables) -> None:
                tables.append(table2(predictions, published, main_predictor="cgcnn"))
                tables.append(
                    paired_contrasts(
                        predictions, seed=SEED, test_to_train=0.2, predictors=("cgcnn", "latent")
                    )
                )

            yield Point("Table 2 and contrasts", "dataset", number, seconds(tabulate))

            def draw(predictions=predictions, tables=tables) -> None:
                save_figure(draw_table2(tables[0], tables[1], run_scores(predictions)), picture)

            yield Point("figure of Table 2", "dataset", number, seconds(draw))
        for number in (10, 100):
            counts = {f"set {place}": one for place in range(number)}
            own = seconds(lambda counts=counts: draw_funnel(counts, picture))
            yield Point("figure of the funnels", "set", number, own)


def drawn_predictions(targets: np.ndarray, datasets: int) -> pd.DataFrame:
    """Return targets with noise: five runs, six training sets, two predictors and the baselines."""
    rng = np.random.default_rng(SEED)
    learnt = [(name, column) for name in ("cgcnn", "latent") for column in TRAINING_SETS]
    learnt += [(name, column) for name in ("constant", "forest") for column in ("F", "S")]
    rows = pd.DataFrame({"id": [f"{place:04d}" for place in range(len(targets))], "target": targets})
    return pd.concat(
        [
            rows.assign(
                dataset=f"dataset_{dataset}",
                scheme="random",
                seed=seed,
                training_set=column,
                predictor=name,
                prediction=targets + rng.normal(0, targets.std(), len(targets)),
            )
            for dataset in range(datasets)
            for seed in range(5)
            for name, column in learnt
        ],
        ignore_index=True,
    )


STAGES: dict[str, Callable[[list[Crystal], np.ndarray], Iterator[Point]]] = {
    "graphs": graphs,
    "cgcnn": cgcnn,
    "forest": forest,
    "uniqueness": uniqueness,
    "novelty": novelty,
    "single_points": single_points,
    "phonons": phonons,
    "verdicts": verdicts,
    "reports": reports,
}


def with_exponents(points: list[Point]) -> list[Point]:
    """Return the points of each stage together, with the exponent from the size before."""
    ordered = sorted(points, key=lambda point: ([p.stage for p in points].index(point.stage), point.size))
    grown = [
        replace(after, exponent=log(after.cpu_s / before.cpu_s) / log(after.size / before.size))
        if after.stage == before.stage
        else after
        for before, after in pairwise(ordered)
    ]
    return [*ordered[:1], *grown]


def main() -> int:
    """Print what each stage takes at each size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", type=Path)
    parser.add_argument("--csv", type=Path, help="also write the points here")
    parser.add_argument("--only", nargs="+", choices=STAGES, default=list(STAGES))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    frame = read_table(arguments.table)
    crystals, targets = crystals_of_table(frame), frame["target"].to_numpy(float)
    points = []
    for name in arguments.only:
        for point in STAGES[name](crystals, targets):
            points.append(replace(point, peak_mb=getrusage(RUSAGE_SELF).ru_maxrss / 1024))
            print(points[-1], file=sys.stderr, flush=True)
    table = pd.DataFrame([asdict(point) for point in with_exponents(points)])
    print(table.to_string(index=False, float_format="{:.3g}".format, na_rep=""))
    if arguments.csv:
        table.to_csv(arguments.csv, index=False, float_format="%.4g")
    return 0


if __name__ == "__main__":
    sys.exit(main())
