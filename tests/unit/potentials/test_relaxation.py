"""Relaxation: stages, statuses, limits, and the same energies as a plain ASE loop."""

from __future__ import annotations

import contextlib
import threading
import time

import numpy as np
import pandas as pd
import pytest
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS

from matwheel.core.errors import InputError
from matwheel.core.time_limits import Hung
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.table import crystals_of_table, read_table, write_table
from matwheel.potentials.atoms import from_atoms, to_atoms
from matwheel.potentials.cell_filter import CellFilter
from matwheel.potentials.potentials import POTENTIALS, make_calculator, potential_card
from matwheel.potentials.relaxation import (
    STATUSES,
    RelaxationSettings,
    displacement_rmsd,
    reason_to_refuse,
    relax,
    relaxation_table,
    relaxation_verdicts,
)

SETTINGS = RelaxationSettings()
METALS = POTENTIALS["emt"].elements


def silent(message: str) -> None:
    del message


def distorted(name: str, symbol: str = "Cu", *, strain: float = 0.04, rattle: float = 0.1, seed: int = 0):
    atoms = bulk(symbol, cubic=True)
    cell = atoms.cell.array @ (np.eye(3) + strain * np.random.default_rng(seed).normal(size=(3, 3)))
    atoms.set_cell(cell, scale_atoms=True)
    atoms.rattle(rattle, seed=seed)
    return from_atoms(name, atoms)


class Scripted(EMT):
    """EMT that counts its evaluations and does something of its own at one of them."""

    def __init__(self, at: int = -1, action=None) -> None:
        super().__init__()
        self.evaluations, self.at, self.action = 0, at, action

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.evaluations += 1
        if self.evaluations == self.at:
            self.action(self)


def only_row(table: pd.DataFrame):
    assert len(table) == 1
    return next(table.itertuples())


def relax_one(crystal: Crystal, calculator: Calculator | None = None, **settings):
    table = relax([crystal], calculator or EMT(), RelaxationSettings(**settings), silent, elements=METALS)
    return only_row(table)


def test_relaxed_copper_is_the_crystal_at_rest():
    crystal = distorted("cu")
    row = relax_one(crystal)
    relaxed = crystals_of_table(pd.DataFrame([row]))[0]
    ideal = bulk("Cu", cubic=True)
    ideal.calc = EMT()
    BFGS(FrechetCellFilter(ideal), logfile=None).run(fmax=1e-4)
    assert row.status == "converged" and row.reason == "" and row.steps > 3
    assert row.energy_ev_per_atom == pytest.approx(ideal.get_potential_energy() / 4, abs=1e-3)
    assert row.energy_initial_ev_per_atom > row.energy_ev_per_atom
    assert row.largest_force_ev_per_angstrom <= 0.05 < row.largest_force_initial_ev_per_angstrom
    assert (row.space_group_before, row.space_group_after) == (1, 225)
    assert relaxed.volume_angstrom3 == pytest.approx(ideal.get_volume(), rel=0.02)
    assert row.volume_change == pytest.approx(relaxed.volume_angstrom3 / crystal.volume_angstrom3 - 1)
    assert 0.05 < row.rmsd_angstrom < 0.3


def test_same_energies_and_steps_as_a_plain_ase_loop():
    crystals = [
        distorted(f"{symbol}{seed}", symbol, seed=seed) for symbol in ("Cu", "Al", "Pt") for seed in (1, 2)
    ]
    table = relax(crystals, EMT(), SETTINGS, silent)
    for crystal, row in zip(crystals, table.itertuples(), strict=True):
        atoms = to_atoms(crystal)
        atoms.calc = EMT()
        optimizer = BFGS(FrechetCellFilter(atoms), logfile=None)
        optimizer.run(fmax=0.05, steps=200)
        assert row.steps == optimizer.nsteps
        assert row.energy_ev_per_atom == pytest.approx(atoms.get_potential_energy() / 4, abs=1e-9)
        np.testing.assert_allclose(row.lattice, atoms.cell.array.ravel(), atol=1e-8)


def test_cell_filter_gives_the_figures_of_ase():
    ours, theirs = to_atoms(distorted("a", seed=3)), to_atoms(distorted("a", seed=3))
    ours.calc, theirs.calc = EMT(), EMT()
    ours, theirs = CellFilter(ours), FrechetCellFilter(theirs)
    generator = np.random.default_rng(0)
    for _ in range(4):
        np.testing.assert_allclose(ours.get_positions(), theirs.get_positions(), atol=1e-10)
        np.testing.assert_allclose(ours.get_forces(), theirs.get_forces(), atol=1e-10)
        # Not symmetric: the cell turns too.
        new = theirs.get_positions() + 0.1 * generator.normal(size=theirs.get_positions().shape)
        ours.set_positions(new)
        theirs.set_positions(new)


