"""The caller of real DFT: everything but the physics is tested with small processes that behave badly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from math import isnan
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from matwheel.core.errors import InputError
from matwheel.core.time_limits import Hung
from matwheel.crystals.crystal import Crystal
from matwheel.dft import dft, gpaw_process
from matwheel.dft.dft import (
    Backend,
    DFTResult,
    DFTSettings,
    cached_result,
    calculate,
    calculate_all,
    calculation_job,
    calculation_key,
    find_backend,
    gamma_displacements,
    gamma_frequencies,
    kpoint_mesh,
    reason_to_refuse,
    run_process,
)
from matwheel.dft.dft_comparison import (
    best_small,
    compare_with_potential,
    dft_table,
    dft_verdicts,
    potential_results,
    symmetric_minima,
)
from matwheel.dft.gpaw_process import band_edges, finished_lines, pulay_pressure

ROOT = Path(__file__).resolve().parents[3]
GPAW_PYTHON = Path(os.environ.get("MATWHEEL_GPAW_PYTHON", ROOT / DFTSettings().python))
FCC = np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
SILICON = Crystal("si", ("Si", "Si"), 5.43 * FCC, [[0, 0, 0], [0.25, 0.25, 0.25]])
COPPER = Crystal("cu", ("Cu",), 3.6 * FCC, [[0, 0, 0]])
TWO_COPPERS = Crystal(
    "cu2", ("Cu", "Cu"), 3.6 * np.eye(3)[[0, 1, 2]] * [1, 1, 2], [[0, 0, 0], [0.5, 0.5, 0.3]]
)
BACKEND = Backend("gpaw", sys.executable, "gpaw 0, gpaw-data 0", frozenset({"Si", "Cu", "Fe", "O"}))
SETTINGS = DFTSettings(backend="gpaw", tasks=("single_point",), time_limit_seconds=30.0)


def script(tmp_path: Path, body: str) -> list[str]:
    path = tmp_path / "program.py"
    path.write_text("import json, os, sys, time\n" + body, encoding="utf-8")
    return [sys.executable, str(path)]


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def wait_until(condition: Callable[[], object], seconds: float = 300.0) -> bool:
    """Look until it holds; the end is for what never will, not for a machine that is slow."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


# ---- settings and backend


def test_settings_name_the_wrong_one() -> None:
    with pytest.raises(InputError, match=r"DFTSettings\.backend is 'vasp'.*none, gpaw"):
        DFTSettings(backend="vasp")
    with pytest.raises(InputError, match=r"DFTSettings\.tasks\.0 is 'bands'"):
        DFTSettings(tasks=("bands",))
    with pytest.raises(InputError, match=r"DFTSettings\.cutoff_ev is -1"):
        DFTSettings(cutoff_ev=-1)


def test_without_a_backend_the_rule_that_needs_it_says_so() -> None:
    with pytest.raises(InputError, match=r"^rule dft_candidates needs.*dft\.backend is 'none'.*make gpaw"):
        find_backend(DFTSettings(), "rule dft_candidates")


def test_a_backend_that_is_not_installed_is_named_with_the_command(tmp_path: Path) -> None:
    settings = replace(SETTINGS, python=str(tmp_path / "nowhere" / "python"))
    with pytest.raises(InputError, match=r"^rule x needs.*nowhere.*dft\.python.*make gpaw"):
        find_backend(settings, "rule x")


def test_an_environment_without_gpaw_says_what_is_missing() -> None:
    with pytest.raises(InputError, match=r"^rule x .*gpaw_data.*make gpaw"):
        find_backend(replace(SETTINGS, python=sys.executable), "rule x")


# ---- the process


def test_a_result_is_read_and_the_output_logged(tmp_path: Path) -> None:
    command = script(
        tmp_path,
        "job = json.load(open(sys.argv[1]))\n"
        "print('working', os.environ['OMP_NUM_THREADS'], 'PYTHONPATH' in os.environ)\n"
        "json.dump({'status': 'ok', 'energy_ev': 2 * job['x']}, open(sys.argv[2], 'w'))\n",
    )
    result = run_process(command, {"x": 21}, 30, tmp_path / "run.log")
    assert result == {"status": "ok", "energy_ev": 42}
    assert (tmp_path / "run.log").read_text() == "working 1 False\n"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise ValueError('no such basis')", "exit status 1: ValueError: no such basis"),
        ("sys.exit(7)", "exit status 7"),
        ("os.kill(os.getpid(), 11)", "signal 11"),
        ("pass", "no readable result: FileNotFoundError"),
        ("open(sys.argv[2], 'w').write('{\"status\": \"o')", "no readable result: JSONDecodeError"),
        ("open(sys.argv[2], 'w').write('[]')", "no known status"),
        ("open(sys.argv[2], 'w').write('{\"status\": \"fine\"}')", "no known status"),
    ],
)
def test_a_process_that_fails_becomes_a_status_and_a_reason(tmp_path: Path, body: str, reason: str) -> None:
    result = run_process(script(tmp_path, body), {}, 30, tmp_path / "run.log")
    assert result["status"] == "error"
    assert reason in result["reason"]


def test_out_of_time_ends_the_whole_process_group(tmp_path: Path) -> None:
    child_file = tmp_path / "child"
    command = script(
        tmp_path,
        "import subprocess\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)'])\n"
        f"open({str(child_file)!r}, 'w').write(str(child.pid))\n"
        "time.sleep(1000)\n",
    )
    # Time enough for the process to start its own, on a slow machine too.
    for seconds in (3, 30, 300):
        with pytest.raises(Hung, match=rf"run\.log .* {seconds} s .* dft\.time_limit_seconds"):
            run_process(command, {}, seconds, tmp_path / "run.log")
        if child_file.exists() and child_file.read_text():
            break
    assert wait_until(lambda: not is_running(int(child_file.read_text())))


def test_a_calculation_ends_when_its_caller_is_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    command = script(
        tmp_path,
        "from matwheel.dft.gpaw_process import _end_with_the_parent\n"
        f"open({str(pid_file)!r}, 'w').write(str(os.getpid()))\n"
        "_end_with_the_parent()\n"
        "time.sleep(1000)\n",
    )
    code = (
        "from matwheel.dft.dft import run_process\n"
        f"run_process({command!r}, {{}}, 1000, {str(tmp_path / 'run.log')!r})"
    )
    caller = subprocess.Popen([sys.executable, "-c", code])
    assert wait_until(lambda: pid_file.exists() and pid_file.read_text())
    pid = int(pid_file.read_text())
    assert is_running(pid)
    caller.send_signal(signal.SIGKILL)
    caller.wait()
    assert wait_until(lambda: not is_running(pid))


# ---- keys, cache and batches


def test_the_key_depends_on_what_the_figures_depend_on() -> None:
    def key(crystal: Crystal = SILICON, task: str = "single_point", backend: Backend = BACKEND, **changes):
        return calculation_key(calculation_job(crystal, task, replace(SETTINGS, **changes)), backend)

    same = [
        key(),
        key(max_atoms=20, time_limit_seconds=1.0, largest_force_ev_per_angstrom=9.0),
        key(max_steps=3, fmax_ev_per_angstrom=1.0, displacement_angstrom=0.1),
        key(replace(SILICON, id="other")),
    ]
    assert len(set(same)) == 1
    moved = replace(SILICON, frac_coords=SILICON.frac_coords + np.array([[0, 0, 0], [0, 0, 1e-9]]))
    others = [
        key(cutoff_ev=400.0),
        key(setups={"Si": "1"}),
        key(kpoint_density_per_inverse_angstrom=5.0),
        key(moved),
        key(task="relaxation"),
        key(task="relaxation", max_steps=3),
        key(task="gamma_phonons"),
        key(task="gamma_phonons", displacement_angstrom=0.1),
        key(backend=replace(BACKEND, version="gpaw 1, gpaw-data 0")),
    ]
    assert len({key(), *others}) == len(others) + 1


def test_a_finished_calculation_is_not_done_again_and_a_failed_one_is(tmp_path: Path) -> None:
    # The Python of the tests has no GPAW: the real process starts and fails.
    failed = calculate(SILICON, "single_point", SETTINGS, BACKEND, tmp_path)
    assert failed.status == "error"
    assert "No module named 'gpaw" in failed.reason
    assert cached_result(tmp_path, failed.key) is None
    finished = replace(failed, status="ok", reason="", energy_ev=-10.5, seconds=12.0)
    dft.write_json(asdict(finished), tmp_path / f"{failed.key}.json")
    again = calculate(replace(SILICON, id="renamed"), "single_point", SETTINGS, BACKEND, tmp_path)
    assert again == replace(finished, candidate_id="renamed")