def test_each_geometry_is_computed_once():
    calculator = Scripted()
    row = relax_one(distorted("cu"), calculator)
    assert calculator.evaluations == row.steps + 1


def test_crystal_at_rest_needs_no_step():
    row = relax_one(from_atoms("cu", bulk("Cu", a=3.59)))
    assert (row.status, row.steps, row.rmsd_angstrom, row.volume_change) == ("converged", 0, 0.0, 0.0)


def test_steps_used_up_is_not_converged_and_keeps_the_last_geometry():
    crystal = distorted("cu")
    row = relax_one(crystal, max_steps=2)
    assert row.status == "not_converged" and row.steps == 2 and "after 2 steps" in row.reason
    assert not np.allclose(row.lattice, crystal.lattice.ravel())
    assert row.largest_force_ev_per_angstrom > 0.05


NOWHERE = np.full((4, 3), np.nan)
BROKEN = {
    "no atoms": Crystal("x", (), 5 * np.eye(3), np.zeros((0, 3))),
    "300 atoms": Crystal("x", ("Cu",) * 300, 20 * np.eye(3), np.random.default_rng(0).random((300, 3))),
    "not finite": Crystal("x", ("Cu",) * 4, 4 * np.eye(3), NOWHERE),
    "below 2": Crystal("x", ("Cu",), 0.5 * np.eye(3), np.zeros((1, 3))),
    "not an element": Crystal("x", ("X", "Cu"), 4 * np.eye(3), [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "not fitted to Xe": Crystal("x", ("Xe",), 6 * np.eye(3), np.zeros((1, 3))),
}


@pytest.mark.parametrize("reason", BROKEN)
def test_broken_or_unsupported_crystal_is_refused_with_the_reason(reason):
    row = relax_one(BROKEN[reason])
    assert row.status == "refused" and reason in row.reason
    assert np.isnan(row.energy_ev_per_atom) and row.steps == -1


def test_atoms_at_one_place_explode_at_the_first_energy():
    crystal = Crystal("x", ("Cu", "Cu"), 4 * np.eye(3), np.zeros((2, 3)))
    row = relax_one(crystal)
    assert row.status == "exploded" and row.steps == 0


def test_forces_beyond_the_limit_are_not_relaxed():
    calculator = Scripted()
    close = Crystal("x", ("Cu", "Cu"), 4 * np.eye(3), [[0, 0, 0], [0.1, 0, 0]])
    row = relax_one(close, calculator)
    assert row.status == "exploded" and row.steps == 0 and "above 200 eV/Å" in row.reason
    assert calculator.evaluations == 1


def test_pressure_without_forces_counts_as_force():
    # One atom has no force whatever the cell; its virial tells that the cell is far too small.
    row = relax_one(from_atoms("squeezed", bulk("Cu", a=2.3)))
    assert row.status == "exploded" and row.largest_force_initial_ev_per_angstrom > 20


def test_energy_that_leaves_the_sane_range_explodes():
    def collapse(calculator):
        calculator.results["energy"] = calculator.results["free_energy"] = -1000.0

    row = relax_one(distorted("cu"), Scripted(3, collapse))
    assert row.status == "exploded" and "outside -20 to 10 eV/atom at step 2" in row.reason


def test_nan_on_the_way_explodes():
    def spoil(calculator):
        calculator.results["forces"] = np.full((4, 3), np.nan)

    crystal = distorted("cu")
    row = relax_one(crystal, Scripted(4, spoil))
    assert row.status == "exploded" and "not finite" in row.reason
    np.testing.assert_array_equal(row.lattice, crystal.lattice.ravel())


def test_cell_that_swells_explodes():
    row = relax_one(from_atoms("squeezed", bulk("Cu", a=3.1)), largest_volume_ratio=1.1)
    assert row.status == "exploded" and "times the initial one" in row.reason


def test_error_of_the_potential_is_a_status_and_the_batch_goes_on():
    def fail(calculator):
        raise RuntimeError("no such luck")

    crystals = [distorted("a", seed=1), distorted("b", seed=2), distorted("c", seed=3)]
    messages = []
    table = relax(crystals, Scripted(1, fail), SETTINGS, messages.append)
    assert table["status"].tolist() == ["error", "converged", "converged"]
    assert table["reason"][0] == "RuntimeError: no such luck"
    assert any("a: error" in message for message in messages)


def test_a_relaxation_that_hangs_ends_the_job_and_says_nothing_of_the_crystal():
    slept = []

    def sleep(_):
        time.sleep(60)
        slept.append(True)

    with pytest.raises(Hung, match=r"relaxation of cu .* 0.5 s .*time_limit_seconds"):
        relax_one(distorted("cu"), Scripted(3, sleep), time_limit_seconds=0.5)
    assert not slept, "the guard waited for the end of it"
    # The alarm is off again, and the next crystal has its full time.
    time.sleep(0.6)
    assert relax_one(distorted("cu")).status == "converged"


def test_the_guard_passes_code_that_catches_every_error():
    ended = []

    def stubborn(_):
        for _ in range(300):
            with contextlib.suppress(Exception):
                time.sleep(0.1)
        ended.append(True)

    with pytest.raises(Hung):
        relax_one(distorted("cu"), Scripted(2, stubborn), time_limit_seconds=0.3)
    assert not ended


def test_outside_the_main_thread_the_guard_holds_between_steps():
    ended = []

    def work():
        try:
            relax_one(distorted("cu"), Scripted(2, lambda _: time.sleep(1.0)), time_limit_seconds=0.5)
        except Hung as error:
            ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(ended) == 1


def copper_layer(turn: np.ndarray | None = None, axis: int = 2) -> Crystal:
    """A strained sheet of copper, its vacuum along any vector, anywhere in space."""
    lattice = np.diag([2.3, 2.4, 22.0])
    order = np.roll(np.arange(3), axis - 2)
    lattice, positions = lattice[order], np.array([[0.02, 0, 0], [0.47, 0.5, 0.09]])[:, order]
    return Crystal("layer", ("Cu", "Cu"), lattice @ (np.eye(3) if turn is None else turn), positions)


@pytest.mark.parametrize("keep_symmetry", [False, True])
@pytest.mark.parametrize("axis", [0, 2])
def test_a_layer_relaxes_in_its_plane_and_keeps_its_vacuum(axis, keep_symmetry):
    turn = np.linalg.qr(np.random.default_rng(3).standard_normal((3, 3)))[0]
    flat = relax_one(copper_layer(), keep_symmetry=keep_symmetry)
    row = relax_one(copper_layer(turn, axis), keep_symmetry=keep_symmetry)
    before, after = copper_layer(turn, axis).lattice, np.reshape(row.lattice, (3, 3))
    assert row.status == flat.status == "converged"
    np.testing.assert_allclose(after[axis], before[axis], atol=1e-9)
    assert row.volume_change > 0.02, "the area is what changes"
    assert row.energy_ev_per_atom == pytest.approx(flat.energy_ev_per_atom, abs=1e-3)


def test_a_layer_in_a_skew_cell_keeps_its_height():
    skew = copper_layer()
    lattice = skew.lattice + np.array([[0, 0, 0], [0, 0, 0], [1.15, 1.2, 0]])
    row = relax_one(Crystal("skew", skew.species, lattice, skew.frac_coords))
    after = np.reshape(row.lattice, (3, 3))
    assert after[2, 2] == pytest.approx(22.0, abs=1e-9)
    np.testing.assert_allclose(
        after[2] @ np.linalg.inv([*after[:2].tolist(), [0, 0, 1]]), [0.5, 0.5, 22], atol=1e-9
    )


def test_a_layer_by_its_flag_gets_room_and_keeps_the_flag():
    thin = copper_layer()
    lattice, positions = np.diag([2.3, 2.4, 4.0]), thin.frac_coords * [1, 1, 22 / 4]
    table = relax(
        [Crystal("thin", thin.species, lattice, positions, (True, True, False))], EMT(), SETTINGS, silent
    )
    (crystal,) = crystals_of_table(table)
    assert crystal.pbc == (True, True, False) and crystal.lattice[2, 2] > 10
    assert only_row(table).energy_ev_per_atom == pytest.approx(relax_one(thin).energy_ev_per_atom, abs=1e-4)


def test_wires_and_molecules_are_refused_by_name():
    for lengths, name in (((2.5, 20, 20), "a wire"), ((20, 20, 20), "a molecule")):
        row = relax_one(Crystal(name, ("Cu",), np.diag(lengths), [[0, 0, 0]]))
        assert row.status == "refused" and row.reason.startswith(name) and "5 Å" in row.reason
    table = relax([Crystal("wire", ("Cu",), np.diag([2.5, 20, 20]), [[0, 0, 0]])], EMT(), SETTINGS, silent)
    assert {v.verdict for v in relaxation_verdicts(table, potential_card("emt"), SETTINGS)} == {"error"}


def test_a_collapsed_layer_is_dense_in_spite_of_its_vacuum():
    row = relax_one(Crystal("dense", ("Cu",) * 4, np.diag([1.2, 1.2, 30.0]), np.zeros((4, 3))))
    assert row.status == "refused" and "per atom is below 2" in row.reason


def mixed_batch() -> list[Crystal]:
    broken = [
        Crystal(f"broken {reason}", c.species, c.lattice, c.frac_coords) for reason, c in BROKEN.items()
    ]
    fine = [distorted(f"fine{seed}", seed=seed) for seed in range(3)]
    return [*broken[:3], *fine, *broken[3:]]


def test_same_shard_gives_the_same_table_whatever_came_before(tmp_path):
    crystals = mixed_batch()
    tables = [relax(crystals, EMT(), SETTINGS, silent, elements=METALS) for _ in range(2)]
    calculator = EMT()
    backwards = relax(crystals[::-1], calculator, SETTINGS, silent, elements=METALS)[::-1]
    tables.append(backwards.reset_index(drop=True))
    for number, table in enumerate(tables):
        write_table(table.drop(columns="seconds"), tmp_path / f"{number}.parquet")
    first, *others = [(tmp_path / f"{number}.parquet").read_bytes() for number in range(3)]
    assert all(other == first for other in others)


def test_table_is_a_crystal_table_that_survives_the_file(tmp_path):
    crystals = mixed_batch()
    table = relax(crystals, EMT(), SETTINGS, silent, elements=METALS)
    write_table(table, tmp_path / "relaxed.parquet")
    back = read_table(tmp_path / "relaxed.parquet")
    assert back["id"].tolist() == [crystal.id for crystal in crystals]
    assert set(back["status"]) <= set(STATUSES)
    for before, after, status in zip(crystals, crystals_of_table(back), back["status"], strict=True):
        assert after.species == before.species
        if status != "converged":
            np.testing.assert_array_equal(after.lattice, before.lattice)
    empty = relaxation_table([], [])
    assert empty.columns.tolist() == table.columns.tolist() and empty.empty
    pd.testing.assert_series_equal(empty.dtypes, table.dtypes)


def test_rmsd_is_free_of_drift_and_strain():
    before = distorted("a", rattle=0.0, strain=0.0)
    moved = before.frac_coords + np.array([0.3, -0.2, 1.4])
    assert displacement_rmsd(before, Crystal("b", before.species, 1.1 * before.lattice, moved)) < 1e-12
    moved[0] += [0.1, 0, 0]
    after = Crystal("b", before.species, 2 * np.eye(3), moved)
    # One of four atoms moves by 0.2 Å: by 0.15 Å against the mean, the others by 0.05 Å.
    assert displacement_rmsd(before, after) == pytest.approx(np.sqrt((0.15**2 + 3 * 0.05**2) / 4))


def test_verdicts_follow_the_status():
    def fail(calculator):
        raise RuntimeError("no such luck")

    close = Crystal("close", ("Cu", "Cu"), 4 * np.eye(3), [[0, 0, 0], [0.2, 0, 0]])
    at_one_place = Crystal("place", ("Cu", "Cu"), 4 * np.eye(3), np.zeros((2, 3)))
    table = pd.concat(
        [
            relax([distorted("good"), close, at_one_place, BROKEN["no atoms"]], EMT(), SETTINGS, silent),
            relax([distorted("unfinished")], EMT(), RelaxationSettings(max_steps=1), silent),
            relax([distorted("failed")], Scripted(3, fail), SETTINGS, silent),
            relax([distorted("failed at once")], Scripted(1, fail), SETTINGS, silent),
        ],
        ignore_index=True,
    )
    card = potential_card("emt")
    verdicts = relaxation_verdicts(table, card, SETTINGS)
    found = {(verdict.candidate_id, verdict.screen): verdict for verdict in verdicts}
    assert {key: verdict.verdict for key, verdict in found.items()} == {
        ("good", "single_point"): "pass",
        ("good", "relaxation"): "pass",
        ("close", "single_point"): "fail",
        ("place", "single_point"): "fail",
        ("x", "single_point"): "error",
        ("unfinished", "single_point"): "pass",
        ("unfinished", "relaxation"): "undecided",
        ("failed", "single_point"): "pass",
        ("failed", "relaxation"): "error",
        ("failed at once", "single_point"): "error",
    }
    assert found["close", "single_point"].value > found["close", "single_point"].threshold == 200
    assert found["good", "relaxation"].value <= found["good", "relaxation"].threshold == 0.05
    assert "no such luck" in found["failed", "relaxation"].reason
    assert all(verdict.tool == "emt" and "ase" in verdict.tool_version for verdict in verdicts)
    assert [verdict.candidate_id for verdict in verdicts] == sorted(
        (verdict.candidate_id for verdict in verdicts), key=table["id"].tolist().index
    )


def test_verdict_of_an_absurd_energy_names_the_bound():
    def high(calculator):
        calculator.results["energy"] = calculator.results["free_energy"] = 100.0

    table = relax([distorted("a")], Scripted(1, high), SETTINGS, silent)
    (verdict,) = relaxation_verdicts(table, potential_card("emt"), SETTINGS)
    assert (verdict.verdict, verdict.value, verdict.threshold) == ("fail", 25.0, 10.0)


def test_what_the_potential_does_not_know_is_refused():
    table = relax([distorted("cu"), BROKEN["not fitted to Xe"]], EMT(), SETTINGS, silent, elements=METALS)
    assert table["status"].tolist() == ["converged", "refused"]


def test_rock_salt_relaxes_with_the_default_potential():
    frac_coords = np.array([[0.02, 0, 0], [0.5, 0.47, 0.5]])
    fcc = 5.3 * np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    calculator = make_calculator("7net-0", double_precision=True)
    row = only_row(relax([Crystal("NaCl", ("Na", "Cl"), fcc, frac_coords)], calculator, SETTINGS, silent))
    assert row.status == "converged" and row.space_group_after == 225
    assert row.energy_ev_per_atom == pytest.approx(-3.39, abs=0.03)
    relaxed_a = (4 * abs(np.linalg.det(np.reshape(row.lattice, (3, 3))))) ** (1 / 3)
    assert relaxed_a == pytest.approx(5.69, abs=0.05)


@pytest.mark.parametrize(
    "wrong",
    [
        {"fmax_ev_per_angstrom": 0},
        {"max_steps": -1},
        {"time_limit_seconds": float("nan")},
        {"lowest_energy_ev_per_atom": 10.0, "highest_energy_ev_per_atom": -10.0},
        {"largest_volume_ratio": 0.5},
    ],
)
def test_wrong_settings_are_refused_by_name(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        RelaxationSettings(**wrong)


class Pushing(EMT):
    """EMT with a push on the first atom that the crystal's symmetry forbids."""

    def calculate(self, *arguments, **keywords):
        super().calculate(*arguments, **keywords)
        self.results["forces"] = self.results["forces"].copy()
        self.results["forces"][0] += [0.3, 0.1, 0.0]
        self.results["forces"][1] -= [0.3, 0.1, 0.0]


def test_kept_symmetry_survives_forces_that_break_it():
    ordered = Crystal("CuAu", ("Cu", "Au"), 3.2 * np.eye(3), np.array([[0.0, 0, 0], [0.5, 0.5, 0.5]]))
    groups = {}
    for keep in (False, True):
        settings = RelaxationSettings(keep_symmetry=keep, max_steps=15, symprec_angstrom=0.01)
        row = relax([ordered], Pushing(), settings, silent, elements=METALS).iloc[0]
        assert row["space_group_before"] == 221
        groups[keep] = row["space_group_after"]
    assert groups[True] == 221
    assert groups[False] < 221


@pytest.mark.parametrize(
    ("species", "lattice", "positions", "alone"),
    [
        (("Cs", "Cs"), np.eye(3) * 6.14, [[0, 0, 0], [0.5] * 3], "2 of 2 atoms (Cs)"),
        (
            ("Ar",) * 4, np.eye(3) * 8.4, [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
            "4 of 4 atoms (Ar)",
        ),
        (
            ("Mg", "O", "Cs"), np.diag([9.5, 9.5, 9.5]), [[0, 0, 0], [0.22, 0, 0], [0.5, 0.5, 0.5]],
            "1 of 3 atoms (Cs)",
        ),
    ],
)  # fmt: skip
def test_atoms_that_the_potential_cannot_see_are_refused(species, lattice, positions, alone):
    crystal = Crystal("far", species, lattice, np.array(positions))
    said = reason_to_refuse(crystal, RelaxationSettings())
    assert (alone in said and "no neighbour within 5 Å" in said) or "gaps above" in said
    # Nearer together, the same atoms are judged.
    near = Crystal("near", species, lattice * 0.55, np.array(positions))
    assert "no neighbour" not in reason_to_refuse(near, RelaxationSettings())