def test_displacements_of_an_interrupted_calculation_are_kept(tmp_path: Path) -> None:
    progress = tmp_path / "x.forces"
    assert finished_lines(progress) == []
    progress.write_text("[[1.5, 0, 0]]\n[[2.5, 0, 0]]\n[[3.")
    assert finished_lines(progress) == [[[1.5, 0, 0]], [[2.5, 0, 0]]]
    assert progress.read_text() == "[[1.5, 0, 0]]\n[[2.5, 0, 0]]\n"
    progress.write_text("[[1.")
    assert finished_lines(progress) == []


def test_no_crystal_ends_a_batch(tmp_path: Path) -> None:
    crystals = [
        Crystal("empty", (), np.eye(3), []),
        Crystal("big", ("Si",) * 11, 9 * np.eye(3), np.linspace(0, 0.9, 33).reshape(11, 3)),
        Crystal("nan", ("Si",), 5 * np.eye(3), [[0, np.nan, 0]]),
        Crystal("flat", ("Si",), 5 * np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0]]), [[0, 0, 0]]),
        Crystal("tc", ("Tc",), 3 * np.eye(3), [[0, 0, 0]]),
        SILICON,
    ]
    lines: list[str] = []
    results = calculate_all(crystals, SETTINGS, BACKEND, tmp_path, lines.append)
    assert [result.status for result in results] == ["refused"] * 5 + ["error"]
    reasons = ["no atoms", "11 atoms, more than the 10", "not finite", "below 1 Å³", "no PBE data set of Tc"]
    for reason, result in zip(reasons, results, strict=False):
        assert reason in result.reason
    assert len(lines) == len(crystals)
    table = dft_table(results, crystals)
    assert table["id"].tolist() == [crystal.id for crystal in crystals]
    verdicts = dft_verdicts(results, crystals, SETTINGS)
    assert [verdict.verdict for verdict in verdicts] == ["error"] * 6
    assert "refused: no atoms" in verdicts[0].reason


# ---- figures


def test_the_mesh_follows_the_reciprocal_lattice() -> None:
    assert kpoint_mesh(np.diag([4.9, 9.8, 30.0]), 3.0) == [4, 2, 1]
    assert kpoint_mesh(5.43 * FCC, 3.0) == [7, 7, 7]
    assert kpoint_mesh(np.diag([9.0, 3.0, 3.0]), 3.0, np.array([1, 0, 0])) == [1, 7, 7]
    assert kpoint_mesh(2 * np.pi * np.eye(3) * (1 + 1e-12), 4.0) == [4, 4, 4]


def test_band_edges() -> None:
    insulator = [[[-5, 0, 2.0], [-5, -1, 1.5]]]
    assert band_edges(insulator, 0.7) == (1.5, 0.0)
    metal = [[[-5, 0, 2.0], [-5, 1, 1.5]]]
    assert band_edges(metal, 0.7) == (0.0, None)
    # The gap of a magnet may lie between the two spins; a spin without electrons has no valence band.
    assert band_edges([[[-1, 3.0]], [[0.2, 1.0]]], 0.5) == (0.8, 0.2)
    assert band_edges([[[-1, 3.0]], [[2.0, 4.0]]], 0.5) == (3.0, -1.0)
    with pytest.raises(ValueError, match="no empty band"):
        band_edges([[[-1.0]]], 0.5)


def test_pulay_pressure_is_that_of_a_model_energy() -> None:
    # E(V, cutoff) at a fixed number of waves N ~ V cutoff^(3/2); numerical derivative against the formula.
    def energy(cutoff: float) -> float:
        return 40.0 * np.exp(-cutoff / 90.0)

    cutoff, volume, step = 300.0, 118.0, 1e-4
    fixed_number = (
        energy(cutoff * (volume / (volume + step)) ** (2 / 3))
        - energy(cutoff * (volume / (volume - step)) ** (2 / 3))
    ) / (2 * step)
    # Pressure at fixed cutoff (zero here) minus that at a fixed number of waves.
    expected = fixed_number * 160.21766208
    measured = pulay_pressure(energy(cutoff), energy(1.02 * cutoff), cutoff, volume)
    assert measured == pytest.approx(expected, rel=0.05)
    assert measured > 0


def test_gamma_frequencies_are_those_of_plain_finite_differences() -> None:
    from ase.calculators.emt import EMT

    from matwheel.potentials.atoms import to_atoms

    def forces(crystal: Crystal) -> np.ndarray:
        return EMT().get_forces(to_atoms(crystal))

    phonons, displaced = gamma_displacements(TWO_COPPERS, 0.005)
    found = gamma_frequencies(phonons, [forces(one) for one in displaced])
    hessian = np.zeros((6, 6))
    for k in range(6):
        shift = np.zeros((2, 3))
        shift.flat[k] = 0.005
        shift = shift @ np.linalg.inv(TWO_COPPERS.lattice)
        plus = replace(TWO_COPPERS, frac_coords=TWO_COPPERS.frac_coords + shift)
        minus = replace(TWO_COPPERS, frac_coords=TWO_COPPERS.frac_coords - shift)
        hessian[k] = (forces(minus) - forces(plus)).ravel() / 0.01
    squares = np.linalg.eigvalsh((hessian + hessian.T) / 2) / 63.546
    # sqrt(eV/Å²/u) in THz.
    expected = np.sort(np.sign(squares) * np.sqrt(np.abs(squares)) * 15.633302)
    assert found == pytest.approx(expected, abs=0.02)


# ---- selection, comparison, verdicts


def relaxed_row(crystal: Crystal, status: str = "converged") -> dict[str, object]:
    return {
        "id": crystal.id,
        "species": list(crystal.species),
        "lattice": crystal.lattice.ravel().tolist(),
        "frac_coords": crystal.frac_coords.ravel().tolist(),
        "status": status,
    }


def test_the_best_small_candidates_keep_their_rank() -> None:
    big = Crystal("big", ("Si",) * 11, 9 * np.eye(3), np.zeros((11, 3)))
    technetium = Crystal("tc", ("Tc",), 3 * np.eye(3), [[0, 0, 0]])
    rows = [relaxed_row(c) for c in (SILICON, COPPER, big, technetium)]
    relaxed = pd.DataFrame([*rows, relaxed_row(TWO_COPPERS, "not_converged")])
    candidates = pd.DataFrame({"id": ["cu2", "big", "tc", "cu", "unknown", "si"]})
    assert [c.id for c in best_small(candidates, relaxed)] == ["tc", "cu", "si"]
    assert [c.id for c in best_small(candidates, relaxed, elements={"Si", "Cu"})] == ["cu", "si"]
    assert [c.id for c in best_small(candidates, relaxed, max_atoms=1, n=1)] == ["tc"]


def test_a_symmetric_crystal_gets_its_symmetry_back() -> None:
    from ase.calculators.emt import EMT

    noise = 0.01 * np.random.default_rng(0).standard_normal((4, 3)) / 3.65
    cubic = Crystal(
        "cu4",
        ("Cu",) * 4,
        3.65 * np.eye(3),
        np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]) + noise,
    )
    assert len(gamma_displacements(cubic, 0.02)[1]) == 24
    strange = Crystal("si", ("Si",), 2.7 * np.eye(3), [[0, 0, 0]])  # no silicon in this potential
    minimum, unchanged = symmetric_minima([cubic, strange], EMT())
    assert (minimum.id, len(minimum.species)) == ("cu4", 1)
    assert len(gamma_displacements(minimum, 0.02)[1]) == 1
    assert minimum.volume_angstrom3 == pytest.approx(3.59**3 / 4, rel=0.01)  # of EMT copper
    assert unchanged is strange


def single_point(crystal: Crystal, force: float = 0.01, pressure: float = 0.1, **figures) -> DFTResult:
    forces = np.zeros((len(crystal.species), 3))
    forces[0, 0] = force
    return DFTResult(
        crystal.id,
        "single_point",
        "ok",
        tool="gpaw",
        tool_version="gpaw 0",
        forces_ev_per_angstrom=forces.tolist(),
        stress_gpa=[-pressure] * 3 + [0.0] * 3,
        seconds=2.0,
        **figures,
    )


def relaxation(crystal: Crystal, scale: float, status: str = "ok", reason: str = "") -> DFTResult:
    return DFTResult(
        crystal.id,
        "relaxation",
        status,
        reason,
        tool="gpaw",
        energy_initial_ev=-1.0,
        energy_ev=-1.1,
        lattice=(scale * crystal.lattice).tolist(),
        frac_coords=crystal.frac_coords.tolist(),
        steps=5,
        seconds=3.0,
    )


def phonons_of(crystal: Crystal, lowest: float) -> DFTResult:
    return DFTResult(
        crystal.id, "gamma_phonons", "ok", gamma_frequencies_thz=sorted([lowest, 0.0, 1e-7, -1e-7, 5.0, 5.0])
    )


IRON_OXIDE = Crystal("feo", ("Fe", "O"), 4.3 * FCC, [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.mark.parametrize(
    ("crystal", "results", "verdict", "value", "words"),
    [
        (SILICON, [single_point(SILICON)], "pass", 0.01, ""),
        (SILICON, [single_point(SILICON, 0.2)], "undecided", 0.2, "force 0.2 eV/Å (limit 0.15); not relaxed"),
        (SILICON, [single_point(SILICON, 0.2), relaxation(SILICON, 1.01)], "undecided", 0.2, "volume +3.0%"),
        (SILICON, [single_point(SILICON, 0.2), relaxation(SILICON, 1.1)], "fail", 0.2, "volume +33.1%"),
        (SILICON, [single_point(SILICON, 0.01, -8), relaxation(SILICON, 0.9)], "fail", 8.0, "pressure 8 GPa"),
        (SILICON, [single_point(SILICON, 0.01), phonons_of(SILICON, -1.2)], "fail", -1.2, "-1.20 THz"),
        (SILICON, [single_point(SILICON, 0.01), phonons_of(SILICON, -0.3)], "pass", 0.01, ""),
        (IRON_OXIDE, [single_point(IRON_OXIDE), phonons_of(IRON_OXIDE, -2)], "undecided", -2.0, "PBE+U"),
        (SILICON, [single_point(SILICON, np.nan), relaxation(SILICON, 1.2)], "fail", np.nan, "force nan"),
        (SILICON, [], "error", np.nan, "no single point"),
        (
            SILICON,
            [DFTResult("si", "single_point", "error", "not finished")],
            "error",
            np.nan,
            "error: not finished",
        ),
    ],
)
def test_verdicts(crystal: Crystal, results: list[DFTResult], verdict: str, value: float, words: str) -> None:
    (judged,) = dft_verdicts(results, [crystal], SETTINGS)
    assert (judged.screen, judged.verdict) == ("dft", verdict)
    assert judged.value == pytest.approx(value, nan_ok=True)
    assert words in judged.reason
    assert bool(judged.reason) == (verdict != "pass")


def test_the_table_has_a_row_per_crystal_whatever_was_computed() -> None:
    results = [
        single_point(SILICON, 0.2, 1.5, band_gap_ev=0.6, kpoints=[7, 7, 7], cutoff_ev=300.0),
        relaxation(SILICON, 1.01, "not_converged", "forces left"),
        phonons_of(SILICON, -0.2),
    ]
    table = dft_table(results, [COPPER, SILICON])
    copper, silicon = table.iloc[0], table.iloc[1]
    assert (copper["id"], copper["single_point"]) == ("cu", "")
    assert isnan(copper["pressure_gpa"])
    assert (silicon["kpoints"], silicon["formula"], silicon["seconds"]) == ("7x7x7", "Si", 5.0)
    assert silicon["pressure_gpa"] == pytest.approx(1.5)
    assert silicon["relaxation_energy_mev_per_atom"] == pytest.approx(50.0)
    assert silicon["relaxation_volume_change"] == pytest.approx(1.01**3 - 1)
    assert silicon["relaxed_space_group"] == 227
    assert silicon["lowest_gamma_frequency_thz"] == -0.2
    assert silicon["reason"] == "relaxation: forces left"
    assert dft_table([], []).columns.tolist() == table.columns.tolist()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of EMT
def test_comparison_with_a_real_potential() -> None:
    from ase.calculators.emt import EMT

    settings = replace(SETTINGS, tasks=dft.TASKS)
    potential = potential_results([TWO_COPPERS, SILICON], EMT(), "emt", settings)
    assert [(r.candidate_id, r.task, r.status) for r in potential] == [
        ("cu2", "single_point", "ok"),
        ("cu2", "gamma_phonons", "ok"),
        ("si", "single_point", "error"),
        ("si", "gamma_phonons", "error"),
    ]
    own = potential[0]
    doubled = replace(own, forces_ev_per_angstrom=(2 * np.array(own.forces_ev_per_angstrom)).tolist())
    phonons = replace(potential[1], gamma_frequencies_thz=[f + 1 for f in potential[1].gamma_frequencies_thz])
    table = compare_with_potential(
        [doubled, phonons, relaxation(TWO_COPPERS, 0.98)], potential, [TWO_COPPERS, SILICON]
    )
    row = table.iloc[0]
    assert row["dft_largest_force_ev_per_angstrom"] == 2 * row["potential_largest_force_ev_per_angstrom"] > 0
    assert row["force_rmse_ev_per_angstrom"] == pytest.approx(
        np.sqrt(np.mean(np.square(own.forces_ev_per_angstrom)))
    )
    optical = sorted(potential[1].gamma_frequencies_thz, key=abs)[3:]
    assert row["potential_lowest_optical_gamma_thz"] == min(optical) < -1
    assert row["gamma_rmse_thz"] == pytest.approx(1.0)
    assert row["mean_length_error_percent"] == pytest.approx(100 * (1 / 0.98 - 1))
    assert row["volume_error_percent"] == pytest.approx(100 * (1 / 0.98**3 - 1))
    assert row["geometry_cost_mev_per_atom"] == pytest.approx(50.0)
    assert isnan(table.iloc[1]["gamma_rmse_thz"])
    assert not [name for name in table if "total" in name]


# ---- GPAW itself


@pytest.mark.skipif(not GPAW_PYTHON.is_file(), reason="GPAW's environment is absent: make gpaw")
def test_gpaw_gives_the_gap_of_silicon(tmp_path: Path) -> None:
    settings = DFTSettings(
        backend="gpaw",
        python=str(GPAW_PYTHON),
        cutoff_ev=250.0,
        kpoint_density_per_inverse_angstrom=1.9,
        pulay_correction=False,
        tasks=("single_point",),
    )
    backend = find_backend(settings, "the test")
    (result,) = calculate_all([SILICON], settings, backend, tmp_path)
    assert result.status == "ok", result.reason
    assert result.kpoints == [4, 4, 4]
    assert 0.5 < result.band_gap_ev < 0.9  # PBE: 0.6 with the minimum between the k-points
    assert result.largest_force_ev_per_angstrom < 1e-3
    assert calculate(SILICON, "single_point", settings, backend, tmp_path) == result


def test_layers_have_one_kpoint_along_their_vacuum_and_keep_it() -> None:
    sheet = Crystal("sheet", ("Cu",), np.diag([9.0, 2.5, 2.6]), [[0.5, 0, 0]])
    settings = DFTSettings(kpoint_density_per_inverse_angstrom=3.0)
    job = calculation_job(sheet, "relaxation", settings)
    assert job["kpoints"] == [1, 8, 8] and np.abs(job["normal"]).tolist() == [1, 0, 0]
    assert "normal" not in calculation_job(sheet, "single_point", settings)
    bulk = Crystal("bulk", ("Cu",), 2.5 * np.eye(3), [[0, 0, 0]])
    assert "normal" not in calculation_job(bulk, "relaxation", settings)
    in_plane = gpaw_process.in_plane_stress(np.arange(1.0, 7.0), np.array([1.0, 0, 0]))
    assert in_plane.tolist() == [0, 2, 3, 4, 0, 0]
    wire = Crystal("wire", ("Cu",), np.diag([9.0, 9.0, 2.6]), [[0, 0, 0]])
    assert reason_to_refuse(wire, settings, {"Cu"}).startswith("a wire: gaps above 5 Å")


def test_the_geometry_of_a_layer_is_judged_without_its_vacuum() -> None:
    """2 GPa of a cell that is mostly empty are 14 GPa of the layer; along the vacuum none counts."""
    skew = Crystal("skew", ("Cu",), [[2.5, 0, 0], [0, 2.5, 0], [1.2, 0.3, 21.0]], [[0, 0, 0.5]])
    from ase.calculators.emt import EMT

    (minimum,) = symmetric_minima([skew], EMT())
    assert minimum.pbc == (True, True, False)
    assert calculation_job(minimum, "single_point", DFTSettings())["kpoints"][2] == 1
    for stress, verdict in (([-2.0, -2.0, 0, 0, 0, 0], "undecided"), ([0, 0, -20.0, 0, 0, 0], "pass")):
        point = replace(single_point(minimum), stress_gpa=stress)
        assert dft_verdicts([point], [minimum], DFTSettings())[0].verdict == verdict
